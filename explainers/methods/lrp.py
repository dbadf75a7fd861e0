"""Layer-wise relevance propagation: the score is handed back, layer by layer, to what it was made from."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting, target_scores
from explainers.engines.lrp_mode import LRPMode
from explainers.engines.lrp_rules import AlphaBeta, Epsilon, Gamma, Rules, box, flat
from explainers.engines.relu import obstacle
from explainers.output import LOGIT, UNIT
from models.card import ModelCard
from models.store import ModelHandle

_CONSTANTS = (
    "Where a model has gates, attention or layer norms, their factors are taken as given: why the model looked there "
    "is not explained."
)


class LRP(Explainer):
    """What the LRP methods share: relevance starts as the target's score and goes back by the rules of `LRPMode`.

    Relevance is conserved from layer to layer, but for what biases take. Probabilities cannot be explained: a softmax
    has no rule.
    """

    family, signed = "relevance", True
    outputs = (LOGIT, UNIT)
    tried_as = ("lrp-epsilon",)
    chunk = 8

    @abstractmethod
    def rules(self, model: ModelHandle, inputs: Tensor, params: Any) -> Rules:
        """The rule of each kind of layer, for `inputs` (N, C, H, W)."""

    def applies(self, card: ModelCard) -> str | None:
        """`None` for every net whose functions can be met one by one, and had rules when its card was made."""
        if any("ScriptModule" in name for name in card.facts):
            return f"{card.name} is compiled: its layers cannot be given rules."
        return super().applies(card)

    def attribute(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, in units of the score, summed over channels."""
        inputs = inputs.detach().requires_grad_()
        with torch.enable_grad(), LRPMode(self.rules(model, inputs, params)) as mode:
            scores = target_scores(model.scores(mode.picture(inputs)), targets)
        if not scores.requires_grad:
            raise InputError("a score that depends on the image", f"a constant from {model.card.name}", "")
        return torch.autograd.grad(scores, inputs, torch.ones_like(scores))[0].sum(1)

    @torch.no_grad()
    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any) -> Tensor:
        """The target's score (N,)."""
        return target_scores(model.scores(inputs), targets)


class LRPEpsilon(LRP):
    """The epsilon rule in every layer (Bach et al. 2015, eq. 58); with its tiny default the z-rule, LRP-0 (eq. 56).

    R_i = sum_j a_i w_ij / (z_j + epsilon sign z_j) · R_j, with z_j = sum_i a_i w_ij + b_j. In a net of ReLUs LRP-0 is
    input times gradient; on a linear model R = w · x. A forward and a backward pass.
    """

    name, title = "lrp-epsilon", "LRP-ε"
    question = "How much of the answer does each pixel carry, for and against?"
    recipe = "Walks back through the model and splits each unit's share of the answer in proportion to what fed it."
    reference = "Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP"
    caution = (
        "With a tiny epsilon it comes close to input times gradient and is as noisy in deep models; biases take a part "
        f"of the answer. {_CONSTANTS}"
    )

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How much weak evidence is swallowed."""

        epsilon: float = setting(1e-6, low=1e-9, high=10.0, help="Larger values drop weak and contradictory evidence.")

    def rules(self, model: ModelHandle, inputs: Tensor, params: Params) -> Rules:
        """Epsilon everywhere."""
        return Rules(Epsilon(params.epsilon), Epsilon(params.epsilon))


class LRPGamma(LRP):
    """The gamma rule in every layer (Montavon et al. 2019, section 10.2, table 10.1).

    R_i = sum_j a_i (w_ij + gamma w_ij+) / sum_0,i a_i (w_ij + gamma w_ij+) · R_j: what excites counts more. For units
    and inputs below zero, its mirror image (Andéol et al. 2021). Two forward passes and one or two backward.
    """

    name, title = "lrp-gamma", "LRP-γ"
    question = "How much of the answer does each pixel carry, if what excites counts more than what inhibits?"
    recipe = "Walks back through the model like LRP-ε, but gives excitation more weight, which calms the map."
    reference = "Montavon et al. 2019, Layer-Wise Relevance Propagation: An Overview"
    caution = f"The larger gamma, the less evidence against the class is shown. {_CONSTANTS}"

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How much excitation is favoured."""

        gamma: float = setting(0.25, low=0.0, high=100.0, help="0 treats excitation and inhibition alike.")

    def rules(self, model: ModelHandle, inputs: Tensor, params: Params) -> Rules:
        """Gamma everywhere."""
        return Rules(Gamma(params.gamma), Gamma(params.gamma))


