"""Extractors: width, chunks, repeatability; and that distances on them see what is wrong with a set."""

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits
from kinema.data.digits import bundled_digits, split_digits
from kinema.metrics.features import JudgeExtractor, PixelsExtractor, RandomExtractor
from kinema.metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def clips():
    return MovingDigits(80, size=32, frames=8, split="val").pixels(range(80))


def test_each_extractor_gives_its_width_and_does_not_depend_on_the_batch(clips, monkeypatch):
    targets = np.eye(2, dtype=np.float32)[np.arange(80) % 2]
    for extractor in (RandomExtractor(), PixelsExtractor(clips), JudgeExtractor(clips, targets, epochs=1)):
        features, logits = extractor.extract(clips[:40])
        assert features.shape == (40, extractor.width)
        assert features.dtype == np.float32
        assert (logits is None) == (extractor.name != "judge")
        assert np.allclose(extractor.extract(clips[37:40])[0], features[37:40], rtol=1e-4, atol=1e-4)
        grey = extractor.extract(clips[:2].repeat(3, -1))[0]
        assert np.allclose(grey, features[:2], rtol=1e-4, atol=1e-4)
        assert extractor.describe()["features"] == extractor.name


def test_pictures_are_clips_of_one_frame(clips):
    assert RandomExtractor().extract(clips[:3, :1])[0].shape == (3, 256)


def test_random_filters_are_a_function_of_the_seed(clips):
    one, again, other = (RandomExtractor(seed).extract(clips[:2])[0] for seed in (0, 0, 1))
    assert (one == again).all()
    assert not np.allclose(one, other)


def test_the_judge_tells_directions_apart_and_is_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path))
    real = MovingDigits(400, size=16, frames=8)
    video, axis = real.pixels(range(400)), real.labels(range(400))[:, 0, 1]
    targets = np.eye(2, dtype=np.float32)[axis]
    judge = JudgeExtractor(video[:300], targets[:300], epochs=8)
    assert judge.accuracy(video[300:], targets[300:]) > 0.9
    assert judge.accuracy(video[300:], 1 - targets[300:]) < 0.1
    assert len(list((tmp_path / "judges").iterdir())) == 1
    assert JudgeExtractor(video[:300], targets[:300], epochs=8).describe() == judge.describe()


def test_accuracy_wants_both_of_two_classes(clips, monkeypatch):
    judge = JudgeExtractor(clips[:8], np.eye(4, dtype=np.float32)[np.arange(8) % 4], epochs=1)
    logits = np.array([[3.0, 2, 1, 0], [3, 2, 1, 0], [0, 1, 2, 3]], np.float32)
    monkeypatch.setattr(JudgeExtractor, "extract", lambda self, clips: (logits, logits))
    targets = np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    assert judge.accuracy(clips[:3], targets) == pytest.approx(2 / 3)


def test_distances_see_frozen_shuffled_and_noisy_clips():
    data = MovingDigits(240, size=32, frames=8)
    clips, other = data.pixels(range(120)), data.pixels(range(120, 240))
    noise = np.clip(other + np.random.default_rng(0).normal(0, 25, other.shape), 0, 255).astype(np.uint8)
    extractor = RandomExtractor()
    real = extractor.extract(clips)[0]
    sets = {
        "other": other,
        "frozen": other[:, :1].repeat(8, 1),
        "shuffled": other[:, ::3].repeat(3, 1)[:, :8],
    }
    distance = {
        k: frechet_distance(real, extractor.extract(v)[0]) for k, v in (sets | {"noise": noise}).items()
    }
    assert distance["other"] < min(distance["frozen"], distance["shuffled"], distance["noise"])


def test_bad_input_is_named(clips):
    with pytest.raises(UsageError, match="uint8 clips"):
        RandomExtractor().extract(clips.astype(np.float32))
    with pytest.raises(UsageError, match="another length"):
        PixelsExtractor(clips).extract(clips[:, :4])
    with pytest.raises(DataError, match="at least 2 clips"):
        PixelsExtractor(clips[:1])
    with pytest.raises(DataError, match="2 classes or more"):
        JudgeExtractor(clips, np.ones((80, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["judge", "random"])
def test_distance_rises_with_noise_blur_and_lost_classes(name):
    """2,000 real digits against 2,000: real against real is lowest, each step of damage adds to it."""
    images, labels = bundled_digits()
    rng = np.random.default_rng(0)
    train = np.concatenate(split_digits(labels, "train"))
    order = rng.permutation(train)
    fit, real, rest = order[:3500], order[3500:5500], order[5500:]

    def clips(rows):
        return images[rows][:, None, :, :, None]  # (N, 1, 28, 28, 1)

    extractor = RandomExtractor()
    if name == "judge":
        extractor = JudgeExtractor(clips(fit), np.eye(10)[labels[fit]], epochs=5)
    reference = extractor.extract(clips(real))[0]

    def distance(pictures):
        return frechet_distance(reference, extractor.extract(pictures)[0])

    def blur(pictures, steps):
        x = pictures.astype(np.float64)
        for _ in range(steps):
            for axis in (2, 3):
                x = (np.roll(x, 1, axis) + 2 * x + np.roll(x, -1, axis)) / 4
        return np.rint(x).astype(np.uint8)

    other = clips(rest[:2000])
    noise = rng.normal(size=other.shape)
    noisy = [
        distance(np.rint(np.clip(other / 255 + s * noise, 0, 1) * 255).astype(np.uint8))
        for s in (0, 0.1, 0.2, 0.4)
    ]
    pool = np.concatenate([rest, np.concatenate(split_digits(labels, "val"))])
    lost = [distance(clips(rng.choice(pool[labels[pool] >= k], 2000))) for k in (1, 5, 9)]
    for series in (noisy, [noisy[0]] + [distance(blur(other, k)) for k in (1, 3, 9)], [noisy[0], *lost]):
        assert series == sorted(series), series
        assert len(set(series)) == len(series)
