"""Models and images by one line of text, for command lines and notebooks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from common.errors import InputError, did_you_mean
from common.settings import settings
from images import intake, mnist
from images.digits import digits_image_set
from images.image_set import ImageSet
from images.paintings import demo_image_set
from models.card import ModelCard
from models.loaders import LOADERS, read
from models.store import ModelStore

#: What `open_models` takes, by form.
MODEL_FORMS = {form: words for loader in LOADERS.values() for form, words in loader.forms.items()}

#: What `open_images` takes, by form.
IMAGE_FORMS = {
    "demo": "the demo's paintings",
    "digits": "handwritten digits of scikit-learn",
    "digits-marked": "the same with a grey square on every 8",
    **{name: f"{source.title}, fetched once" for name, source in mnist.SOURCES.items()},
    "FOLDER": "a folder; class subfolders or a CSV in it give the labels",
    "FILE.zip": "the same in a zip",
    "FILE": "one image",
}


def open_models(model_store: ModelStore, *texts: str, class_names: Path | None = None) -> list[ModelCard]:
    """The models that `texts` name (see `MODEL_FORMS`), put into the model store, each once.

    `class_names`: a file of one name a line, or JSON, for models from files. Raises `InputError` for anything else.
    """
    names = None if class_names is None else class_names.read_text()
    cards = [model_store.add(loaded) for text in texts for loaded in read(text, names)]
    return list({card.digest: card for card in cards}.values())


def open_images(*texts: str, progress: Callable[[int, int], None] | None = None) -> ImageSet:
    """The images that `texts` name (see `IMAGE_FORMS`) as one set; raises `InputError` for anything else."""
    sets = [_image_set(text, progress) for text in texts]
    if len(sets) == 1:
        return sets[0]
    table = pd.concat([one.table for one in sets]).drop_duplicates("id").reset_index(drop=True)
    return ImageSet(sets[0].name, table, tuple(skipped for one in sets for skipped in one.skipped))


def _image_set(text: str, progress: Callable[[int, int], None] | None) -> ImageSet:
    data = settings().data_folder
    if text == "demo":
        return demo_image_set(data)
    if text in ("digits", "digits-marked"):
        return digits_image_set(data, marked=text == "digits-marked")
    if text in mnist.SOURCES:
        return mnist.mnist_image_set(text, data)
    path = Path(text).expanduser()
    if not path.exists():
        cure = did_you_mean(text, IMAGE_FORMS) or "Check the path."
        raise InputError("demo, digits, mnist, a folder, a zip or an image file", repr(text), cure)
    if path.suffix.lower() == ".zip" and path.is_file():
        with path.open("rb") as file:
            return intake.from_zip(file, path.name, data, progress)
    if path.is_file():
        return intake.from_files([(path.name, io.BytesIO(path.read_bytes()))], data, progress)
    return intake.from_folder(path, data, progress)