class LRPZPlus(LRP):
    """The z+ rule in every layer (Montavon et al. 2017, section 4; Bach et al. 2015, eq. 60 with alpha = 1).

    R_i = sum_j (a_i w_ij)+ / sum_i (a_i w_ij)+ · R_j; biases get nothing, relevance of a unit that nothing excites is
    lost. Two forward passes and a backward; one more of both in layers whose inputs go below zero.
    """

    name, title = "lrp-z-plus", "LRP-z⁺"
    question = "Which pixels excited the units that carry the answer?"
    recipe = "Walks back through the model along excitation alone."
    reference = "Montavon et al. 2017, Explaining Nonlinear Classification Decisions with Deep Taylor Decomposition"
    caution = (
        "Following excitation alone, maps of different classes look much alike (Sixt et al. 2020, When Explanations "
        "Lie). What units driven by their bias alone carry is lost: in MobileNets that is most of the answer. "
        f"{_CONSTANTS}"
    )

    def rules(self, model: ModelHandle, inputs: Tensor, params: ExplainerParams) -> Rules:
        """z+ everywhere."""
        return Rules(AlphaBeta(), AlphaBeta())


class LRPAlphaBeta(LRP):
    """The alpha-beta rule in every layer (Bach et al. 2015, eq. 60), beta = alpha - 1.

    R_i = sum_j (alpha (a_i w_ij)+ / sum_i (a_i w_ij)+ - beta (a_i w_ij)- / sum_i (a_i w_ij)-) · R_j, without biases.
    Three forward passes and two backward (alpha = 2); as many again in layers whose inputs go below zero.
    """

    name, title = "lrp-alpha-beta", "LRP-αβ"
    question = "Which pixels excited, and which inhibited, the units that carry the answer?"
    recipe = "Walks back through the model and keeps excitation and inhibition apart, in a fixed ratio."
    reference = LRPEpsilon.reference
    caution = (
        "With alpha = 2 inhibition is always given half the weight of excitation, however little there is; maps of "
        f"different classes look much alike. {_CONSTANTS}"
    )

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The weight of excitation."""

        alpha: int = setting(2, low=1, high=2, help="Weight of excitation; inhibition gets one less.")

    def rules(self, model: ModelHandle, inputs: Tensor, params: Params) -> Rules:
        """Alpha-beta everywhere."""
        return Rules(AlphaBeta(params.alpha), AlphaBeta(params.alpha))


class LRPEpsilonGammaBox(LRP):
    """One rule for each depth of the net (Montavon et al. 2019, section 10.3; composite of Anders et al. 2021).

    Fully connected layers: epsilon. Convolutions: gamma. First layer: the box rule, whose box is what a pixel can be,
    R_i = sum_j (x_i w_ij - l_i w_ij+ - h_i w_ij-) / sum_i (the same) · R_j. Two forward passes and one or two backward.
    """

    name, title = "lrp-epsilon-gamma-box", "LRP (ε, γ, box)"
    question = "Which parts of the image carry the answer, by the rule that suits each depth of the model?"
    recipe = "Walks back through the model by one rule for its head, one for its middle and one for the pixels."
    reference = LRPGamma.reference
    caution = (
        "The more gamma favours excitation, the less evidence against the class is shown; transformers have hardly "
        f"any convolution for it to work on. {_CONSTANTS}"
    )

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How much weak evidence is swallowed, and excitation favoured."""

        epsilon: float = setting(1e-6, low=1e-9, high=10.0, help="For fully connected layers; drops weak evidence.")
        gamma: float = setting(0.25, low=0.0, high=100.0, help="For convolutions; favours what excites.")

    def rules(self, model: ModelHandle, inputs: Tensor, params: Params) -> Rules:
        """Gamma and epsilon, and the box of what the preprocessing can give."""
        return Rules(Gamma(params.gamma), Epsilon(params.epsilon), box, _range_of(model, inputs))


