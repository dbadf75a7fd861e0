"""Models and images by one line of text, for command lines and notebooks."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from common.errors import InputError, did_you_mean
from common.files import read_text
from common.settings import settings
from explainers.results import NO_IMAGES, Sources
from images import intake, mnist
from images.digits import digits_image_set
from images.image_set import ImageSet
from images.paintings import demo_image_set
from jobs.results import ResultStore
from models.card import ModelCard
from models.loaders import LOADERS, read
from models.store import ModelStore
from parallax.progress import ProgressBar, complain

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

    `class_names`: a file of one name a line, or JSON, for models from files. How images are prepared for each, and what
    was assumed of it, goes to stderr. Raises `InputError` for anything else.
    """
    names = None if class_names is None else read_text(class_names.expanduser(), "a file of class names")
    cards = [model_store.add(loaded) for text in texts for loaded in read(text, names)]
    cards = list({card.digest: card for card in cards}.values())
    for card in cards:
        if not card.recipe.built_in:
            complain("\n  ".join([f"{card.name}: {card.preprocessing.describe()}", card.outputs, *card.notes]))
    return cards


def open_images(*texts: str) -> ImageSet:
    """The images that `texts` name (see `IMAGE_FORMS`) as one set; raises `InputError` for anything else.

    Files that are left out and what was made of tables go to stderr, as does the progress of what takes over a second.
    """
    with ProgressBar("images", delay_s=1.0) as progress:
        sets = [_image_set(text, progress) for text in texts]
    skipped = tuple(skipped for one in sets for skipped in one.skipped)
    for file in skipped:
        complain(f"{file.name} is left out: {file.reason}")
    for one in sets:
        for remark in one.remarks:
            complain(remark)
    if len(sets) == 1:
        return sets[0]
    table = pd.concat([one.table for one in sets]).drop_duplicates("id").reset_index(drop=True)
    return ImageSet(sets[0].name, table, skipped)


def _image_set(text: str, progress: ProgressBar) -> ImageSet:
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


def open_sources(
    models: Sequence[str] = (), images: Sequence[str] = (), fit_on: Sequence[str] = ()
) -> tuple[list[ModelCard], Sources]:
    """Models, and what computing draws on: images, and the store in which the app keeps its results too."""
    model_store = ModelStore()
    store = ResultStore(settings().data_folder / "results", int(settings().max_store_gigabytes * 1e9))
    cards, image_set = open_models(model_store, *models), open_images(*images) if images else NO_IMAGES
    return cards, Sources(model_store, store, image_set, open_images(*fit_on) if fit_on else None)


def ids_of(images: ImageSet, only: Sequence[str], first: int | None, rows: Iterable[int] | None = None) -> list[str]:
    """Ids of the images called `only`, with or without their folders, or of the `first` of all (or of `rows`)."""
    found: set[int] = set()
    for wanted in only:
        matching = {row for row, name in enumerate(images.names) if wanted in (name, PurePosixPath(name).name)}
        if not matching:
            cure = did_you_mean(wanted, images.names) or f"The first is {images.names[0]}."
            raise InputError(f"an image of {images.name}", repr(wanted), cure)
        found |= matching
    chosen = sorted(found) if only else range(len(images)) if rows is None else list(rows)
    return [images.ids[row] for row in chosen[:first]]
