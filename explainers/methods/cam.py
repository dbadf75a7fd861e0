"""Class activation maps: a layer's feature maps, weighted by what they are worth to the target."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting, target_scores
from explainers.methods.activation import layer_maps
from models.layers import as_maps, capture
from models.store import ModelHandle


@dataclass(frozen=True)
class LayerParams(ExplainerParams):
    """The layer to look at."""

    layer: str | None = setting(None, help="Layer to look at; the last one with spatial extent.", kind="layer")


class ClassActivation(Explainer):
    """What all maps share that are made from a layer's output A and its gradient G = d score / d A.

    The graph starts at the layer: all that comes before it is a bare forward pass. Methods differ in `combine` alone.
    """

    family, signed = "class activation", False
    needs = frozenset({Need.SPATIAL_LAYER})
    tried_as = ("grad-cam",)
    Params = LayerParams

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: LayerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 at the layer's resolution."""
        spec, layer = model.card.layer(params.layer), model.layer(params.layer)
        with torch.enable_grad(), capture(layer, leaf=True) as outputs:
            scores = target_scores(model.scores(inputs), targets)
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(scores.sum(), outputs[layer], allow_unused=True)
        if gradient is None:
            cure = "Pick a layer on the way to the output."
            raise InputError("a layer that the logits depend on", repr(spec.name), cure)
        return self.combine(as_maps(outputs[layer].detach(), spec), as_maps(gradient, spec))

    @abstractmethod
    def combine(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """Feature maps and their gradient, each (N, K, h, w) float32 -> (N, h, w) float32."""


class GradCAM(ClassActivation):
    """Gradient-weighted class activation map (Selvaraju et al. 2017, eq. 1-2).

    alpha_k = mean over space of d logit / d A^k weights each feature map A^k of a layer, and
    M = ReLU(sum_k alpha_k A^k) keeps what speaks for the target. Coarse, class-specific, never negative.
    """

    name, title = "grad-cam", "Grad-CAM"
    question = "Where did the layer find what speaks for this class?"
    recipe = (
        "Weigh each feature map of the layer by how much the class gains from more of it, on average over the image; "
        "add them up and keep what is positive."
    )
    reference = "Selvaraju et al. 2017, Grad-CAM: Visual Explanations via Gradient-based Localization"
    caution = (
        "As coarse as the layer, and blind to evidence against the class: an empty map means none was found for it."
    )

    def combine(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """(N, h, w) float32 >= 0."""
        return torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), maps).relu()


