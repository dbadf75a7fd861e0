import numpy as np
import pytest

from suggestion.table import NONE
from suggestion.views import (
    QUADRANTS,
    Filters,
    accuracy,
    agreement,
    alone,
    histogram,
    keep,
    label_difference,
    mean_confidence,
    n_predicted_classes,
    scatter,
    where_they_differ,
    without_shared_classes,
)
from tests.makers import tiny_loaded
from tests.suggestion.makers import table

#: Six images × three models: agreed, one alone, all different, agreed but wrong, unlabelled, agreed.
PREDICTED = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 1, 1], [2, 2, 2], [3, 3, 3]]
CONFIDENCE = [[0.9, 0.8, 1.0], [0.9, 0.9, 0.9], [0.4, 0.5, 0.3], [0.6, 0.5, 0.7], [0.9, 0.9, 0.9], [0.2, 0.3, 0.4]]
TRUE = [0, 0, 0, 0, NONE, 3]


@pytest.fixture
def answers():
    return table(PREDICTED, CONFIDENCE, TRUE)


def test_x_is_the_mean_of_the_top_probabilities(answers):
    assert mean_confidence(answers) == pytest.approx([0.9, 0.9, 0.4, 0.6, 0.9, 0.3])


def test_y_is_the_number_of_different_answers(answers):
    assert n_predicted_classes(answers).tolist() == [1, 2, 3, 1, 1, 1]


def test_jitter_never_leaves_the_row_and_repeats(answers):
    points = scatter(answers, np.ones(6, dtype=bool))
    assert (np.abs(points.y - points.n_classes) < 0.5).all()
    assert len(np.unique(points.y)) == 6
    assert (points.y == scatter(answers, np.ones(6, dtype=bool)).y).all()


def test_a_point_stays_where_it_is_when_others_are_filtered_out(answers):
    every, some = scatter(answers, np.ones(6, dtype=bool)), scatter(answers, np.array([0, 1, 1, 0, 0, 0], dtype=bool))
    assert some.index.tolist() == [1, 2]
    assert (some.y == every.y[1:3]).all()


def test_the_quadrants_count_every_point_once(answers):
    points = scatter(answers, np.ones(6, dtype=bool))
    assert points.counts == {"Confident, agree": 2, "Confident, disagree": 1, "Unsure, agree": 2, "Unsure, disagree": 1}
    assert set(points.counts) == set(QUADRANTS.values())


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(), [0, 1, 2, 3, 4, 5]),
        (Filters(true_class=0), [0, 1, 2, 3]),
        (Filters(predicted_class=1), [1, 2, 3]),
        (Filters(errors=True), [1, 2, 3]),
        (Filters(disagreements=True), [1, 2]),
        (Filters(alone=2), [1]),
        (Filters(alone=0), []),
        (Filters(true_class=0, errors=True, disagreements=True), [1, 2]),
    ],
)
def test_filters_keep_what_they_say(answers, filters, kept):
    assert np.flatnonzero(keep(answers, filters)).tolist() == kept


def test_alone_needs_the_others_to_agree(answers):
    assert not alone(answers, 0)[2]  # all three differ


def test_a_single_model_is_never_alone():
    assert not alone(table([[0], [1]], [[0.9], [0.9]], [0, 0]), 0).any()


def test_accuracy_counts_labelled_images_only(answers):
    shares, counts = accuracy(answers)
    assert counts.tolist() == [5, 5, 5]
    assert shares == pytest.approx([4 / 5, 3 / 5, 2 / 5])


def test_accuracy_without_any_label_is_not_a_number():
    shares, counts = accuracy(table([[0]], [[0.9]], [NONE]))
    assert np.isnan(shares).all()
    assert counts.tolist() == [0]


def test_agreement_is_symmetric_with_ones_on_the_diagonal(answers):
    matrix = agreement(answers)
    assert np.diag(matrix).tolist() == [1, 1, 1]
    assert (matrix == matrix.T).all()
    assert matrix[0, 1] == pytest.approx(5 / 6)
    assert matrix[0, 2] == pytest.approx(4 / 6)


def test_images_on_which_two_models_differ_come_surest_first(answers):
    assert where_they_differ(answers, 0, 2).tolist() == [1, 2]
    assert where_they_differ(answers, 0, 1).tolist() == [2]


def test_label_minus_prediction_is_one_minus_the_true_probability(answers):
    difference = label_difference(answers, 0)
    assert difference[[0, 5]] == pytest.approx([0.1, 0.8])
    assert np.isnan(difference[4])


def test_every_value_falls_into_the_bin_between_its_edges():
    values = np.array([0.0, 0.05, 0.5, 0.999, 1.0, np.nan], dtype=np.float32)
    edges, bins = histogram(values, n_bins=10, bounds=(0.0, 1.0))
    assert bins.tolist() == [0, 0, 5, 9, 9, NONE]
    assert len(edges) == 11


def test_a_histogram_of_equal_values_has_one_full_bin():
    _, bins = histogram(np.full(7, 3.0))
    assert len(set(bins.tolist())) == 1


def with_classes(store, *lists: str):
    """Models whose classes are the letters."""
    return [
        store.add(tiny_loaded(n_classes=len(letters), seed=seed, name=f"m{seed}", class_names=tuple(letters)))
        for seed, letters in enumerate(lists)
    ]


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (("ab",), ""),
        (("ab", "bc"), ""),
        (("ab", "bc", "bd"), ""),
        (("ab", "cd"), "No two of these models have a class in common"),
        (("ab", "cd", "ef"), "No two of these models have a class in common"),
        (("ab", "bc", "cd"), "No class is known to all of these models"),
        (("ab", "ab", "xy"), "disagree on every image: m0, m1 | m2."),
        (("ab", "xy", "bc", "yz", "q"), "disagree on every image: m0, m2 | m1, m3 | m4."),
    ],
)
def test_what_is_said_of_models_with_different_classes_holds_for_each_of_them(model_store, lists, words):
    found = without_shared_classes(with_classes(model_store, *lists))
    assert words in found
    assert bool(words) == bool(found)
