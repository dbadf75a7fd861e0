"""The command line, `python -m parallax --help`: each subcommand is the function of its name, in a file of its own."""

import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from common.errors import InputError
from common.settings import mistakes
from parallax.applies import applies
from parallax.contrast import contrast
from parallax.explain import explain
from parallax.layers import layers
from parallax.list import list_names
from parallax.maxout import maxout
from parallax.score import score
from parallax.status import status
from parallax.train_generator import train_generator
from parallax.trust import trust

PROGRAM = "python -m parallax"

BAD_INPUT, INTERRUPTED = 2, 130

#: The subcommands; those that return `True` could not do all of their pieces.
COMMANDS: dict[str, Callable[..., bool | None]] = {
    "score": score,
    "explain": explain,
    "trust": trust,
    "maxout": maxout,
    "layers": layers,
    "contrast": contrast,
    "train-generator": train_generator,
    "list": list_names,
    "applies": applies,
    "status": status,
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


class Command(TyperCommand):
    """A subcommand whose options of several values take them as `--models A B` or as `--models A --models B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further value, as Typer expects it."""
        several = {name for parameter in self.params if parameter.multiple for name in parameter.opts}
        repeated: list[str] = []
        option = ""
        for arg in args:
            if arg.startswith("--"):
                option = arg if arg in several else ""
            elif option and repeated[-1] != option:
                repeated.append(option)
            repeated.append(arg)
        return super().parse_args(ctx, repeated)


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand, or print the help without one; returns the exit status, mistakes get one line on stderr."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if "--help" not in arguments and (wrong := mistakes()):
        print(*wrong, sep="\n", file=sys.stderr)
        return BAD_INPUT
    app = typer.Typer(help=HELP, rich_markup_mode=None, add_completion=False)
    for name, function in COMMANDS.items():
        app.command(name, cls=Command)(function)
    try:
        status = int(typer.main.get_command(app).main(arguments, PROGRAM, standalone_mode=False) or 0)
    except typer.TyperException as error:
        line = " ".join(error.format_message().split()).replace("Value error, ", "")
        subcommand = "" if arguments[0].startswith("-") else f"{arguments[0]} "
        print(f"{line.removesuffix('.')}. See {PROGRAM} {subcommand}--help.", file=sys.stderr)
        return BAD_INPUT
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    if status == INTERRUPTED:
        print("Stopped. What is finished is kept: the same command goes on from there.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
