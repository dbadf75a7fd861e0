"""Results as files in one folder: computed, written as they are finished, and told line by line."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from common.errors import InputError
from common.files import safe_file_name, write_bytes
from explainers.results import Request, Sources, compute_missing, unit_of
from parallax.progress import ProgressBar, complain

Q = TypeVar("Q", bound=Request[Any])


class Paths:
    """Where results go: into one folder, each under a name of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._taken = folder, set[str]()
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, words: Sequence[str], *digests: str) -> str:
        """A path without its suffix, made of `words`, and of digests too where another result has that name."""
        stem = "-".join(map(safe_file_name, words))
        if stem in self._taken:
            stem = "-".join([stem, *digests])
        self._taken.add(stem)
        return str(self._folder / stem)


def compute_and_write(
    sources: Sources,
    requests: Sequence[Q],
    title: Callable[[Q], str],
    write: Callable[[Q, Any], object],
    facts_file: Path | None = None,
) -> bool:
    """Compute what is missing, and `write` each result once it is finished; what fails is told by its `title`.

    With a `facts_file`, unfinished results are written too when it stops, and it gets what `write` returned, in the
    order of the requests, as JSON. Returns whether something failed.
    """
    failures: dict[str, str] = {}
    facts: dict[str, object] = {}

    def show(request: Q, unfinished: object = None) -> None:
        if unfinished is not None or request.key in facts:
            return
        try:
            if (result := request.load(sources.store)) is not None:
                facts[request.key] = write(request, result)
        except InputError as error:
            failures[request.key] = str(error)

    try:
        for request in requests:
            if request.finished(sources.store):
                show(request)
        with ProgressBar(unit_of(requests)) as progress:
            compute_missing(replace(sources, say=progress.describe), requests, failures, progress, show)
    finally:
        for request in requests:
            if request.key not in facts and (facts_file is not None or request.finished(sources.store)):
                show(request)  # also what somebody else has computed meanwhile
        if facts_file is not None:
            found = [facts[request.key] for request in requests if request.key in facts]
            write_bytes(facts_file, json.dumps(found, indent=1, allow_nan=False).encode())
    for request in requests:
        if request.key in failures:
            complain(f"{title(request)}: {failures[request.key]}")
    return bool(failures)
