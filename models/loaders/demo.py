"""The models that come with Parallax: those for the demo's paintings, and those for digits."""

from collections.abc import Mapping

from common.errors import check_known
from models.card import Recipe
from models.demo.demo_models import DIGIT_MODELS, PAINTING_MODELS, DemoModel
from models.loaders.base import Loaded, Loader


def _loader(source: str, models: Mapping[str, DemoModel], expected: str, words: str) -> Loader:
    """A loader of `models`, each by its name, or all of them by the `source`."""

    def load(name: str) -> Loaded:
        check_known(name, models, expected)
        return Loaded(
            name=name,
            source=source,
            family=models[name].family,
            architecture=f"{source}/{name}",
            module=models[name].load(),
            preprocessing=models[name].preprocessing,
            class_names=models[name].classes,
            recipe=Recipe(source, {"name": name}),
            notes=(models[name].description,),
        )

    def read(text: str, _class_names: str | None) -> list[Loaded]:
        _, _, name = text.partition("/")
        return [load(one) for one in ([name] if name else models)]

    forms = {source: f"{words}; one of them as {source}/NAME: {', '.join(models)}"}
    return Loader(source, load, "Demo models", read, prefixes=(source,), forms=forms)


PAINTINGS = _loader("demo", PAINTING_MODELS, "a model of the demo", "the demo's models")
DIGITS = _loader("digits", DIGIT_MODELS, "a model for digits", "the models that read digits")
