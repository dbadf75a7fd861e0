"""The one list of explanation methods."""

from common.errors import check_known
from explainers.base import Explainer
from explainers.methods.activation import Activation
from explainers.methods.attention import AttentionRollout, GradientRollout, LeGrad
from explainers.methods.cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM
from explainers.methods.deeplift import DeepLIFT, DeepLIFTSHAP
from explainers.methods.gradient import InputXGradient, Saliency
from explainers.methods.guided import Deconvolution, GuidedBackprop, GuidedGradCAM
from explainers.methods.lime_shap import LIME, KernelSHAP
from explainers.methods.lrp import (
    DeepTaylor,
    LRPAlphaBeta,
    LRPEpsilon,
    LRPEpsilonGammaBox,
    LRPEpsilonPlusFlat,
    LRPGamma,
    LRPZPlus,
)
from explainers.methods.multi_layer_cam import MultiLayerGradCAM
from explainers.methods.occlusion import Occlusion
from explainers.methods.path_gradients import GradientSHAP, IntegratedGradients
from explainers.methods.patterns import PatternAttribution, PatternNet
from explainers.methods.rise import RISE
from explainers.methods.shapley_sampling import ShapleySampling
from explainers.methods.smoothgrad import SmoothGrad, SmoothGradSquared, VarGrad
from explainers.prediction_difference.method import PredictionDifference

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
    check_known(name, METHODS, "an explanation method")
    return METHODS[name]
