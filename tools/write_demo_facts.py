"""Write down what is known of the demo's models and images, so that no server has to look when it starts.

`python -m tools.write_demo_facts`: after a change of what cards or image sets say.
"""

import json
import re
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import explainers  # noqa: F401 - with it, a model store tries the methods
from images.image_set import ImageSet
from images.intake import DEMO, from_folder
from images.paintings import INDEX, NAME
from models.card import ModelCard
from models.demo.cards import FILE
from models.demo.demo_models import PAINTING_MODELS
from models.loaders import demo
from models.store import ModelStore


def look_at_models(data: Path) -> list[ModelCard]:
    """The cards as a model store makes them."""
    store = ModelStore(data, "cpu")
    return [store.add(demo.PAINTINGS.load(name)) for name in PAINTING_MODELS]


def look_at_images(data: Path) -> ImageSet:
    """The paintings as reading their folder finds them, in the order of the file names."""
    images = from_folder(DEMO, data)
    order = sorted(range(len(images)), key=lambda index: PurePosixPath(images.names[index]).name)
    return images.take(order, NAME)


def main() -> None:
    """Write both files."""
    with TemporaryDirectory() as folder:
        cards = [card.to_json() for card in look_at_models(Path(folder))]
        table = look_at_images(Path(folder)).table.drop(columns="stamp")
    FILE.write_text(json.dumps(cards, ensure_ascii=False) + "\n", encoding="utf-8")
    table.replace(re.escape(f"{DEMO}/"), "", regex=True).to_csv(INDEX, index=False)


if __name__ == "__main__":
    main()
