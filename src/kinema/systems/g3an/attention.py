"""Factorised self-attention (F-SA): over the frames of each place, then over the places of each frame.

Wang et al. 2020 (arXiv:1912.05523), after Zhang et al., "Self-Attention Generative Adversarial Networks"
(arXiv:1805.08318). Where we differ: the tables of weights are made a few at a time and made again in the
backward pass, so that they stay in the cache and are never kept; softmax is computed in float32. The authors'
code exchanges axes of the result; `layout="official"` does so too, because their weights need it.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.norm import spectral

TABLE = {"cpu": 2**20}
"""numbers in the tables that are made at a time; on other devices 2^26"""


def weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k') over keys, unscaled: (S, L, d), (S, L, d) -> (S, L, L), in float32 or better."""
    wide = torch.promote_types(q.dtype, torch.float32)
    return (q.to(wide) @ k.to(wide).mT).softmax(-1)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """S sequences of length L: q, k (S, L, d) and v (S, L, C) -> (S, L, C)."""
    if torch.compiler.is_compiling():  # an exported network has no loop over a batch of unknown size
        return weights(q, k).to(v.dtype) @ v
    return _Attend.apply(q, k, v)


class _Attend(torch.autograd.Function):
    """softmax(q k') v, forgetting the softmax and computing it again for the gradient."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        with torch.autocast(q.device.type, enabled=False):
            return torch.cat([weights(q[s], k[s]).to(v.dtype) @ v[s] for s in _some(q)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (q, k, v), (g,) = ctx.saved_tensors, grads
        found = []
        with torch.autocast(q.device.type, enabled=False):
            for s in _some(q):
                w = weights(q[s], k[s])
                pull = (g[s] @ v[s].mT).to(w.dtype)  # by the weights
                pull = w * (pull - (pull * w).sum(-1, keepdim=True))  # by the logits
                pull, w = pull.to(q.dtype), w.to(v.dtype)
                found.append((pull @ k[s], pull.mT @ q[s], w.mT @ g[s]))
        dq, dk, dv = (torch.cat(parts) for parts in zip(*found, strict=True))
        return dq, dk, dv


def _some(q: Tensor) -> Iterator[slice]:
    """Slices of the sequences (S, L, d) whose tables together are not too large."""
    n = max(1, TABLE.get(q.device.type, 2**26) // q.shape[1] ** 2)
    return (slice(start, start + n) for start in range(0, q.shape[0], n))


class SelfAttention(nn.Module):
    """x + γ·softmax(q k') v along one axis; γ begins at zero. Names are those of the authors' weights."""

    def __init__(self, channels: int, along: str, layout: str) -> None:
        super().__init__()
        self.along, self.layout = along, layout
        self.q_conv, self.k_conv, self.v_conv = (
            spectral(pointwise(channels, out)) for out in (channels // 8, channels // 8, channels)
        )
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        b, c, t, h, w = x.shape
        tokens = x.permute(0, 2, 3, 4, 1).flatten(2, 3)  # (B, T, N, C), N = H W
        if self.along == "time":
            tokens = tokens.transpose(1, 2)  # (B, N, T, C)
        q, k = (F.linear(tokens, conv.weight.flatten(1), conv.bias) for conv in (self.q_conv, self.k_conv))
        # γ in front of the result is γ in front of the values, and of their weights, which are far fewer.
        weight, bias = self.v_conv.weight.flatten(1), cast("Tensor", self.v_conv.bias)
        v = F.linear(tokens, self.gamma * weight, self.gamma * bias)
        seen = attend(*(z.flatten(0, 1) for z in (q, k, v)))  # (B N, T, C) or (B T, N, C)
        if self.layout == "official":
            seen = seen.reshape(b, h, w, c, t).permute(0, 3, 4, 1, 2)  # axes read in the wrong order
        elif self.along == "time":
            seen = seen.reshape(b, h, w, t, c).permute(0, 4, 3, 1, 2)
        else:
            seen = seen.reshape(b, t, h, w, c).permute(0, 4, 1, 2, 3)
        return x + seen


class FactorisedSelfAttention(nn.Module):
    """Temporal, then spatial self-attention; 164,482 parameters for 256 channels."""

    def __init__(self, channels: int, layout: str) -> None:
        super().__init__()
        self.tsa = SelfAttention(channels, "time", layout)
        self.ssa = SelfAttention(channels, "space", layout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        return self.ssa(self.tsa(x))


def pointwise(ins: int, outs: int) -> nn.Conv3d:
    """A 1x1x1 convolution, N(0, 0.02)."""
    convolution = nn.Conv3d(ins, outs, 1)
    nn.init.normal_(convolution.weight, 0, 0.02)
    return convolution
