"""What all subcommands share: how their options are read, errors in one line, the exit status."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperCommand

from common.errors import InputError

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

PROGRAM = "python -m parallax"


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


def run(command: Any, arguments: list[str]) -> int:
    """Run a Typer command that returns its exit status; mistakes get one line on stderr, and so does Ctrl-C."""
    try:
        status = command.main(arguments, PROGRAM, standalone_mode=False)
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
