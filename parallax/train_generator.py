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
    from explainers.contrastive import generators
    from explainers.contrastive.method import GeneratorParams, GeneratorTraining
    from explainers.contrastive.ready_made import sheet
    from figures.maps import to_png

    params = params_of(GeneratorTraining(), settings)
    assert isinstance(params, GeneratorParams)
    store, image_set = store_of_settings(), images_of(images)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ProgressBar("images") as learn, ProgressBar("steps") as progress:
            generators.train(store, image_set, params, progress, learn=learn)
    finally:
        look = generators.find_look(store, generators.Wanted(image_set.digest, params))
        if look is not None:
            samples = sheet(look.samples)
            (out / "samples.png").write_bytes(to_png(samples.repeat(3, 2) if samples.shape[2] == 1 else samples))
            print(f"{look.step:,} steps, distance {look.losses[-50:].mean():.2f} -> {out / 'samples.png'}")
    if look is None:
        return SOME_FAILED
    if look.note:
        complain(look.note)
        return SOME_FAILED
    return DONE
