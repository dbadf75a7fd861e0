"""A case of the corpus, and the changes that make hostile files of honest ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """`content` for one door (see `intakes.INTAKES`), in a file of this suffix; `title` says what is wrong."""

    door: str
    title: str
    content: bytes | Callable[[], bytes]
    suffix: str = ""

    @property
    def large(self) -> bool:
        """Whether it is made when it is read, and takes its time."""
        return callable(self.content) or len(self.content) > 200_000

    def read(self) -> bytes:
        """The content of its file."""
        return self.content() if callable(self.content) else self.content

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"hostile{self.suffix}"


def mutations(door: str, content: bytes, suffix: str, random: np.random.Generator, n: int) -> Iterator[Case]:
    """An honest file cut short, with flipped bits, and with numbers overwritten by the largest that there are."""
    for number in range(n):
        changed = bytearray(content)
        kind = ("cut", "bits", "numbers", "start")[number % 4]
        if kind == "cut":
            changed = changed[: int(random.integers(0, len(changed)))]
        elif kind == "bits":
            for place in random.integers(0, len(changed), int(random.integers(1, 30))):
                changed[place] ^= 1 << int(random.integers(0, 8))
        else:
            top = min(len(changed), 200) if kind == "start" else len(changed)
            for place in random.integers(0, max(1, top - 4), int(random.integers(1, 5))):
                changed[place : place + 4] = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0")[number % 3]
        yield Case(door, f"{kind} {number}", bytes(changed), suffix)
