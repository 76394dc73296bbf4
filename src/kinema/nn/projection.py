"""The end of critics of classes: a logit of the picture, and how well it fits its class.

Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018, arXiv:1802.05637, eq. (6).
"""

from torch import Tensor, nn
from torch.nn import functional as F


def projected(linear: nn.Module, embed: nn.Module | None, maps: Tensor, classes: Tensor | None) -> Tensor:
    """ψ(h) + y·V h, where h is the sum over all places of ReLU of the maps, so that logits grow with them.

    Args:
        linear: ψ, (B, C) -> (B, 1).
        embed: V, one-hot classes (B, K) -> (B, C); None leaves the inner product out.
        maps: (B, C, H, W).
        classes: (B, K), or None without `embed`.

    Returns:
        logits (B,), float32.
    """
    h = F.relu(maps).float().sum((2, 3)).to(maps.dtype)
    logits: Tensor = linear(h).float().flatten()
    if embed is not None:
        logits = logits + (embed(classes).float() * h.float()).sum(1)
    return logits
