"""Models and images by one line of text, for command lines and notebooks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from common.errors import InputError, did_you_mean
from common.settings import settings
from images import intake, mnist
from images.digits import digits_image_set
from images.image_set import ImageSet
from images.paintings import demo_image_set
from models.card import ModelCard
from models.demo.digit_nets import NETS as DIGIT_NETS
from models.demo.painting_nets import NETS
from models.loaders import checkpoint, demo, digits, zoo
from models.store import ModelStore


def open_models(model_store: ModelStore, text: str, class_names: Path | None = None) -> list[ModelCard]:
    """The models that `text` names, put into the model store.

    - `demo`: the four demo nets; `demo/vgg`: one of them; `digits` and `digits/lenet` likewise;
    - `timm/resnet18`, `torchvision/vgg11`: pretrained; with `?random`, random weights;
    - `weights.safetensors@timm/mobilenetv2_100?pad_type=same`: a checkpoint on an architecture, creation arguments
      behind `?`; or `weights.safetensors@config.json`.

    Raises `InputError` for anything else.
    """
    if text == "demo":
        return [model_store.add(demo.load(name)) for name in NETS]
    if text.startswith("demo/"):
        name = text.removeprefix("demo/")
        if name not in NETS:
            raise InputError("a demo net", repr(text), did_you_mean(name, NETS) or f"Known: {', '.join(NETS)}.")
        return [model_store.add(demo.load(name))]
    if text == "digits":
        return [model_store.add(digits.load(name)) for name in DIGIT_NETS]
    if text.startswith("digits/"):
        return [model_store.add(digits.load(text.removeprefix("digits/")))]
    weights, _, rest = text.rpartition("@")
    architecture, _, query = rest.partition("?")
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    random = arguments.pop("random", None) is not None
    create = zoo.parse_arguments(",".join(f"{key}={value}" for key, value in arguments.items()))
    if not weights:
        return [model_store.add(zoo.load(architecture, pretrained=not random, create=create))]
    if architecture.endswith(".json"):
        config = checkpoint.read_config(Path(architecture).read_text())
        architecture, create = config["architecture"], {**config["create"], **create}
    path = Path(weights).expanduser().resolve()
    loaded = checkpoint.load(str(path), architecture, create=create, name=path.stem)
    if class_names is not None:
        loaded = checkpoint.with_class_names(loaded, class_names.read_text())
    return [model_store.add(loaded)]


def open_images(text: str, progress: Callable[[int, int], None] | None = None) -> ImageSet:
    """The images that `text` names, else `InputError`.

    `demo`, `digits`, `digits-marked` (a grey square on every 8), `mnist`, `fashion-mnist`, a folder, a zip, or a
    picture file.
    """
    data = settings().data_folder
    if text == "demo":
        return demo_image_set(data)
    if text in ("digits", "digits-marked"):
        return digits_image_set(data, marked=text == "digits-marked")
    if text in mnist.SOURCES:
        return mnist.mnist_image_set(text, data)
    path = Path(text).expanduser()
    if path.suffix.lower() == ".zip" and path.is_file():
        with path.open("rb") as file:
            return intake.from_zip(file, path.name, data, progress)
    if path.is_file():
        return intake.from_files([(path.name, io.BytesIO(path.read_bytes()))], data, progress)
    return intake.from_folder(path, data, progress)
