"""The one list of explanation methods."""

from __future__ import annotations

from bank.errors import InputError, did_you_mean
from explainers.activations import Activation
from explainers.base import Explainer
from explainers.cam import GradCAM
from explainers.gradient import IntegratedGradients, Saliency, SmoothGrad
from explainers.guided import GuidedBackprop, GuidedGradCAM
from explainers.lrp import LRPZ, LRPEpsilonPlusFlat
from explainers.occlusion import Occlusion

#: Every method by name, in the order in which pages offer them.
METHODS: dict[str, Explainer] = {
    method.name: method
    for method in (
        GradCAM(),
        GuidedBackprop(),
        GuidedGradCAM(),
        Saliency(),
        SmoothGrad(),
        IntegratedGradients(),
        LRPZ(),
        LRPEpsilonPlusFlat(),
        Occlusion(),
        Activation(),
    )
}


def method(name: str) -> Explainer:
    """The method called `name`; raises `InputError` with the nearest names for an unknown one."""
    if name not in METHODS:
        cure = did_you_mean(name, METHODS) or f"Known: {', '.join(METHODS)}."
        raise InputError("an explanation method", repr(name), cure)
    return METHODS[name]
