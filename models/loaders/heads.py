"""Classifier heads that somebody put in place of an architecture's own, built again from their weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

#: What may stand between a head's linear layers: no state dict says what does.
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "none": nn.Identity,
}


def head_path(module: nn.Module) -> str:
    """Name of the linear layer that gives the model's answer, the last of them; "" where there is none."""
    return next((name for name, child in reversed(list(module.named_modules())) if isinstance(child, nn.Linear)), "")


def rebuild_head(module: nn.Module, weights: Mapping[str, Tensor], activation: str | None) -> tuple[str, ...]:
    """Give `module` the head that `weights` hold, where its layers are others than the architecture's.

    `weights` by the names that the module uses. A head is a chain of linear layers and normalisations, as in
    `fc = Sequential(Linear, ReLU, Dropout, Linear)`; between two linear layers stands `activation`, if their numbers
    leave room for it: a ReLU for `None`. A head with the architecture's layers in other widths keeps what the
    architecture has between them, unless an `activation` is given. Returns a note on what was taken, none where the
    head is the architecture's own.
    """
    own, path = module.state_dict(), head_path(module)
    while path:
        there, here = _inside(weights, path), _inside(own, path)
        other = there.keys() != here.keys() or (activation is not None and _hidden_differ(there, here))
        if other and (head := chain(there, activation or "relu")) is not None:
            n_features = next((value.shape[1] for value in here.values() if value.ndim == 2), None)
            if _linear(head)[0].in_features == n_features:
                module.set_submodule(path, head)
                if hasattr(module, "num_classes"):  # timm's models say it, and `n_outputs` asks them first
                    vars(module)["num_classes"] = _linear(head)[-1].out_features
                return (f"Its head {path} is the checkpoint's own: {describe(head)}.",)
        path = path.rpartition(".")[0]
    return _resize_hidden(module, weights)


def _resize_hidden(module: nn.Module, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Give the head's linear layers the widths of `weights`, but for the number of outputs; returns a note."""
    last = head_path(module)
    top = last.partition(".")[0]
    head = [(name, child) for name, child in module.named_modules() if name.partition(".")[0] == top]
    linear = [(name, child) for name, child in head if isinstance(child, nn.Linear)]
    resized = False
    for name, child in linear:
        value = weights.get(f"{name}.weight", child.weight)
        n_in = child.in_features if name == linear[0][0] else value.shape[-1]
        n_out = child.out_features if name == last else value.shape[0]
        if value.ndim == 2 and (n_in, n_out) != (child.in_features, child.out_features):
            module.set_submodule(name, nn.Linear(n_in, n_out, child.bias is not None))
            resized = True
    if not resized:
        return ()
    kinds = ", ".join(
        type(child).__name__ for child in module.get_submodule(top).modules() if not list(child.children())
    )
    return (f"Its head {top} has widths of its own; its layers are taken to be the architecture's: {kinds}.",)


def _hidden_differ(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> bool:
    """Whether another layer than the last has another shape."""
    return any(value.shape != here[key].shape and value.ndim == 2 for key, value in list(there.items())[:-2])


def chain(weights: Mapping[str, Tensor], activation: str) -> nn.Module | None:
    """The chain of linear layers and normalisations whose state dict `weights` are; `None` where they are none."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        name, _, part = key.rpartition(".")
        parts.setdefault(name, {})[part] = value
    for names in (list(parts), sorted(parts, key=_natural)):  # safetensors sorts by name
        blocks = [(name, block) for name in names if (block := _block(parts[name])) is not None]
        if len(blocks) == len(parts) and _links(blocks):
            return blocks[0][1] if names == [""] else _sequence(blocks, activation)
    return None


def describe(head: nn.Module) -> str:
    """`Linear 512 → 256, ReLU (assumed), Linear 256 → 10`."""
    words = []
    for child in head.modules():
        if isinstance(child, nn.Linear):
            bias = "" if child.bias is not None else " without bias"
            words.append(f"Linear {child.in_features} → {child.out_features}{bias}")
        elif isinstance(child, nn.BatchNorm1d | nn.LayerNorm | nn.PReLU):
            words.append(type(child).__name__)
        elif type(child) in ACTIVATIONS.values():
            words.append("nothing" if isinstance(child, nn.Identity) else f"{type(child).__name__} (assumed)")
    return ", ".join(word for word in words if word != "nothing")


def _inside(weights: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    start = f"{path}."
    return {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}


def _block(parts: dict[str, Tensor]) -> nn.Module | None:
    """The layer with these parameters and buffers; `None` for one that no head is made of."""
    weight = parts.get("weight")
    names = parts.keys() - {"num_batches_tracked"}
    if weight is None:
        return None
    if weight.ndim == 2 and names <= {"weight", "bias"}:
        return nn.Linear(weight.shape[1], weight.shape[0], "bias" in names)
    if weight.ndim == 1 and names == {"weight", "bias", "running_mean", "running_var"}:
        return nn.BatchNorm1d(len(weight))
    if weight.ndim == 1 and names == {"weight", "bias"}:
        return nn.LayerNorm(len(weight))
    return nn.PReLU(len(weight)) if weight.ndim == 1 and names == {"weight"} else None


def _links(blocks: list[tuple[str, nn.Module]]) -> bool:
    """Whether each block takes as many values as the one before it gives, and one of them is linear."""
    width = None
    for _, block in blocks:
        taken = block.in_features if isinstance(block, nn.Linear) else len(block.get_parameter("weight"))
        if width not in (None, taken) and not (isinstance(block, nn.PReLU) and taken == 1):
            return False
        width = block.out_features if isinstance(block, nn.Linear) else width or taken
    return any(isinstance(block, nn.Linear) for _, block in blocks)


def _sequence(blocks: list[tuple[str, nn.Module]], activation: str) -> nn.Sequential:
    """The blocks under their own names, with activations where they belong."""
    head = nn.Sequential()
    head.add_module("flatten", nn.Flatten(1))  # most heads get vectors, some (N, C, 1, 1)
    n_linear = sum(isinstance(block, nn.Linear) for _, block in blocks)
    waiting = False
    for (name, block), following in zip(blocks, [*blocks[1:], None], strict=True):
        _add(head, name, block)
        if isinstance(block, nn.Linear):
            n_linear -= 1
            waiting = n_linear > 0
        waiting = waiting and not isinstance(block, nn.PReLU)
        if waiting and following is not None and (place := _room(name, *following)):
            _add(head, place, ACTIVATIONS[activation]())
            waiting = False
    return head


def _room(name: str, following: str, block: nn.Module) -> str:
    """The name of an activation between two blocks; "" where there is no room for one."""
    parent, _, number = name.rpartition(".")
    next_parent, _, next_number = following.rpartition(".")
    if parent == next_parent and number.isdecimal() and next_number.isdecimal():
        free = int(number) + 1
        return (f"{parent}.{free}" if parent else str(free)) if int(next_number) > free else ""
    return f"{name}_activation" if isinstance(block, nn.Linear) else ""


def _add(head: nn.Sequential, name: str, block: nn.Module) -> None:
    """Add a block under a dotted name, in a sequence of its own for each part of the name but the last."""
    *outer, last = name.split(".")
    for part in outer:
        if part not in head._modules:
            head.add_module(part, nn.Sequential())
        head = head.get_submodule(part)  # type: ignore[assignment]
    head.add_module(last, block)


def _linear(head: nn.Module) -> list[nn.Linear]:
    return [child for child in head.modules() if isinstance(child, nn.Linear)]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]
