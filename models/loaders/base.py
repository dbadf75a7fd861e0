"""What every loader declares, and what it hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from common.class_names_file import parse_class_names
from models.card import Recipe
from models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Loaded:
    """A module and the facts that only its source knows; `class_names` is `None` where the source gives none."""

    name: str
    source: str
    family: str
    architecture: str
    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    recipe: Recipe
    notes: tuple[str, ...] = ()

    def with_class_names(self, text: str) -> Loaded:
        """The same model with class names from a file's `text`; raises `InputError` when they do not fit."""
        names = parse_class_names(text, n_outputs(self.module))
        recipe = Recipe(self.recipe.loader, {**self.recipe.arguments, "class_names": list(names)})
        return replace(self, class_names=names, recipe=recipe)


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
    such lines. The models of a loader that is `built_in` come with Parallax.

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
    built_in: bool = False


#: Where the Upload page offers files.
FILE_TAB = "Checkpoint or file"
