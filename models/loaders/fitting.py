"""Whether weights belong to an architecture, and to which one they do when they don't."""

import difflib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError, did_you_mean
from models.loaders import zoo
from models.loaders.entries import of_transformers
from models.loaders.flags import AUXILIARY
from models.loaders.heads import chain, head_path

#: Seconds of computing in which an architecture is searched for.
_SEARCH_S = 6.0

#: How many entries a message explains; the rest is counted.
N_EXPLAINED = 10

_HEAD = re.compile(r"^(fc|classifier|heads?|linear|last_linear)\.(?!.*pre_logits)(.*\.)?weight$")

#: Architectures that most checkpoints in the world are of: the first guess when nothing near the name fits.
_COMMON = re.compile(
    r"resnet(18|34|50|101)|vgg(11|13|16|19)(_bn)?|densenet121|alexnet|squeezenet1_1|efficientnet_b0"
    r"|mobilenet_v2|mobilenetv2_100|mobilenet_v3_(small|large)|mobilenetv3_(small|large)_100"
    r"|convnext_tiny|swin_(t|tiny_patch4_window7_224)|vit_(tiny|small|base)_patch16_224|vit_b_16"
)


#: Parts of a name that wrappers of a model put in, wherever they stand.
_WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))

#: Parts that say nothing of which of several copies of a model this is.
_PLAIN = _WRAPPERS | {"model", "net", "state_dict", "weights"}

#: Names of averaged copies of a model, which are better than the last step's (timm prefers them too).
_AVERAGED = re.compile(r"(^|_)(ema|swa|avg|averaged?|shadow)(_|$)", re.IGNORECASE)

#: What stands beside a model's own entries and takes no part in its answer: losses, metrics, counters.
_BESIDE = re.compile(
    r"(^|\.)(criterion|\w*loss(_\w*)?|(train|val|valid|test)?_?(metrics?|acc|accuracy|f1|auroc)(_\w*)?|total_ops"
    r"|total_params|n_averaged|current_step|global_step|epoch|step|best_\w+)($|\.)",
    re.IGNORECASE,
)

#: Mean and std that normalise a wrapped model's images.
_NORMALISES = re.compile(r"(?:^|[._])(mean|mu|std|sigma)$", re.IGNORECASE)

#: Number types of weights: others are quantised, or are no weights.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Subset:
    """The entries of a file that belong to a model, by the model's names; what was taken, and what was left out."""

    weights: dict[str, Tensor]
    prefix: str
    left_out: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def guess_classes(weights: Mapping[str, Tensor]) -> int | None:
    """Number of classes by the last matrix of a classifier head, so that nobody has to type it."""
    heads = [key for key, value in weights.items() if _HEAD.match(key) and value.ndim in (2, 4)]
    return len(weights[max(heads, key=_natural)]) if heads else None


def subset(entries: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str = "") -> Subset:
    """Those of a file's `entries` that belong to the model whose state dict is `own`: behind the prefix most fit.

    Only entries behind `prefix` are asked, if there is one. Of equally good prefixes, an averaged copy is taken.
    Raises `InputError` where several copies of the model are left, or nothing begins with `prefix`.
    """
    if prefix and not any(key.startswith(prefix := prefix.rstrip(".") + ".") for key in entries):
        known = list(dict.fromkeys(key.partition(".")[0] for key in entries))
        cure = did_you_mean(prefix[:-1], known) or f"Known: {', '.join(known[:8])}."
        raise InputError("a prefix of names in the checkpoint", repr(prefix), cure)
    asked = {key: value for key, value in entries.items() if key.startswith(prefix)}
    if not any(part in _WRAPPERS for key in own for part in key.split(".")):
        asked = {_unwrapped(key): value for key, value in asked.items()}
    named, fitting = Counter[str](), Counter[str]()
    for key, value in asked.items():
        for start, name in _splits(key):
            if name in own:
                named[start] += 1
                fitting[start] += own[name].shape == value.shape
    ranks = {start: (fitting[start], count) for start, count in named.items() if 3 * count > min(len(own), len(asked))}
    if not ranks:
        return Subset(_bare(asked), "", {})
    best = [start for start, rank in ranks.items() if rank == max(ranks.values())]
    chosen, notes = best[0], tuple[str, ...]()
    if len(best) > 1:
        chosen = _one_of(best, asked, own)
        if any(map(_AVERAGED.search, chosen.split("."))):
            others = ", ".join(start.rstrip(".") or "the plain ones" for start in best if start != chosen)
            notes = (f"Averaged weights taken ({chosen.rstrip('.')}), not {others}; write prefix=… for others.",)
    weights = {key.removeprefix(chosen): value for key, value in asked.items() if key.startswith(chosen)}
    left_out = {key: value for key, value in asked.items() if not key.startswith(chosen)}
    return Subset(weights, chosen, left_out, notes)


