"""Keeping a critic's slope small by changing its weights after an update: singular value clipping.

Saito et al. 2017 (arXiv:1611.06624). Where we differ: singular values are found through the
eigenvalues of W Wᵀ in float64, which is a small matrix (output channels squared), not by decomposing W.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SMALLEST = 0.01
"""of a scale of batch norm, relative to the standard deviation that it meets"""


@torch.no_grad()
def clip_singular_values(module: nn.Module) -> None:
    """Make every layer of a critic change its input by no more than its length.

    Singular values of each convolution's or linear layer's weight, as a matrix (outputs, everything else),
    above 1 become 1. A batch norm multiplies by γ / σ, with σ² its running variance, so γ is put into
    [0.01 σ, σ].
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            layer.weight.copy_(clipped(layer.weight.flatten(1)).view_as(layer.weight))
        elif isinstance(layer, _BatchNorm) and layer.running_var is not None:
            deviation = layer.running_var.sqrt()
            layer.weight.copy_(layer.weight.maximum(SMALLEST * deviation).minimum(deviation))


def clipped(matrix: Tensor) -> Tensor:
    """W = U S Vᵀ (M, N) -> U min(S, 1) Vᵀ = U (min(S, 1) / S) Uᵀ W."""
    w = matrix.double()
    squares, u = torch.linalg.eigh(w @ w.T)  # S², U
    if squares[-1] <= 1:
        return matrix
    shrink = squares.clamp(min=1).rsqrt()  # min(S, 1) / S, which is 1 where S is up to 1
    return (u * shrink @ (u.T @ w)).to(matrix.dtype)


@torch.no_grad()
def clip_weights(module: nn.Module, largest: float = 0.01) -> None:
    """Put every weight into [-largest, largest] (Arjovsky et al. 2017, arXiv:1701.07875)."""
    for parameter in module.parameters():
        parameter.clamp_(-largest, largest)
