"""KID, precision, recall, Inception score, PSNR and SSIM against reference packages and plain loops.

Numbers said to be torch-fidelity's are of its version 0.4.0; it needs torchvision, so it is not run here.
"""

import contextlib
import io

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.metrics.inception_score import inception_score
from kinema.metrics.kid import kid, mmd2
from kinema.metrics.pixels import psnr, ssim
from kinema.metrics.prdc import prdc


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 24)).astype(np.float32), rng.normal(0.3, 1.2, (280, 24)).astype(np.float32)


def test_kid_agrees_with_torch_fidelity_on_the_same_subsets(features):
    mean, deviation = kid(*features, subsets=7, size=100)
    assert mean == pytest.approx(0.38487041941855404, abs=1e-7)
    assert deviation == pytest.approx(0.050780832066047256, abs=1e-7)


def test_mmd_is_the_double_sum_of_its_definition():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 4 + 1) ** 3

    expected = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    expected += np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    expected -= 2 * np.mean([kernel(a, b) for a in x for b in y])
    assert mmd2(x, y) == pytest.approx(expected, rel=1e-12)


def test_kid_is_unbiased_between_equal_sets():
    x, y = np.random.default_rng(2).normal(size=(2, 400, 8))
    values = [mmd2(x[i : i + 40], y[i : i + 40]) for i in range(0, 400, 40)]
    assert min(values) < 0 < max(values)


def test_prdc_equals_the_prdc_package(features):
    package = pytest.importorskip("prdc")
    with contextlib.redirect_stdout(io.StringIO()):
        expected = package.compute_prdc(*features, nearest_k=5)
    assert prdc(*features, k=5) == pytest.approx(expected, abs=0)


def test_precision_and_recall_agree_with_torch_fidelity(features):
    ours = prdc(*features, k=3)
    assert ours["precision"] == pytest.approx(0.3, abs=1e-6)
    assert ours["recall"] == pytest.approx(0.95, abs=1e-6)


def test_prdc_sees_collapse_and_strangers(monkeypatch):
    rng = np.random.default_rng(3)
    real = rng.normal(size=(200, 8))
    same = prdc(real, rng.normal(size=(200, 8)))
    collapsed = prdc(real, np.repeat(real[:1], 200, 0) + rng.normal(0, 1e-3, (200, 8)))
    strangers = prdc(real, real + 100)
    assert same["precision"] > 0.6
    assert same["coverage"] > 0.6
    assert collapsed["precision"] == 1
    assert collapsed["coverage"] < 0.2
    assert set(strangers.values()) == {0.0}
    monkeypatch.setattr("kinema.metrics.prdc.SLAB", 33)
    assert prdc(real, real + 0.1) == pytest.approx(prdc(real, real + 0.1))


def test_inception_score_agrees_with_torch_fidelity():
    logits = np.random.default_rng(4).normal(0, 2, (503, 12))
    mean, deviation = inception_score(logits)
    assert mean == pytest.approx(2.6205140649859504, abs=1e-10)
    assert deviation == pytest.approx(0.10424891070077948, abs=1e-10)


def test_inception_score_lies_between_one_and_the_number_of_classes():
    sure = 50 * np.tile(np.eye(5), (20, 1))
    assert inception_score(sure, splits=2, seed=None)[0] == pytest.approx(5)
    assert inception_score(np.zeros((20, 5)), splits=2)[0] == pytest.approx(1)


def test_psnr_is_taken_per_picture_and_capped():
    x = np.zeros((2, 8, 8, 3), np.uint8)
    y = x.copy()
    y[1] = 255
    assert psnr(x, y) == pytest.approx((100 + 0) / 2)
    assert psnr(x[0], x[0] + 16) == pytest.approx(20 * np.log10(255 / 16))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_agrees_with_scikit_image(channels):
    skimage = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (3, 24, 31, channels), np.uint8)
    y = np.clip(x + rng.normal(0, 30, x.shape), 0, 255).astype(np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = [
        skimage.structural_similarity(a, b, channel_axis=-1, **options) for a, b in zip(x, y, strict=True)
    ]
    assert ssim(x, y) == pytest.approx(np.mean(expected), abs=1e-6)
    assert ssim(x[None], y[None]) == pytest.approx(np.mean(expected), abs=1e-6)
    assert ssim(x, x) == pytest.approx(1)


def test_bad_input_is_named(features):
    x, y = features
    with pytest.raises(DataError, match="choose `size`"):
        kid(x, y)
    with pytest.raises(UsageError, match="one D"):
        kid(x, y[:, :3], size=10)
    with pytest.raises(UsageError, match="one D"):
        prdc(x, y[:, :3])
    with pytest.raises(DataError, match="neighbours"):
        prdc(x[:5], y)
    with pytest.raises(DataError, match="splits"):
        inception_score(x[:5])
    with pytest.raises(UsageError, match="one shape"):
        psnr(np.zeros((8, 8, 3)), np.zeros((8, 9, 3)))
    with pytest.raises(UsageError, match="11×11"):
        ssim(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
