"""Models and images by one line of text, for command lines and notebooks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from bank import intake, mnist
from bank.bank import Bank
from bank.card import ModelCard
from bank.demo.images import demo_image_set
from bank.demo.nets import NETS
from bank.digits.images import digits_image_set
from bank.digits.nets import NETS as DIGIT_NETS
from bank.errors import InputError, did_you_mean
from bank.images import ImageSet
from bank.loaders import checkpoint, demo, digits, zoo
from bank.settings import settings


def open_models(bank: Bank, text: str, class_names: Path | None = None) -> list[ModelCard]:
    """The models that `text` names, put into the bank.

    - `demo`: the four demo nets; `demo/vgg`: one of them; `digits` and `digits/lenet` likewise;
    - `timm/resnet18`, `torchvision/vgg11`: pretrained; with `?random`, random weights;
    - `weights.safetensors@timm/mobilenetv2_100?pad_type=same`: a checkpoint on an architecture, creation arguments
      behind `?`; or `weights.safetensors@config.json`.

    Raises `InputError` for anything else.
    """
    if text == "demo":
        return [bank.add(demo.load(name)) for name in NETS]
    if text.startswith("demo/"):
        name = text.removeprefix("demo/")
        if name not in NETS:
            raise InputError("a demo net", repr(text), did_you_mean(name, NETS) or f"Known: {', '.join(NETS)}.")
        return [bank.add(demo.load(name))]
    if text == "digits":
        return [bank.add(digits.load(name)) for name in DIGIT_NETS]
    if text.startswith("digits/"):
        return [bank.add(digits.load(text.removeprefix("digits/")))]
    weights, _, rest = text.rpartition("@")
    architecture, _, query = rest.partition("?")
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    random = arguments.pop("random", None) is not None
    create = zoo.parse_arguments(",".join(f"{key}={value}" for key, value in arguments.items()))
    if not weights:
        return [bank.add(zoo.load(architecture, pretrained=not random, create=create))]
    if architecture.endswith(".json"):
        config = checkpoint.read_config(Path(architecture).read_text())
        architecture, create = config["architecture"], {**config["create"], **create}
    path = Path(weights).expanduser().resolve()
    loaded = checkpoint.load(str(path), architecture, create=create, name=path.stem)
    if class_names is not None:
        loaded = checkpoint.with_class_names(loaded, class_names.read_text())
    return [bank.add(loaded)]


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
