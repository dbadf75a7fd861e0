"""Write down what is known of the demo's models and images, so that no server has to look when it starts.

`python -m tools.write_demo_facts`: after a change of what cards or image sets say.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import explainers  # noqa: F401 - with it, a model store tries the methods
from images.paintings import write_index
from models.card import ModelCard
from models.demo.cards import FILE
from models.demo.demo_models import PAINTING_MODELS
from models.loaders import demo
from models.store import ModelStore


def look_at_models() -> list[ModelCard]:
    """The cards as a model store makes them."""
    with TemporaryDirectory() as folder:
        store = ModelStore(Path(folder), "cpu")
        return [store.add(demo.PAINTINGS.load(name)) for name in PAINTING_MODELS]


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        write_index(Path(folder))
    cards = [card.to_json() for card in look_at_models()]
    FILE.write_text(json.dumps(cards, ensure_ascii=False) + "\n", encoding="utf-8")
