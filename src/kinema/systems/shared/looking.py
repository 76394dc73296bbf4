"""Where a place of a picture looks: a map of self-attention, laid over the picture.

Zhang et al. 2019 (arXiv:1805.08318), figure 5.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import UsageError
from kinema.core.results import Pixels
from kinema.nn.attention import SelfAttention

MARK = (255, 0, 0)
"""colour of the place that looks"""
DARKEST = 0.15
"""of a picture's light is left where nothing is looked at"""


def first_attention(network: nn.Module) -> SelfAttention:
    """The first layer of self-attention; a network without one is refused."""
    for layer in network.modules():
        if isinstance(layer, SelfAttention):
            return layer
    raise UsageError("these weights have no attention, so there is nothing to look at: leave out look.")


def where_it_looks(
    layer: SelfAttention, maps: Tensor, place: tuple[float, float], size: int
) -> tuple[Tensor, tuple[int, int]]:
    """The row of a place in the map of attention, for each item.

    Args:
        layer: of attention.
        maps: what it was given, (B, C, H, W).
        place: how far across and down, each in [0, 1].
        size: of the pictures (S).

    Returns:
        Weights (B, S, S), as parts of the largest of each item, and the first pixel (down, across) of the
        place, which is S/H pixels wide.
    """
    side = maps.shape[-1]
    across, down = (min(int(part * side), side - 1) for part in place)
    _, weights = layer.explicit(maps)
    row = weights[:, down * side + across].float()  # (B, keys)
    keys = side // 2 if layer.pooled else side
    wide = F.interpolate(row.view(-1, 1, keys, keys), (size, size), mode="bilinear")[:, 0]
    return wide / wide.amax((1, 2), keepdim=True), (down * size // side, across * size // side)


def laid_over(pictures: Pixels, weights: Tensor, corner: tuple[int, int], wide: int) -> Pixels:
    """Each picture, and beside it the same with its light where it is looked at, and the place marked.

    Args:
        pictures: uint8 (N, 1, S, S, 3).
        weights: (N, S, S) in [0, 1].
        corner: first pixel of the place, (down, across).
        wide: side of the place in pixels.

    Returns:
        uint8 (N, 1, S, 2 S, 3).
    """
    light = DARKEST + (1 - DARKEST) * weights.cpu().numpy()[:, None, :, :, None]
    lit = np.rint(pictures * light).astype(np.uint8)
    down, across = corner
    lit[:, :, down : down + wide, across : across + wide] = MARK
    return np.concatenate([pictures, lit], 3)


class Watch:
    """Inside, keeps the maps that a layer of attention is given, batch after batch."""

    def __init__(self, layer: SelfAttention) -> None:
        self.layer, self.seen = layer, list[Tensor]()

    def __enter__(self) -> "Watch":
        self.hook = self.layer.register_forward_pre_hook(lambda _, given: self.seen.append(given[0]))
        return self

    def __exit__(self, *error: object) -> None:
        self.hook.remove()

    def maps(self) -> Tensor:
        """All of them, (N, C, H, W)."""
        return torch.cat(self.seen)