def normalisation(taken: Subset, plain: nn.Module, given: bool) -> tuple[Subset, dict[str, Any]]:
    """Mean and std of pixels that a wrapper of the model has kept beside it, as `Preprocessing.changed` takes them.

    They are then no part of the model's entries; `plain` is the architecture. None where there is no such pair, or
    others are `given`; a note tells.
    """
    own = plain.state_dict()
    inside = {key: value for key, value in taken.weights.items() if key not in own}
    found: dict[str, str] = {}
    for key, value in {**taken.left_out, **inside}.items():
        if value.numel() in (1, 3) and (match := _NORMALISES.search(key)):
            found["mean" if match[1].lower() in ("mean", "mu") else "std"] = key
    if found.keys() != {"mean", "std"}:
        return taken, {}
    values = {name: (taken.left_out | inside)[key].double().flatten() for name, key in found.items()}
    top = 255 if float(values["mean"].max()) > 1 else 1
    image = {name: (one / top).tolist() if len(one) > 1 else float(one) / top for name, one in values.items()}
    weights = {key: value for key, value in taken.weights.items() if key not in found.values()}
    left = {key: value for key, value in taken.left_out.items() if key not in found.values()}
    words = " and ".join(_beyond(key, taken.prefix) for key in found.values())
    note = f"Mean and std that the file holds are {'not used, as others are given' if given else 'used'} ({words})."
    return Subset(weights, taken.prefix, left, (*taken.notes, note)), {} if given else image


def adopt_head(taken: Subset, plain: nn.Module, as_it_is: bool) -> Subset:
    """The same with a head that stands beside the model in the file, as where a wrapper has `backbone` and `fc`.

    `plain` is the architecture with its own head. Unless it is to be taken `as_it_is`, raises `InputError` where the
    model has its head, and another one beside it that seems to read the model's answer.
    """
    head = head_path(plain)
    own, weights = plain.state_dict(), taken.weights
    if f"{head}.weight" not in own or not taken.prefix:
        return taken
    lacking = [key for key in own if key not in weights and not _is_optional(key)]
    beheaded = bool(lacking) and all(key.startswith(f"{head}.") for key in lacking)
    if lacking and (not beheaded or any(key.startswith(f"{head}.") for key in weights)):
        return taken
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in taken.left_out.items():
        group, _, name = _beyond(key, taken.prefix).partition(".")
        if not _BESIDE.search(group):
            groups.setdefault(group, {})[name] = value
    width = own[f"{head}.weight"].shape[1] if beheaded else weights[f"{head}.weight"].shape[0]
    heads = [group for group, parts in groups.items() if chain(parts, "relu") and _first_width(parts) == width]
    if not heads or as_it_is:
        return taken
    place = taken.prefix.rstrip(".")
    if not beheaded or len(heads) > 1:
        received = (
            f"{place} and beside it {', '.join(heads)}, which seems to read its {'features' if lacking else 'answer'}"
        )
        cure = f"Write prefix={place} among the creation arguments to look at {place} alone, or save one whole model."
        raise InputError("one model", received, cure)
    adopted = {f"{head}.{name}": value for name, value in groups[heads[0]].items()}
    left = {key: v for key, v in taken.left_out.items() if _beyond(key, taken.prefix).partition(".")[0] != heads[0]}
    note = f"Its head stands beside {place} in the file, as {heads[0]}."
    return Subset({**weights, **adopted}, taken.prefix, left, (*taken.notes, note))


def _first_width(parts: Mapping[str, Tensor]) -> int | None:
    return next((value.shape[1] for value in parts.values() if value.ndim == 2), None)


def _unwrapped(key: str) -> str:
    """A name without what wrappers put in, but for its last part."""
    *outer, last = key.split(".")
    return ".".join([*(part for part in outer if part not in _WRAPPERS), last])


def _splits(key: str) -> Iterator[tuple[str, str]]:
    """All pairs of a prefix and the name behind it, as in ("model.", "fc.weight")."""
    parts = key.split(".")
    for n in range(len(parts)):
        start = "".join(f"{part}." for part in parts[:n])
        yield start, key.removeprefix(start)


