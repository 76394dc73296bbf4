"""Norms that few networks need: RMS norm, batch norm with fixed statistics, batch renormalisation.

Zhang & Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467; here over all
channels and places of an item, as our layer norm. Ioffe, "Batch Renormalization", NIPS 2017,
arXiv:1702.03275; where we differ: a running variance in place of a standard deviation, so that state dicts
are those of batch norm.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from kinema.nn.norm import Synchronised, precise, statistics


class RMSNorm(nn.Module):
    """Maps (B, C, …) divided by the root mean square of each item, then scale and shift of every channel."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_channels, self.eps, self.affine = channels, eps, affine
        self.register_parameter("weight", nn.Parameter(torch.ones(channels)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if affine else None)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, …) -> the same shape."""
        y = rms_norm(x, self.eps)
        shape = (1, -1, *(1,) * (x.dim() - 2))
        if self.weight is not None:
            y = y * self.weight.view(shape)
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """What it was built with."""
        return f"{self.num_channels}, eps={self.eps}, affine={self.affine}"


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Each item of (B, …) over √(mean x² + eps), in float32 or better (arXiv:1910.07467)."""
    x = precise(x)
    return x * torch.rsqrt(x.square().mean(tuple(range(1, x.dim())), keepdim=True) + eps)


class FrozenBatchNorm(_NormBase):
    """Batch norm of (B, C, …) that takes its running statistics in training, too, and leaves them alone.

    Each channel goes through one linear function, whose scale and shift are still trained.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, …) -> the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _Renormalised(Synchronised):
    """Batch norm that trains on what it will give in use: y = (x - μ_B) / σ_B · r + d (algorithm 1).

    r = σ_B / σ and d = (μ_B - μ) / σ lead from the batch's statistics to the running ones. They are constants
    to the gradient and are clipped to [1/r_max, r_max] and [-d_max, d_max].
    """

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float = 0.01,
        r: float = 3.0,
        d: float = 5.0,
        warmup: int = 5000,
        affine: bool = True,
    ) -> None:
        """Build it; by default with the limits of the paper's Inception v3, and its momentum as recalled.

        Args:
            channels: of the maps.
            eps: added to variances.
            momentum: share of a batch in the running statistics.
            r: r_max in the end.
            d: d_max in the end.
            warmup: batches of plain batch norm at first. Then the limits open in proportion to the batches
                seen, d_max until 5 times and r_max until 8 times as many.
            affine: scale and shift every channel afterwards.
        """
        super().__init__(channels, eps=eps, momentum=momentum, affine=affine)
        self.r, self.d, self.warmup = r, d, warmup

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (B, C, ...) over everything but C."""
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        mean, var, values = statistics(x)
        spread = (var + self.eps).sqrt()
        r, d = self.corrections(mean.detach(), spread.detach())
        self._track(mean.detach(), var.detach(), values)
        return self._scaled(x, r / spread, d - mean * r / spread)

    def corrections(self, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """The r and d (C) for the mean and spread (C) of a batch."""
        if self.momentum is None or self.running_mean is None or self.running_var is None:
            return torch.ones_like(mean), torch.zeros_like(mean)  # statistics are being taken anew
        assert self.num_batches_tracked is not None
        beyond = self.num_batches_tracked / self.warmup - 1
        r_max = 1 + (self.r - 1) * (beyond / 7).clamp(0, 1)
        d_max = self.d * (beyond / 4).clamp(0, 1)
        kept = (self.running_var + self.eps).sqrt()
        r = (spread / kept).clamp(1 / r_max, r_max)
        return r, ((mean - self.running_mean) / kept).clamp(-d_max, d_max)


class BatchRenorm1d(_Renormalised, nn.BatchNorm1d):
    """Batch renormalisation of (B, C) or (B, C, L) over all processes."""


class BatchRenorm2d(_Renormalised, nn.BatchNorm2d):
    """Batch renormalisation of (B, C, H, W) over all processes."""


class BatchRenorm3d(_Renormalised, nn.BatchNorm3d):
    """Batch renormalisation of (B, C, T, H, W) over all processes."""
