"""Figures of maps and their table: kept, resumed, said where there are none; and what the shortcut net gives away."""

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from common.errors import InputError
from explainers.attribution import request_for
from explainers.base import Fitted, Need
from explainers.evaluation.table import BLOCK, EXPOSING, evaluate, exposed, requests_for, top_classes
from explainers.evaluation.trust import FIGURES, MASKS, Figures, found, measure
from explainers.methods.cam import GradCAM
from explainers.methods.gradient import Saliency
from explainers.methods.guided import GuidedBackprop
from explainers.output import Output
from explainers.results import Sources
from images.image_set import ImageSet
from images.intake import from_folder
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, pictures, seeded


def image_set(folder, data, n: int, with_masks: bool) -> ImageSet:
    """n images of 32 × 32 noise; the subject in the upper left quarter, a mark below right in every second one."""
    subject, mark = np.zeros((2, 32, 32), dtype=bool)
    subject[:16, :16] = True
    mark[28:, 28:] = True
    for index, picture in enumerate(pictures(n)):
        files = {f"{index:03d}.png": picture}
        if with_masks:
            files[f"masks/subject/{index:03d}.png"] = subject
        if with_masks and index % 2 == 0:
            files[f"masks/mark/{index:03d}.png"] = mark
        for name, pixels in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name)
    return from_folder(folder, data)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images(tmp_path, data_folder):
    return image_set(tmp_path / "images", data_folder, 20, with_masks=True)


@pytest.fixture
def unmasked(tmp_path, data_folder):
    return image_set(tmp_path / "unmasked", data_folder, 20, with_masks=False)


@pytest.fixture
def card(model_store):
    return add(model_store, seeded(NETS["plain"]), "plain")


def map_of(card, images, method=None, index=0, target=1, **facts):
    return request_for(card, images.ids[index], method or Saliency(), None, target, data=images.digest, **facts)


@pytest.fixture
def sources(model_store, store, images):
    return Sources(model_store, store, images)


class Counting(Saliency):
    """Saliency that counts the pictures that it explains."""

    def __init__(self):
        self.seen = 0

    def attribute(self, model, inputs, targets, params, progress):
        self.seen += len(inputs)
        return super().attribute(model, inputs, targets, params, progress)


def test_every_figure_of_a_map_is_measured(sources, store, images, card):
    figures = measure(sources, map_of(card, images), FIGURES)
    values = {name: getattr(figures, name) for name in FIGURES if name != MASKS}
    assert all(value is not None for value in values.values())
    assert [name for name, value in values.items() if np.isnan(value)] == ["gap"]
    assert figures.reasons == {"gap": "Saliency promises no sum."}
    assert 0 <= figures.insertion <= 1
    assert figures.masks.keys() == {"subject", "mark"}
    assert figures.masks["mark"].area == pytest.approx(16 / 32**2)
    assert figures == found(store, images, map_of(card, images))


def test_a_figure_is_measured_once_and_only_when_asked_for(sources, store, images, card):
    method = Counting()
    one = map_of(card, images, method)
    first = measure(sources, one, [MASKS, "seconds"])
    assert method.seen == 1
    assert first.masks
    assert first.insertion is None
    assert first.sensitivity is None
    assert one.load(store) is not None
    measure(sources, one, [MASKS, "insertion"])
    assert method.seen == 1
    second = measure(sources, one, ["sensitivity", "randomisation"])
    assert method.seen == 3
    assert second.masks == first.masks
    assert second.insertion is not None
    measure(sources, one)
    assert method.seen == 3


def test_the_map_of_the_compare_page_is_the_one_that_is_measured(sources, model_store, store, images, card):
    one, method = map_of(card, images), Saliency()
    laid = np.zeros((32, 32), dtype=np.float32)
    laid[:16, :16], laid[28:, 28:] = 3, 16
    with model_store.borrow(card) as model:
        made = method.explain(model, [images.image(0)], [images.ids[0]], [1])
    one.keep(store, replace(made, maps=laid[None], gaps=(0.25,), seconds=7.0))
    figures = measure(sources, one, ["gap", "seconds", MASKS])
    subject, mark = figures.masks["subject"], figures.masks["mark"]
    assert (figures.gap, figures.seconds, subject.pointing, mark.pointing) == (0.25, 7.0, 0.0, 1.0)
    assert subject.mass == pytest.approx(3 * 256 / (3 * 256 + 16 * 16))
    assert mark.mass == pytest.approx(16 * 16 / (3 * 256 + 16 * 16))


def test_figures_of_different_targets_are_told_apart_even_where_the_map_is_the_same(sources, images, card):
    class Blind(Saliency):
        uses_target = False

        def attribute(self, model, inputs, targets, params, progress):
            return super().attribute(model, inputs, torch.zeros_like(targets), params, progress)

    first, second = (measure(sources, map_of(card, images, Blind(), target=target), ["insertion"]) for target in (0, 1))
    assert first.insertion != second.insertion


