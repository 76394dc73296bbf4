"""The Fréchet distance between two sets of features taken as Gaussians, without a matrix square root.

d² = |μ₁−μ₂|² + Tr Σ₁ + Tr Σ₂ − 2 Tr (Σ₁Σ₂)^½ (Dowson and Landau 1982; as an image metric Heusel et al., arXiv
1706.08500). With X̃, Ỹ the centred features over √(N−ddof), the last trace is the nuclear norm of X̃Ỹᵀ: it
never squares the spectrum and is always real. The estimate is biased upwards by about 1/N: compare only equal
N, or use `frechet_infinity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError

Features = NDArray[np.floating]  # (N, D)
Float = NDArray[np.float64]


@dataclass
class Moments:
    """Count, mean and scatter of features seen in pieces (Chan, Golub, LeVeque 1979); no sums cancel."""

    count: int
    mean: Float
    """(D,)"""
    scatter: Float
    """sum of outer products of the centred features, (D, D)"""

    @classmethod
    def of(cls, features: Features) -> Moments:
        """Moments of features (N, D), N ≥ 1."""
        x = features.astype(np.float64)
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    def __add__(self, other: Moments) -> Moments:
        """Moments of both together."""
        count, step = self.count + other.count, other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), scatter)

    def covariance(self, ddof: int = 1) -> Float:
        """Covariance with divisor N − ddof."""
        if self.count <= ddof:
            raise DataError(f"a covariance needs at least {ddof + 1} samples, {self.count} were given.")
        return self.scatter / (self.count - ddof)


def frechet_distance(x: Features, y: Features, ddof: int = 1) -> float:
    """Squared Fréchet distance between features (N, D) and (M, D).

    Args:
        x: one set.
        y: the other; only the width D must agree.
        ddof: divisor N − ddof of the covariance; 1 as in pytorch-fid, 0 as in the StyleGAN family.

    Returns:
        The distance; round-off may leave it a little below zero.

    Example:
        >>> frechet_distance(np.eye(3), np.eye(3) + 1.0)
        3.0
    """
    _check(x, y, ddof)
    (mean_x, a), (mean_y, b) = _factor(x, ddof), _factor(y, ddof)
    trace = np.linalg.norm(a @ b.T, "nuc")
    return float(np.square(mean_x - mean_y).sum() + np.square(a).sum() + np.square(b).sum() - 2 * trace)


def frechet_from_statistics(mean_x: Float, cov_x: Float, mean_y: Float, cov_y: Float) -> float:
    """The same from means (D,) and covariances (D, D), as stored reference files have them.

    Symmetric route: S = Σ₁^½ by eigenvalues clipped at zero, then the sum of the roots of the eigenvalues of
    SΣ₂S.
    """
    if mean_x.shape != mean_y.shape or cov_x.shape != cov_y.shape or cov_x.shape != 2 * mean_x.shape:
        raise UsageError(
            f"statistics of different width: means {mean_x.shape}, {mean_y.shape}; covariances "
            f"{cov_x.shape}, {cov_y.shape}."
        )
    values, vectors = np.linalg.eigh(cov_x.astype(np.float64))
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ cov_y.astype(np.float64) @ root)
    trace = np.sqrt(middle.clip(min=0)).sum()
    return float(np.square(mean_x - mean_y).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * trace)


def frechet_infinity(x: Features, y: Features, parts: int = 5, ddof: int = 1, seed: int = 0) -> float:
    """The distance extrapolated to endless samples: a of the fit d²(N) = a + b/N.

    After Chong and Forsyth (arXiv 1911.07023), on the distances of `frechet_by_count`.
    """
    return limit(frechet_by_count(x, y, parts, ddof, seed))


def limit(points: Sequence[tuple[int, float]]) -> float:
    """Where distances d²(N) of `frechet_by_count` lead to, by weighted least squares on a + b/N."""
    sizes, means = zip(*points, strict=True)
    weights = np.sqrt(np.arange(1, len(points) + 1))  # a mean of k values is √k times as sure
    return float(np.polynomial.polynomial.polyfit(1 / np.array(sizes), means, 1, w=weights)[0])


def frechet_by_count(
    x: Features, y: Features, parts: int = 5, ddof: int = 1, seed: int = 0
) -> list[tuple[int, float]]:
    """Samples N and mean distance d²(N) of both sets cut into 1, 2, …, `parts` pieces.

    Both are shuffled and cut into disjoint pieces, so that each size uses every sample. Cutting both makes an
    extrapolation free of the bias of the reference, too.
    """
    if parts < 2 or min(len(x), len(y)) < 2 * parts:
        raise UsageError(
            f"{min(len(x), len(y))} samples cannot be cut into 1 to {parts} pieces of two or more."
        )
    n, rng = min(len(x), len(y)), np.random.default_rng(seed)
    x, y = x[rng.permutation(len(x))[:n]], y[rng.permutation(len(y))[:n]]
    found = []
    for m in (n // k for k in range(1, parts + 1)):
        pieces = [frechet_distance(x[i * m :][:m], y[i * m :][:m], ddof) for i in range(n // m)]
        found.append((m, float(np.mean(pieces))))
    return found


def _factor(features: Features, ddof: int) -> tuple[Float, Float]:
    """Mean, and a matrix A with AᵀA the covariance: the centred features or, if smaller, their R factor."""
    x = features.astype(np.float64)
    mean = x.mean(0)
    x = (x - mean) / np.sqrt(len(x) - ddof)
    if len(x) > x.shape[1]:
        x = np.asarray(np.linalg.qr(x, mode="r"), np.float64)
    return mean, x


def _check(x: Features, y: Features, ddof: int) -> None:
    if ddof not in (0, 1):
        raise UsageError(f"ddof is 0 or 1, not {ddof}.")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise UsageError(f"features must be (N, D) and (M, D) with one D, not {x.shape} and {y.shape}.")
    if min(len(x), len(y)) < 2:
        raise DataError(f"a Fréchet distance needs at least 2 samples of each, not {len(x)} and {len(y)}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("features hold NaN or infinity; the pictures or the extractor are broken.")
