"""Weights from a file, on a named architecture: `.pt`, `.pth.tar`, `.ckpt`, `.safetensors`, …"""

import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.class_names import imagenet_names
from common.class_names_file import check_names
from common.errors import InputError, check_known
from common.files import read_text
from common.plain_json import parse_json
from models.card import Recipe
from models.loaders import zoo
from models.loaders.arguments import from_query, split_preprocessing
from models.loaders.base import FILE_TAB, IMAGENET_ASSUMED, Loaded, Loader, flags_of, n_outputs
from models.loaders.entries import SUFFIXES, read_weights, stem_of
from models.loaders.fitting import adopt_head, fit, guess_classes, left_out, normalisation, subset
from models.loaders.flags import implied, twins
from models.loaders.heads import ACTIVATIONS, rebuild_head
from models.loaders.renaming import converted, modern

#: What timm's configurations say of the images, which the creation arguments carry on, and the fields that they set.
_IMAGE = {
    "input_size": "input_size",
    "mean": "mean",
    "std": "std",
    "crop_pct": "resize",
    "crop_mode": "mode",
    "interpolation": "interpolation",
}

#: Creation arguments that say how to read the file.
READING = ("prefix", "bands", "head_activation")


def load(
    path: str,
    architecture: str,
    create: dict[str, Any] | None = None,
    class_names: list[str] | None = None,
    preprocessing: dict[str, Any] | None = None,
    name: str = "",
) -> Loaded:
    """Weights from `path` on `architecture` (as the zoo names it), created with `create`.

    `preprocessing` overrides fields of what the architecture would use (see `Preprocessing.changed`). `create` may hold
    it too, and how to read the file: `prefix` of the entries to take, `bands` (which channels of the first convolution
    see red, green and blue, or grey), `head_activation` between linear layers of a head of the checkpoint's own. What
    is guessed, assumed or left out gets a note. Raises `InputError` for a file that is no checkpoint, or weights of
    another architecture, key by key.
    """
    given, among = split_preprocessing(dict(create or {}))
    image = {**among, **(preprocessing or {})}
    prefix, bands = str(given.pop("prefix", "")), given.pop("bands", None)
    activation = given.pop("head_activation", None)
    if activation is not None:
        check_known(str(activation), ACTIVATIONS, "an activation for the head")
    if bands is not None:
        given.pop("in_chans", None)
    entries = read_weights(Path(path))
    plain, _ = zoo.skeleton(architecture, given)
    known = bool({"mean", "std"} & {*image, *given.get("pretrained_cfg_overlay", {})})
    taken, in_file = normalisation(subset(modern(entries), plain.state_dict(), prefix), plain, known)
    taken = adopt_head(taken, plain, bool(prefix))
    image |= in_file
    weights, name_notes = converted(taken.weights, plain)
    weights, image, given, band_notes = _bands(weights, plain, bands, image, given)
    n_guessed = guess_classes(weights)
    flags, flag_notes = implied(architecture, weights, given.get("num_classes", n_guessed) or 0)
    n_wanted = given.get("num_classes")
    if n_guessed:
        given.setdefault("num_classes", n_guessed)
    held = sum(value.numel() * value.itemsize for value in weights.values())
    module, default = zoo.build(architecture, {**flags, **given}, held_bytes=held)
    head_notes = rebuild_head(module, weights, activation)
    if head_notes:
        given["num_classes"] = n_outputs(module)
        if n_wanted not in (None, given["num_classes"]):
            received = f"num_classes={n_wanted}"
            raise InputError(f"{given['num_classes']} classes, as the checkpoint's head has", received, "Drop it.")
    fit_notes = fit(module, weights, architecture)
    names = tuple(class_names) if class_names else imagenet_names(n_outputs(module))
    notes = [
        *taken.notes, *left_out(taken), *name_notes, *band_notes, *head_notes, *fit_notes,
        *(flag_notes if "transform_input" not in given else ()),
        *(() if "pad_type" in given else twins(architecture, zoo.architectures())),
        *_assumed(image, given, zoo.default_of(architecture, module)),
        *([IMAGENET_ASSUMED] if names and not class_names else ()),
    ]  # fmt: skip
    given |= {key: create[key] for key in READING if create and key in create}
    arguments = {"path": path, "architecture": architecture, "create": given, "class_names": class_names}
    return Loaded(
        name=name or stem_of(Path(path).name),
        source="checkpoint",
        family=type(module).__name__,
        architecture=architecture,
        module=module,
        preprocessing=default.changed(image),
        class_names=names,
        recipe=Recipe("checkpoint", {**arguments, "preprocessing": image or None, "name": name}),
        notes=tuple(notes),
        flags=flags_of({**flags, **given}),
    )