def test_nothing_is_said_of_masks_that_an_image_does_not_have(sources, model_store, store, images, unmasked, card):
    assert measure(sources, map_of(card, images, index=1)).masks.keys() == {"subject"}
    method = Counting()
    bare = map_of(card, unmasked, method)
    assert measure(Sources(model_store, store, unmasked), bare, [MASKS]).masks == {}
    assert method.seen == 0
    rows = evaluate(Sources(model_store, store, unmasked), [card], [Saliency()], n_slow=0)
    assert not [name for name in rows if ":" in name]


def test_a_map_that_says_nothing_for_the_target_has_no_figure_on_a_mask(sources, model_store, store, images, card):
    one, method = map_of(card, images), Saliency()
    with model_store.borrow(card) as model:
        made = method.explain(model, [images.image(0)], [images.ids[0]], [1])
    one.keep(store, replace(made, maps=np.zeros_like(made.maps)))
    figures = measure(sources, one, [MASKS])
    assert np.isnan([figures.masks["mark"].mass, figures.masks["mark"].pointing]).all()
    assert figures.masks["mark"].area > 0


def test_another_mask_of_the_same_image_is_measured_anew(
    sources, model_store, store, images, card, tmp_path, data_folder
):
    first = measure(sources, map_of(card, images), [MASKS])
    Image.fromarray(np.eye(32, dtype=bool)).save(tmp_path / "images/masks/subject/000.png")
    redrawn = from_folder(tmp_path / "images", data_folder)
    second = measure(Sources(model_store, store, redrawn), map_of(card, redrawn), [MASKS])
    assert second.masks["mark"] == first.masks["mark"]
    assert second.masks["subject"].area == 1 / 32 < first.masks["subject"].area
    assert found(store, images, map_of(card, images)) == first


def test_a_unit_and_a_regression_model_have_no_probability_and_say_so(sources, model_store, images, card):
    unit = map_of(card, images, output=Output("unit", "4"))
    figures = measure(sources, unit, ["insertion", "deletion", "sensitivity"])
    assert np.isnan(figures.insertion)
    assert "unit" in figures.reasons["deletion"]
    assert figures.sensitivity > 0
    regression = seeded(NETS["plain"])
    regression[-1] = torch.nn.Linear(48, 1)
    figures = measure(sources, map_of(add(model_store, regression, head="regression"), images, target=0), ["insertion"])
    assert np.isnan(figures.insertion)
    assert "probability" in figures.reasons["insertion"]


def test_an_unknown_figure_and_an_unsuited_method_get_one_line(sources, model_store, images, card):
    with pytest.raises(InputError, match="Did you mean insertion"):
        measure(sources, map_of(card, images), ["insertoin"])
    vit = add(model_store, seeded(NETS["vit"]), "vit")
    with pytest.raises(InputError, match="ReLU"):
        measure(sources, map_of(vit, images, GuidedBackprop()))


