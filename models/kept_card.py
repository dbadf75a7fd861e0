"""A model's card as a file: read without torch, sealed so that damage shows."""

import json
from pathlib import Path

from common import sealed
from common.errors import first_line
from models.card import ModelCard, OldCardError


def read_card(file: Path) -> ModelCard | None:
    """The card in a file; `None` where there is none, or a damaged one, which is set aside.

    Raises `OldCardError` for one that an earlier Parallax wrote.
    """
    content = sealed.read(file)
    if content is None:
        return None
    try:
        return ModelCard.from_json(json.loads(content))
    except OldCardError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        sealed.set_aside(file, f"it is no card of a model ({first_line(error)})")
        return None


def write_card(file: Path, card: ModelCard) -> None:
    """Write a card, whole or not at all."""
    sealed.write(file, json.dumps(card.to_json()).encode())
