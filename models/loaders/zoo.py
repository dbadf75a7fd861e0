"""Any architecture of timm or torchvision, and the small CIFAR ResNets, by name."""

import math
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import nn

from common import hub
from common.bounds import MAX_ENLARGED_BYTES
from common.class_names import imagenet_names
from common.errors import InputError, did_you_mean, first_line
from common.settings import settings
from models.budget import ConstructionBudget, check_activations
from models.card import Recipe
from models.loaders import cifar
from models.loaders.arguments import MisfitError, checked, from_query, misfit, split_preprocessing
from models.loaders.base import Loaded, Loader, flags_of, n_outputs
from models.preprocessing import Preprocessing
from models.seeds import SeededDraws

#: Seconds of computing in which a model without content is made: the deepest takes one.
_MOST_SECONDS = 5.0


@cache
def architectures() -> tuple[str, ...]:
    """Every architecture that can be named, as `timm/resnet18`, `torchvision/resnet18` or `cifar/resnet20`."""
    import timm
    import torchvision

    names = {
        "timm": timm.list_models(),
        "torchvision": torchvision.models.list_models(module=torchvision.models),
        "cifar": list(cifar.DEPTHS),
    }
    return tuple(f"{library}/{name}" for library in names for name in names[library])


def load(
    architecture: str,
    pretrained: bool = False,
    create: dict[str, Any] | None = None,
    seed: int = 0,
    name: str = "",
    preprocessing: dict[str, Any] | None = None,
) -> Loaded:
    """Create `architecture` with pretrained weights, or with random ones drawn with `seed`.

    `preprocessing` overrides fields of the architecture's own (see `Preprocessing.changed`); `create` may hold it too.
    Raises `InputError` for an unknown name, creation arguments that do not fit, or weights that the network refuses.
    """
    create, among = split_preprocessing(dict(create or {}))
    preprocessing = {**among, **(preprocessing or {})}
    module, default = build(architecture, create, pretrained=pretrained, seed=seed)
    arguments = {"architecture": architecture, "pretrained": pretrained, "create": create, "seed": seed, "name": name}
    return Loaded(
        name=name or architecture.rpartition("/")[2] + ("" if pretrained else " (random)"),
        source="zoo",
        family=type(module).__name__,
        architecture=architecture,
        module=module,
        preprocessing=default.changed(preprocessing),
        class_names=imagenet_names(n_outputs(module)),
        recipe=Recipe("zoo", {**arguments, "preprocessing": preprocessing}),
        notes=_notes(module, pretrained),
        flags=flags_of(create),
    )


def build(
    architecture: str, create: dict[str, Any], pretrained: bool = False, seed: int = 0, held_bytes: int = 0
) -> tuple[nn.Module, Preprocessing]:
    """The module and its preprocessing; `architecture` is `LIBRARY/NAME` or a bare timm name.

    What it draws is drawn with `seed`, whatever other threads draw. Raises `InputError` as `load` does, and for a model
    that is too large, before it is made; one as large as the weights that are at hand, of `held_bytes`, is none.
    """
    name, given = _known(architecture, create)
    with suppress(MisfitError):  # a few families compute with numbers while they are made, or the arguments are wrong
        module, _ = _on_meta(name, given)
        if (n_bytes := _n_bytes(module)) > max(MAX_ENLARGED_BYTES, 2 * held_bytes) and given:
            own = _n_bytes(_on_meta(name, {})[0])
            if n_bytes > 2 * own:
                expected = f"creation arguments that make {name} at most twice as large as it is ({own / 1e6:,.0f} MB)"
                raise InputError(expected, f"{n_bytes / 1e6:,.0f} MB", "Take a larger architecture.")
    with SeededDraws(seed), nullcontext() if pretrained else ConstructionBudget(name):  # reading weights copies them
        return _made(name, given, pretrained)


def skeleton(architecture: str, create: dict[str, Any]) -> tuple[nn.Module, Preprocessing]:
    """What `build` gives, with shapes and no content where that can be made (torch's meta device), for some 30 ms."""
    name, given = _known(architecture, create)
    try:
        return _on_meta(name, given)
    except MisfitError:
        with SeededDraws(0), ConstructionBudget(name):
            return _made(name, given)


def _on_meta(name: str, given: dict[str, Any]) -> tuple[nn.Module, Preprocessing]:
    """The model without content; raises `InputError` where it is too large, `MisfitError` where it cannot be made."""
    with torch.device("meta"), ConstructionBudget(name, _MOST_SECONDS):
        module, preprocessing = _made(name, given)
    if (n_classes := n_outputs(module)) > (most := settings().max_classes):
        raise InputError(f"a model of at most {most:,} outputs", f"{n_classes:,}", "Is num_classes right?")
    probe = torch.empty((2, preprocessing.channels, *preprocessing.input_size), device="meta")
    check_activations(module.eval(), probe, name)
    return module, preprocessing


def _n_bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.itemsize for value in module.state_dict().values())


