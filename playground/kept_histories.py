"""The histories that models were given, one file a model, by the model's digest."""

import json
from pathlib import Path

import numpy as np

from common import sealed
from common.errors import InputError, first_line
from playground.history import History


class KeptHistories:
    """Histories in a folder: given, found again after a restart, taken away.

    Example:
        >>> KeptHistories(Path("data/histories")).get("no such model") is None
        True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, digest: str, history: History) -> None:
        """Keep a model's history in place of the one that it had."""
        facts = {
            "name": history.name, "unit": history.unit, "remarks": history.remarks, "epochs": history.epochs.tolist(),
            "values": {measure: values.tolist() for measure, values in history.values.items()},
        }  # fmt: skip
        sealed.write(self.path(digest), json.dumps(facts).encode())

    def get(self, digest: str) -> History | None:
        """A model's history; `None` where it has none. Raises `InputError` where its file is damaged."""
        path = self.path(digest)
        if not path.exists():
            return None
        content = sealed.read(path)
        if content is None:
            raise InputError("the history of a model", f"{path.name}, which was damaged", "Upload it again.")
        try:
            facts = json.loads(content)
            values = {measure: np.array(v, dtype=np.float64) for measure, v in facts["values"].items()}
            epochs = np.array(facts["epochs"], dtype=np.int64)
            return History(facts["name"], epochs, values, tuple(facts["remarks"]), facts["unit"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            received = f"{path.name}, which is damaged ({first_line(error)})"
            raise InputError("the history of a model", received, "Remove it, and upload it again.") from error

    def remove(self, digest: str) -> None:
        """Take a model's history away, if it has one."""
        self.path(digest).unlink(missing_ok=True)

    def move(self, digest: str, to: str) -> None:
        """Give the history of a model to the one that takes its place."""
        if self.path(digest).exists():
            self.path(digest).replace(self.path(to))

    def path(self, digest: str) -> Path:
        """The file of a model."""
        return self.folder / f"{digest}.json"
