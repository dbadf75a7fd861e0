"""`parallax trust`: how far to believe each method on each model, as a table."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from parallax import options
from parallax.progress import ProgressBar, complain


def trust(
    *,
    models: options.Models,
    images: options.Images,
    methods: Annotated[
        list[str], options.several("METHOD...", "Explanation methods; all by default, see list methods.")
    ],
    only: options.Only,
    first: options.First = None,
    slow_on: Annotated[int, typer.Option(min=0, metavar="N", help="Images explained again for the slow figures.")] = 16,
    max_sensitivity: Annotated[
        bool, typer.Option("--max-sensitivity", help="Measure it: five more maps each.")
    ] = False,
    out: Annotated[Path | None, options.out_file("The table as CSV.")] = None,
) -> bool:
    """Measure how far to believe methods on models.

    The table has insertion, deletion, infidelity, randomisation, sensitivity and others; where the images have masks,
    pointing game and relevance mass for each kind of mask.

    \b
    Example:
      python -m parallax trust --models demo --images demo --first 20 --methods grad-cam occlusion --out trust.csv
    """
    import pandas as pd

    from explainers.evaluation.table import EXPOSING, evaluate, exposed
    from explainers.evaluation.trust import FIGURES, USUAL
    from explainers.registry import METHODS, method
    from parallax.sources import ids_of, open_sources

    chosen, failures = [method(name) for name in methods or METHODS], dict[str, str]()
    cards, sources = open_sources(models, images)
    ids = ids_of(sources.images, only, first)
    with ProgressBar("maps") as progress:
        sources = replace(sources, say=progress.describe)
        which = FIGURES if max_sensitivity else USUAL
        figures = evaluate(sources, cards, chosen, ids, which, slow_on, progress, failures)
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
    return bool(failures)