def _known(architecture: str, create: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`LIBRARY/NAME` of an architecture that there is, and its creation arguments, of which none loads anything."""
    import timm

    library, _, name = architecture.strip().rpartition("/")
    library = library or "timm"
    plain, _, tag = name.partition(".")
    if f"{library}/{plain}" not in architectures():
        nearest = did_you_mean(f"{library}/{plain}", architectures())
        cure = (plain and nearest) or "Search by a part of the name, such as resnet or vit."
        raise InputError("an architecture of timm or torchvision", repr(architecture), cure)
    if tag and name not in (known := timm.list_pretrained(f"{plain}.*")):
        cure = did_you_mean(name, known) or f"Write timm/{plain} alone."
        raise InputError(f"a set of pretrained weights of {plain}", repr(architecture), cure)
    given = checked(create)
    if given.get("in_chans", 3) not in (1, 3):
        cure = "A checkpoint with other channels can be read by some of them: bands=0,1,2."
        raise InputError("a model of 1 channel (grey) or 3 (RGB)", f"in_chans={given['in_chans']}", cure)
    return f"{library}/{name}", given


def _made(architecture: str, create: dict[str, Any], pretrained: bool = False) -> tuple[nn.Module, Preprocessing]:
    """The module and its preprocessing, made here and now."""
    library, _, name = architecture.partition("/")
    given = dict(create)
    try:
        if library == "timm":
            return _timm(name, given, pretrained)
        channels = given.pop("in_chans", 3)
        if pretrained and channels != 3:
            cure = "Take timm's, which adapts them, or random ones."
            raise InputError("pretrained weights of 3 channels", f"in_chans={channels}", cure)
        if library == "cifar" and pretrained:
            raise OSError("nobody publishes them in a form that Parallax could fetch")
        module, preprocessing = (
            cifar.build(name, given) if library == "cifar" else _torchvision(name, given, pretrained)
        )
        if channels != 3:
            _set_channels(module, channels)
            mean, std = (_per_channel(values, channels) for values in (preprocessing.mean, preprocessing.std))
            preprocessing = replace(preprocessing, mean=mean, std=std)
        return module, preprocessing
    except InputError:
        raise
    except OSError as error:  # as huggingface_hub's and urllib's errors are
        cure = "Add the weights as a checkpoint, or take the architecture with random weights."
        received = f"no way to them ({first_line(error)})"
        raise InputError(f"pretrained weights of {architecture}", received, cure) from error
    except Exception as error:  # some families check their arguments, others stumble over them
        raise misfit(error, architecture, given) from error


def _timm(name: str, create: dict[str, Any], pretrained: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    if pretrained:
        with hub.hugging_face():
            module = timm.create_model(name, pretrained=True, **create)
    else:
        module = timm.create_model(name, **create)
    config = timm.data.resolve_model_data_config(module)
    channels = create.get("in_chans") or config["input_size"][0]
    size = create.get("img_size") or config["input_size"]
    height, width = (size, size) if isinstance(size, int) else map(int, size[-2:])
    return module, Preprocessing(
        input_size=(height, width),
        mean=_per_channel(config["mean"], channels),
        std=_per_channel(config["std"], channels),
        resize=(math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])),
        mode=config["crop_mode"] or "center",
        interpolation=config["interpolation"],
    )


def _torchvision(name: str, create: dict[str, Any], pretrained: bool) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    if name in ("inception_v3", "googlenet") and not pretrained:  # its own initialisation takes half a minute
        create = {"init_weights": False, **create}
    if pretrained:
        hub.check_torch_hub(weights.url)
    module = models.get_model(name, weights=weights if pretrained else None, **create)
    preset = weights.transforms()
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    side = int(getattr(module, "image_size", crop))  # a ViT of another size than its best weights have
    return module, Preprocessing(
        input_size=(side, side),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        resize=(round(resize * side / crop),) * 2,
        interpolation=preset.interpolation.value,
    )


def stem(module: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The convolution that meets the image, and its name; `None` where the first one is of another kind."""
    return next(((name, child) for name, child in module.named_modules() if isinstance(child, nn.Conv2d)), None)


def _set_channels(module: nn.Module, channels: int) -> None:
    """Give the first convolution a kernel, drawn anew, for images of other than three channels."""
    found = stem(module)
    assert found is not None  # all of torchvision's begin with one
    _, first = found
    first.in_channels = channels
    first.weight = nn.Parameter(first.weight.new_empty((first.out_channels, channels, *first.kernel_size)))
    nn.init.kaiming_normal_(first.weight)


def default_of(architecture: str, module: nn.Module) -> str:
    """Whose preprocessing an architecture has by default, in words."""
    config = getattr(module, "pretrained_cfg", None) or {}
    library, _, name = architecture.rpartition("/")
    tag = f".{config['tag']}" if config.get("tag") else ""
    return f"{library or 'timm'}/{name.partition('.')[0]}{tag}"


def _notes(module: nn.Module, pretrained: bool) -> tuple[str, ...]:
    if not pretrained:
        return ("Random weights: its answers mean nothing.",)
    n_trained = getattr(module, "pretrained_cfg", {}).get("num_classes")
    if n_trained and n_trained != n_outputs(module):
        return ("Its last layer is new and random: its answers mean nothing before it is trained.",)
    return ()


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Timm gives three means even to a model made with `in_chans=1`: average them, as it averages the weights."""
    values = tuple(float(value) for value in values)
    if len(values) not in (1, 3, channels):
        raise InputError(f"mean and std of {channels} channels", f"{len(values)} values", "Give one for each channel.")
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def read(text: str, _class_names: str | None) -> list[Loaded]:
    """`LIBRARY/NAME?name=value&…`, pretrained unless `random` is among the arguments."""
    architecture, create = from_query(text)
    random = "random" in text.partition("?")[2].split("&")
    return [load(architecture, pretrained=not random, create=create)]


LOADER = Loader(
    "zoo",
    load,
    "Zoo",
    read,
    prefixes=("timm", "torchvision", "cifar"),
    forms={
        "timm/NAME": "a pretrained architecture of timm (list architectures); timm/NAME?random for random weights",
        "torchvision/NAME": "the same of torchvision",
        "cifar/NAME?random": "a small ResNet for CIFAR",
    },
)
