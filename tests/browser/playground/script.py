"""The canvas and what Python has of it; lenses on a convolution whose numbers one can add up, and on its pooling."""

import numpy as np
import streamlit as st

from pages.playground.bites import bite
from pages.playground.drawing.component import draw_digit
from pages.playground.lens.component import convolution_lens, max_pool_lens

st.set_page_config(layout="wide")
left, right = st.columns([1, 3])
with left:
    drawn = draw_digit(key="board")
    if drawn is None:
        st.write("blank")
    else:
        rows, columns = np.nonzero(drawn > 127)
        st.write(f"ink {len(rows)} from {columns.min()},{rows.min()} to {columns.max()},{rows.max()}")

seven = np.zeros((16, 16), np.float32)
seven[3:5, 4:12] = seven[5:13, 9:11] = 1
inputs = np.stack([seven, np.ones((16, 16), np.float32)])
kernel = np.stack([np.outer([1, 0, -1], [1, 2, 1]), np.full((3, 3), 0.125)]).astype(np.float32)
padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1)))
output = np.full((16, 16), -0.5, np.float32)
for c, i, j in np.ndindex(*kernel.shape):
    output += kernel[c, i, j] * padded[c, i : i + 16, j : j + 16]
with right:
    convolution_lens(inputs, kernel, -0.5, output, 1, 1, key="convolution")
    max_pool_lens(output, output.reshape(8, 2, 8, 2).max((1, 3)), 2, 2, key="pooling")
with left, st.popover("More"):
    bite("convolution", "bite")
