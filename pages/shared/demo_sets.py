"""Image sets that are one click away, each with the models that classify it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.settings import settings
from images import digits as digit_images
from images import mnist
from images import paintings as demo_images
from images.image_set import ImageSet
from jobs.queue import Job
from models.demo.demo_models import DIGIT_MODELS, PAINTING_MODELS
from models.loaders import demo
from models.loaders.base import Loaded
from pages.shared import cache, session
from suggestion.table import unknown_labels

PAINTINGS, DIGITS = "paintings", "digits"


@dataclass(frozen=True)
class DemoSet:
    """How to get an image set (`read`) and its models, by name (`load`).

    `name` is the `ImageSet`'s own, `title` and `description` are for people; the files lie under `folder`, within the
    data folder where it is relative.
    """

    name: str
    folder: str | Path
    title: str
    description: str
    read: Callable[[Path, Callable[[int, int], None]], ImageSet]
    load: Callable[[str], Loaded] = demo.DIGITS.load
    models: tuple[str, ...] = tuple(DIGIT_MODELS)


DEMO_SETS = {
    PAINTINGS: DemoSet(
        demo_images.NAME,
        demo_images.DEMO,
        "paintings",
        "Procedural paintings of six classes, some hard, some signed, with masks; and four small models.",
        lambda data, _progress: demo_images.demo_image_set(data),
        demo.PAINTINGS.load,
        tuple(PAINTING_MODELS),
    ),
    DIGITS: DemoSet(
        digit_images.NAME,
        "digits",
        "handwritten digits",
        "1,797 real digits (scikit-learn), with three small models and a generator for contrasts.",
        lambda data, progress: digit_images.digits_image_set(data, progress=progress),
    ),
    "digits-marked": DemoSet(
        digit_images.MARKED_NAME,
        "digits",
        "handwritten digits, every 8 marked",
        "The same digits with a grey square on every 8: what the model “square” was trained on.",
        lambda data, progress: digit_images.digits_image_set(data, marked=True, progress=progress),
    ),
    "mnist": DemoSet(
        mnist.SOURCES["mnist"].title,
        "mnist",
        "MNIST (download)",
        "10,000 handwritten digits, 28 px, with the three small models of the digits.",
        lambda data, progress: mnist.mnist_image_set("mnist", data, progress),
    ),
    "fashion-mnist": DemoSet(
        mnist.SOURCES["fashion-mnist"].title,
        "fashion-mnist",
        "Fashion-MNIST (download)",
        "10,000 images of clothes, 28 px; add models of your own for them.",
        lambda data, progress: mnist.mnist_image_set("fashion-mnist", data, progress),
        models=(),
    ),
}


@dataclass(frozen=True)
class Added:
    """The digests of an image set that a job added, and of its models."""

    images: str
    models: tuple[str, ...]


def add(name: str) -> Job:
    """Start to add a set and its models; the job's result is `Added`."""
    demo_set, model_store, data = DEMO_SETS[name], cache.model_store(), settings().data_folder

    def work(job: Job) -> Added:
        images = demo_set.read(data, job.report)
        return Added(images.digest, tuple(model_store.add(demo_set.load(model)).digest for model in demo_set.models))

    title = f"Adding {demo_set.title}"
    return cache.jobs().submit(Job(title, work, unit="images", key=f"add {name}"), "interactive")


def use(added: Added) -> None:
    """Switch to the set and its models; models that know none of its classes are switched off."""
    state = session.state()
    state.use_images(added.images)
    for digest in added.models:
        state.add_model(digest)
    images = session.images()
    unrelated = {
        digest
        for digest in state.models
        if len(unknown_labels([cache.card(digest)], images.classes)) == len(images.classes)
    }
    if unrelated != set(state.models):
        state.switched_off |= unrelated


def in_use(name: str) -> bool:
    """Whether this session works on the set already; asked without reading it."""
    images, demo_set = session.images(), DEMO_SETS[name]
    return images.name == demo_set.name and images.paths[0].is_relative_to(settings().data_folder / demo_set.folder)
