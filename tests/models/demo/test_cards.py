"""The cards that come with Parallax say what the models say."""

from models.demo.cards import painting_cards
from tools.write_demo_facts import look_at_models


def test_cards_that_come_along_are_those_that_a_model_store_makes(tmp_path):
    """After a change of what cards say: `python -m tools.write_demo_facts`."""
    assert [card.to_json() for card in painting_cards()] == [card.to_json() for card in look_at_models(tmp_path)]
