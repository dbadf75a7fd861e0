"""What the canvas's script may send, and what Python makes of it."""

import base64

import numpy as np
import pytest

from pages.playground.drawing.component import SIDE_PX, greys


def test_greys_come_row_by_row():
    sent = np.arange(SIDE_PX**2, dtype=np.uint8).reshape(SIDE_PX, SIDE_PX)
    assert np.array_equal(greys({"greys": base64.b64encode(sent).decode(), "strokes": []}), sent)


@pytest.mark.parametrize(
    "sent",
    [None, [], {}, {"greys": None}, {"greys": "é"}, {"greys": "AAA"}, {"greys": base64.b64encode(b"1").decode()}],
)
def test_anything_else_is_a_blank_canvas(sent):
    assert greys(sent) is None
