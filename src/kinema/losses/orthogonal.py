"""Orthogonal regularisation: the filters of a layer shall not be alike.

Brock et al. 2019 (arXiv:1809.11096), section 3.1: β ‖W Wᵀ ⊙ (1 - I)‖²_F over rows W of filters, which leaves
their lengths free. Its gradient, 4β (W Wᵀ ⊙ (1 - I)) W, is computed with the value, so no graph is kept. The
public port adds half of that for the same β.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _Penalty(torch.autograd.Function):
    """Σ over weights of ‖W Wᵀ ⊙ (1 - I)‖²_F."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> Tensor:
        total, slopes = torch.zeros((), device=weights[0].device), []
        for weight in weights:
            rows = weight.detach().flatten(1).float()
            alike = (rows @ rows.T).fill_diagonal_(0)
            total = total + alike.square().sum()
            slopes.append((4 * alike @ rows).view_as(weight).to(weight.dtype))
        ctx.save_for_backward(*slopes)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(grads[0] * slope for slope in ctx.saved_tensors)


def orthogonal_penalty(weights: Sequence[Tensor]) -> Tensor:
    """Σ ‖W Wᵀ ⊙ (1 - I)‖²_F of weights (O, ...) as rows (O, rest); a scalar with first derivatives only."""
    with torch.autocast(weights[0].device.type, enabled=False):
        total: Tensor = _Penalty.apply(*weights)
    return total


def filters(module: nn.Module, without: Iterable[nn.Module | None] = ()) -> list[Tensor]:
    """Every parameter of `module` with two axes or more, but those of the modules `without`."""
    left_out = {id(p) for other in without if other is not None for p in other.parameters()}
    return [p for p in module.parameters() if p.dim() > 1 and id(p) not in left_out]