class GradCAMPlusPlus(ClassActivation):
    """Grad-CAM that averages positive gradients only, each place by its own weight (Chattopadhay et al. 2018, eq. 19).

    M = ReLU(sum_k w_k A^k), w_k = sum_ij alpha_ij ReLU(G^k_ij), for the score exp(logit), whose higher derivatives are
    powers of G: alpha_ij = G² / (2 G² + (sum_ab A^k_ab) G³) = 1 / (2 + (sum_ab A^k_ab) G_ij). The factor exp(logit) of
    the gradient, the same all over a map, is left out.
    """

    name, title = "grad-cam-plus-plus", "Grad-CAM++"
    question = "Where did the layer find the class, when it may stand in several places?"
    recipe = (
        "As Grad-CAM, but only places where more of a feature would help the class vote on its weight, "
        "so that small and repeated objects count as much as one large one."
    )
    reference = "Chattopadhay et al. 2018, Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks"
    caution = (
        "It ignores what speaks against a feature, and its weights are made for layers behind a ReLU: "
        "elsewhere, as in transformers, trust it less."
    )

    def combine(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """(N, h, w) float32 >= 0."""
        divisor = 2 + maps.sum((2, 3), keepdim=True) * gradient
        alpha = torch.where(divisor == 0, 0, 1 / divisor)
        weights = (alpha * gradient.relu()).sum((2, 3))
        return torch.einsum("nk,nkhw->nhw", weights, maps).relu()


class HiResCAM(ClassActivation):
    """Gradient times feature map, place by place (Draelos & Carin 2020, section 3).

    M = sum_k G^k ⊙ A^k, without a ReLU: where one linear layer follows, the map sums to the logit minus its bias, which
    a clipped map could not. Negative places speak against the target.
    """

    name, title, signed = "hirescam", "HiResCAM", True
    question = "At which places does what the layer found raise or lower this class?"
    recipe = "Multiply each feature by the gradient of the class at the very same place, and add up over the features."
    reference = "Draelos & Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations"
    caution = "As coarse as the layer; its promise to show what was used holds where one linear layer follows."

    def combine(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """(N, h, w) float32, in logits."""
        return torch.einsum("nkhw,nkhw->nhw", gradient, maps)


class LayerCAM(ClassActivation):
    """Feature maps weighted by their own positive gradient at each place (Jiang et al. 2021, section III).

    M = ReLU(sum_k ReLU(G^k) ⊙ A^k).
    """

    name, title = "layercam", "LayerCAM"
    question = "At which places would more of what the layer found help this class?"
    recipe = (
        "Multiply each feature by the gradient of the class at the same place where that is positive, and add up; "
        "early layers give finer maps."
    )
    reference = "Jiang et al. 2021, LayerCAM: Exploring Hierarchical Class Activation Maps for Localization"
    caution = "Blind to evidence against the class: a place may light up although the layer as a whole denies it."

    def combine(self, maps: Tensor, gradient: Tensor) -> Tensor:
        """(N, h, w) float32 >= 0."""
        return torch.einsum("nkhw,nkhw->nhw", gradient.relu(), maps).relu()


class ScoreCAM(Explainer):
    """Feature maps weighted by the score of the picture seen through them, no gradients (Wang et al. 2020, section 3).

    H_k = A^k, upsampled and scaled to [0, 1]; alpha = softmax over k of score(X ⊙ H_k); M = ReLU(sum_k alpha_k A^k).
    The score of the baseline, which the paper subtracts, is one number for all k: softmax does not see it. Only the
    `channels` feature maps of largest variance take part.
    """

    name, title, family, signed = "score-cam", "Score-CAM", "class activation", False
    needs = frozenset({Need.SPATIAL_LAYER})
    question = "Through which of the layer's feature maps does the model still see this class?"
    recipe = (
        "Use each feature map as a mask on the image, ask the model again, and weigh the map by its answer. "
        "Only the maps that vary most over the image are tried."
    )
    reference = "Wang et al. 2020, Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks"
    caution = "A few masks get nearly all the weight, and an image behind a mask is unlike any seen in training."
    chunk = 8

    @dataclass(frozen=True)
    class Params(LayerParams):
        """The layer, and how many of its feature maps are tried."""

        channels: int = setting(
            64, low=1, high=4096, help="Feature maps to try, those of largest variance; one pass for each."
        )

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 at the layer's resolution."""
        maps = layer_maps(model, inputs, params.layer)
        n_kept = min(params.channels, maps.shape[1])
        chosen = maps.var((2, 3)).topk(n_kept, dim=1, sorted=False).indices
        maps = maps.gather(1, chosen[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
        images = torch.arange(len(inputs), device=inputs.device).repeat_interleave(n_kept)
        at_once = model.batch
        scores = []
        for some, image in zip(maps.flatten(0, 1).split(at_once), images.split(at_once), strict=True):
            masks = F.interpolate(some[:, None], inputs.shape[2:], mode="bilinear")
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            seen = inputs[image].contiguous(memory_format=torch.channels_last)
            seen *= (masks - low) / (high - low).clamp(min=1e-8)
            with torch.no_grad():
                scores.append(target_scores(model.scores(seen), targets[image]))
            progress(min(len(scores) * at_once, len(images)), len(images))
        weights = torch.cat(scores).view(len(inputs), n_kept).softmax(1)
        return torch.einsum("nk,nkhw->nhw", weights, maps).relu()


class EigenCAM(Explainer):
    """First principal component of a layer's feature maps (Muhammad & Yeasin 2020, section III).

    With the maps as a matrix A (places × features) = U S V^T: M = A v_1, not centred, as in the paper. The sign of v_1,
    which the decomposition leaves open, is the one in which the map's sum is positive; what lies against it is cut off.
    """

    name, title, family, signed = "eigen-cam", "Eigen-CAM", "class activation", False
    needs = frozenset({Need.SPATIAL_LAYER})
    uses_target = False
    question = "Where in the image is what the layer mostly answers to?"
    recipe = (
        "Find the one mixture of features that explains most of the layer's answer, and show how strong it is where."
    )
    reference = "Muhammad & Yeasin 2020, Eigen-CAM: Class Activation Map using Principal Components"
    caution = "It knows no class: the strongest pattern need not be what the decision rests on."
    Params = LayerParams

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: LayerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 at the layer's resolution."""
        maps = layer_maps(model, inputs, params.layer)
        features = maps.flatten(2).transpose(1, 2)  # (N, places, K)
        projected = features @ _first_component(features)
        upright = torch.where(projected.sum((1, 2), keepdim=True) < 0, -projected, projected)
        return upright.view(len(maps), *maps.shape[2:]).relu()


def _first_component(matrices: Tensor) -> Tensor:
    """First right singular vector (N, K, 1) of each matrix (N, P, K), by the smaller of its two Gram matrices.

    Double precision, since a Gram matrix squares what rounding does to singular values.
    """
    n_rows, n_columns = matrices.shape[1:]
    wide = n_rows < n_columns
    rows = (matrices if wide else matrices.transpose(1, 2)).double()
    vector = torch.linalg.eigh(rows @ rows.transpose(1, 2)).eigenvectors[:, :, -1:]
    if wide:
        vector = F.normalize(rows.transpose(1, 2) @ vector, dim=1)
    return vector.to(matrices.dtype)
