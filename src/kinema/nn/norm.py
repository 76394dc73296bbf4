"""Normalisations that stay exact under micro-batches and several processes.

`BatchNorm1d/2d/3d` take their statistics over the batch of all processes: Ioffe and Szegedy, "Batch
Normalization" (arXiv 1502.03167), synchronised. Unlike `torch.nn.SyncBatchNorm` they can be differentiated
twice and run on CPUs.

`spectral` divides a weight by its largest singular value: Miyato et al., "Spectral Normalization for
Generative Adversarial Networks" (arXiv 1802.05957). The authors advance the power iteration in every
training forward. Then the result depends on how often a step calls the network, and four micro-batches
differ from one batch. Here the forward only reads `u` and `v`; `advance_spectral` moves them, and the
training loop calls it once before a step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

M = TypeVar("M", bound=nn.Module)


def processes() -> int:
    """How many processes train together; 1 when no process group is up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _SumOverProcesses(torch.autograd.Function):
    """y = Σ_r x_r on every process. Its gradient is the same sum, so it has derivatives of all orders."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        y = x.contiguous().clone()
        dist.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        del ctx
        return cast("Tensor", _SumOverProcesses.apply(grads[0]))


def precise(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance per channel of `x` (B, C, ...) over all processes; how many values went in.

    Every process must hold equally many items. Local moments are gathered in one sum and joined by the law of
    total variance, var = mean_r(var_r + (mean_r - mean)²), which does not cancel as E[x²] - E[x]² does.
    """
    size = processes()
    dims = [0, *range(2, x.dim())]
    x = precise(x)
    mean, var = x.mean(dims), x.var(dims, unbiased=False)  # (C)
    values = x.numel() // x.shape[1] * size
    if size == 1:
        return mean, var, values
    mine = torch.zeros(size, 1, 1, device=x.device)
    mine[dist.get_rank()] = 1.0
    means, variances = _SumOverProcesses.apply(mine * torch.stack([mean, var])).unbind(
        1
    )  # each (processes, C)
    mean = means.mean(0)
    return mean, (variances + (means - mean) ** 2).mean(0), values


class Synchronised(_BatchNorm):
    """The forward that batch norms share; on one process it is PyTorch's own kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (B, C, ...) over everything but C."""
        if not self.training or processes() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        mean, var, values = statistics(x)
        self._track(mean.detach(), var.detach(), values)
        scale = torch.rsqrt(var + self.eps)
        return self._scaled(x, scale, -mean * scale)

    def _scaled(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Scale and shift (C) that normalise, then those that were learnt, as one product and sum."""
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight
            shift = shift if self.bias is None else shift + self.bias
        shape = (1, -1, *(1,) * (x.dim() - 2))
        return (precise(x) * scale.view(shape) + shift.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, values: int) -> None:
        """Running statistics with the unbiased variance of that many values, as PyTorch keeps them."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(var * (values / max(1, values - 1)), rate)


class BatchNorm1d(Synchronised, nn.BatchNorm1d):
    """Batch norm of (B, C) or (B, C, L) over all processes; `affine=False` leaves scale and shift out."""


class BatchNorm2d(Synchronised, nn.BatchNorm2d):
    """Batch norm of (B, C, H, W) over all processes; `affine=False` leaves scale and shift out."""


class BatchNorm3d(Synchronised, nn.BatchNorm3d):
    """Batch norm of (B, C, T, H, W) over all processes; `affine=False` leaves scale and shift out."""


def without_shift(norm: M) -> M:
    """A batch norm that scales but does not shift; returns the module.

    Older PyTorch has no argument for it.
    """
    norm.register_parameter("bias", None)
    return norm


@contextmanager
def cumulative_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, the batch norms of `module` forget their running statistics and average all batches evenly.

    Moving averages follow weights that change; for use, weights that have stopped changing deserve statistics
    of their own, each batch counting the same.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)


