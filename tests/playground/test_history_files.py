import json

import numpy as np
import pytest

from common.errors import InputError
from playground.history_files import MAX_BYTES, read_files, read_history

T_LOSS, V_LOSS, T_ACCURACY, V_ACCURACY = (
    "training loss", "validation loss", "training accuracy", "validation accuracy",
)  # fmt: skip


def read(text: str, name: str = "run"):
    return read_history(text.encode(), name)


def said(history) -> str:
    return " ".join(history.remarks)


@pytest.mark.parametrize(
    ("text", "epochs", "values"),
    [
        (  # Keras' CSVLogger
            "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.2,0.4,1.3\n1,0.7,0.9,0.6,1.0\n",
            [0, 1],
            {T_LOSS: [1.2, 0.9], V_LOSS: [1.3, 1.0], T_ACCURACY: [0.5, 0.7], V_ACCURACY: [0.4, 0.6]},
        ),
        (  # Lightning's metrics.csv
            "epoch,lr,step,train_loss_epoch,train_loss_step,val_acc,val_loss\n"
            "0,,49,,2.0,,\n0,,99,,1.0,,\n0,,99,,,0.4,1.5\n0,,99,1.4,,,\n1,,199,,0.7,,\n1,,199,,,0.6,0.9\n1,,199,0.8,,,\n",
            [0, 1],
            {T_LOSS: [1.4, 0.8], V_LOSS: [1.5, 0.9], V_ACCURACY: [0.4, 0.6], "train_loss_step": [1.0, 0.7]},
        ),
        (  # fastai
            "epoch,train_loss,valid_loss,accuracy,time\n0,1.2,1.1,0.5,00:12\n1,1.0,0.9,0.6,00:12\n",
            [0, 1],
            {T_LOSS: [1.2, 1.0], V_LOSS: [1.1, 0.9], V_ACCURACY: [0.5, 0.6]},
        ),
        (  # timm's summary.csv
            "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,6.9,6.8,0.4,1,0.1\n1,5,4.9,12,30,0.1\n",
            [0, 1],
            {T_LOSS: [6.9, 5], V_LOSS: [6.8, 4.9], V_ACCURACY: [0.004, 0.12], "eval_top5": [1, 30], "lr": [0.1, 0.1]},
        ),
        ("epoch,loss,accuracy\n1,2,0.5\n2,1,0.6\n", [1, 2], {T_LOSS: [2, 1], T_ACCURACY: [0.5, 0.6]}),
        (
            "Epoch;Val. loss;Val. acc.\r\n1;2,3;12,5%\r\n2;1,1;50 %\r\n",
            [1, 2],
            {V_LOSS: [2.3, 1.1], V_ACCURACY: [0.125, 0.5]},
        ),
        ("epoch\ttrainLoss\tvalLoss\n5\t1e-3\tinf\n7\t5E-4\t2\n", [5, 7], {T_LOSS: [1e-3, 5e-4], V_LOSS: [np.inf, 2]}),
        (",loss,val_loss\n0,2,3\n1,1,2\n", [0, 1], {T_LOSS: [2, 1], V_LOSS: [3, 2]}),  # pandas' to_csv
        ("epoch,train_loss\n1,\"tensor(0.5, device='cuda:0')\"\n2,tensor(0.25)\n", [1, 2], {T_LOSS: [0.5, 0.25]}),
        ('{"loss": [2, 1], "val_loss": [3, NaN]}', [1, 2], {T_LOSS: [2, 1], V_LOSS: [3, np.nan]}),
        ('{"history": {"loss": [2], "val_acc": [1]}, "epoch": [0]}', [1], {T_LOSS: [2], V_ACCURACY: [1]}),
        ('{"val_loss": {"3": 1.0, "4": 0.5}}', [3, 4], {V_LOSS: [1, 0.5]}),
        ('{"train_loss": 1, "epoch": 0}\n{"train_loss": 0.5, "epoch": 1}\n', [0, 1], {T_LOSS: [1, 0.5]}),
        (  # Hugging Face's trainer_state.json
            '{"log_history": [{"loss": 2, "epoch": 0.5, "step": 50}, {"eval_loss": 1, "epoch": 1.0, "step": 100}]}',
            [50, 100],
            {T_LOSS: [2, np.nan], V_LOSS: [np.nan, 1]},
        ),
    ],
)  # fmt: skip
def test_logs_are_read_as_people_have_them(text, epochs, values):
    history = read(text)
    assert history.epochs.tolist() == epochs
    assert list(history.values) == list(values)
    for key, wanted in values.items():
        np.testing.assert_allclose(history.values[key], wanted, err_msg=key)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch,train_loss,valid_loss,accuracy\n1,1,1,0.5\n", "'accuracy' was taken as measured on validation images"),
        ("epoch,loss\n1,1\n", "'loss' was taken as measured on training images"),
        ("epoch,train_loss,test_loss\n1,1,2\n", "'test_loss' is drawn as validation loss"),
        ("epoch,val_acc\n1,50\n2,75\n", "Read as percentages: validation accuracy"),
        ("epoch,val_acc\n1,0.5\n2,750\n", "which no accuracy does"),
        ("epoch;val_loss\n1;0,5\n", "decimal commas"),
        ("epoch,train_loss,val_loss\n0,1,1\n0,2,1\n", "Averaged over each epoch: training loss"),
        ("epoch,val_loss\n0,1\n1,2\n1,3\n0,5\n", "1 epoch comes again"),
        ("epoch,val_loss\n0,1\n", "counted from 0"),
        ("val_loss\n1\n", "rows are counted from 1"),
        ("epoch,val_loss\n1,nan\n2,1\n", "'val_loss' is not a number (NaN) in 1 row."),
        ("epoch,val_loss\n1,oops\n2,1\n", "'val_loss': 1 cell is no number (line 2: 'oops')"),
        ("epoch,val_loss,when\n1,1,12:30\n", "Left out, as no number is in them: when"),
        ("epoch,val_loss\n,3\n1,1\n", "1 row is left out"),
        ("epoch,val_loss\n0.5,3\n1.5,1\n", "Parts of epochs"),
    ],
)
def test_how_a_file_was_read_is_said(text, words):
    assert words in said(read(text))


