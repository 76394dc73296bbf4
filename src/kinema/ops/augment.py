"""DiffAugment: what critics see is changed at random, differentiably, so that few clips last longer.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, arXiv:2006.10738.
Where we differ: all frames of a clip are changed alike, since a change from frame to frame would be motion.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("colour", "translation", "cutout")
DRAWS = 10
"""uniform numbers that one item needs: seven say how it is changed, one for each kind whether"""
SHIFT = 8
"""a translation is at most 1 / SHIFT of a side"""


def augment(
    x: Tensor, chance: Tensor, kinds: tuple[str, ...] = KINDS, strength: Tensor | None = None
) -> Tensor:
    """Change every item in its own way; gradients of any order flow back.

    Args:
        x: frames (B, C, H, W) or clips (B, C, T, H, W) in [-1, 1]; the result may leave that range.
        chance: (B, DRAWS) in [0, 1); the same numbers change real and generated items alike.
        kinds: some of "colour", "translation" and "cutout".
        strength: chance of each kind to happen to an item, in [0, 1], a scalar; None: all happen.

    Returns:
        The shape of `x`.

    Example:
        >>> augment(torch.zeros(2, 3, 16, 8, 8), torch.rand(2, DRAWS)).shape
        torch.Size([2, 3, 16, 8, 8])
    """
    change = {"colour": colour, "translation": translation, "cutout": cutout}
    used = {"colour": chance[:, :3], "translation": chance[:, 3:5], "cutout": chance[:, 5:7]}
    for kind, happens in zip(KINDS, chance[:, 7:].unbind(1), strict=True):
        if kind not in kinds:
            continue
        changed = change[kind](x, used[kind])
        if strength is not None:
            mask = (happens < strength).view(-1, *(1,) * (x.dim() - 1))
            changed = torch.where(mask, changed, x)
        x = changed
    return x


def colour(x: Tensor, chance: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5; chance (B, 3)."""
    brightness, saturation, contrast = (
        u.to(x.dtype).view(-1, *(1,) * (x.dim() - 1)) for u in chance.unbind(1)
    )
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    middle = x.mean(tuple(range(1, x.dim())), keepdim=True)  # of the whole clip, so that it does not flicker
    return middle + (x - middle) * (contrast + 0.5)


def translation(x: Tensor, chance: Tensor) -> Tensor:
    """By at most an eighth of the height and the width; what comes in is zero; chance (B, 2)."""
    h, w = x.shape[-2:]
    down, right = h // SHIFT, w // SHIFT
    wide = F.pad(x, (right, right, down, down))
    tops, lefts = (
        (u * (2 * most + 1)).long().tolist() for u, most in zip(chance.unbind(1), (down, right), strict=True)
    )
    rows = zip(wide.unbind(), tops, lefts, strict=True)
    return torch.stack([item[..., top : top + h, left : left + w] for item, top, left in rows])


def cutout(x: Tensor, chance: Tensor) -> Tensor:
    """Zero in a square of half the side, its middle anywhere in the frame; chance (B, 2)."""
    hidden = [
        (torch.arange(n, device=x.device) - (u[:, None] * n).long() + n // 4) // (n // 2) == 0
        for u, n in zip(chance.unbind(1), x.shape[-2:], strict=True)
    ]  # (B, H) and (B, W)
    both = hidden[0][:, :, None] & hidden[1][:, None, :]
    return x.masked_fill(both.view(-1, *(1,) * (x.dim() - 3), *x.shape[-2:]), 0)
