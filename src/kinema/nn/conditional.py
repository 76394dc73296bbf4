"""Norms whose scale and shift a condition says, and the tables and products by which it does.

de Vries et al., "Modulating early visual processing by language", NeurIPS 2017, arXiv:1707.00683, as SAGAN
and BigGAN use it. Names are those of the public port of BigGAN: `gain` and `bias`.
"""

import torch
from torch import Tensor, nn


class Table(nn.Module):
    """A row for every class; a mixture of classes (B, K) gets the mixture of their rows."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.weight)

    def forward(self, classes: Tensor) -> Tensor:
        """One-hot classes (B, K) -> rows (B, D)."""
        return classes @ self.weight


class ConditionalNorm(nn.Module):
    """Normalises maps, then scales each channel by 1 + gain and shifts it, both functions of a condition."""

    def __init__(self, norm: nn.Module, gain: nn.Module, bias: nn.Module) -> None:
        """Take the parts.

        Args:
            norm: of maps (B, C, H, W), without scale and shift of its own.
            gain: condition (B, D) -> (B, C).
            bias: likewise.
        """
        super().__init__()
        self.norm, self.gain, self.bias = norm, gain, bias

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Maps (B, C, H, W) and a condition (B, D) -> the same shape."""
        scale = 1 + self.gain(condition)
        return torch.addcmul(self.bias(condition)[..., None, None], self.norm(x), scale[..., None, None])


class PlainNorm(nn.Module):
    """A norm with scale and shift of its own, in the place of a conditional one."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Maps (B, C, H, W); the condition is not read."""
        del condition
        y: Tensor = self.norm(x)
        return y
