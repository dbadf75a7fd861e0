"""The one list of methods, and the facts that pages show of each."""

import importlib
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import explainers
from common.errors import InputError
from explainers.base import Explainer
from explainers.registry import METHODS, method

FOLDER = Path(explainers.__path__[0])


def test_registry_holds_every_method_on_disk_and_no_other():
    paths = [path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.py")]
    modules = [importlib.import_module(".".join(("explainers", *path.parts))) for path in paths]
    found = {
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing)
        and issubclass(thing, Explainer)
        and not inspect.isabstract(thing)
        and not thing.__name__.startswith("_")  # what two methods share
    }
    assert {type(known) for known in METHODS.values()} == found


@pytest.mark.parametrize("name", METHODS)
def test_facts_are_told_in_words_for_students(name):
    known = METHODS[name]
    assert known.name == name
    assert known.question.endswith("?")
    assert known.reference
    assert known.caution.endswith((".", ")"))
    assert all(item.metadata["help"].endswith(".") for item in fields(known.Params))


def test_guided_methods_own_up_to_failing_the_randomisation_check():
    for name in ("guided-backprop", "guided-grad-cam", "deconvolution"):
        assert "Adebayo et al. 2018" in METHODS[name].caution


def test_unknown_method_names_its_neighbours():
    with pytest.raises(InputError, match="Did you mean grad-cam"):
        method("gradcam")


BOUNDED = [(known, item) for known in METHODS.values() for item in fields(known.Params)]


@pytest.mark.parametrize(("known", "item"), BOUNDED, ids=lambda part: getattr(part, "name", None))
def test_values_out_of_bounds_are_refused_in_one_line(known, item):
    bad = []
    if item.metadata["low"] is not None:
        bad += [item.metadata["low"] - 1, "many", float("nan")]
    if item.metadata["high"] is not None:
        bad.append(item.metadata["high"] + 1)
    if item.metadata["choices"]:
        bad.append("pink")
    for value in bad:
        with pytest.raises(InputError, match=item.name) as caught:
            known.Params(**{item.name: value})
        assert "\n" not in str(caught.value)


def test_unit_beyond_the_layer_is_refused(model_store):
    from tests.explainers.nets import NETS, add, pictures, seeded

    activation = METHODS["activation"]
    card = add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model, pytest.raises(InputError, match="0 to 11"):
        activation.explain(model, pictures(1), ["a"], [0], activation.Params(unit=12))