def test_measuring_a_map_can_be_cancelled(sources, images, card):
    def cancel(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(sources, map_of(card, images), progress=cancel)


def test_the_table_of_many_equals_the_maps_one_by_one(sources, model_store, store, images, card, tmp_path):
    evaluate(sources, [card], [GradCAM()], which=FIGURES, n_slow=20)
    targets = top_classes(sources, card, images.ids)
    alone = ResultStore(tmp_path / "alone", 10**9)
    for index in (0, 7, 18):
        together = found(store, images, map_of(card, images, GradCAM(), index, targets[index]))
        one = measure(
            Sources(model_store, alone, images), map_of(card, images, GradCAM(), index, targets[index]), FIGURES
        )
        for name in set(FIGURES) - {"seconds", MASKS}:
            np.testing.assert_allclose(getattr(together, name), getattr(one, name), atol=2e-5, err_msg=name)
        for kind, figures in one.masks.items():
            np.testing.assert_allclose(astuple(together.masks[kind]), astuple(figures), atol=2e-5, err_msg=kind)


def test_each_method_and_model_has_a_row_with_its_figures_or_the_reason(sources, model_store, images, card):
    vit = add(model_store, seeded(NETS["vit"]), "vit")
    rows = evaluate(sources, [card, vit], [Saliency(), GuidedBackprop()], n_slow=4)
    assert list(zip(rows["method"], rows["model"], strict=True)) == [
        (method, model) for method in ("saliency", "guided-backprop") for model in ("plain", "vit")
    ]
    assert rows["images"].tolist() == [20, 20, 20, 0]
    assert rows["checked"].tolist() == [4, 4, 4, 0]
    assert rows["reason"].isna().tolist() == [True, True, True, False]
    assert "ReLU" in rows["reason"][3]
    assert rows[["insertion", "deletion", "randomisation", "mass:subject", "lift:mark"]][:3].notna().all(axis=None)
    assert rows["area:mark"][0] == pytest.approx(16 / 32**2)


def test_the_table_is_made_of_what_the_store_holds(sources, store, images, card):
    rows = evaluate(sources, [card], [Saliency()], n_slow=4)
    targets = {card.digest: top_classes(sources, card, images.ids)}
    pd.testing.assert_frame_equal(rows, evaluate(sources, [card], [Saliency()], n_slow=4))
    row = requests_for(images, card, Saliency(), images.ids, targets[card.digest])
    figures = [found(store, images, one) for one in row]
    assert rows["insertion"][0] == pytest.approx(np.mean([one.insertion for one in figures]))
    assert rows["randomisation"][0] == pytest.approx(np.median([one.randomisation for one in figures[:4]]))
    marked = [one.masks["mark"] for one in figures[::2]]
    lift = np.mean([one.mass for one in marked]) / np.mean([one.area for one in marked])
    assert rows["lift:mark"][0] == pytest.approx(lift)


def test_top_classes_are_the_models_own_answers(sources, model_store, images, card):
    with model_store.borrow(card) as model, torch.no_grad():
        crops = np.stack([images.image(row) for row in range(20)])
        expected = model.logits(model.normalise(crops)).argmax(1).tolist()
    assert top_classes(sources, card, images.ids) == expected


def test_a_cancelled_run_goes_on_where_it_stopped(sources, images, card):
    method = Counting()

    def cancel(done, _total):
        if done >= BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(sources, [card], [method], n_slow=0, progress=cancel)
    assert method.seen == BLOCK
    reports = []
    rows = evaluate(sources, [card], [method], n_slow=0, progress=lambda *at: reports.append(at))
    assert method.seen == 20
    assert rows["images"].tolist() == [20]
    assert reports[-1] == (20, 20)
    evaluate(sources, [card], [method], n_slow=0)
    assert method.seen == 20


def test_one_picture_that_cannot_be_explained_does_not_take_the_others_with_it(sources, images, card):
    bad = images.image(5)

    class Delicate(Saliency):
        def explain(self, model, images, *rest, **more):
            if any(np.array_equal(picture, bad) for picture in images):
                raise InputError("a picture without cracks", "a cracked one", "Restore it.")
            return super().explain(model, images, *rest, **more)

    failures: dict[str, str] = {}
    rows = evaluate(sources, [card], [Delicate()], n_slow=0, failures=failures)
    assert rows["images"].tolist() == [19]
    assert "cracked" in rows["reason"][0]
    assert list(failures) == [f"saliency {card.digest}"]


def test_a_method_that_learns_from_the_data_is_fitted_for_the_random_model_too(sources, card):
    fits = []

    class Learning(Fitted):
        name, title, family, signed = "learning", "Learning", "test", True
        question, reference = "?", "-"
        needs = frozenset({Need.DATA})

        def fit(self, model, batches, params):
            fits.append((model.card.digest, sum(len(batch) for batch in batches)))
            return {"pattern": np.random.default_rng(len(fits)).normal(size=(8, 8)).astype(np.float32)}

        def attribute(self, model, inputs, targets, params, progress):
            return torch.as_tensor(np.array(model.fitted["pattern"])).expand(len(inputs), -1, -1)

    rows = evaluate(sources, [card], [Learning()], n_slow=4)
    assert [n for _, n in fits] == [20, 20]
    assert fits[0][0] == card.digest != fits[1][0]
    assert abs(rows["randomisation"][0]) < 0.5


def test_a_model_is_exposed_by_the_methods_whose_maps_pile_up_on_the_mark():
    rows = pd.DataFrame(
        {
            "method": ["a", "b", "c"] * 2,
            "model": ["cheat"] * 3 + ["honest"] * 3,
            "lift:mark": [EXPOSING + 1, EXPOSING - 1, EXPOSING * 3, 1.0, np.nan, EXPOSING],
            "area:mark": 0.01,
            "lift:subject": 1.5,
            "area:subject": 0.4,
        }
    )
    assert exposed(rows) == {"mark": {"cheat": ["a", "c"], "honest": []}}


def test_two_jobs_may_measure_different_figures_of_one_map_at_once(sources, store, images, card):
    from concurrent.futures import ThreadPoolExecutor

    one = map_of(card, images)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: measure(sources, one, [name]), ["insertion", "seconds", "sensitivity"]))
    figures = found(store, images, one)
    assert None not in (figures.insertion, figures.seconds, figures.sensitivity)


def test_nothing_was_measured_on_a_new_map(store, images, card):
    assert found(store, images, map_of(card, images)) == Figures()