class Spectral(nn.Module):
    """Parametrisation W -> W / σ(W), with σ(W) = uᵀ W v of eq. (6) to (8) of arXiv 1802.05957.

    The buffers are named as in PyTorch's parametrisation, so state dicts are interchangeable.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        matrix = self.matrix(weight.detach())
        generator = torch.Generator().manual_seed(0)
        u, v = (torch.randn(n, generator=generator).to(matrix) for n in matrix.shape)
        self.register_buffer("_u", F.normalize(u, dim=0))
        self.register_buffer("_v", F.normalize(v, dim=0))
        self.advance(weight, iterations=15)

    def matrix(self, weight: Tensor) -> Tensor:
        """Output channels by everything else, (out, in·k·k)."""
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def advance(self, weight: Tensor, iterations: int = 1) -> None:
        """Power iteration in fp32: v <- Wᵀu / |Wᵀu|, u <- Wv / |Wv|."""
        matrix = self.matrix(weight.detach()).to(self._u.dtype)
        for _ in range(iterations):
            self._v.copy_(F.normalize(matrix.t() @ self._u, dim=0))
            self._u.copy_(F.normalize(matrix @ self._v, dim=0))

    def sigma(self, weight: Tensor) -> Tensor:
        """The largest singular value as far as `u` and `v` know it; differentiable in the weight."""
        return torch.dot(self._u, torch.mv(self.matrix(weight), self._v))

    def forward(self, weight: Tensor) -> Tensor:
        """W / σ(W), in the precision of the weight also under autocast."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight / self.sigma(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Assigning to the normalised weight stores the weight itself."""
        return weight


def spectral(module: M, name: str = "weight") -> M:
    """Divide `module.<name>` by its largest singular value from now on; returns the module.

    Example:
        >>> conv = spectral(nn.Conv2d(3, 8, 3))
    """
    transposed = isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    weight = getattr(module, name)
    parametrize.register_parametrization(module, name, Spectral(weight, dim=int(transposed)), unsafe=True)
    return module


def holding(normed: bool) -> Callable[[M], M]:
    """How the weights of layers are held: divided by their largest singular value, or as they are."""
    return spectral if normed else _as_it_is


def _as_it_is(module: M) -> M:
    return module


def spectral_layers(module: nn.Module) -> list[tuple[Spectral, Tensor]]:
    """Every spectral normalisation inside `module` with the raw weight it divides."""
    found = []
    for layer in module.modules():
        for chain in (
            getattr(layer, "parametrizations", {}).values() if parametrize.is_parametrized(layer) else ()
        ):
            found += [(p, chain.original) for p in chain if isinstance(p, Spectral)]
    return found


def advance_spectral(module: nn.Module, iterations: int = 1) -> None:
    """Move `u` and `v` of all spectral normalisations in `module`; the training loop does so once a step."""
    for layer, weight in spectral_layers(module):
        layer.advance(weight, iterations)


@torch.no_grad()
def top_singular_value(weight: Tensor, iterations: int = 8) -> float:
    """By power iteration from a fixed start, to a few per cent."""
    matrix = weight.detach().float().flatten(1)
    v = torch.ones(matrix.shape[1], device=matrix.device)
    for _ in range(iterations):
        u = F.normalize(matrix @ v, dim=0)
        v = F.normalize(matrix.t() @ u, dim=0)
    return float(torch.linalg.vector_norm(matrix @ v))


@torch.no_grad()
def singular_values(weight: Tensor, count: int = 3, iterations: int = 20) -> list[float]:
    """The largest singular values of a weight (O, ...) as a matrix (O, rest), in falling order.

    Orthogonal iteration from a fixed start: the power iteration with several vectors, which are made
    orthogonal again each time. Values that lie close together are found to a few per cent.
    """
    matrix = weight.detach().float().flatten(1)
    start = torch.randn(matrix.shape[1], count, generator=torch.Generator().manual_seed(0))
    v = torch.linalg.qr(start[:, : min(count, *matrix.shape)].to(matrix)).Q
    for _ in range(iterations):
        u = torch.linalg.qr(matrix @ v).Q
        v = torch.linalg.qr(matrix.t() @ u).Q
    return [float(value) for value in torch.linalg.svdvals(matrix @ v)]
