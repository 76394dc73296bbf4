"""Kernel distance of two sets of features: unbiased squared maximum mean discrepancy, polynomial kernel.

Bińkowski et al., Demystifying MMD GANs, arXiv 1801.01401: kernel (x·y/D + 1)³, mean over random subsets.
Subsets are drawn as in torch-fidelity, so that one seed gives its value.
"""

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError


def kid(
    x: NDArray[np.floating], y: NDArray[np.floating], subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the kernel distance of features (N, D) and (M, D).

    Args:
        x: one set.
        y: the other.
        subsets: how many pairs of subsets.
        size: samples in a subset; no set may be smaller.
        seed: of the draw.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise UsageError(f"features must be (N, D) and (M, D) with one D, not {x.shape} and {y.shape}.")
    if min(len(x), len(y)) < size or size < 2:
        raise DataError(
            f"subsets of {size} need as many samples; there are {len(x)} and {len(y)}: choose `size`."
        )
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        rows = rng.choice(len(x), size, replace=False)
        others = rng.choice(len(y), size, replace=False)
        values.append(mmd2(x[rows].astype(np.float64), y[others].astype(np.float64)))
    return float(np.mean(values)), float(np.std(values))


def mmd2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Unbiased MMD² with all pairs of x (N, D) and y (M, D): a sample is never paired with itself."""
    n, m, d = len(x), len(y), x.shape[1]
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    own = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(own - 2 * xy.mean())
