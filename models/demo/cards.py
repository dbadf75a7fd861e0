"""The cards of the demo's models, which a server's first page shows before torch is there."""

import json
from pathlib import Path

from models.card import ModelCard

#: `python -m tools.write_demo_facts` writes it.
FILE = Path(__file__).with_suffix(".json")


def painting_cards() -> list[ModelCard]:
    """One for each of the four, in their order."""
    return [ModelCard.from_json(card) for card in json.loads(FILE.read_text(encoding="utf-8"))]
