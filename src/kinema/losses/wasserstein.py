"""The critic's slope between real and generated items, held at one.

Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, arXiv:1704.00028, eq. (3).
"""

from collections.abc import Callable

import torch
from torch import Tensor


def slope_penalty(judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, chance: Tensor) -> Tensor:
    """E[(|∇D(x̂)| - 1)²] for x̂ anywhere on the line between a real and a generated item; a scalar.

    Args:
        judge: items (B, ...) -> logits (B,), each item's from itself, computed without autocast.
        real: (B, ...).
        fake: (B, ...).
        chance: where on the line, (B) in [0, 1).
    """
    share = chance.view(-1, *(1,) * (real.dim() - 1))
    between = torch.lerp(real.detach(), fake.detach(), share).requires_grad_()
    (slope,) = torch.autograd.grad(judge(between).float().sum(), between, create_graph=True)
    return (slope.float().flatten(1).norm(dim=1) - 1).square().mean()
