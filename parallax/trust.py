"""`parallax trust`: how far to believe each method on each model, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parallax.arguments import images_of, rows_of, store_of_settings
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import First, Images, Models, Only, several
from parallax.progress import ProgressBar, complain


def trust(
    *,
    models: Models,
    images: Images,
    methods: Annotated[list[str], several("METHOD...", "Explanation methods; all by default, see list methods.")],
    only: Only,
    first: First = None,
    slow_on: Annotated[int, typer.Option(min=0, metavar="N", help="Images explained again for the slow figures.")] = 16,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The table as CSV.")] = None,
) -> int:
    """Measure how far to believe methods on models.

    The table has insertion, deletion, randomisation, sensitivity and others; where the images have masks, pointing game
    and relevance mass for each kind of mask.

    \b
    Example:
      python -m parallax trust --models demo --images demo --first 20 --methods grad-cam occlusion --out trust.csv
    """
    import pandas as pd

    from explainers.evaluation.table import EXPOSING, evaluate, exposed
    from explainers.registry import METHODS, method
    from explainers.results import Sources
    from models.store import ModelStore
    from parallax.sources import open_models

    chosen = [method(name) for name in methods] if methods else list(METHODS.values())
    model_store, failures = ModelStore(), dict[str, str]()
    cards, image_set = open_models(model_store, *models), images_of(images)
    ids = [image_set.ids[row] for row in rows_of(image_set, only, first)]
    with ProgressBar("maps") as progress:
        figures = evaluate(
            Sources(model_store, store_of_settings(), image_set, say=progress.describe),
            cards,
            chosen,
            ids,
            n_slow=slow_on,
            progress=progress,
            failures=failures,
        )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        figures.to_csv(out, index=False)
    with pd.option_context("display.max_rows", None, "display.max_columns", None, "display.width", 220):
        shown = figures.fillna({"reason": ""})
        print(shown.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}", max_colwidth=60))
    for kind, by_model in exposed(figures).items():
        for model, by in by_model.items():
            if by:
                print(f"{model}: {kind} holds over {EXPOSING:g} × an even share in {len(by)} methods: {', '.join(by)}")
    names = {card.digest: card.name for card in cards}
    for row, reason in failures.items():
        name, digest = row.split()
        complain(f"{names[digest]} · {METHODS[name].title}: {reason}")
    return SOME_FAILED if failures else DONE
