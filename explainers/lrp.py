"""Layer-wise relevance propagation: the logit is handed back, layer by layer, to what it was made from."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor
from zennit.canonizers import Canonizer
from zennit.composites import EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.core import Composite
from zennit.rules import Epsilon, ZPlus
from zennit.types import Convolution, Linear

from bank.bank import Loan
from bank.card import ModelCard
from explainers.base import Explainer, ExplainerParams, Progress
from explainers.canonizers import RelevanceRules, batch_norm_merger
from explainers.rectifiers import other_activations

#: zennit's stabiliser: added to each denominator with its sign, so that nothing is divided by zero.
EPSILON = 1e-6

#: Module classes by parts of their names, and why relevance does not get through them.
_OBSTACLES = {
    "Attention": "attention multiplies activations",
    "LayerNorm": "it normalises by the picture's own statistics",
    "GroupNorm": "it normalises by the picture's own statistics",
    "InstanceNorm": "it normalises by the picture's own statistics",
    "RmsNorm": "it normalises by the picture's own statistics",
    "SqueezeEx": "its gates multiply activations",
    "SEModule": "its gates multiply activations",
    "Sigmoid": "its gates multiply activations",
    "Hardsigmoid": "its gates multiply activations",
}


class LRP(Explainer):
    """What the LRP methods share: relevance starts as the target's logit and is redistributed by zennit's rules.

    Batch norms are folded into the layers before them; sums and means outside modules share relevance out as
    `RelevanceRules` says. Relevance is conserved from layer to layer, but for what biases take.
    """

    family, signed = "relevance", True
    chunk = 8

    @abstractmethod
    def composite(self, canonizers: list[Canonizer]) -> Composite:
        """The rule of each layer, as zennit has it."""

    def applies(self, card: ModelCard) -> str | None:
        """`None` for convolutional nets of ReLUs, else the module that has no rule and why."""
        if others := [name for name in other_activations(card) if name != "LeakyReLU"]:
            return f"LRP's rules are made for ReLU nets; {card.name} uses {' and '.join(others)}."
        for part, reason in _OBSTACLES.items():
            if found := [name for name in card.facts if part in name]:
                return f"LRP has no rule for {found[0]} in {card.name}: {reason}."
        return super().applies(card)

    def attribute(
        self, loan: Loan, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits, summed over channels."""
        inputs = inputs.detach().requires_grad_()
        composite = self.composite([batch_norm_merger(loan.module, inputs[:1])])
        try:
            composite.register(loan.module)
            with torch.enable_grad(), RelevanceRules(loan.module):
                logits = loan.scores(inputs)
            start = F.one_hot(targets, logits.shape[1]) * logits.detach()
            (relevance,) = torch.autograd.grad(logits, inputs, start)
        finally:
            composite.remove()
        return relevance.sum(1)


class LRPZ(LRP):
    """The z-rule, LRP-0, in every layer (Bach et al. 2015, eq. 56; as epsilon rule, eq. 58, with epsilon = 1e-6).

    R_i = sum_j a_i w_ij / (z_j + epsilon sign z_j) · R_j, with z_j = sum_i a_i w_ij + b_j. The tiny epsilon only keeps
    the division defined. In a net of ReLUs this is input times gradient, up to biases; on a linear model R = w · x.
    """

    name, title = "lrp-z", "LRP (z-rule)"
    question = "How much of the answer does each pixel carry, for and against?"
    reference = "Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP"
    caution = "In deep nets it comes close to input times gradient and is as noisy; biases take a part of the answer."

    def composite(self, canonizers: list[Canonizer]) -> Composite:
        """Epsilon rule on every layer with weights."""
        rules = [*layer_map_base(EPSILON), (Linear, Epsilon(epsilon=EPSILON))]
        return LayerMapComposite(rules, canonizers=canonizers)


class LRPEpsilonPlusFlat(LRP):
    """One rule for each depth of the net (Montavon et al. 2019, section 10.3; Lapuschkin et al. 2019).

    Fully connected layers: the epsilon rule. Convolutions: z+, R_i = sum_j (a_i w_ij)+ / sum_i (a_i w_ij)+ · R_j,
    which only follows what excites; relevance of a unit that nothing excites is lost. First layer: flat,
    R_i = sum_j R_j / n_j over the n_j inputs that unit j sees, whatever their values.
    """

    name, title = "lrp-epsilon-plus-flat", "LRP (epsilon, z⁺, flat)"
    question = "Which parts of the picture carry the answer, followed along what excites?"
    reference = "Montavon et al. 2019, Layer-Wise Relevance Propagation: An Overview"
    caution = (
        "z⁺ follows excitation alone: maps of different classes look much alike (Sixt et al. 2020, When Explanations "
        "Lie). What units driven by their bias alone carry is lost: in MobileNets that is most of the answer."
    )

    def composite(self, canonizers: list[Canonizer]) -> Composite:
        """zennit's composite of this name, but with z+ as the paper has it, without a share for the biases."""
        z_plus = (Convolution, ZPlus(stabilizer=EPSILON, zero_params=["bias"]))
        return EpsilonPlusFlat(epsilon=EPSILON, stabilizer=EPSILON, layer_map=[z_plus], canonizers=canonizers)
