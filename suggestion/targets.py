"""What to explain: each model's own answer, one class for all, the true class, or the runner-up."""

from models.card import ModelCard
from suggestion.table import NONE, Predictions

#: Kinds of target, as pages and command lines name them.
TOP, ONE_CLASS, TRUE, RUNNER_UP = "top", "class", "true", "runner-up"


def target_of(
    predictions: Predictions, row: int, card: ModelCard, kind: str = TOP, class_name: str | None = None
) -> int | str:
    """The class index, in the model's own numbering, to explain for the image in `row`; or the reason there is none."""
    position = predictions.models.index(card.digest)
    if kind == ONE_CLASS:
        wanted = class_name or ""
    else:
        number = {
            TOP: predictions.top[row, position, 0],
            RUNNER_UP: predictions.top[row, position, 1],
            TRUE: predictions.true[row],
        }[kind]
        if number == NONE:
            return "The true class of this image is unknown." if kind == TRUE else "The model has no runner-up."
        wanted = predictions.classes[number]
    index = card.class_index(wanted)
    return f"{card.name} does not know the class {wanted!r}." if index is None else index
