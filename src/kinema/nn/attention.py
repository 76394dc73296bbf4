"""Self-attention over the places of a picture.

Zhang et al., "Self-Attention Generative Adversarial Networks", ICML 2019, arXiv:1805.08318, as its authors
released it: keys and values are pooled, values have half the channels, and no convolution has a bias. The
paper's equations have neither pooling nor fewer values; `pooled=False` is nearer to them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from kinema.core.errors import UsageError
from kinema.nn.norm import holding


class SelfAttention(nn.Module):
    """x + γ·o: every place looks at all others, and γ, which starts at 0, says how much that counts."""

    def __init__(self, channels: int, pooled: bool = True, normed: bool = True) -> None:
        """Build the four 1x1 convolutions.

        Args:
            channels: of the maps, a multiple of 8.
            pooled: keys and values are the largest of every 2x2 places, and values have half the channels;
                False: every place is a key, and values have all channels.
            normed: divide every weight by its largest singular value.

        Raises:
            UsageError: fewer than 8 channels.
        """
        super().__init__()
        if channels < 8:
            raise UsageError(
                f"attention needs maps of 8 channels, and these have {channels}: a larger width."
            )
        held = holding(normed)
        values = channels // 2 if pooled else channels
        self.pooled = pooled
        self.theta = held(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.phi = held(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.g = held(nn.Conv2d(channels, values, 1, bias=False))
        self.o = held(nn.Conv2d(values, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape; by the fused kernel, which never holds the whole map."""
        theta, phi, g = (part[:, None] for part in self.parts(x))  # one head
        found = F.scaled_dot_product_attention(theta, phi, g, scale=1.0)  # no 1/√d, as released
        return self.added(x, found[:, 0])

    def explicit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the map (B, H W, keys): each row says where a place looks and sums to 1."""
        theta, phi, g = self.parts(x)
        weights = (theta.float() @ phi.float().transpose(1, 2)).softmax(2)
        return self.added(x, weights.to(g.dtype) @ g), weights

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H W, C/8), keys (B, keys, C/8) and values (B, keys, C/2)."""
        theta, phi, g = self.theta(x), self.phi(x), self.g(x)
        if self.pooled:
            phi, g = F.max_pool2d(phi, 2), F.max_pool2d(g, 2)
        queries, keys, values = (part.flatten(2).transpose(1, 2) for part in (theta, phi, g))
        return queries, keys, values

    def added(self, x: Tensor, found: Tensor) -> Tensor:
        """What was found at every place (B, H W, C/2), as channels of the maps, times γ, added to them."""
        maps = found.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.gamma * self.o(maps)


@contextmanager
def twice_differentiable(device: torch.device) -> Iterator[None]:
    """Inside, gradients can be penalised: no autocast, and attention without fused kernels."""
    with torch.autocast(device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
        yield
