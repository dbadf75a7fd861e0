"""One case through its door, under watch; and an honest file through each, so that libraries are loaded before."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from common.errors import InputError
from tests.hostile.cases import Case
from tests.hostile.intakes import INTAKES, picture
from tests.hostile.watch import Watch


def once(case: Case, watch: Watch) -> dict[str, str]:
    """The offences of one case."""
    content = case.read()
    found = watch.run(lambda: INTAKES[case.door](content, case.name, watch.folder))
    for place in ("folder", "torchvision"):
        shutil.rmtree(watch.folder / place, ignore_errors=True)
    return found


def honest(data: Path) -> None:
    """What every door takes."""
    contents = {"image": picture(), "mask": picture(), "names": b"a.png", "class_names": b"a\n" * 10, "query": b"x"}
    for door, intake in INTAKES.items():
        with suppress(InputError):
            intake(contents.get(door, b""), "honest.png" if door in ("image", "mask") else "honest.pt", data)
    for text in (b"timm/test_vit?random", b"torchvision/squeezenet1_1?random&num_classes=2", b"cifar/resnet20?random"):
        INTAKES["model_text"](text, "", data)
