"""The one list of explanation methods."""

from __future__ import annotations

from bank.errors import InputError, did_you_mean
from explainers.activations import Activation
from explainers.attention import AttentionRollout, GradientRollout, LeGrad
from explainers.base import Explainer
from explainers.cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM
from explainers.deeplift import DeepLIFT, DeepLIFTSHAP
from explainers.gradient import InputXGradient, Saliency
from explainers.guided import Deconvolution, GuidedBackprop, GuidedGradCAM
from explainers.lrp import (
    DeepTaylor,
    LRPAlphaBeta,
    LRPEpsilon,
    LRPEpsilonGammaBox,
    LRPEpsilonPlusFlat,
    LRPGamma,
    LRPZPlus,
)
from explainers.noise import SmoothGrad, SmoothGradSquared, VarGrad
from explainers.occlusion import Occlusion
from explainers.path import GradientSHAP, IntegratedGradients
from explainers.patterns import PatternAttribution, PatternNet
from explainers.prediction_difference.method import PredictionDifference
from explainers.reason import MultiLayerGradCAM
from explainers.rise import RISE
from explainers.shapley import ShapleySampling
from explainers.surrogate import LIME, KernelSHAP

#: Every method by name, in the order in which pages offer them.
METHODS: dict[str, Explainer] = {
    method.name: method
    for method in (
        GradCAM(),
        MultiLayerGradCAM(),
        GradCAMPlusPlus(),
        HiResCAM(),
        LayerCAM(),
        ScoreCAM(),
        EigenCAM(),
        GuidedBackprop(),
        GuidedGradCAM(),
        Deconvolution(),
        Saliency(),
        InputXGradient(),
        SmoothGrad(),
        SmoothGradSquared(),
        VarGrad(),
        IntegratedGradients(),
        GradientSHAP(),
        DeepLIFT(),
        DeepLIFTSHAP(),
        LRPEpsilon(),
        LRPGamma(),
        LRPZPlus(),
        LRPAlphaBeta(),
        LRPEpsilonGammaBox(),
        LRPEpsilonPlusFlat(),
        DeepTaylor(),
        PatternNet(),
        PatternAttribution(),
        Occlusion(),
        PredictionDifference(),
        RISE(),
        LIME(),
        KernelSHAP(),
        ShapleySampling(),
        AttentionRollout(),
        GradientRollout(),
        LeGrad(),
        Activation(),
    )
}


def method(name: str) -> Explainer:
    """The method called `name`; raises `InputError` with the nearest names for an unknown one."""
    if name not in METHODS:
        cure = did_you_mean(name, METHODS) or f"Known: {', '.join(METHODS)}."
        raise InputError("an explanation method", repr(name), cure)
    return METHODS[name]
