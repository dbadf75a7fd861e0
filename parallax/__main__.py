"""The command line, `python -m parallax --help`: each subcommand is the function of its name, in a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from parallax.applies import applies
from parallax.command_line import Command, run
from parallax.contrast import contrast
from parallax.explain import explain
from parallax.layers import layers
from parallax.list import list_names
from parallax.maxout import maxout
from parallax.score import score
from parallax.train_generator import train_generator
from parallax.trust import trust

COMMANDS: dict[str, Callable[..., int]] = {
    "score": score,
    "explain": explain,
    "trust": trust,
    "maxout": maxout,
    "layers": layers,
    "contrast": contrast,
    "train-generator": train_generator,
    "list": list_names,
    "applies": applies,
}

HELP = """
Parallax without a browser: where image classifiers disagree, and why.

Results are kept where the app keeps its own: what one has found, the other need not compute.

\b
Exit status:
  0    all done
  1    some pieces failed, each with its line on stderr; the others are done
  2    bad input or usage, one line on stderr
  130  interrupted; finished pieces are kept, and the same command goes on

\b
Example:
  python -m parallax explain --models demo --images demo --first 2 --methods grad-cam --out maps
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand, or print the help without one; returns the exit status."""
    app = typer.Typer(help=HELP, rich_markup_mode=None, add_completion=False)
    for name, function in COMMANDS.items():
        app.command(name, cls=Command)(function)
    return run(typer.main.get_command(app), (sys.argv[1:] if arguments is None else arguments) or ["--help"])


if __name__ == "__main__":
    sys.exit(main())
