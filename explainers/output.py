"""What is explained: a class's logit or probability, a regression output, a layer's channel, a neuron at a place."""

from dataclasses import dataclass, replace

from torch import Tensor

from common.errors import InputError, did_you_mean
from models.card import ModelCard
from models.layers import as_maps, as_units, capture
from models.store import ModelHandle

#: Kinds of output, as pages and command lines name them.
LOGIT, PROBABILITY, UNIT = "logit", "probability", "unit"
KINDS = (LOGIT, PROBABILITY, UNIT)


@dataclass(frozen=True)
class Output:
    """Which of a model's values methods explain; the target of each image says which of its columns.

    "logit": the model's own answer, one column a class (a regression model has one). "probability": its softmax, or a
    sigmoid for each class of a multi-label head. "unit": the channels or neurons of `layer`, each its mean over space,
    or at `place` (row, column) of its grid.
    Raises `InputError` for an unknown kind, or for a unit without a layer.
    """

    kind: str = LOGIT
    layer: str | None = None
    place: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"an output of kind {', '.join(KINDS)}", repr(self.kind), did_you_mean(self.kind, KINDS))
        if (self.kind == UNIT) != (self.layer is not None) or (self.place and self.kind != UNIT):
            cure = "Name the layer of a unit, and a layer or place for units only."
            raise InputError("a layer exactly where a unit is explained", repr(self), cure)

    def of(self, model: ModelHandle) -> ModelHandle:
        """The model whose `scores` are this output."""
        return model if self.kind == LOGIT else replace(model, head=self)

    def check(self, card: ModelCard, target: int) -> None:
        """Raise `InputError` when `target` is no column of this output, or `place` is not on the layer's grid."""
        if self.kind != UNIT:
            if not 0 <= target < card.n_classes:
                expected = f"a class of {card.name} (0 to {card.n_classes - 1})"
                raise InputError(expected, str(target), "Choose a class that the model knows.")
            return
        layer = card.layer(self.layer)
        if not 0 <= target < layer.n_units:
            expected = f"a unit of {layer.name} in {card.name} (0 to {layer.n_units - 1})"
            raise InputError(expected, str(target), "Pick another number.")
        if self.place is None:
            return
        if layer.spatial is None:
            cure = "Leave the place out: this layer has no grid."
            raise InputError("a layer with spatial extent", f"{layer.name!r} of shape {layer.shape}", cure)
        height, width = layer.spatial
        row, column = self.place
        if not (0 <= row < height and 0 <= column < width):
            expected = f"a place on the {height} × {width} grid of {layer.name}"
            raise InputError(expected, f"row {row}, column {column}", "Pick one on it, counting from 0.")

    def title(self, card: ModelCard, target: int) -> str:
        """In words: `portrait`, `probability of portrait`, `unit 12 of layer4 at (3, 5)`."""
        if self.kind == UNIT:
            return f"unit {target} of {self.layer}" + (f" at {self.place}" if self.place else "")
        name = card.class_names[target]
        return name if self.kind == LOGIT else f"probability of {name}"

    def __call__(self, model: ModelHandle, inputs: Tensor) -> Tensor:
        """The model's values (N, columns) for normalised `inputs` (N, C, h, w)."""
        if self.kind == PROBABILITY:
            return model.probabilities(model.logits(inputs))
        spec, layer = model.card.layer(self.layer), model.layer(self.layer)
        with capture(layer) as outputs:
            model.logits(inputs)
        if self.place is None:
            return as_units(outputs[layer], spec)
        row, column = self.place
        return as_maps(outputs[layer], spec)[:, :, row, column]


#: The model's own answer.
CLASS_SCORE = Output()
