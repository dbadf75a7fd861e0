"""The learning bites: one for each layer that the builder offers, short, each with a picture that fits any theme."""

import re
from xml.etree import ElementTree

import pytest

from models.stack import LAYERS
from pages.playground.bites import BITES, picture


def test_every_layer_of_the_builder_has_a_bite_and_no_picture_is_left_over():
    assert LAYERS.keys() <= BITES.keys()


@pytest.mark.parametrize("kind", BITES)
def test_a_bite_has_a_few_sentences_and_a_picture_for_any_theme_that_rests_on_request(kind):
    assert 2 <= len(re.findall(r"[.:;](?: |$)", BITES[kind].text)) <= 6
    assert len(BITES[kind].text) < 340
    drawn = picture(kind)
    root = ElementTree.fromstring(drawn)
    assert root.get("stroke") == "currentColor"
    assert not {element.tag.rpartition("}")[2] for element in root.iter()} & {"script", "foreignObject", "image", "a"}
    assert not re.search(r"""["(](https?:)?//(?!www\.w3\.org/2000/svg)|black|white|#(000|fff)""", drawn)
    before, *moving = drawn.partition("prefers-reduced-motion:no-preference")
    assert "animation:" not in before
    assert "animation:" in moving[-1]
