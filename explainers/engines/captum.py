"""Captum's methods on our models: batches that fit, the fast backward pass, progress and cancelling.

Captum asks for a `forward_func` (here `ModelHandle.scores`) and picks each image's `target` among its columns. How its
gradient methods take a gradient is their attribute `gradient_func`, which may be replaced.
"""

from contextlib import nullcontext
from typing import Any

import torch
from captum.attr import GradientAttribution
from torch import Tensor

from explainers.base import Progress, nobody
from explainers.engines.fast_input_gradient import FastInputGradient
from models.store import ModelHandle


def attribute(
    method: GradientAttribution, model: ModelHandle, inputs: Tensor, targets: Tensor, **options: Any
) -> Tensor:
    """Attributions (N, C, H, W) by a `method` that takes one gradient an image, in passes that fit the model.

    `inputs` (N, C, H, W) float32, normalised; `targets` (N,) int64 columns of the method's `forward_func`; `options`
    are those of the method's own `attribute`.
    """
    n = n_passes(model, len(inputs))
    parts = zip(inputs.chunk(n), targets.chunk(n), strict=True)
    method = fast(method)
    found = [method.attribute(images.detach().requires_grad_(), wanted, **options) for images, wanted in parts]
    return (torch.cat(found) if len(found) > 1 else found[0]).detach()


def n_passes(model: ModelHandle, n_images: int) -> int:
    """Passes of even size, near `model.batch // 2`, in which so many images go forward and backward."""
    return max(1, round(n_images / max(1, model.batch // 2)))


def fast(method: GradientAttribution, progress: Progress = nobody, total: int = 1) -> GradientAttribution:
    """`method` with the fast backward pass on CPUs; `progress` hears how many of `total` inputs have been through."""
    take_gradient, done = method.gradient_func, 0

    def gradient_func(forward_fn: Any, inputs: Any, target_ind: Any, additional_forward_args: Any = None) -> Any:
        nonlocal done
        with FastInputGradient() if inputs[0].device.type == "cpu" else nullcontext():
            gradients = take_gradient(forward_fn, inputs, target_ind, additional_forward_args)
        done += len(inputs[0])
        progress(done, total)
        return gradients

    method.gradient_func = gradient_func
    return method
