"""Prediction difference as a method: what it learns, what it refuses, and how it is kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.errors import InputError
from explainers.attribution import ready, request_for
from explainers.output import Output
from explainers.prediction_difference import keeping
from explainers.prediction_difference.keeping import Asked, go_on
from explainers.prediction_difference.method import PredictionDifference, PredictionDifferenceParams
from explainers.results import Sources, compute_missing
from images.image_set import ImageSet, image_id
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, grey, pictures, seeded
from tests.makers import encoded

FAST = PredictionDifferenceParams(window=6, stride=3, samples=8)
LOGIT, PROBABILITY = Output(), Output("probability")


@pytest.fixture
def images(tmp_path):
    """20 pictures of 32 × 32 noise on disk."""
    rows = []
    for index, picture in enumerate(pictures(20)):
        path = tmp_path / f"{index:02d}.png"
        path.write_bytes(encoded(picture))
        rows.append(
            {"id": image_id(path.read_bytes()), "path": str(path), "name": path.name, "label": None, "note": ""}
        )
    return ImageSet("noise", pd.DataFrame(rows))


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def card(model_store):
    return add(model_store, seeded(NETS["plain"]), "plain")


def asked_of(card, images, params=FAST, outputs=(LOGIT,), targets=(1,), index=0):
    return Asked(card, images.ids[index], params, targets, outputs, images.digest)


@pytest.mark.parametrize("sampling", ["conditional", "marginal"])
@pytest.mark.parametrize("output", [LOGIT, PROBABILITY, Output("unit", "4")])
def test_a_cell_of_the_compare_grid_is_worked_out_with_what_the_images_teach(
    model_store, store, card, images, sampling, output
):
    params = replace(FAST, sampling=sampling)
    request = request_for(card, images.ids[0], PredictionDifference(), params, 1, output, images.digest)
    failures: dict[str, str] = {}
    compute_missing(Sources(model_store, store, images), [request], failures)
    assert failures == {}
    found = request.load(store)
    assert found.maps.shape == found.error.shape == (1, 32, 32)
    assert np.abs(found.maps).max() > 3 * np.median(found.error) > 0


def test_an_exact_map_takes_no_short_cut_after_one_that_did(model_store, store, card, images, tmp_path):
    exact = asked_of(card, images, replace(FAST, samples=12, settled=0.0))
    go_on(model_store, store, images, asked_of(card, images, replace(FAST, samples=12)))
    before = keeping.find(store, exact)
    assert set(np.unique(before.samples)) > {0, 4}
    assert not np.array_equal(before.maps(6)[0], before.maps(6, shared=False)[0])
    after = go_on(model_store, store, images, exact)
    alone = go_on(model_store, ResultStore(tmp_path / "other", 10**9), images, exact)
    found, expected = (keeping.attribution([exact], [survey], 0).maps for survey in (after, alone))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_models_that_read_alike_share_what_was_learnt(model_store, store, images):
    method, learnt = PredictionDifference(), []
    for seed in (0, 1):
        card = add(model_store, seeded(NETS["plain"], seed), f"net {seed}")
        with model_store.borrow(card) as model:
            learnt.append(ready(model, Sources(model_store, store, images), method, FAST).fitted)
            assert method.fit_key(model, FAST) != method.fit_key(model, replace(FAST, window=7))
            assert method.fit_key(model, FAST) == method.fit_key(model, replace(FAST, stride=1, samples=20))
    assert np.array_equal(learnt[0]["covariance"], learnt[1]["covariance"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 5, "stride": 6}, "gaps"),
        ({"samples": 7}, "even number"),
        ({"sampling": "conditonal"}, "conditional"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        PredictionDifferenceParams(**settings)


def test_a_window_larger_than_the_picture_is_refused(model_store, store, card, images):
    for sampling, window, words in (
        ("conditional", 30, "at least 34 × 34"),
        ("conditional", 40, "window of 1 to 32"),
        ("marginal", 40, "window of 1 to 32"),
    ):
        params = replace(FAST, window=window, sampling=sampling)
        with pytest.raises(InputError, match=words):
            go_on(model_store, store, images, asked_of(card, images, params))


def test_fewer_reference_pictures_than_samples_are_refused(model_store, store, card, images):
    params = replace(FAST, sampling="marginal", samples=20, settled=0.0)
    with pytest.raises(InputError, match="Expected 20 other pictures"):
        go_on(model_store, store, images, asked_of(card, images, params))


def test_another_channel_count_is_learnt_as_the_model_reads_it(model_store, store, images):
    card = add(model_store, seeded(lambda: grey(px=32)), "grey", channels=1)
    survey = go_on(model_store, store, images, asked_of(card, images))
    assert np.isfinite(survey.maps(6)[0]).all()


def test_logits_and_probabilities_of_several_classes_come_from_the_same_samples(model_store, store, card, images):
    params = replace(FAST, settled=0.0)
    alone = [
        go_on(model_store, store, images, asked_of(card, images, params, (output,), (target,)))
        for output in (LOGIT, PROBABILITY)
        for target in (2, 0)
    ]
    together = go_on(model_store, store, images, asked_of(card, images, params, (LOGIT, PROBABILITY), (2, 0)))
    for row, one in enumerate(alone):
        np.testing.assert_allclose(together.values[row], one.values[0], atol=1e-5)


class StoppedError(Exception):
    pass


def test_a_stopped_survey_is_kept_and_goes_on_to_a_finer_stride(model_store, store, card, images):
    asked = asked_of(card, images, replace(FAST, stride=3, settled=0.0))
    exact = asked_of(card, images, replace(FAST, stride=1, settled=0.0))
    assert asked.key == exact.key

    def stop(done, _total):
        if done:
            raise StoppedError

    with pytest.raises(StoppedError):
        go_on(model_store, store, images, exact, stop)
    part = keeping.find(store, asked)
    assert 0 < (part.samples > 0).sum() < exact.grid.n_windows()
    assert not exact.finished(part)
    seen: list[int] = []
    whole = go_on(model_store, store, images, exact, lambda done, _total: seen.append(done))
    assert seen[0] == (part.samples > 0).sum()
    assert exact.finished(whole)
    assert asked.finished(whole)
    other = go_on(model_store, ResultStore(store.folder / "other", 10**9), images, exact)
    np.testing.assert_allclose(whole.values, other.values, atol=1e-6)


def test_more_samples_are_added_where_there_were_fewer(model_store, store, card, images):
    few = asked_of(card, images, replace(FAST, samples=4, settled=0.0))
    many = asked_of(card, images, replace(FAST, samples=12, settled=0.0))
    assert go_on(model_store, store, images, few).samples.max() == 4
    assert not many.finished(keeping.find(store, many))
    survey = go_on(model_store, store, images, many)
    assert set(np.unique(survey.samples)) == {0, 12}
    assert set(np.unique(go_on(model_store, store, images, few).samples)) == {0, 12}  # and none are lost again