def test_an_epoch_without_any_number_is_still_one():
    assert read("epoch,val_loss\n1,0.5\n2,nan\n").epochs.tolist() == [1, 2]


def test_keras_needs_no_words():
    assert read("epoch,loss,val_loss\n1,2,3\n").remarks == ()


def test_a_resumed_training_goes_on_and_later_epochs_replace_earlier_ones():
    history = read("epoch,train_loss\n0,9\n1,8\n2,7\nepoch,train_loss\n2,6\n3,5\n")
    assert history.epochs.tolist() == [0, 1, 2, 3]
    assert history.values[T_LOSS].tolist() in ([9, 8, 6, 5], [9, 8, 6.5, 5])
    assert read("epoch,train_loss\n0,9\n1,8\n2,7\n1,6\n2,5\n").values[T_LOSS].tolist() == [9, 6, 5]


def test_columns_of_one_name_or_meaning_are_all_kept():
    history = read("epoch,loss,train_loss,train_loss,training loss,val_loss\n1,1,2,3,4,5\n")
    assert sorted(values[0] for values in history.values.values()) == [1, 2, 3, 4, 5]
    assert history.values[V_LOSS].tolist() == [5]


def test_a_tiny_percentage_is_read_like_the_other_accuracy():
    history = read("epoch,train_acc,val_acc\n1,0.8,1.2\n2,0.9,1.1\n")
    np.testing.assert_allclose(history.values[T_ACCURACY], [0.008, 0.009])
    fraction = read("epoch,train_acc,val_acc\n1,0.5,40\n2,0.6,50\n")
    np.testing.assert_allclose(fraction.values[T_ACCURACY], [0.5, 0.6])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"epoch,loss\n", b"1,2\n3,4\n", b"epoch,loss\na,b\n", b"epoch\n1\n2\n", b"{", b"[1, 2]", b"null",
        b"[" * 100_000, b'{"a": [1], "b": [1, 2]}', b'{"loss": [' + b"9" * 5000 + b"]}", b"epoch,loss\n1,2,3\n",
        b'epoch,loss\n1,"2\n', b"PK\x03\x04" + bytes(50), b"\x80\x04\x95cos\nsystem\n", bytes(1000), b"\xff\xfe\x00",
        b"epoch,loss\n1e300,1\n", b"step,loss\n1e300,1\n", b'{"loss": {"99999999999999999999": 1}}',
    ],
)  # fmt: skip
def test_what_is_no_history_gets_one_line(content):
    with pytest.raises(InputError) as error:
        read_history(content, "file.csv")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_huge_files_are_refused_unread(tmp_path):
    path = tmp_path / "history.csv"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="at most 64 MB"):
        read_history(path, "history.csv")
    with pytest.raises(InputError, match="cells"):
        read("epoch,loss\n" + ",\n" * 1_000_001)
    with pytest.raises(InputError, match="MB"):
        read_history(b"a" * (16 * 1024**2 + 1), "run")


def test_a_path_is_read_like_its_content_and_several_tables_are_not_one_history(tmp_path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"val_loss": [3, 2]}))
    assert read_history(path, "run").values[V_LOSS].tolist() == [3, 2]
    with pytest.raises(InputError, match="event files"):
        read_history(tmp_path, "run")
    with pytest.raises(InputError, match="2 files"):
        read_files({"a.csv": b"loss\n1\n", "b.csv": b"loss\n1\n"}, "run")
    with pytest.raises(InputError, match="No such file"):
        read_history(tmp_path / "none.csv", "run")
