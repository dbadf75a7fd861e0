import logging
import os
import threading

import pandas as pd
import pytest

from common import sealed
from common.settings import settings
from common.tables import read_table, write_table

CONTENT = bytes(range(256)) * 3


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results" / "ab" / "one.npz"
    sealed.write(path, CONTENT)
    return path


def damaged():
    folder = settings().data_folder / "damaged"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_is_read_is_what_was_written(path):
    assert sealed.read(path) == CONTENT
    sealed.write(path, b"")
    assert sealed.read(path) == b""
    sealed.write(path, memoryview(CONTENT)[:5])
    assert sealed.read(path) == CONTENT[:5]
    assert os.listdir(path.parent) == ["one.npz"]


def test_no_file_is_nothing(tmp_path):
    assert sealed.read(tmp_path / "none") is None
    assert damaged() == []


@pytest.mark.parametrize("place", [*range(sealed.SEAL_BYTES), *range(sealed.SEAL_BYTES, sealed.SEAL_BYTES + 768, 37)])
def test_no_bit_can_change_in_seal_or_content(path, place):
    whole = path.read_bytes()
    for bit in range(8):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        assert sealed.read(path) is None
        assert not path.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"",
        lambda b: b[:1],
        lambda b: b[:20],
        lambda b: b[:64],
        lambda b: b[:-1],
        lambda b: b + b"x",
        lambda b: bytes([b[0] ^ 255, b[1] ^ 255]) + b[2:],  # a byte or two of the mark
        lambda b: b[:500] + bytes(len(b) - 500),
    ],
)
def test_nor_can_it_be_cut_short_or_overwritten(path, spoil, caplog):
    path.write_bytes(spoil(path.read_bytes()))
    assert sealed.read(path) is None
    assert sealed.read(path) is None
    (aside,) = damaged()
    assert aside.name.endswith("ab-one.npz")
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert str(path) in said.message
    assert str(aside) in said.message


def test_what_was_written_before_there_were_seals_is_read_as_it_is(tmp_path):
    for content in (
        b"{}",
        b"PAR1 and more",
        b"PK\x03\x04",
        b"0123456789abcdef",
        b"{'picks': []}",
        b"\x93NUMPY",
        bytes(99),
    ):
        (tmp_path / "old").write_bytes(content)
        assert sealed.read(tmp_path / "old") == content
    assert damaged() == []


def test_a_bounded_number_of_damaged_files_is_kept_the_latest(tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "MAX_DAMAGED", 3)
    for number in range(5):
        (tmp_path / f"{number}.json").write_text("x")
        sealed.set_aside(tmp_path / f"{number}.json", "it is a test")
    assert [path.name[-6:] for path in damaged()] == ["2.json", "3.json", "4.json"]
    sealed.set_aside(tmp_path / "0.json", "it has gone already")
    assert len(damaged()) == 3


def test_what_cannot_be_set_aside_is_deleted_so_that_it_is_computed_again(path, data_folder, caplog):
    data_folder.mkdir(exist_ok=True)
    (data_folder / "damaged").write_text("no folder")
    path.write_bytes(path.read_bytes()[:-1])
    assert sealed.read(path) is None
    assert not path.exists()
    assert "deleted" in caplog.text


def test_a_reader_never_meets_half_a_file(path):
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            content = sealed.read(path)
            if content is None or len(set(content)) > 1:
                wrong.append(content)

    sealed.write(path, b"a" * 50_000)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(100):
        sealed.write(path, bytes([number]) * 50_000)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert damaged() == []


def test_a_table_comes_back_with_its_attributes_or_not_at_all(tmp_path):
    path, table = tmp_path / "sets" / "a.parquet", pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    table.attrs = {"name": "set", "remarks": ["one"]}
    write_table(path, table)
    found = read_table(path, 2)
    pd.testing.assert_frame_equal(found, table)
    assert found.attrs == table.attrs
    assert read_table(path, 3) is None
    table.to_parquet(path)  # as earlier versions did
    pd.testing.assert_frame_equal(read_table(path, 2), table)
    path.write_bytes(path.read_bytes()[:-9])
    assert read_table(path) is None
    assert read_table(path) is None
    assert len(damaged()) == 2
