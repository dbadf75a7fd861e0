"""What a model sees of a generator's images: its own resize, crop, colours and normalisation, with gradients."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.store import ModelHandle

#: PIL's ways to resize, by torch's; those that torch lacks by the nearest that it has.
_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "box": "area"}

#: PIL's weights of red, green and blue in grey (ITU-R 601).
_LUMA = (0.299, 0.587, 0.114)


class View:
    """How one model sees images that were `height` × `width` pixels before the generator's resize.

    The generator's image covers the whole of the original, squeezed to a square; this undoes it on the way to the
    model's own frame. The way is linear, so that a difference of images becomes a difference of inputs.
    """

    def __init__(self, model: ModelHandle, height: int, width: int) -> None:
        self.preprocessing = model.card.preprocessing
        self.frame = self.preprocessing.frame(height, width)
        _mean, self._std = self.preprocessing.mean_and_std(model.device)
        self._luma = torch.tensor(_LUMA, device=model.device).view(1, 3, 1, 1)

    def __call__(self, made: Tensor) -> Tensor:
        """Images (N, C, side, side) -> (N, c, h, w) in the model's units, up to a constant: divided by std only."""
        made = self._channels(made)
        if tuple(made.shape[2:]) != self.frame.resized:
            mode = _MODES.get(self.preprocessing.interpolation, "bicubic")
            options = {} if mode in ("nearest-exact", "area") else {"antialias": True, "align_corners": False}
            made = F.interpolate(made, self.frame.resized, mode=mode, **options)
        top, left = self.frame.offset
        height, width = self.frame.size
        bottom, right = top + height - made.shape[2], left + width - made.shape[3]
        if top or left or bottom or right:
            made = F.pad(made, (-left, right, -top, bottom))  # negative padding cuts
        return made / self._std.to(made.dtype)

    def _channels(self, made: Tensor) -> Tensor:
        wanted = self.preprocessing.channels
        if made.shape[1] == wanted:
            return made
        if wanted == 3:
            return made.expand(-1, 3, -1, -1)
        return (made * self._luma.to(made.dtype)).sum(1, keepdim=True)
