"""The history of a training: what was measured after each epoch."""

from dataclasses import dataclass, field

import numpy as np

from common.errors import InputError

#: What most trainings measure, on the training images and on held-out ones.
ACCURACY, LOSS = "accuracy", "loss"
TRAINING_LOSS, VALIDATION_LOSS = "training loss", "validation loss"
TRAINING_ACCURACY, VALIDATION_ACCURACY = "training accuracy", "validation accuracy"
STANDARD = (TRAINING_LOSS, VALIDATION_LOSS, TRAINING_ACCURACY, VALIDATION_ACCURACY)


@dataclass(frozen=True)
class History:
    """What a training measured, epoch by epoch.

    `epochs` (E,) int64, strictly rising, counted as the source counts them; `values` maps what was measured, the four
    names of `STANDARD` and any others, to (E,) float64, NaN where there is none; accuracies lie in [0, 1]. `unit` is
    what `epochs` counts ("epoch" or "step"), `remarks` say how a file was read. Raises `InputError` otherwise.

    Example:
        >>> History("run", np.array([1, 2]), {"validation loss": np.array([0.9, 0.4])}).best()
        1
    """

    name: str
    epochs: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    unit: str = "epoch"

    def __post_init__(self) -> None:
        if np.any(np.diff(self.epochs) <= 0):
            raise InputError("epochs that rise", f"{self.epochs.tolist()[:20]}", "Give each epoch once, in order.")
        for measure, values in self.values.items():
            if values.shape != self.epochs.shape:
                received = f"{values.shape} for {measure} and {self.epochs.shape} epochs"
                raise InputError("one value for each epoch", received, "Put NaN where there is none.")

    def best(self) -> int | None:
        """The position of the best epoch in `epochs`; `None` where nothing tells.

        It has the lowest validation loss or, where no such loss is known, the highest validation accuracy; of equals
        it is the first. What was measured on the training images never counts.
        """
        for measure, sign in ((VALIDATION_LOSS, 1), (VALIDATION_ACCURACY, -1)):
            values = self.values.get(measure, np.zeros(0))
            if np.isfinite(values).any():
                return int(np.argmin(np.where(np.isfinite(values), sign * values, np.inf)))
        return None
