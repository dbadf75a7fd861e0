import dataclasses

import numpy as np
import pytest

from models.store import ModelStore
from suggestion import targets
from suggestion.table import NONE
from suggestion.targets import target_of
from tests.suggestion.makers import colour_loaded, table


@pytest.fixture
def card(tmp_path):
    return ModelStore(tmp_path, "cpu").add(colour_loaded(classes=("blue", "Red", "green")))


@pytest.fixture
def predictions(card):
    answers = table([[0], [1], [2]], [[0.9], [0.8], [0.7]], [1, NONE, 3])
    answers.top[:, 0, 1] = [2, 0, NONE]
    return dataclasses.replace(answers, models=(card.digest,), classes=("red", "green", "blue", "purple"))


@pytest.mark.parametrize(
    ("row", "kind", "class_name", "index"),
    [
        (0, targets.TOP, None, 1),
        (2, targets.TOP, None, 0),
        (0, targets.RUNNER_UP, None, 0),
        (0, targets.TRUE, None, 2),
        (1, targets.ONE_CLASS, "GREEN", 2),
    ],
)
def test_targets_are_given_in_the_models_own_numbering(predictions, card, row, kind, class_name, index):
    assert target_of(predictions, row, card, kind, class_name) == index


@pytest.mark.parametrize(
    ("row", "kind", "class_name", "reason"),
    [
        (1, targets.TRUE, None, "unknown"),
        (2, targets.TRUE, None, "does not know the class 'purple'"),
        (2, targets.RUNNER_UP, None, "no runner-up"),
        (0, targets.ONE_CLASS, "mauve", "does not know the class 'mauve'"),
    ],
)
def test_a_target_that_a_model_cannot_have_gets_a_reason(predictions, card, row, kind, class_name, reason):
    assert reason in target_of(predictions, row, card, kind, class_name)


def test_tables_hold_plain_numbers(predictions):
    assert predictions.top.dtype == np.int32
