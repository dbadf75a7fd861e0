"""How all subcommands behave: help, mistakes, exit status, and what Ctrl-C leaves behind."""

import re

import pytest

from parallax import results
from parallax.__main__ import COMMANDS
from parallax.progress import ProgressBar

ONE_MAP = ("explain", "--models", "demo/vgg", "--methods", "grad-cam")


def refused(ran) -> str:
    """The one line that a mistake gets, with exit status 2."""
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    return ran.err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_the_help_parse(run, monkeypatch, name):
    """They run with the subcommand's function replaced, so only how they are read is tested."""
    help_text = run(name, "--help").out.replace("\\\n", " ")
    examples = re.findall(r"^ +python -m parallax (.*)$", help_text, re.MULTILINE)
    assert examples
    assert all(example.split()[0] == name for example in examples)
    called = []
    monkeypatch.setattr("typer.core.TyperCommand.invoke", lambda self, ctx: called.append(ctx.params) or 0)
    for example in examples:
        assert run(*example.split()).status == 0
    assert len(called) == len(examples)


def test_help_is_what_no_arguments_get(run):
    assert run() == run("--help")


def test_a_misspelt_subcommand_or_option_is_one_line(run):
    assert "Did you mean 'explain'" in refused(run("explian"))
    assert "--models" in refused(run("score", "--model", "demo"))
    assert "See python -m parallax score --help." in refused(run("score"))
    assert "'logit', 'probability', 'unit'" in refused(run(*ONE_MAP, "--output", "unt"))
    assert "--first" in refused(run(*ONE_MAP, "--images", "demo", "--out", "x", "--first", "0"))


def test_a_file_that_cannot_be_written_is_one_line(run, paintings, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert "file" in refused(run(*ONE_MAP, "--images", paintings / "landscape", "--out", tmp_path / "file"))


def test_values_of_an_option_follow_it_or_come_one_by_one(run, paintings, tmp_path):
    models = ("--models", "demo/vgg", "demo/resnet"), ("--models", "demo/vgg", "--models", "demo/resnet")
    tables = [run("applies", *texts) for texts in models]
    assert tables[0] == tables[1]
    assert tables[0].out.startswith("| method | vgg | resnet |")


def test_what_suits_no_model_is_told_and_the_rest_is_done(run, paintings, tmp_path):
    texts = ("explain", "--models", "demo/vit", "--methods", "guided-backprop", "grad-cam", "--first", "1")
    ran = run(*texts, "--images", paintings, "--out", tmp_path / "maps")
    assert ran.status == 1
    assert "ReLU" in ran.err
    assert [path.stem for path in (tmp_path / "maps").glob("*.npz")] == ["0-vit-grad-cam"]


class _Interrupted(ProgressBar):
    """Ctrl-C while the second map is computed."""

    def __call__(self, done: float, total: float) -> None:
        super().__call__(done, total)
        if done > 1:
            raise KeyboardInterrupt


def test_what_was_interrupted_keeps_its_pieces_and_goes_on(run, paintings, tmp_path, monkeypatch):
    texts = [*ONE_MAP, "--images", paintings, "--out", tmp_path / "maps"]
    monkeypatch.setattr(results, "ProgressBar", _Interrupted)
    stopped = run(*texts)
    assert stopped.status == 130
    assert "the same command goes on" in stopped.err
    assert len(list((tmp_path / "maps").glob("*.npz"))) == 1
    reports = []

    class Watched(ProgressBar):
        def __call__(self, done: float, total: float) -> None:
            super().__call__(done, total)
            reports.append((done, total))

    monkeypatch.setattr(results, "ProgressBar", Watched)
    ran = run(*texts)
    assert ran.status == 0
    assert reports[0] == (1, 3)
    assert "3/3" in ran.err
    assert len(list((tmp_path / "maps").glob("*.npz"))) == 3


def test_what_an_earlier_run_finished_is_no_speed(capsys):
    with ProgressBar("maps") as progress:
        progress(90, 100)
        progress(91, 100)
        assert progress.bar.format_dict["initial"] == 90
    assert "91/100" in capsys.readouterr().err
