"""What a layer answers, without asking what it is for."""

from dataclasses import dataclass

import captum.attr
from torch import Tensor

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting
from models.layers import as_maps
from models.store import ModelHandle


def layer_maps(model: ModelHandle, inputs: Tensor, name: str | None) -> Tensor:
    """Feature maps (N, K, h, w) float32 of a layer, the default one for `None`, from a bare forward pass."""
    spec, layer = model.card.layer(name), model.layer(name)
    return as_maps(captum.attr.LayerActivation(model.logits, layer).attribute(inputs), spec)


class Activation(Explainer):
    """Output of a layer, or of one of its units, where in the picture it arises (Yosinski et al. 2015, section 2).

    M = A^k for unit k, or the mean of A^k over all units. There is no target: the map shows what the layer answers
    to, not what the model makes of it.
    """

    name, title, family, signed, uses_target = "activation", "Activation", "activation", True, False
    needs = frozenset({Need.SPATIAL_LAYER})
    question = "Where in the image does this layer, or this unit of it, answer, and how strongly?"
    recipe = "Show the layer's answer itself, averaged over its units, or that of one of them."
    reference = "Yosinski et al. 2015, Understanding Neural Networks Through Deep Visualization"
    caution = "It knows no class: a unit may answer strongly to what the decision ignores."

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The layer and the unit to look at."""

        layer: str | None = setting(None, help="Layer to look at; the last one with spatial extent.", kind="layer")
        unit: int | None = setting(
            None, low=0, help="One unit of the layer; the mean of all by default.", free="all units"
        )

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 at the layer's resolution."""
        spec = model.card.layer(params.layer)
        if params.unit is not None and params.unit >= spec.n_units:
            cure = "Pick a smaller number."
            raise InputError(f"a unit of {spec.name} (0 to {spec.n_units - 1})", str(params.unit), cure)
        maps = layer_maps(model, inputs, params.layer)
        return maps.mean(1) if params.unit is None else maps[:, params.unit]
