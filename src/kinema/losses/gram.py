"""Gram matrices of feature maps: which features, at which times, occur together anywhere in the picture.

Time steps count as channels, so the matrix of a clip also tells how features move: Xiong et al., "Learning to
Generate Time-Lapse Videos …" (arXiv:1709.07592), after Gatys et al. 2016 for pictures (arXiv:1508.06576).
"""

import torch
from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """Feature maps (B, C, T, H, W) -> g = F F^T / (M·S) (B, M, M) in fp32, with M = C·T and S = H·W."""
    with torch.autocast(features.device.type, enabled=False):
        f = features.float().flatten(3).flatten(1, 2)  # (B, M, S)
        return torch.bmm(f, f.transpose(1, 2)) / (f.shape[1] * f.shape[2])
