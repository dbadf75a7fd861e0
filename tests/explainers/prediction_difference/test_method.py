"""Prediction difference as a method: what it learns, what it refuses, and how its estimates are shared and resumed."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from common.errors import InputError
from explainers.attribution import ready, request_for
from explainers.output import Output
from explainers.prediction_difference.estimate import Estimate
from explainers.prediction_difference.method import PredictionDifference
from explainers.prediction_difference.params import PredictionDifferenceParams, default_window
from explainers.registry import METHODS
from explainers.results import Sources, compute, compute_missing
from images.image_set import ImageSet, image_id
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, grey, pictures, seeded
from tests.makers import encoded

FAST = PredictionDifferenceParams(window=6, stride=3, samples=8)
LOGIT, PROBABILITY = Output(), Output("probability")
METHOD = METHODS["prediction-difference"]


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


@pytest.fixture
def sources(model_store, store, images):
    return Sources(model_store, store, images)


def request_of(card, images, params=FAST, output=LOGIT, target=1, index=0):
    return request_for(card, images.ids[index], METHOD, params, target, output, images.digest)


@pytest.mark.parametrize("sampling", ["conditional", "marginal"])
@pytest.mark.parametrize("output", [LOGIT, PROBABILITY, Output("unit", "4")])
def test_a_request_is_computed_with_what_the_images_teach(sources, card, images, sampling, output):
    found = compute(sources, request_of(card, images, replace(FAST, sampling=sampling), output))
    assert found.maps.shape == found.error.shape == (1, 32, 32)
    assert np.abs(found.maps).max() > 3 * np.median(found.error) > 0


@pytest.mark.parametrize(("side", "window"), [(28, 4), (64, 4), (80, 4), (224, 10), (384, 18), (3000, 64)])
def test_the_default_window_suits_the_model_and_its_half_is_the_stride(side, window):
    sized = PredictionDifferenceParams().for_input((side, side + 1))
    assert default_window((side, side)) == sized.window == window
    assert sized.stride * 2 == window
    assert PredictionDifferenceParams(window=7).for_input((side, side)).stride == 3


def test_a_map_has_one_key_however_far_it_goes_and_whoever_asks(card, images):
    default = request_for(card, images.ids[0], METHOD, None, 1, LOGIT, images.digest)
    same = [
        PredictionDifferenceParams(window=4, stride=1),
        PredictionDifferenceParams(samples=20, converged=0.0),
        PredictionDifferenceParams(window=4, stride=2),
    ]
    assert {request_of(card, images, params).key for params in same} == {default.key}
    assert request_of(card, images, same[2]).goal == default.goal
    assert request_of(card, images, same[0]).goal != default.goal
    others = [
        request_of(card, images, PredictionDifferenceParams(window=6)),
        request_of(card, images, PredictionDifferenceParams(seed=1)),
        request_of(card, images, PredictionDifferenceParams(), PROBABILITY),
        request_of(card, images, PredictionDifferenceParams(), target=2),
        replace(default, data="other images"),
    ]
    assert len({default.key, *(other.key for other in others)}) == 6


def test_the_map_of_a_request_is_that_of_the_method(sources, model_store, card, images):
    request = request_of(card, images, PredictionDifferenceParams(samples=6), PROBABILITY)
    found = compute(sources, request)
    with model_store.borrow(card) as model:
        model = ready(model, sources, METHOD, request.params)
        expected = METHOD.explain(model, [images.image(0)], [images.ids[0]], [1], request.params, output=PROBABILITY)
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6)
    assert found.params["window"] == 4


def test_an_exact_map_takes_no_short_cut_after_one_that_did(sources, model_store, card, images, tmp_path):
    quick = request_of(card, images, replace(FAST, samples=12))
    exact = request_of(card, images, replace(FAST, samples=12, converged=0.0))
    before = compute(sources, quick).estimate
    assert set(np.unique(before.samples)) > {0, 4}
    assert not np.array_equal(before.map(6)[0], before.map(6, shared=False)[0])
    after = compute(sources, exact)
    alone = compute(Sources(model_store, ResultStore(tmp_path / "other", 10**9), images), exact)
    np.testing.assert_allclose(after.maps, alone.maps, atol=1e-6)
    refined = quick.load(sources.store)
    np.testing.assert_array_equal(refined.maps[0], after.estimate.map(6)[0])
    assert not np.array_equal(refined.maps, after.maps), "the same estimate, with what neighbours share"
    assert quick.version(sources.store) != exact.version(sources.store)


def test_models_that_read_alike_share_what_was_learnt(model_store, sources, images):
    method, learnt = PredictionDifference(), []
    for seed in (0, 1):
        card = add(model_store, seeded(NETS["plain"], seed), f"net {seed}")
        with model_store.borrow(card) as model:
            learnt.append(ready(model, sources, method, FAST).fitted)
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


def test_a_window_larger_than_the_image_is_refused(sources, card, images):
    for sampling, window, words in (
        ("conditional", 30, "at least 34 × 34"),
        ("conditional", 40, "window of 1 to 32"),
        ("marginal", 40, "window of 1 to 32"),
    ):
        params = replace(FAST, window=window, sampling=sampling)
        with pytest.raises(InputError, match=words):
            compute(sources, request_of(card, images, params))


def test_fewer_reference_images_than_samples_are_refused(sources, card, images):
    params = replace(FAST, sampling="marginal", samples=20, converged=0.0)
    with pytest.raises(InputError, match="Expected 20 other"):
        compute(sources, request_of(card, images, params))


def test_another_channel_count_is_learnt_as_the_model_reads_it(sources, model_store, images):
    card = add(model_store, seeded(partial(grey, px=32)), "grey", channels=1)
    assert np.isfinite(compute(sources, request_of(card, images)).maps).all()


@pytest.mark.parametrize("converged", [0.0, 0.3])
def test_logits_and_probabilities_of_several_classes_share_passes_and_are_what_each_is_alone(
    sources, model_store, card, images, tmp_path, monkeypatch, converged
):
    params = replace(FAST, converged=converged)
    wanted = [request_of(card, images, params, output, target) for output in (LOGIT, PROBABILITY) for target in (2, 0)]
    batches = []
    whole = type(wanted[0]).compute.__func__

    def counting(cls, requests, sources, progress):
        batches.append(len(requests))
        return whole(cls, requests, sources, progress)

    monkeypatch.setattr(type(wanted[0]), "compute", classmethod(counting))
    compute_missing(sources, wanted, {})
    assert batches == [4, 4], "a first pass, and the rest"
    for request in wanted:
        alone = compute(Sources(model_store, ResultStore(tmp_path / request.key, 10**9), images), request)
        found = request.load(sources.store)
        assert np.array_equal(found.estimate.samples, alone.estimate.samples)
        np.testing.assert_allclose(found.maps, alone.maps, atol=1e-5)


def test_units_of_a_layer_share_passes_and_those_of_another_have_their_own(sources, card, images):
    units = [request_of(card, images, FAST, Output("unit", layer), 0) for layer in ("0", "4")]
    same = request_of(card, images, FAST, Output("unit", "0"), 1)
    assert units[0].group(sources) == same.group(sources) != units[1].group(sources)


class StoppedError(Exception):
    pass


def test_a_stopped_estimate_is_kept_and_resumed_to_a_finer_stride(sources, model_store, card, images, tmp_path):
    coarse = request_of(card, images, replace(FAST, stride=3, converged=0.0))
    exact = request_of(card, images, replace(FAST, stride=1, converged=0.0))

    def stop(done, _total):
        if done > 100:
            raise StoppedError

    with pytest.raises(StoppedError):
        compute(sources, exact, stop)
    part = coarse.load(sources.store).estimate
    assert 0 < (part.samples > 0).sum() < exact.grid.n_windows()
    assert not exact.finished(sources.store)
    seen = []
    whole = compute(sources, exact, lambda done, _total: seen.append(done))
    assert seen[0] > 100
    assert exact.finished(sources.store)
    assert coarse.finished(sources.store)
    other = compute(Sources(model_store, ResultStore(tmp_path / "other", 10**9), images), exact)
    np.testing.assert_allclose(whole.estimate.values, other.estimate.values, atol=1e-6)


def test_one_that_was_stopped_before_its_open_windows_had_all_samples_is_not_finished(card, images):
    request = request_of(card, images, replace(FAST, stride=3))
    estimate, effort = Estimate.new(request.grid), request.settings.effort
    estimate.samples[:] = effort.at_first
    assert not estimate.complete(request.grid, effort), "nobody has decided yet who needs more"
    estimate.needed[:] = effort.at_first
    assert estimate.complete(request.grid, effort)
    estimate.needed[0, 0] = effort.samples
    assert not estimate.complete(request.grid, effort)
    estimate.samples[0, 0] = effort.samples
    assert estimate.complete(request.grid, effort)
    assert not estimate.complete(request.grid, replace(effort, samples=20)), "open windows get more samples"


def test_more_samples_are_added_where_there_were_fewer(sources, card, images):
    few, many = (request_of(card, images, replace(FAST, samples=n, converged=0.0)) for n in (4, 12))
    assert compute(sources, few).estimate.samples.max() == 4
    assert not many.finished(sources.store)
    assert set(np.unique(compute(sources, many).estimate.samples)) == {0, 12}
    assert set(np.unique(compute(sources, few).estimate.samples)) == {0, 12}  # and none are lost again
