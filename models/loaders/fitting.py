"""Whether weights belong to an architecture, and to which one they do when they don't."""

import difflib
import re
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError, first_line
from models.loaders import zoo

#: How many entries a message explains; the rest is counted.
N_EXPLAINED = 10

_HEAD = re.compile(r"^(fc|classifier|heads?|linear|last_linear)\.(?!.*pre_logits)(.*\.)?weight$")

#: Architectures that most checkpoints in the world are of: the first guess when nothing near the name fits.
_COMMON = re.compile(
    r"resnet(18|34|50|101)|vgg(11|13|16|19)(_bn)?|densenet121|alexnet|squeezenet1_1|efficientnet_b0"
    r"|mobilenet_v2|mobilenetv2_100|mobilenet_v3_(small|large)|mobilenetv3_(small|large)_100"
    r"|convnext_tiny|swin_(t|tiny_patch4_window7_224)|vit_(tiny|small|base)_patch16_224|vit_b_16"
)


def guess_classes(weights: dict[str, Tensor]) -> int | None:
    """Number of classes by the last matrix of a classifier head, so that nobody has to type it."""
    heads = [key for key, value in weights.items() if _HEAD.match(key) and value.ndim in (2, 4)]
    return len(weights[max(heads, key=_natural)]) if heads else None


def fit(module: nn.Module, weights: dict[str, Tensor], architecture: str) -> None:
    """Load `weights` into `module`, all or nothing.

    Raises `InputError` that explains the first ten entries that do not fit, and says what would mend it.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in weights and not _is_optional(key)]
    unknown = [key for key in weights if key not in own]
    other = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    if not (missing or unknown or other):
        try:
            module.load_state_dict({key: value.to(own[key].dtype) for key, value in weights.items()}, strict=False)
        except (RuntimeError, NotImplementedError) as error:  # quantised or sparse tensors
            cure = "Save the model in float32, neither quantised nor sparse."
            raise InputError("dense tensors of numbers", f"others ({first_line(error, 80)})", cure) from error
        return
    shapes = [f"{key} {_size(weights[key])} (the model has {_size(own[key])})" for key in other]
    n_fitting = sum(key in own and own[key].shape == value.shape for key, value in weights.items())
    raise InputError(
        f"weights of {architecture}",
        f"{len(weights)} entries of which {n_fitting} fit; {_misfits(shapes, missing, unknown)}",
        _cure(weights, missing, unknown, other, n_fitting, architecture),
    )


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


def find_architecture(weights: dict[str, Tensor], near: str) -> str | None:
    """The architecture that takes exactly these weights: one called like `near`, else a common one; `None` for none.

    Built on torch's meta device, where tensors have shapes but no content, a candidate costs some 30 ms.
    """
    n_classes = guess_classes(weights)
    create = {"num_classes": n_classes} if n_classes else {}
    shapes = {key: value.shape for key, value in weights.items() if not _is_optional(key)}
    return next((name for name in _candidates(near) if _shapes(name, create) == shapes), None)


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


def _shapes(architecture: str, create: dict[str, Any]) -> dict[str, torch.Size]:
    """Shapes of an architecture's weights; none where it cannot be made so."""
    try:
        with torch.device("meta"):
            module, _ = zoo.build(architecture, create)
    except InputError:
        return {}
    return {key: value.shape for key, value in module.state_dict().items() if not _is_optional(key)}


def _cure(
    weights: dict[str, Tensor],
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
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