def _bare(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of which none fits, without the first parts that nearly all of them share."""
    weights = dict(entries)
    while weights:
        first, count = Counter(key.partition(".")[0] for key in weights if "." in key).most_common(1)[0]
        if first not in _PLAIN or count < 0.8 * len(weights):
            break
        weights = {
            key.removeprefix(f"{first}."): value for key, value in weights.items() if key.startswith(f"{first}.")
        }
    return weights


def _one_of(prefixes: list[str], entries: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """One of several copies of a model: the averaged one, or any where all are the same."""

    def same(one: str, other: str) -> bool:
        pairs = ((entries.get(one + name), entries.get(other + name)) for name in own)
        return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)

    different = [one for at, one in enumerate(prefixes) if not any(same(one, other) for other in prefixes[:at])]
    last_part = {one: [part for part in one.split(".") if part not in _PLAIN][-2:-1] for one in different}
    averaged = [one for one in different if any(map(_AVERAGED.search, last_part[one]))]
    if len(different) == 1 or len(averaged) == 1:
        return (averaged or different)[0]
    names = [one.rstrip(".") or "no prefix" for one in different]
    cure = f"Write prefix={names[-1]} among the creation arguments, or the other."
    raise InputError("one set of weights", f"{len(names)} that fit: {', '.join(names)}", cure)


def fit(module: nn.Module, weights: Mapping[str, Tensor], architecture: str) -> tuple[str, ...]:
    """Load `weights` into `module`, all or nothing; returns notes on what was left out or rounded.

    Raises `InputError` that explains the first ten entries that do not fit, and says what would mend it, or names
    those that are no floating-point numbers, or not finite.
    """
    own = module.state_dict()
    _check_dense(weights)
    missing = [key for key in own if key not in weights and not _is_optional(key)]
    beside = [key for key in weights if key not in own and _is_beside(key, weights[key])]
    unknown = [key for key in weights if key not in own and key not in beside]
    other = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    if not (missing or unknown or other):
        state = module.state_dict()  # with the versions of its modules, which some refuse to be without
        state.update({key: _number(key, weights[key], own[key]) for key in own if key in weights})
        module.load_state_dict(state)
        return (*_left_out(beside), *_stored_as(weights, own))
    shapes = [f"{key} {_size(weights[key])} (the model has {_size(own[key])})" for key in other]
    n_fitting = sum(key in own and own[key].shape == value.shape for key, value in weights.items())
    raise InputError(
        f"weights of {architecture}",
        f"{len(weights)} entries of which {n_fitting} fit; {_misfits(shapes, missing, unknown)}",
        _cure(module, weights, missing, unknown, other, n_fitting, architecture),
    )


def _check_dense(weights: Mapping[str, Tensor]) -> None:
    for key, value in weights.items():
        if value.is_quantized or value.layout is not torch.strided or value.is_meta:
            kind = "quantised" if value.is_quantized else "on the meta device" if value.is_meta else "sparse"
            cure = "Save the model in float32, neither quantised nor sparse."
            raise InputError("dense tensors of numbers", f"others ({key} is {kind})", cure)


def _number(key: str, value: Tensor, own: Tensor) -> Tensor:
    """`value` in the number type of the model's `own` entry; raises `InputError` where that would change it."""
    kind = str(value.dtype).removeprefix("torch.")
    if own.is_floating_point():
        if value.dtype not in _FLOATS:
            cure = "They are quantised, or no weights: save the model's state_dict in float32."
            raise InputError("weights in floating point", f"{key} in {kind}", cure)
        number = value.to(own.dtype)
        if not torch.isfinite(number).all() and torch.isfinite(own).all():
            cure = "Check the weights: did the training diverge?"
            raise InputError("finite weights", f"NaN or infinite numbers in {key}", cure)
        return number
    if value.is_complex() or not torch.equal(value.to(own.dtype).to(value.dtype), value):
        cure = f"The model counts with it, in {str(own.dtype).removeprefix('torch.')}: save it so."
        raise InputError("whole numbers", f"others in {key} ({kind})", cure)
    return value.to(own.dtype)


def _stored_as(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A note where weights were stored in other numbers than the model computes with."""
    kinds = Counter(
        str(weights[key].dtype).removeprefix("torch.")
        for key, value in own.items()
        if key in weights and value.is_floating_point() and weights[key].dtype != value.dtype
    )
    return tuple(f"{count} entries were stored in {kind}; it computes in float32." for kind, count in kinds.items())


def left_out(taken: Subset) -> tuple[str, ...]:
    """A note that names what of a file is no part of the model."""
    return _left_out([_beyond(key, taken.prefix) for key in taken.left_out])


def _left_out(names: list[str]) -> tuple[str, ...]:
    groups = Counter(name.partition(".")[0] for name in names)
    words = [f"{name} ({count} entries)" if count > 1 else name for name, count in groups.items()]
    more = f" and {len(words) - N_EXPLAINED} more" if len(words) > N_EXPLAINED else ""
    return (f"Left out of the file: {', '.join(words[:N_EXPLAINED])}{more}.",) if words else ()


def _beyond(key: str, prefix: str) -> str:
    """A name without the dicts that it shares with `prefix`."""
    for part in prefix.split("."):
        if not key.startswith(f"{part}."):
            break
        key = key.removeprefix(f"{part}.")
    return key


def _is_beside(key: str, value: Tensor) -> bool:
    """Whether an entry that the model does not know takes no part in its answer."""
    counter = "." not in key and value.numel() == 1
    return counter or key.startswith(AUXILIARY) or _BESIDE.search(key) is not None


def _misfits(shapes: list[str], missing: list[str], unknown: list[str]) -> str:
    """The first entries that do not fit, by what is wrong with them; each kind gets its share of the line."""
    kinds = {"of another shape": shapes, "missing": missing, "unknown to the model": unknown}
    found = {kind: entries for kind, entries in kinds.items() if entries}
    room = N_EXPLAINED // len(found)
    parts = []
    for kind, entries in found.items():
        more = f" and {len(entries) - room} more" if len(entries) > room else ""
        parts.append(f"{kind}: {', '.join(entries[:room])}{more}")
    return "; ".join(parts)


def find_architecture(weights: Mapping[str, Tensor], near: str) -> str | None:
    """The architecture that takes exactly these weights: one called like `near`, else a common one; `None` for none.

    Built on torch's meta device, where tensors have shapes but no content, a candidate costs some 30 ms; the search
    ends after a few seconds.
    """
    n_classes = guess_classes(weights)
    shapes = {key: value.shape for key, value in weights.items() if not _is_optional(key)}
    until = time.thread_time() + _SEARCH_S
    for name in _candidates(near):
        if _shapes(name, n_classes) == shapes:
            return name
        if time.thread_time() > until:
            break
    return None


def _candidates(near: str) -> list[str]:
    """Names worth trying, best first: the same one in another library, its nearest kin, then the common ones."""
    plain = near.rpartition("/")[2].partition(".")[0]
    by_name: dict[str, list[str]] = {}
    for full in zoo.architectures():
        by_name.setdefault(full.partition("/")[2], []).append(full)
    kin = difflib.get_close_matches(plain, list(by_name), n=12, cutoff=0.7)
    common = [name for name in by_name if _COMMON.fullmatch(name)]
    names = dict.fromkeys([plain, *kin, *common])
    return [full for name in names for full in by_name.get(name, [])]


@lru_cache(maxsize=256)
def _shapes(architecture: str, n_classes: int | None) -> dict[str, torch.Size]:
    """Shapes of an architecture's weights; none where it cannot be made so."""
    create = {"num_classes": n_classes} if n_classes else {}
    try:
        with torch.device("meta"):
            module, _ = zoo.skeleton(architecture, create)
    except InputError:
        return {}
    return {key: value.shape for key, value in module.state_dict().items() if not _is_optional(key)}


def _cure(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    missing: list[str],
    unknown: list[str],
    other: list[str],
    n_fitting: int,
    architecture: str,
) -> str:
    """What would most likely make the weights fit."""
    if other and not missing and not unknown and all(_HEAD.match(key) or key.endswith(".bias") for key in other):
        return f"Set num_classes={len(weights[other[-1]])} among the creation arguments."
    if len(other) == 1 and not missing and not unknown and weights[other[0]].ndim == 4:
        return f"Set in_chans={weights[other[0]].shape[1]} among the creation arguments."
    if n_fitting <= len(weights) // 2 and of_transformers(weights):
        cure = "Take that architecture from timm, with weights in timm's names."
        return f"They are weights of Hugging Face transformers, which names its layers in its own way. {cure}"
    head = head_path(module)
    if missing and not unknown and not other and all(key.startswith(f"{head}.") for key in missing):
        return f"They lack the classifier head ({head}): save the whole model."
    if found := find_architecture(weights, architecture):
        return f"They are weights of {found}: choose that."
    if n_fitting == 0:
        return f"They are of another architecture, one whose first entry is {next(iter(weights))}: choose that."
    if n_fitting > len(weights) // 2:
        return "Most of them fit, so it may be a variant: check the creation arguments."
    return "It may be another depth or width of this family: search for it by name."


def _is_optional(key: str) -> bool:
    """Batch counters, which old checkpoints lack and nobody needs for looking."""
    return key.endswith("num_batches_tracked")


def _natural(key: str) -> list[tuple[int, str]]:
    """Sorts classifier.10 behind classifier.6: safetensors keeps entries by name."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)]


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
