"""`parallax score`: models × images -> a table of predictions."""

from pathlib import Path
from typing import Annotated

import typer

from common.settings import settings
from parallax import options
from parallax.progress import ProgressBar, complain


def score(
    *,
    models: options.Models,
    images: options.Images,
    class_names: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names of checkpoints: one a line, or JSON.")
    ] = None,
    out: Annotated[Path, options.out_file("The Parquet file to write.")],
) -> bool:
    """Score images with models and write the predictions.

    \b
    Example:
      python -m parallax score --models demo timm/resnet18 --images demo --out predictions.parquet
    """
    from models.store import ModelStore
    from parallax.sources import open_images, open_models
    from suggestion import scoring
    from suggestion.table import label_note, unknown_labels
    from suggestion.views import accuracy, agreement, shuffled_names

    model_store, folder = ModelStore(), settings().data_folder / "predictions"
    cards, image_set = open_models(model_store, *models, class_names=class_names), open_images(*images)
    if note := label_note(cards, image_set.classes):
        complain(note)
    if unknown := unknown_labels(cards, image_set.classes):
        complain(
            f"{len(unknown)} of {len(image_set.classes)} labels are no class of any model: {', '.join(unknown[:5])}"
        )
    with ProgressBar("predictions") as progress:
        failed = scoring.score(model_store, cards, image_set, folder, progress)
    for card in cards:
        if card.digest in failed:
            complain(f"{card.name} is left out: {failed[card.digest]}")
    table = scoring.load([card for card in cards if card.digest not in failed], image_set, folder)
    if table is None:
        return True
    lost = scoring.unread(table, image_set)
    for image in lost:
        complain(f"{image.name} has no answers: {image.reason}")
    if len(lost) == len(table):
        return True
    out.parent.mkdir(parents=True, exist_ok=True)
    table.save(out, image_set.names)
    shares, counts = accuracy(table)
    for m, (name, share, count) in enumerate(zip(table.model_names, shares, counts, strict=True)):
        print(f"{name}: right on {share:.1%} of {count:,} labelled images" if count else f"{name}: no label it knows")
        if (renamed := shuffled_names(table, m)) is not None:
            complain(
                f"{name}: its class names may be in another order; one would make {renamed:.0%} of its answers right"
            )
    if len(table.models) > 1:
        print(f"Any two models agree on at least {agreement(table).min():.1%} of the images.")
    print(f"{len(table):,} images × {len(table.models)} models -> {out}")
    return bool(failed or lost)
