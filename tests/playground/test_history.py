import numpy as np
import pytest

from common.errors import InputError
from playground.history import TRAINING_LOSS, VALIDATION_ACCURACY, VALIDATION_LOSS, History

NAN = np.nan


@pytest.mark.parametrize(
    ("accuracy", "loss", "best"),
    [
        ([0.5, 0.9, 0.8], [3, 2, 1], 2),  # the loss counts before the accuracy
        ([0.5, 0.9, 0.9], [2, 1, 1], 1),  # of equals the first
        ([0.5, 0.9, 0.9], [NAN, NAN, NAN], 1),
        ([NAN, 0.2, NAN], [np.inf, np.inf, np.inf], 1),
        ([NAN, NAN, NAN], [NAN, -np.inf, 2], 2),
        ([0, 0, NAN], [NAN, NAN, 1], 2),
        ([NAN, NAN, NAN], [NAN, NAN, NAN], None),
    ],
)
def test_the_best_epoch_is_told_by_validation(accuracy, loss, best):
    values = {VALIDATION_ACCURACY: np.array(accuracy, float), VALIDATION_LOSS: np.array(loss, float)}
    assert History("run", np.arange(1, 4), values).best() == best


def test_training_alone_tells_no_best_epoch():
    assert History("run", np.arange(2), {TRAINING_LOSS: np.array([2.0, 1.0])}).best() is None
    assert History("run", np.arange(0)).best() is None


@pytest.mark.parametrize(("epochs", "values"), [([1, 1], [0.1, 0.2]), ([2, 1], [0.1, 0.2]), ([1, 2], [0.1])])
def test_epochs_rise_and_each_has_a_value(epochs, values):
    with pytest.raises(InputError):
        History("run", np.array(epochs), {TRAINING_LOSS: np.array(values)})
