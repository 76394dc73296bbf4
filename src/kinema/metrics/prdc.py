"""Precision, recall, density, coverage: do fakes lie where reals lie, and do they cover them?

Each sample owns the ball that reaches to its k-th nearest neighbour. Precision and recall: Kynkäänniemi et
al., arXiv 1904.06991; density and coverage: Naeem et al., arXiv 2002.09797. Memory grows with N only:
distances are made in slabs.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError

Float = NDArray[np.float64]
SLAB = 1024


def prdc(real: NDArray[np.floating], fake: NDArray[np.floating], k: int = 5) -> dict[str, float]:
    """`precision`, `recall`, `density`, `coverage` of fake features (M, D) against real ones (N, D).

    A point on the edge of a ball is outside, as in the prdc package. The k-th neighbour does not count the
    point itself.

    Args:
        real: reference features.
        fake: features to judge.
        k: neighbours; 5 for density and coverage, 3 for precision and recall are usual. State it.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise UsageError(f"features must be (N, D) and (M, D) with one D, not {real.shape} and {fake.shape}.")
    if min(len(real), len(fake)) <= k or k < 1:
        raise DataError(f"k = {k} neighbours need more samples than {len(real)} and {len(fake)}.")
    centre = real.mean(0, dtype=np.float64)  # small numbers lose less in |a|² + |b|² − 2ab
    x, y = real.astype(np.float64) - centre, fake.astype(np.float64) - centre
    reach_x, reach_y = _reach(x, k), _reach(y, k)
    hits = np.zeros(len(fake), np.int64)  # real balls that hold each fake
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, distance in _slabs(x, y):  # (rows, M)
        inside = distance < reach_x[rows, None]
        hits += inside.sum(0)
        recalled[rows] = (distance < reach_y).any(1)
        covered[rows] = inside.any(1)
    return {
        "precision": float((hits > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(hits.mean() / k),
        "coverage": float(covered.mean()),
    }


def _reach(x: Float, k: int) -> Float:
    """Squared distance from each point (N, D) to its k-th neighbour, itself not counted."""
    reach = np.empty(len(x))
    for rows, distance in _slabs(x, x):
        reach[rows] = np.partition(distance, k, axis=1)[:, k]
    return reach


def _slabs(x: Float, y: Float) -> Iterator[tuple[slice, Float]]:
    """Squared distances (rows, M) between some rows of x at a time and all of y."""
    squares = np.square(y).sum(1)
    for i in range(0, len(x), SLAB):
        part = x[i : i + SLAB]
        distance = np.square(part).sum(1)[:, None] + squares - 2 * part @ y.T
        yield slice(i, i + SLAB), distance.clip(min=0)
