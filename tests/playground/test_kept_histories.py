import numpy as np
import pytest

from common.errors import InputError
from playground.history import History
from playground.kept_histories import KeptHistories


@pytest.fixture
def kept(tmp_path):
    return KeptHistories(tmp_path / "histories")


def test_a_history_comes_back_as_it_was(kept):
    values = {"training loss": np.array([1 / 3, np.nan, np.inf]), "lr <ü>": np.array([1e-300, -0.0, 2.0])}
    kept.put("abc", History("log", np.array([0, 5, 9]), values, ("Read.",), "step"))
    found = KeptHistories(kept.folder).get("abc")
    assert (found.name, found.remarks, found.unit, list(found.values)) == ("log", ("Read.",), "step", list(values))
    np.testing.assert_array_equal(found.epochs, [0, 5, 9])
    for measure, wanted in values.items():
        np.testing.assert_array_equal(found.values[measure], wanted)


def test_a_history_goes_with_its_model_and_can_be_removed(kept):
    kept.move("old", "new")
    assert kept.get("new") is None
    kept.put("old", History("log", np.array([1]), {}))
    kept.move("old", "new")
    assert (kept.get("old"), kept.get("new").name) == (None, "log")
    kept.remove("new")
    kept.remove("new")
    assert kept.get("new") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"values": {"a": "x"}, "epochs": [1]}', '{"values": 3}'])
def test_a_damaged_file_gets_one_line(kept, text):
    kept.folder.mkdir()
    kept.path("abc").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        kept.get("abc")
