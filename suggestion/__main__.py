"""Score models on images without a browser: `python -m suggestion --models … --images … --out predictions.parquet`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from common.errors import InputError
from common.settings import settings
from models.store import ModelStore
from parallax.sources import open_images, open_models
from suggestion import scoring
from suggestion.views import accuracy, agreement


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m suggestion", description=__doc__)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL", help=open_models.__doc__)
    parser.add_argument("--images", required=True, help="demo, a folder, a zip or a picture")
    parser.add_argument("--class-names", type=Path, help="one name a line, or JSON; for checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write")
    chosen = parser.parse_args(arguments)
    try:
        model_store = ModelStore()
        cards = [card for text in chosen.models for card in open_models(model_store, text, chosen.class_names)]
        images = open_images(chosen.images)
        folder = settings().data_folder / "predictions"
        failed = scoring.score(model_store, cards, images, folder, _Progress())
        for digest, reason in failed.items():
            print(f"{next(c.name for c in cards if c.digest == digest)} is left out: {reason}", file=sys.stderr)
        table = scoring.load([card for card in cards if card.digest not in failed], images, folder)
        if table is None:
            return 1
        table.save(chosen.out, images.names)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    shares, counts = accuracy(table)
    for name, share, count in zip(table.model_names, shares, counts, strict=True):
        print(f"{name}: right on {share:.1%} of {count:,} labelled images" if count else f"{name}: no label it knows")
    if len(cards) > 1:
        print(f"All models agree on {(agreement(table).min()):.1%} of the images at least pairwise.")
    print(f"{len(table):,} images × {len(table.models)} models -> {chosen.out}")
    return 0


class _Progress:
    """A line on a terminal: answers done, answers per second, time left."""

    def __init__(self) -> None:
        self.started, self.first = time.monotonic(), -1

    def __call__(self, done: int, total: int) -> None:
        if self.first < 0:
            self.first = done
        seconds = time.monotonic() - self.started
        rate = (done - self.first) / seconds if seconds > 0 else 0.0
        left = f"{(total - done) / rate:.0f} s left" if rate else "…"
        end = "\n" if done == total else "\r"
        print(f"{done:,} of {total:,} answers · {rate:.0f}/s · {left}      ", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
