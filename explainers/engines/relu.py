"""Which activations a net uses: by its card, and call by call while it runs."""

import math

from explainers.engines.interception import FunctionCall
from models.card import ModelCard

#: Torch functions that are a ReLU, some of them with the right arguments only: see `ceiling`.
RELUS = ("clamp", "hardtanh", "relu", "relu6")

#: Activations that are no ReLU, as modules and functions are called, in small letters and without underscores.
_OTHERS = frozenset((
    "celu", "elu", "gelu", "gelutanh", "glu", "hardmish", "hardmishme", "hardswish", "hardtanh", "leakyrelu",
    "logsigmoid", "mish", "prelu", "quickgelu", "rrelu", "selu", "silu", "softplus", "softsign", "swish", "tanh",
))  # fmt: skip

#: Other modules that a ReLU net does not have, by parts of their class names, and why.
_NOT_RELU = {
    "Attention": "attention multiplies activations",
    "LayerNorm": "it normalises by the image's own statistics",
    "GroupNorm": "it normalises by the image's own statistics",
    "InstanceNorm": "it normalises by the image's own statistics",
    "RmsNorm": "it normalises by the image's own statistics",
    "SqueezeEx": "its gates multiply activations",
    "SEModule": "its gates multiply activations",
    "Sigmoid": "its gates multiply activations",
    "Hardsigmoid": "its gates multiply activations",
    "Softmax": "what comes out of it are no sums of evidence",
}


def is_other_activation(name: str) -> bool:
    """Whether a module class or a function of this name is an activation, but no ReLU."""
    return name.replace("_", "").lower() in _OTHERS


def other_activations(card: ModelCard) -> tuple[str, ...]:
    """Activation modules of a model that are no ReLU; functional ones show only while it runs."""
    return tuple(name for name in card.facts if is_other_activation(name))


def ceiling(call: FunctionCall) -> float | None:
    """The value at which a ReLU stops growing: infinity, 6 for ReLU6; `None` when this call is no ReLU.

    All ways to write a ReLU end in one of the `RELUS`: modules, `torch.relu`, in place or not.
    """
    if call.name == "relu":
        return math.inf
    if call.name == "relu6":
        return 6.0
    if call.name in ("hardtanh", "clamp"):
        keywords = ("min_val", "max_val") if call.name == "hardtanh" else ("min", "max")
        low, high = (call.argument(place, keyword) for place, keyword in enumerate(keywords, 1))
        if isinstance(low, int | float) and low == 0:
            return math.inf if high is None else float(high)
    return None


def obstacle(card: ModelCard) -> str | None:
    """What keeps a model from being a ReLU net, as the end of a sentence on it; `None` for ReLU nets."""
    if others := other_activations(card):
        return f"uses {' and '.join(others)}"
    for part, reason in _NOT_RELU.items():
        if found := [name for name in card.facts if part in name]:
            return f"has {found[0]}: {reason}"
    return None