class LRPEpsilonPlusFlat(LRP):
    """One rule for each depth of the net (Montavon et al. 2019, section 10.3; Lapuschkin et al. 2019).

    Fully connected layers: epsilon. Convolutions: z+, R_i = sum_j (a_i w_ij)+ / sum_i (a_i w_ij)+ · R_j, which only
    follows what excites; relevance of a unit that nothing excites is lost. First layer: flat, R_i = sum_j R_j / n_j
    over the n_j inputs that unit j sees, whatever their values. Two forward passes and a backward.
    """

    name, title = "lrp-epsilon-plus-flat", "LRP (ε, z⁺, flat)"
    question = "Which parts of the image carry the answer, followed along what excites?"
    recipe = "Walks back through the model along excitation, and spreads it evenly over what the first layer sees."
    reference = LRPGamma.reference
    caution = (
        "z⁺ follows excitation alone: maps of different classes look much alike (Sixt et al. 2020, When Explanations "
        "Lie). What units driven by their bias alone carry is lost: in MobileNets that is most of the answer. "
        f"{_CONSTANTS}"
    )

    def rules(self, model: ModelHandle, inputs: Tensor, params: ExplainerParams) -> Rules:
        """z+, epsilon and flat."""
        return Rules(AlphaBeta(), Epsilon(), flat, (torch.ones_like(inputs),))


class DeepTaylor(LRP):
    """Deep Taylor decomposition of a ReLU net (Montavon et al. 2017, sections 4 and 5).

    A Taylor expansion of every unit at a root point within what its inputs can be: z+ in all layers and sums, since
    ReLUs are never negative, and the box rule for pixels. Only a positive score can be decomposed: where it is not, the
    map is zero. Two forward passes and a backward; one more of both in layers whose inputs go below zero.
    """

    name, title, signed = "deep-taylor", "Deep Taylor", False
    needs = frozenset({Need.RELU})
    question = "Which pixels made a positive score, each unit explained by what excited it?"
    recipe = "Expands every unit around the nearest input that would silence it, from the score back to the pixels."
    reference = LRPZPlus.reference
    caution = (
        "It shows no evidence against the class, and nothing at all where the score is negative; following excitation "
        "alone, maps of different classes look much alike (Sixt et al. 2020, When Explanations Lie)."
    )

    def applies(self, card: ModelCard) -> str | None:
        """`None` for nets of ReLUs, else what goes below zero or weighs by the picture itself."""
        reason = obstacle(card)
        return super().applies(card) or (
            f"{self.title} is made for ReLU networks; {card.name} {reason}." if reason else None
        )

    def rules(self, model: ModelHandle, inputs: Tensor, params: ExplainerParams) -> Rules:
        """z+ everywhere, the box for pixels."""
        return Rules(AlphaBeta(), AlphaBeta(), box, _range_of(model, inputs), excited=True)

    def attribute(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 of at least 0, in units of the score."""
        return super().attribute(model, inputs, targets, params, progress).clamp(min=0)


def _range_of(model: ModelHandle, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest values that normalised pictures can have, each in the shape of `inputs` (N, C, H, W)."""
    mean, std = (values.to(inputs) for values in model.card.preprocessing.mean_and_std())
    return tuple(((end - mean) / std).expand_as(inputs).contiguous() for end in (0.0, 1.0))  # type: ignore[return-value]
