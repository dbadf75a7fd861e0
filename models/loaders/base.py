"""What every loader declares, and what it hands over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from common.class_names_file import parse_class_names
from common.errors import InputError
from models.card import Recipe
from models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Loaded:
    """A module and the facts that only its source knows.

    `class_names` and `head` (what the outputs mean, one of `models.card.HEADS`) are `None` where the source gives none.
    `flags` are the choices of its making that change its answers and show in no weight (see `flags_of`).
    """

    name: str
    source: str
    family: str
    architecture: str
    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    recipe: Recipe
    notes: tuple[str, ...] = ()
    flags: str = ""
    head: str | None = None

    def with_class_names(self, text: str) -> Loaded:
        """The same model with class names from a file's `text`; raises `InputError` when they do not fit.

        A model with one output may have two: it is a classifier then.
        """
        n = n_outputs(self.module)
        try:
            names = parse_class_names(text, n)
        except InputError:
            if n != 1:
                raise
            names = parse_class_names(text, 2)
        arguments = {**self.recipe.arguments, "class_names": list(names)}
        notes = tuple(note for note in self.notes if note != IMAGENET_ASSUMED)
        return replace(self, class_names=names, recipe=replace(self.recipe, arguments=arguments), notes=notes)

    def with_head(self, head: str) -> Loaded:
        """The same model whose outputs mean what `head` says."""
        return replace(self, head=head, recipe=replace(self.recipe, head=head))


#: The note on a model whose number of outputs is all that speaks for its class names.
IMAGENET_ASSUMED = "ImageNet names assumed, in ImageNet's order: nothing but the number of outputs speaks for them."

#: Creation arguments that show in the weights, in the preprocessing, or not at all in an answer.
_SHOWN = frozenset((
    "num_classes", "in_chans", "img_size", "image_size", "pretrained_cfg_overlay", "aux_logits", "init_weights",
    "drop_rate", "drop_path_rate", "dropout", "prefix", "bands", "progress",
))  # fmt: skip


def flags_of(create: Mapping[str, Any]) -> str:
    """Creation arguments that change a model's answers and show in no weight, such as `pad_type`, as text."""
    hidden = {key: value for key, value in create.items() if key not in _SHOWN}
    return json.dumps(hidden, sort_keys=True, default=str) if hidden else ""


def n_outputs(module: nn.Module) -> int:
    """Number of classes as the model itself says it, else outputs of its last linear layer; 0 when there is neither."""
    if n_classes := getattr(module, "num_classes", 0):
        return int(n_classes)
    linear = [child for child in module.modules() if isinstance(child, nn.Linear)]
    return linear[-1].out_features if linear else 0


@dataclass(frozen=True)
class Loader:
    """A source or file format of models, with all that intake, command line and pages need to know of it.

    `name` stands in recipes, and `load(**arguments)` gives the model of a recipe's arguments again. `tab` is the tab of
    the Upload page that offers it. A file format has `suffixes`; its `load` takes `path`, `name`, `class_names` and
    `preprocessing`, and, if the file `holds_weights_only`, `architecture` and `create` too. `read(text, class_names)`
    loads what a line of text names, one that begins with a prefix (`timm/resnet18`) or names a file; `forms` describes
    such lines.

    Example:
        >>> LOADER = Loader("pt2", load, "Checkpoint or file", suffixes=(".pt2",), read=read)
    """

    name: str
    load: Callable[..., Loaded]
    tab: str
    read: Callable[[str, str | None], list[Loaded]]
    suffixes: tuple[str, ...] = ()
    holds_weights_only: bool = False
    prefixes: tuple[str, ...] = ()
    forms: Mapping[str, str] = field(default_factory=dict)


#: Where the Upload page offers files.
FILE_TAB = "Checkpoint or file"
