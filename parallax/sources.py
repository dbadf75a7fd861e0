"""Models and images by one line of text, for command lines and notebooks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd

from common.errors import InputError, did_you_mean
from common.settings import settings
from images import intake, mnist
from images.digits import digits_image_set
from images.image_set import ImageSet
from images.paintings import demo_image_set
from models.card import ModelCard
from models.demo.digit_nets import NETS as DIGIT_NETS
from models.demo.painting_nets import NETS as DEMO_NETS
from models.loaders import checkpoint, demo, digits, zoo
from models.loaders.base import Loaded
from models.store import ModelStore

#: What `open_models` takes, by form.
MODEL_FORMS = {
    "demo": f"the demo's models; one of them as demo/NAME: {', '.join(DEMO_NETS)}",
    "digits": f"the models that read digits; one of them as digits/NAME: {', '.join(DIGIT_NETS)}",
    "timm/NAME": "a pretrained architecture of timm (list architectures); timm/NAME?random for random weights",
    "torchvision/NAME": "the same of torchvision",
    "cifar/NAME?random": "a small ResNet for CIFAR",
    "FILE@ARCHITECTURE": "a checkpoint, as in weights.safetensors@timm/mobilenetv2_100; creation arguments follow as "
    "?pad_type=same&num_classes=10",
    "FILE@config.json": "a checkpoint whose architecture is written in a file",
}

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

    `class_names`: a file of one name a line, or JSON, for checkpoints. Raises `InputError` for anything else.
    """
    cards = [model_store.add(loaded) for text in texts for loaded in _loaded(text, class_names)]
    return list({card.digest: card for card in cards}.values())


def _loaded(text: str, class_names: Path | None) -> list[Loaded]:
    source, _, name = text.partition("/")
    if source == "demo":
        return [demo.load(one) for one in ([name] if name else DEMO_NETS)]
    if source == "digits":
        return [digits.load(one) for one in ([name] if name else DIGIT_NETS)]
    weights, _, rest = text.rpartition("@")
    architecture, _, query = rest.partition("?")
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    random = arguments.pop("random", None) is not None
    create = zoo.parse_arguments(",".join(f"{key}={value}" for key, value in arguments.items()))
    if not weights:
        return [zoo.load(architecture, pretrained=not random, create=create)]
    if architecture.endswith(".json"):
        config = checkpoint.read_config(Path(architecture).read_text())
        architecture, create = config["architecture"], {**config["create"], **create}
    path = Path(weights).expanduser().resolve()
    loaded = checkpoint.load(str(path), architecture, create=create, name=path.stem)
    return [loaded if class_names is None else checkpoint.with_class_names(loaded, class_names.read_text())]


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
