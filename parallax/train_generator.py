"""`parallax train-generator`: the generator of an image set, which contrasts need."""

from __future__ import annotations

from parallax.arguments import images_of, params_of, store_of_settings
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import Images, OutFolder, Settings
from parallax.progress import ProgressBar, complain


def train_generator(*, images: Images, settings: Settings, out: OutFolder) -> int:
    """Train the generator of images that contrast needs.

    Its samples are drawn as samples.png; it goes on where it was stopped.

    \b
    Example:
      python -m parallax train-generator --images demo --settings side=64 steps=20000 --out generator
    """
    from explainers.contrastive.generators import GeneratorRequest
    from explainers.contrastive.method import GeneratorParams, GeneratorTraining
    from explainers.contrastive.ready_made import sheet
    from explainers.results import Sources, compute
    from figures.maps import to_png
    from models.store import ModelStore

    params = params_of(GeneratorTraining(), settings)
    assert isinstance(params, GeneratorParams)
    store, image_set = store_of_settings(), images_of(images)
    request = GeneratorRequest(image_set.digest, params)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ProgressBar(request.unit) as progress:
            compute(Sources(ModelStore(), store, image_set, say=progress.describe), request, progress)
    finally:
        snapshot = request.load(store)
        if snapshot is not None:
            samples = sheet(snapshot.samples)
            (out / "samples.png").write_bytes(to_png(samples.repeat(3, 2) if samples.shape[2] == 1 else samples))
            distance = snapshot.losses[-50:].mean()
            print(f"{snapshot.step:,} steps, distance {distance:.2f} -> {out / 'samples.png'}")
    if snapshot is None:
        return SOME_FAILED
    if snapshot.note:
        complain(snapshot.note)
        return SOME_FAILED
    return DONE
