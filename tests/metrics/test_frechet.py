"""The Fréchet distance against closed forms, arbitrary precision, torch-fidelity and SciPy."""

import time
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinema.core.errors import DataError, UsageError
from kinema.metrics.frechet import Moments, frechet_distance, frechet_from_statistics, frechet_infinity


def sample_with(mean, cov, n, rng):
    """Features whose sample mean and covariance (ddof 1) are exactly these."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False))).T)
    return x @ np.linalg.cholesky(cov).T + mean


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_commuting_covariances_have_a_closed_form(seed, d):
    """d² = |μ₁−μ₂|² + Σ (√λ₁ − √λ₂)² when the covariances share their eigenvectors."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = rng.uniform(0.1, 5, (2, d))
    means = rng.normal(size=(2, d))
    x, y = (sample_with(m, (basis * v) @ basis.T, 3 * d + 5, rng) for m, v in zip(means, (a, b), strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    covs = [(basis * v) @ basis.T for v in (a, b)]
    assert frechet_from_statistics(means[0], covs[0], means[1], covs[1]) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (40, 7), (7, 9)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_features_and_statistics_agree_with_and_without_full_rank(n, m, ddof):
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(size=(n, 12)), rng.normal(1, 2, size=(m, 12))
    stats = [(p.mean, p.covariance(ddof)) for p in map(Moments.of, (x, y))]
    expected = frechet_from_statistics(*stats[0], *stats[1])
    assert frechet_distance(x, y, ddof) == pytest.approx(expected, rel=1e-6)


def decimal_trace_root(x, y):
    """Tr (Σ₁Σ₂)^½ with 60 digits: the sum of the singular values of X̃Ỹᵀ by one-sided Jacobi rotations."""
    with localcontext() as context:
        context.prec = 60

        def centred(rows):
            rows = [[Decimal(float(v)) for v in row] for row in rows]
            means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            scale = Decimal(len(rows) - 1).sqrt()
            return [[(v - m) / scale for v, m in zip(row, means, strict=True)] for row in rows]

        def dot(a, b):
            return sum(p * q for p, q in zip(a, b, strict=True))

        a, b = centred(x), centred(y)
        rows = [[dot(p, q) for q in b] for p in a]
        for _ in range(30):
            for i in range(len(rows)):
                for j in range(i):
                    alpha, beta, gamma = dot(rows[i], rows[i]), dot(rows[j], rows[j]), dot(rows[i], rows[j])
                    if abs(gamma) < Decimal("1e-55"):
                        continue
                    zeta = (beta - alpha) / (2 * gamma)
                    t = (1 if zeta >= 0 else -1) / (abs(zeta) + (1 + zeta * zeta).sqrt())
                    c = 1 / (1 + t * t).sqrt()
                    rows[i], rows[j] = (
                        [c * p - c * t * q for p, q in zip(rows[i], rows[j], strict=True)],
                        [c * t * p + c * q for p, q in zip(rows[i], rows[j], strict=True)],
                    )
        return float(sum(dot(r, r).sqrt() for r in rows))


def test_fewer_samples_than_features_against_sixty_digits():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(6, 12)), rng.normal(size=(6, 12))
    cov = [np.cov(v, rowvar=False) for v in (x, y)]
    expected = (
        np.square(x.mean(0) - y.mean(0)).sum() + np.trace(cov[0] + cov[1]) - 2 * decimal_trace_root(x, y)
    )
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_torch_fidelity():
    """The number is what torch-fidelity 0.4.0, which needs torchvision, gives for these features."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(400, 32)), rng.normal(0.2, 1.3, size=(500, 32))
    assert frechet_distance(x, y) == pytest.approx(5.555915038825788, rel=1e-6)


def test_a_set_is_at_no_distance_from_itself_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 50)), rng.normal(size=(90, 50))
    assert abs(frechet_distance(x, x)) < 1e-9
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y[::-1], x[::-1]), rel=1e-12)


def test_bias_of_equal_gaussians_falls_as_one_over_n_and_is_extrapolated_away():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2048, 64))
    small, large = frechet_distance(x[:512], y[:512]), frechet_distance(x, y)
    assert small / large == pytest.approx(4, rel=0.1)
    assert abs(frechet_infinity(x, y)) < 0.1 * small


def test_extrapolation_keeps_a_real_difference():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 1500, 16))
    assert frechet_infinity(x, y + 1) == pytest.approx(16, rel=0.05)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.floats(-1e6, 1e6))
@settings(max_examples=25, deadline=None)
def test_moments_of_pieces_are_those_of_the_whole(sizes, offset):
    rng = np.random.default_rng(sum(sizes))
    parts = [rng.normal(size=(n, 3)) + offset for n in sizes]
    merged = Moments.of(parts[0])
    for part in parts[1:]:
        merged = merged + Moments.of(part)
    whole = np.concatenate(parts)
    assert merged.count == len(whole)
    assert np.allclose(merged.mean, whole.mean(0), rtol=1e-12)
    assert np.allclose(merged.covariance(), np.cov(whole, rowvar=False), rtol=1e-6, atol=1e-6)


def test_bad_features_are_named():
    x = np.zeros((5, 3))
    with pytest.raises(UsageError, match="one D"):
        frechet_distance(x, np.zeros((5, 4)))
    with pytest.raises(UsageError, match="ddof"):
        frechet_distance(x, x, ddof=2)
    with pytest.raises(DataError, match="at least 2 samples"):
        frechet_distance(x[:1], x)
    with pytest.raises(DataError, match="NaN"):
        frechet_distance(x * np.nan, x)
    with pytest.raises(DataError, match="at least 2 samples"):
        Moments.of(x[:1]).covariance()
    with pytest.raises(UsageError, match="different width"):
        frechet_from_statistics(x[0], np.eye(3), x[0], np.eye(4))
    with pytest.raises(UsageError, match="pieces"):
        frechet_infinity(x, x)


@pytest.mark.slow
def test_three_times_faster_than_a_matrix_square_root():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = np.random.default_rng(0).normal(size=(2, 2500, 2048))

    def seconds(work):
        start = time.process_time()
        work()
        return time.process_time() - start

    ours = seconds(lambda: frechet_distance(x, y))
    product = np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)
    assert seconds(lambda: linalg.sqrtm(product)) > 3 * ours
