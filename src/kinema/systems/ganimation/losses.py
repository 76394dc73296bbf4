"""What GANimation's generator pays for its mask A, (B, 1, S, S) in [0, 1].

Pumarola et al. 2018 (arXiv:1807.09251), eq. (2). The paper has a norm and squared differences, the authors'
code a mean and absolute differences, summed over pixels and batch. Here neither the batch nor the size
counts: every term is a mean over masks, and a mask that is shown larger pays the same.
"""

import torch
from torch import Tensor

SIDE = 128
"""of the paper's pictures"""


def magnitude(mask: Tensor, form: str) -> Tensor:
    """How much is kept, in [0, 1]: the mean of A, or √(mean A²), which is ‖A‖₂ / S, meant over masks."""
    if form == "l1":
        return mask.mean()
    return (mask.square().mean((1, 2, 3)) + 1e-12).sqrt().mean()  # with a gradient at nothing, too


def smoothness(mask: Tensor, form: str) -> Tensor:
    """Σ |A - A'| or Σ (A - A')² over neighbours across and down, per mask and as if it were 128x128.

    At twice the size each difference is half as large, and there are four times as many: so absolute ones are
    divided by the side, and squared ones stay as they are.
    """
    across, down = mask.diff(dim=3), mask.diff(dim=2)
    if form == "absolute":
        return (across.abs().sum() + down.abs().sum()) / len(mask) * (SIDE / mask.shape[-1])
    return (across.square().sum() + down.square().sum()) / len(mask)


def saturated(mask: Tensor) -> Tensor:
    """A mask nearer to 0 and 1: 0.55 tanh(3 (A - 0.5)) + 0.5, kept in [0, 1]."""
    return (0.55 * torch.tanh(3 * (mask - 0.5)) + 0.5).clamp(0, 1)
