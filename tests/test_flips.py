"""A sample of what `python -m tests.flips` does."""

from tests import flips


def test_a_flipped_bit_is_never_an_answer(data_folder):
    found = flips.run(data_folder, 80, seed=1)
    assert found["kinds"] >= 16
    assert (found["wrong"], found["uncaught"]) == (0, 0), found["by_kind"]
    assert found["refused"] > 0
    assert found["same"] > 0, "some files are made again"
    assert found["unsealed_wrong"] > 20, "without seals, the check finds wrong answers"
