"""Learning bites: two or three sentences and a small picture on each element of the Playground, behind a "?"."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st

from pages.server import assets

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Bite:
    """A title and a few sentences; the picture lies under the bite's name in `pictures/`."""

    title: str
    text: str


#: By kind of layer, as in `models.stack`, and by other elements of the page.
BITES = {
    "input": Bite(
        "Input",
        "To a network an image is a grid of numbers: one for each pixel, or three (red, green and blue) in colour. "
        "All that follows is arithmetic on these numbers.",
    ),
    "convolution": Bite(
        "Convolution",
        "A convolution slides a small grid of weights, the kernel, over the image. At each place it multiplies the "
        "numbers in the window by the weights and adds up the products; the sums form a feature map. Training finds "
        "the weights, so that each kernel comes to respond to a pattern, such as an edge.",
    ),
    "relu": Bite(
        "ReLU",
        "ReLU lets positive numbers pass and turns negative ones into zero. Without such a bend in between, several "
        "layers could do no more than a single one: weighted sums of weighted sums are weighted sums again.",
    ),
    "max_pool": Bite(
        "Max pooling",
        "Max pooling keeps only the largest number of each window, so that the map becomes smaller: windows of 2 × 2 "
        "in steps of 2 halve both sides. From here on it matters less where exactly a pattern was found, and later "
        "layers have less to compute.",
    ),
    "dropout": Bite(
        "Dropout",
        "During training, dropout sets a random part of the numbers to zero, another part at each step. The network "
        "cannot rely on any single one of them, which helps against overfitting. Once it is trained, dropout does "
        "nothing.",
    ),
    "batch_norm": Bite(
        "Batch normalisation",
        "Batch normalisation shifts and scales each feature map so that over a batch its numbers have a mean of 0 "
        "and a standard deviation of 1; two learned numbers then shift and scale it again. Training often becomes "
        "faster and steadier. Once it is trained, averages from training take the place of the batch's.",
    ),
    "residual": Bite(
        "Residual block",
        "A residual block adds its input to what its layers make of it, so that they only have to learn what to "
        "change. The direct path also lets the gradient through, which makes much deeper networks trainable.",
    ),
    "fully_connected": Bite(
        "Fully connected layer",
        "Each output of a fully connected layer is a weighted sum of all its inputs, wherever in the image they come "
        "from. It puts together what was found in different places. Every pair of input and output has a weight of "
        "its own, so most parameters of a small network are often here.",
    ),
    "softmax": Bite(
        "Softmax",
        "Softmax turns the scores of the classes (logits) into probabilities: positive numbers that sum to 1. A "
        "class whose score is larger by 1 than another's is about 2.7 times as probable. A high probability does not "
        "mean that the answer is right.",
    ),
    "feature_maps": Bite(
        "Feature maps",
        "Each kernel makes a feature map: a picture of where in the image its pattern was found, and how strongly. "
        "Early layers respond to edges and strokes. A cell of a later layer sees more of the image and can respond "
        "to larger shapes.",
    ),
    "training_curves": Bite(
        "Loss and accuracy",
        "The loss says how far the probabilities are from the true classes, the lower the better; accuracy is the "
        "share of right answers. An epoch is one pass over all training images. The network does not learn from the "
        "validation images, so judge it by their curve.",
    ),
    "confusion_matrix": Bite(
        "Confusion matrix",
        "A row for each true class, a column for each predicted one, and in each cell the number of images. Right "
        "answers lie on the diagonal; a high number elsewhere shows which class is taken for which.",
    ),
    "overfitting": Bite(
        "Overfitting",
        "A network overfits when it still gets better on the training images but no longer on others: it learns them "
        "by heart. You see it where the validation loss rises while the training loss goes on falling. More images, "
        "augmentation, dropout, a smaller network or an earlier stop help.",
    ),
    "shortcut": Bite(
        "Shortcut",
        "A shortcut is something that happens to go with a class in the training images, like a mark in a corner, "
        "but has nothing to do with it. The network uses whatever works, and on images with the same mark its "
        "accuracy looks excellent. Compare and Trust show where it really looks.",
    ),
}

_component = st.components.v2.component("parallax_bite", js=assets.component_js(_FOLDER / "bites.js"))


def bite(kind: str, key: str) -> None:
    """A round "?" that opens the bite on `kind`, one of `BITES`; it may stand anywhere, in a popover too.

    Example:
        >>> with st.container(horizontal=True, vertical_alignment="center"):
        ...     st.subheader("Confusion matrix")
        ...     bite("confusion_matrix", "bite_confusion_matrix")
    """
    _component(key=key, data=_facts(kind), width="content")


def open_bite(kind: str) -> None:
    """Lay the bite on `kind` over the page, until it is closed."""

    @st.dialog(BITES[kind].title)
    def shown() -> None:
        _component(key="playground_bite_open", data=_facts(kind) | {"inline": True})

    shown()


def _facts(kind: str) -> dict[str, str]:
    return {"title": BITES[kind].title, "text": BITES[kind].text, "picture": picture(kind)}


@cache
def picture(kind: str) -> str:
    """The picture of a bite as SVG; its lines have the colour of the text around it."""
    return (_FOLDER / "pictures" / f"{kind}.svg").read_text(encoding="utf-8")
