"""What a convolution does with these very pixels: for a cell of its output the window, the kernel and their sum."""

from pathlib import Path

import numpy as np
import streamlit as st

from pages.playground.lens.values import LensView, convolution_view, max_pool_view
from pages.server import assets, content

_FOLDER = Path(__file__).parent

_component = st.components.v2.component(
    "parallax_lens",
    js=assets.component_js(_FOLDER / "lens.js", grid=_FOLDER / "grid.js"),
    isolate_styles=False,
)


def convolution_lens(
    inputs: np.ndarray,
    kernel: np.ndarray,
    bias: float,
    output: np.ndarray,
    stride: int,
    padding: int,
    *,
    key: str,
) -> None:
    """Input, kernel and one feature map of a convolution; a cell of the map shows its window, the weights and the sum.

    Cells come under the mouse, a finger, or the arrow keys; *Play* slides the window over the image once. Of maps with
    more than 64 cells a side the part around the strongest answer is shown, of more than 32 channels the strongest,
    and both are said.

    Args:
        inputs: (C, h, w) float32, what the layer got.
        kernel: (C, k, k), the weights of the one filter that made the map.
        bias: of that filter; 0 where it has none.
        output: (h2, w2) float32, the map as the layer gave it, before what follows (ReLU, BatchNorm).
        stride: cells from one window to the next.
        padding: rows and columns of zeros on each side of the input.
        key: the lens's name on the page, also in CSS: `.st-key-KEY`.

    Raises:
        InputError: where shapes do not fit, or the output is not what the rest gives.

    Example:
        >>> layer = model.conv1
        >>> convolution_lens(x[0], layer.weight[3], layer.bias[3], layer(x)[0, 3], 1, 1, key="lens")  # as NumPy arrays
    """
    _draw(convolution_view(inputs, kernel, bias, output, stride, padding), key)


def max_pool_lens(
    inputs: np.ndarray, output: np.ndarray, kernel_size: int, stride: int, padding: int = 0, *, key: str
) -> None:
    """The same for one channel of a max-pooling layer: inputs (h, w), output (h2, w2); the maximum is marked."""
    _draw(max_pool_view(inputs, output, kernel_size, stride, padding), key)


def _draw(view: LensView, key: str) -> None:
    _component(key=key, data=view.facts | {"values": content.put(view.values.tobytes(), "bin")})
