"""`ModelCard`: the facts of a model that every part of the house reads, with no torch in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from common.class_names import find, first_pairs
from common.errors import InputError, did_you_mean
from models.preprocessing import Preprocessing

#: Layouts of a layer's output without its batch axis, by the field's names.
MAPS, MAPS_LAST, TOKENS, VECTOR, OTHER = "CHW", "HWC", "LC", "C", "other"

#: What a model's outputs mean: the softmax over classes, one sigmoid for two classes, one sigmoid a class, or a number.
SOFTMAX, SIGMOID, MULTI_LABEL, REGRESSION = HEADS = ("softmax", "sigmoid", "multi-label", "regression")

#: The loaders of the models that come with Parallax.
BUILT_IN = ("demo", "digits")

#: Goes up when cards say more than before: an older card is made anew (see `ModelStore`).
FORMAT = 1


@dataclass(frozen=True)
class Layer:
    """One module of a model, as a probe forward met it.

    `grid` is the height and width of its cells, seen to lie over the image as they should; `None` where it has none:
    then units are all that is known of the layer.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    layout: str
    n_parameters: int
    order: int
    n_prefix_tokens: int = 0
    grid: tuple[int, int] | None = None

    @property
    def spatial(self) -> tuple[int, int] | None:
        """Height and width of the layer's grid, `None` where it has none (or a single cell)."""
        return self.grid if self.grid and self.grid != (1, 1) else None

    @property
    def n_units(self) -> int:
        """Channels of a map or token layer, neurons of a vector."""
        if self.layout == MAPS:
            return self.shape[0]
        return self.shape[-1] if self.shape else 0


@dataclass(frozen=True)
class Recipe:
    """How to load a model again after a restart: a loader's name, what it was given, the head."""

    loader: str
    arguments: dict[str, Any] = field(default_factory=dict)
    head: str | None = None

    @property
    def built_in(self) -> bool:
        """Whether the model comes with Parallax."""
        return self.loader in BUILT_IN


class OldCardError(ValueError):
    """A card that says less than cards do now: the model's `name`, and the `recipe` to make it anew."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__(f"the card of {name} is of an older format")
        self.name, self.recipe = name, recipe


@dataclass(frozen=True, eq=False)
class ModelCard:
    """Facts of a model.

    `digest` is a SHA-256 over architecture, weights and preprocessing: equal digests, equal answers, equal cards.
    `facts` are the classes of its modules; `sequential` models run their layers one after another, each once, each on
    what the one before gave. `head` is one of `HEADS`; the single output of a "sigmoid" has become two logits.
    `refusals` are the methods that failed when they were tried on the model, each with the reason in one line.
    """

    name: str
    source: str
    family: str
    architecture: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    layers: tuple[Layer, ...]
    default_layer: str | None
    n_parameters: int
    digest: str
    recipe: Recipe
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    sequential: bool = False
    head: str = SOFTMAX
    refusals: dict[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelCard) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width that the model sees, in pixels."""
        return self.preprocessing.input_size

    @property
    def n_classes(self) -> int:
        """Length of the model's output; 1 for a regression model."""
        return len(self.class_names)

    @property
    def outputs(self) -> str:
        """What the model answers, in words: `softmax: 0 = cat, 1 = dog, 2 = hen, …`."""
        return "a number" if self.head == REGRESSION else f"{self.head}: {first_pairs(self.class_names)}"

    @property
    def classifies(self) -> bool:
        """Whether the model chooses among classes; a regression model gives one number."""
        return self.n_classes > 1 and self.head != REGRESSION

    def layer(self, name: str | None = None) -> Layer:
        """The layer called `name`, or the default one (last with spatial extent) for `None`.

        Raises `InputError` for an unknown name or a model without spatial layers.
        """
        wanted = name or self.default_layer
        if wanted is None:
            raise InputError("a model with a spatial layer", f"{self.name}, which has none", "Pick a layer by name.")
        for layer in self.layers:
            if layer.name == wanted:
                return layer
        names = [layer.name for layer in self.layers]
        raise InputError(f"a layer of {self.name}", repr(wanted), did_you_mean(wanted, names) or f"Try {names[-1]!r}.")

    def class_index(self, name: str) -> int | None:
        """Position of the class that `name` means in the model's output, `None` where the model has no such class."""
        return find(name, self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelCard:
        """The card that `to_json` wrote; raises `OldCardError` where an earlier Parallax did."""
        data = dict(data)
        if data.pop("format", 0) != FORMAT:
            recipe = Recipe(**data["recipe"])
            one_output = len(data["class_names"]) == 1 and recipe.head is None  # which always was a number then
            raise OldCardError(data["name"], replace(recipe, head=REGRESSION) if one_output else recipe)
        parts = {
            "preprocessing": Preprocessing(**_tuples(data["preprocessing"])),
            "layers": tuple(Layer(**_tuples(layer)) for layer in data["layers"]),
            "recipe": Recipe(**data["recipe"]),
        }
        return cls(**{**_tuples(data), **parts})


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; our frozen dataclasses hold tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
