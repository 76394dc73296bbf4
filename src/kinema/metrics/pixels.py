"""Scores that compare a picture with its original: PSNR and SSIM, per picture or frame, then the mean."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinema.core.errors import UsageError

CAP = 100.0  # decibels for identical pictures, where the formula gives infinity


def psnr(x: NDArray[np.generic], y: NDArray[np.generic], data_range: float = 255.0) -> float:
    """Peak signal to noise ratio in decibels, 10·log₁₀(range²/MSE), at most 100.

    Args:
        x: pictures (…, H, W, C); leading axes are pictures or frames.
        y: their originals, of the same shape.
        data_range: distance between the largest and smallest value possible.
    """
    _check(x, y)
    difference = x.astype(np.float64) - y.astype(np.float64)
    mse = np.square(difference).reshape(-1, int(np.prod(x.shape[-3:]))).mean(1)
    with np.errstate(divide="ignore"):
        return float(np.minimum(10 * np.log10(data_range**2 / mse), CAP).mean())


def ssim(x: NDArray[np.generic], y: NDArray[np.generic], data_range: float = 255.0) -> float:
    """Structural similarity (Wang et al. 2004): 11×11 Gaussian window of σ 1.5, K₁ 0.01, K₂ 0.03, no padding.

    Args:
        x: pictures (…, H, W, C), H and W at least 11.
        y: their originals, of the same shape.
        data_range: distance between the largest and smallest value possible.

    Returns:
        Mean over pixels, channels and pictures.
    """
    _check(x, y)
    if min(x.shape[-3:-1]) < 11:
        raise UsageError(f"SSIM needs pictures of at least 11×11 pixels, not {x.shape[-3]}×{x.shape[-2]}.")
    a, b = _planes(x), _planes(y)
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    both = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((score / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def _planes(x: NDArray[np.generic]) -> Tensor:
    """(…, H, W, C) as single planes (B, 1, H, W) in float64."""
    flat = torch.from_numpy(x.astype(np.float64).reshape(-1, *x.shape[-3:]))
    return flat.permute(0, 3, 1, 2).flatten(0, 1)[:, None]


def _window(planes: Tensor) -> Tensor:
    """Gaussian mean over 11×11 pixels, only where the window fits."""
    line = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
    line = line / line.sum()
    return F.conv2d(F.conv2d(planes, line.view(1, 1, 11, 1)), line.view(1, 1, 1, 11))


def _check(x: NDArray[np.generic], y: NDArray[np.generic]) -> None:
    if x.shape != y.shape or x.ndim < 3:
        raise UsageError(f"pictures must be (…, H, W, C) of one shape, not {x.shape} and {y.shape}.")