def _bands(
    weights: dict[str, Tensor],
    plain: nn.Module,
    bands: Any,
    image: dict[str, Any],
    given: dict[str, Any],
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Weights, preprocessing and creation arguments for images of one or three channels, and a note.

    The first convolution keeps the channels `bands`; others would be fed their mean, which is 0 once normalised, so
    that leaving them out changes nothing. Raises `InputError` where a choice is needed, or is none.
    """
    found = zoo.stem(plain)
    kernel = weights.get(f"{found[0]}.weight") if found else None
    if found is None or kernel is None or kernel.ndim != 4 or found[1].groups != 1:
        return weights, image, given, ()
    name, n_channels = f"{found[0]}.weight", kernel.shape[1]
    if bands is None:
        if n_channels not in (1, 3) and "in_chans" not in given:
            expected = f"which of the {n_channels} channels of {name} see red, green and blue"
            cure = "Write bands=0,1,2 (or one band, for grey) among the creation arguments; the others get their mean."
            raise InputError(expected, "none", cure)
        implied_channels = {"in_chans": 1} if n_channels == 1 and "in_chans" not in given else {}
        return weights, image, {**implied_channels, **given}, ()
    chosen = [bands] if isinstance(bands, int) else list(bands) if isinstance(bands, list | tuple) else []
    if len(chosen) not in (1, 3) or not all(isinstance(band, int) and 0 <= band < n_channels for band in chosen):
        cure = f"Number them from 0 to {n_channels - 1}, as in bands=0,1,2."
        raise InputError(f"three bands of {n_channels}, or one", repr(bands), cure)
    image = {
        key: [value[band] for band in chosen] if key in ("mean", "std") and _has(value, n_channels) else value
        for key, value in image.items()
    }
    overlay = given.get("pretrained_cfg_overlay")
    if isinstance(overlay, dict):
        mean_and_std = {key: overlay[key] for key in ("mean", "std") if _has(overlay.get(key), n_channels)}
        image = {**{key: [value[band] for band in chosen] for key, value in mean_and_std.items()}, **image}
        given = {**given, "pretrained_cfg_overlay": {k: v for k, v in overlay.items() if k not in mean_and_std}}
    made = {**given, **({"in_chans": 1} if len(chosen) == 1 else {})}
    shown = ", ".join(map(str, chosen))
    note = f"Images are fed to bands {shown} of {n_channels} of the first convolution; others get their mean."
    return {**weights, name: kernel[:, chosen]}, image, made, (note,)


def _has(values: Any, n: int) -> bool:
    return isinstance(values, list | tuple) and len(values) == n


def _assumed(image: dict[str, Any], create: dict[str, Any], default: str) -> tuple[str, ...]:
    """A note on what of the preprocessing nobody has given."""
    overlay = create.get("pretrained_cfg_overlay") or {}
    given = {*image, *(field for key, field in _IMAGE.items() if key in overlay)}
    missing = [field for field in _IMAGE.values() if field not in given]
    if not missing:
        return ()
    what = "Preprocessing" if len(missing) == len(_IMAGE) else f"Of the preprocessing, {', '.join(missing)}"
    return (f"{what} assumed: that of {default}.",)


def read_config(text: str) -> dict[str, Any]:
    """What `load` needs, out of a model's `config.json`: `{"architecture": "timm/…", "create": {…}}`.

    Where it names the file of its weights, that is there too, as `file`.

    Reads timm's own files on the Hugging Face hub (`pretrained_cfg`, `model_args`) and plain ones
    (`create_model_kwargs`, `input_size`, `mean`, `std`). Raises `InputError` for anything else.
    """
    cure = 'A timm config.json has "architecture" and "pretrained_cfg".'
    config = parse_json(text, "a model's configuration as JSON", cure)
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        if isinstance(config, dict) and {"model_type", "architectures"} <= config.keys():
            received = f"that of a Hugging Face transformers model ({config['model_type']})"
            take = "Take the same architecture from timm, with weights in timm's names."
            raise InputError("a model's configuration that names its architecture", received, f"{take} {cure}")
        keys = f"an object with {', '.join(list(config)[:8]) or 'nothing in it'}" if isinstance(config, dict) else ""
        received = keys or f"a {type(config).__name__}"
        raise InputError("a model's configuration that names its architecture", received, cure)
    pretrained, given, plain = (
        part if isinstance(part := config.get(name), dict) else {}
        for name in ("pretrained_cfg", "model_args", "create_model_kwargs")
    )
    image = {**config, **pretrained}
    overlay = {key: image[key] for key in _IMAGE if image.get(key) is not None}
    create = {key: value for key, value in {**given, **plain}.items() if key != "pretrained"}
    if config.get("num_classes"):
        create.setdefault("num_classes", config["num_classes"])
    fields: dict[str, Any] = {"architecture": _full_name(config["architecture"]), "create": create}
    if overlay and fields["architecture"].startswith("timm/"):
        create.setdefault("pretrained_cfg_overlay", overlay)
    elif overlay:
        fields["preprocessing"] = _as_fields(overlay)
    if isinstance(config.get("file"), str):
        fields["file"] = config["file"]
    names = config.get("label_names") or config.get("class_names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        check_names(names)
        fields["class_names"] = names
    return fields


def _as_fields(overlay: dict[str, Any]) -> dict[str, Any]:
    """timm's words for preprocessing as the fields of `Preprocessing.changed`."""
    image = {_IMAGE[key]: value for key, value in overlay.items() if key != "crop_pct"}
    size, share = overlay.get("input_size"), overlay.get("crop_pct")
    if share and size:
        try:
            sides = [size, size] if isinstance(size, int) else size[-2:]
            image["resize"] = [math.floor(side / share) for side in sides]
        except (TypeError, ValueError, ArithmeticError) as error:
            received = f"crop_pct {share!r:.80} of input_size {size!r:.80}"
            cure = 'Write "input_size": [3, 224, 224] and "crop_pct": 0.875.'
            raise InputError("sides in pixels, and the share that is cut out", received, cure) from error
    return image


def _full_name(architecture: str) -> str:
    """`LIBRARY/NAME` of a bare name: timm's where it has one, else another library's."""
    if "/" in architecture:
        return architecture
    known = [full for full in zoo.architectures() if full.partition("/")[2] == architecture.partition(".")[0]]
    library = known[0].partition("/")[0] if known else "timm"
    return f"{library}/{architecture}"


def read(text: str, class_names: str | None) -> list[Loaded]:
    """`FILE@ARCHITECTURE?name=value&…` or `FILE@config.json?…`."""
    file, _, rest = text.rpartition("@")
    if not file:
        raise InputError("an architecture for the weights", repr(text), f"Write {text}@timm/resnet18, for example.")
    architecture, create = from_query(rest)
    if architecture.endswith(".json"):
        config = read_config(read_text(Path(architecture).expanduser(), "a model's configuration as JSON"))
    else:
        config = {"architecture": architecture, "create": {}}
    path = Path(file).expanduser().resolve()
    config.pop("file", None)
    config["create"] = {**config["create"], **create}
    if class_names is not None:
        config.pop("class_names", None)
    loaded = load(str(path), **config, name=stem_of(path.name))
    return [loaded if class_names is None else loaded.with_class_names(class_names)]


LOADER = Loader(
    "checkpoint",
    load,
    FILE_TAB,
    read,
    suffixes=SUFFIXES,
    holds_weights_only=True,
    forms={
        "FILE@ARCHITECTURE": "a checkpoint, as in weights.safetensors@timm/mobilenetv2_100; creation arguments follow "
        "as ?pad_type=same&num_classes=10",
        "FILE@config.json": "a checkpoint whose architecture is written in a file",
    },
)
