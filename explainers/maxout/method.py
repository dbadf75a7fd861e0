"""MaxOut's settings, and what people should know of it."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from explainers.base import ExplainerParams, setting
from explainers.maxout.parametrisation import BASES, FOURIER, Parametrisation
from explainers.maxout.transforms import Transforms
from models.card import ModelCard

#: The paper's own settings (Table 1); the others came later.
PAPER = ("tv_weight", "norm", "iterations", "smoothing")


@dataclass(frozen=True)
class MaxOutParams(ExplainerParams):
    """Settings of MaxOut: first those of Strezoski and Worring 2017, Table 1, then those of Olah et al. 2017."""

    tv_weight: float = setting(
        0.0,
        low=0.0,
        high=100.0,
        title="TV Weight",
        help="Total variation: what single pixels of black and white in turn would cost, in the units of the target.",
    )
    norm: float = setting(
        0.0,
        low=0.0,
        high=100.0,
        title="Norm",
        help="What an image of pure black and white would cost, in the units of the target; grey costs nothing.",
    )
    iterations: int = setting(256, low=1, help="Steps of gradient ascent. Stop and go on whenever you like.")
    smoothing: bool = setting(False, help="Smooth the image by a Gaussian of one pixel, also in the model's eyes.")
    parametrisation: str = setting(
        FOURIER, choices=BASES, help="Fourier: large forms grow as fast as fine grain. Pixel: the honest gradient."
    )
    decorrelated: bool = setting(
        True, title="Decorrelated colour", help="Colours as they go together in photographs grow first."
    )
    jitter: float = setting(
        0.08, low=0.0, high=0.5, help="Random shift before each step, as a share of the image's side, at most."
    )
    scale: float = setting(0.15, low=0.0, high=0.5, help="Random change of size before each step, as a share, at most.")
    rotate: float = setting(10.0, low=0.0, high=45.0, help="Random rotation before each step, in degrees, at most.")
    learning_rate: float = setting(0.05, low=1e-4, high=10.0, help="Length of Adam's steps.")
    side: int | None = setting(
        None, low=8, high=1024, help="Longer side of the image in pixels, at most the model's input, its default."
    )
    pictures: int = setting(
        1, low=1, high=8, title="Diversity", help="Images of each target, as different as they can be."
    )
    apart: float = setting(
        1.0, low=0.0, high=10.0, help="How much likeness between images of a target costs, as a share of its value."
    )
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the beginning and of the random moves.")

    @property
    def transforms(self) -> Transforms:
        """The random moves before each step."""
        return Transforms(self.jitter, self.scale, self.rotate)

    @property
    def cache_fields(self) -> dict[str, Any]:
        """All that makes the images but for how long it takes: runs that agree in it go on with each other."""
        return {name: value for name, value in asdict(self).items() if name != "iterations"}

    def parametrised(self, card: ModelCard) -> Parametrisation:
        """How the images of a model are parametrised."""
        height, width = card.input_size
        share = 1.0 if self.side is None else min(1.0, self.side / max(height, width))
        height, width = max(2, round(share * height)), max(2, round(share * width))
        return Parametrisation(
            card.preprocessing.channels, height, width, self.parametrisation, self.decorrelated, self.smoothing
        )


class MaxOut:
    """The image that activates a target most (Strezoski and Worring 2017, section 4.1).

    x* = argmax f(x) - w_TV TV(x) - w_N |x - grey|², by Adam from noise: activation maximisation (Erhan et al. 2009),
    over frequencies, decorrelated colours and random moves as Olah et al. 2017 have it. It needs no image.
    """

    name: ClassVar[str] = "maxout"
    title: ClassVar[str] = "MaxOut"
    family: ClassVar[str] = "activation maximisation"
    question: ClassVar[str] = "What would the perfect image for this class or unit look like?"
    recipe: ClassVar[str] = (
        "It starts from noise and changes the image step by step so that the target is activated more strongly. Random "
        "moves before each step keep it from finding a pattern of single pixels that only the model can see."
    )
    reference: ClassVar[str] = (
        "Strezoski and Worring 2017, Plug-and-Play Interactive Deep Network Visualization; "
        "Olah et al. 2017, Feature Visualization"
    )
    caution: ClassVar[str] = (
        "It shows one way to activate the target, far from any image of the data set, and says nothing of what would "
        "suppress it. With the pixel parametrisation and no moves it is the bare gradient: the highest value, and "
        "mostly noise to people."
    )
    Params: ClassVar[type[ExplainerParams]] = MaxOutParams
