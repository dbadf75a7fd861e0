import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from playground.event_files import _message, masked_crc
from playground.history_files import read_files, read_history

#: Written by TensorBoard 2.21 itself: `simple_value` in one, tensors in the other, as Keras' callback has them.
OLD = (
    "c-r$|fPjCKJmzw4>{-szbm*3&6mL>dVrHJ6YguYuiIq{19+yr@YF=@EQBr<lQHox1X>M*}QKepaQD#YMkzOiDReV}zPHH?vMAWcU)gNkZj=TS40Y)uv"
    "E<r9XpZwxt{SuJLqCgo3E`BZ!uuxfI4p2bBflHW+$1yp%v?wvT5-P~Rz$L)NQj%Ix;>E$m24QjBvXYH}8o#JpzlRgT{9rG@gvFi)do+6%*kiND9@C!F"
    "&538R*u&r;z>Hzf>Q!2(_JoFpVzb8qi#==JuGk0w{+(wf"
)
NEW_VALIDATION = (
    "c-r$|fPjCKJmzxVoV0?a>Ci1lDc+=_#LPTB*Rs^S5-X!1JuaP+)V$*SqNM!9q7=R2(%js{qDsB;qRf)iBE3|Qs`#|boYZ)T$dM1LpO`?+jWZUH;hZ@i"
    "Vy>1ZmpT_$YC(Q-Mtn|waj_E@2cr;!77GJ|f`b<?7bh2cadKi#Vo|XI<7EG>(H2lM7FX7Wb1E-}nxV_3&BX^XBQZI-v?wvT5@F5(J2Z3RJ}y0O1~tb&"
    "yyrcq!4il$0*ts_v%ntBlo-oJiB?ckgr>fF#L2l7ZVF!a7@(WP`G=(r0DFCFcm"
)

T_LOSS, V_LOSS, V_ACCURACY = "training loss", "validation loss", "validation accuracy"


def written(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def events(*scalars: tuple[int, str, float]) -> bytes:
    """A file of one scalar an event."""
    made = []
    for step, tag, number in scalars:
        event = _message("Event")(step=step)
        event.summary.value.add(tag=tag.encode(), simple_value=number)
        made.append(record(event.SerializeToString()))
    return b"".join(made)


def losses(*values: float, tag: str = "val_loss") -> bytes:
    return events(*((n, tag, value) for n, value in enumerate(values, 1)))


def test_what_tensorboard_wrote_in_the_old_encoding_is_read():
    history = read_history(written(OLD), "run")
    assert history.epochs.tolist() == [1, 2, 3]
    assert history.unit == "step"
    np.testing.assert_allclose(history.values[T_LOSS], [2, 1, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(history.values[V_LOSS], [2.5, 1.25, 2.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(history.values[V_ACCURACY], [0, 0.5, 0.75])
    assert any("does not say whether these are epochs" in remark for remark in history.remarks)
    assert any("3 values that are no scalars" in remark for remark in history.remarks)


def test_what_tensorboard_wrote_as_tensors_is_read_and_folders_name_the_images():
    history = read_files({"logs/validation/events.out.tfevents.1": written(NEW_VALIDATION)}, "run")
    assert history.epochs.tolist() == [0, 1]
    assert history.unit == "epoch"
    np.testing.assert_allclose(history.values[V_LOSS], [2.5, 1.25])
    np.testing.assert_allclose(history.values[V_ACCURACY], [0.375, 0.6875])


def test_a_folder_of_training_and_validation_is_one_history(tmp_path: Path):
    for folder, values in (("train", (3, 2)), ("validation", (4, 1))):
        path = tmp_path / "run" / folder / "events.out.tfevents.1"
        path.parent.mkdir(parents=True)
        path.write_bytes(losses(*values, tag="epoch_loss"))
    (tmp_path / "run" / "notes.txt").write_text("mine")
    history = read_history(tmp_path / "run", "run")
    assert history.values[T_LOSS].tolist() == [3, 2]
    assert history.values[V_LOSS].tolist() == [4, 1]
    assert history.best() == 1


def test_folders_of_pytorchs_add_scalars_are_part_of_the_name():
    files = {"run/Loss_train/tfevents.1": losses(3, 2, tag="Loss"), "run/Loss_val/tfevents.1": losses(4, 1, tag="Loss")}
    history = read_files(files, "run")
    assert (history.values[T_LOSS].tolist(), history.values[V_LOSS].tolist()) == ([3, 2], [4, 1])


def test_several_runs_are_refused():
    files = {"logs/a/tfevents.1": losses(3), "logs/b/tfevents.1": losses(4)}
    with pytest.raises(InputError, match=r"one run.*a, b"):
        read_files(files, "logs")


def test_later_files_of_a_run_go_on_and_their_values_count():
    resumed = events((2, "val_loss", 9), (3, "val_loss", 8), (4, "val_loss", 7))
    history = read_files({"run/tfevents.2": resumed, "run/tfevents.1": losses(3, 2)}, "run")
    assert history.values[V_LOSS].tolist() == [3, 9, 8, 7]
    assert any("1 value was written again" in remark for remark in history.remarks)


def test_training_and_validation_without_their_folders_are_not_mixed():
    files = {"tfevents.1": losses(3, 2, tag="epoch_loss"), "tfevents.2": losses(4, 1, tag="epoch_loss")}
    with pytest.raises(InputError, match="the whole folder"):
        read_files(files, "run")


def test_lightning_tells_the_epoch_of_each_step():
    content = events(
        (49, "train_loss", 2), (49, "epoch", 0), (99, "train_loss", 1), (99, "epoch", 0), (99, "val_loss", 3),
        (149, "train_loss", 1), (149, "epoch", 1), (199, "val_loss", 2), (199, "epoch", 1),
    )  # fmt: skip
    history = read_history(content, "run")
    assert history.epochs.tolist() == [0, 1]
    assert history.values[T_LOSS].tolist() == [1.5, 1]
    assert history.values[V_LOSS].tolist() == [3, 2]


@pytest.mark.parametrize("cut", [1, 5, 13, 30])
def test_a_truncated_file_gives_what_is_whole_and_says_so(cut):
    whole = losses(3, 2, 1)
    history = read_history(whole[:-cut], "run")
    assert history.values[V_LOSS].tolist() == [3, 2]
    assert any("breaks off" in remark for remark in history.remarks)
    assert not any("breaks off" in remark for remark in read_history(whole, "run").remarks)


def test_a_damaged_record_ends_the_reading_and_that_is_said():
    content = bytearray(losses(3, 2, 1))
    content[-6] ^= 1
    history = read_history(bytes(content), "run")
    assert history.values[V_LOSS].tolist() == [3, 2]
    assert any("damaged" in remark for remark in history.remarks)
    history = read_history(losses(3) + record(b"\xff\xff\xff") + losses(2), "run")
    assert history.values[V_LOSS].tolist() == [3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x18" + bytes(30), "damaged"),
        (record(b""), "no scalar"),
        (losses(3)[:20], "breaks off"),
        (struct.pack("<QI", 1 << 62, masked_crc(struct.pack("<Q", 1 << 62))), "its end is missing"),
    ],
)
def test_a_file_without_scalars_gets_one_line(content, words):
    with pytest.raises(InputError, match=words):
        read_files({"events.out.tfevents.1": content}, "events.out.tfevents.1")


def test_what_is_not_a_number_is_said():
    history = read_history(losses(3, float("nan"), float("inf")), "run")
    assert history.values[V_LOSS][2] == np.inf
    assert any("Not a number (NaN) at some steps: 'val_loss'" in remark for remark in history.remarks)
