"""`parallax train-generator`: the generator of an image set, which contrasts need."""

from dataclasses import replace

from common.files import write_bytes
from parallax import options
from parallax.progress import ProgressBar, complain


def train_generator(*, images: options.Images, settings: options.Settings, out: options.OutFolder) -> bool:
    """Train the generator of images that contrast needs.

    Its samples are drawn as samples.png; it goes on where it was stopped.

    \b
    Example:
      python -m parallax train-generator --images demo --settings side=64 steps=20000 --out generator
    """
    from explainers.contrastive.generators import GeneratorRequest
    from explainers.contrastive.method import GeneratorParams, GeneratorTraining
    from explainers.results import compute
    from figures.maps import tiled, to_png
    from parallax.arguments import params_of
    from parallax.sources import open_sources

    params = params_of(GeneratorParams, GeneratorTraining.title, settings)
    _, sources = open_sources(images=images)
    request = GeneratorRequest(sources.images.digest, params)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ProgressBar(request.unit) as progress:
            compute(replace(sources, say=progress.describe), request, progress)
    finally:
        snapshot = request.load(sources.store)
        if snapshot is not None:
            samples = tiled(snapshot.samples, 8)
            write_bytes(out / "samples.png", to_png(samples.repeat(3, 2) if samples.shape[2] == 1 else samples))
            distance = snapshot.losses[-50:].mean()
            print(f"{snapshot.step:,} steps, distance {distance:.2f} -> {out / 'samples.png'}")
    if snapshot is not None and snapshot.note:
        complain(snapshot.note)
    return snapshot is None or bool(snapshot.note)
