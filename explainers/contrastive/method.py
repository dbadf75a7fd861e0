"""Settings of contrastive explanations and of their generators, and what people should know of both."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from explainers.base import ExplainerParams, setting
from explainers.contrastive.generator import Shape

#: Image sets smaller than this teach a generator nothing but themselves; of larger ones, it learns from so many.
FEWEST_IMAGES, MOST_IMAGES = 300, 20_000


@dataclass(frozen=True)
class GeneratorParams(ExplainerParams):
    """Settings of a generator: a WGAN with gradient penalty (Gulrajani et al. 2017, Algorithm 1)."""

    steps: int = setting(4000, low=1, high=1_000_000, help="Steps of the generator. Stop and go on whenever you like.")
    side: int = setting(32, low=32, high=64, help="Side of its images in pixels: 32, or 64 for more detail.")
    latent: int = setting(
        64, low=2, high=512, help="Numbers that an image is made from: 64 for digits, 200 for clothes."
    )
    width: int = setting(32, low=4, high=256, help="Channels of its last layer; twice as many take four times as long.")
    batch: int = setting(64, low=8, high=512, help="Images in a step.")
    critic_steps: int = setting(5, low=1, high=20, help="Steps of the critic before each step of the generator.")
    penalty: float = setting(10.0, low=0.0, high=1000.0, help="Weight of the gradient penalty.")
    learning_rate: float = setting(
        5e-4, low=1e-6, high=0.1, help="Length of Adam's steps; the paper's 1e-4 is safer and takes five times as long."
    )
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of weights and noise.")

    @property
    def cache_fields(self) -> dict[str, Any]:
        """All that makes the generator but for how long it learns."""
        return {name: value for name, value in asdict(self).items() if name != "steps"}

    def shape(self, channels: int) -> Shape:
        """The generator's measures for grey or colour images; raises `InputError` for a side that it cannot have."""
        return Shape(self.side, channels, self.latent, self.width)


@dataclass(frozen=True)
class ContrastParams(ExplainerParams):
    """Settings of the search: CDeepEx, equation 2, or xGEMs where the constraints are off."""

    constraints: bool = setting(
        True, title="No third class", help="Both classes stay ahead of every other (CDeepEx); off, it is xGEMs."
    )
    margin: float = setting(
        0.05, low=0.0, high=10.0, help="How far both classes stay ahead of every other, in logits: the paper's ε."
    )
    rounds: int = setting(15, low=1, high=100, help="Rounds of the augmented Lagrangian, at most.")
    iterations: int = setting(30, low=1, high=1000, help="Steps of L-BFGS within a round, at most.")
    tolerance: float = setting(1e-3, low=1e-12, high=1.0, help="Difference of the two logits that counts as none.")
    restarts: int = setting(4, low=1, high=64, help="Starting points of the inversion; the best is kept.")
    inversion_steps: int = setting(300, low=1, high=10_000, help="Steps of Adam that rebuild the image.")
    prior: float = setting(
        0.01, low=0.0, high=10.0, help="What |z|² costs in the inversion, in squared grey values of all pixels."
    )
    strip: int = setting(9, low=2, high=64, title="Morph steps", help="Images of the morph.")
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the inversion's starting points.")

    @property
    def inversion(self) -> dict[str, Any]:
        """The settings that the inversion depends on."""
        return {name: getattr(self, name) for name in ("restarts", "inversion_steps", "prior", "seed")}


class Contrastive:
    """The nearest image between two classes (CDeepEx, under review at ICLR 2019, equations 1 and 2)."""

    name: ClassVar[str] = "contrast"
    title: ClassVar[str] = "Contrast"
    family: ClassVar[str] = "contrastive explanation"
    question: ClassVar[str] = "Why this class and not that one?"
    recipe: ClassVar[str] = (
        "A generator that learnt the data set rebuilds the image from a few numbers. These are changed as little as "
        "possible until the model finds both classes equally likely, and no third one likelier. What was added and "
        "what was taken away is the answer."
    )
    reference: ClassVar[str] = (
        "CDeepEx: Contrastive Deep Explanations (submitted to ICLR 2019); xGEMs: Joshi et al. 2018; WGAN with gradient "
        "penalty: Gulrajani et al. 2017"
    )
    caution: ClassVar[str] = (
        "It can only show changes that the generator knows how to make. Where the image could not be rebuilt well "
        "(a large residual), the change is of something beside the image. It is the nearest boundary that a search "
        "found, not for certain the nearest there is."
    )
    Params: ClassVar[type[ExplainerParams]] = ContrastParams


class GeneratorTraining:
    """The training of a generator, as pages and command lines read it."""

    name: ClassVar[str] = "generator"
    title: ClassVar[str] = "Generator"
    family: ClassVar[str] = "contrastive explanation"
    question: ClassVar[str] = "What do images of this data set look like?"
    recipe: ClassVar[str] = (
        "Two networks against each other: the critic learns to tell real images from generated ones, the generator to "
        "make images that it takes for real."
    )
    reference: ClassVar[str] = (
        "Gulrajani et al. 2017, Improved Training of Wasserstein GANs; Radford et al. 2015 (DCGAN)"
    )
    caution: ClassVar[str] = "What it does not learn to make, no contrastive explanation can show."
    Params: ClassVar[type[ExplainerParams]] = GeneratorParams
