"""Speed, agreement and nearness of clips, on clips whose motion is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from kinema import load
from kinema.core.errors import UsageError
from kinema.data import Skies
from kinema.losses.gram import gram
from kinema.metrics.acd import acd
from kinema.metrics.photo_motion import COPY, agreement, compare, photo_motion, random_features, speed, wind
from kinema.metrics.report import table

SKIES = Skies(24, split="val", frames=16, signed=True)


class Oracle:
    """Makes the real clips with a little noise; a first stage that leaves the photo standing."""

    name = "oracle"

    def __init__(self) -> None:
        self.clips = {clip[0].tobytes(): clip for clip in SKIES.pixels(range(24))}

    def animate(self, photos: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).integers(-3, 4, SKIES.pixels([0])[0].shape)
        real = np.stack([self.clips[photo.tobytes()] for photo in photos])
        made = (real + noise).clip(0, 255).astype(np.uint8)
        return np.stack([np.broadcast_to(photos[:, None], made.shape), made], 1)


def test_rows_and_their_baselines() -> None:
    said: list[str] = []
    rows = {row.name: row for row in photo_motion(Oracle(), SKIES, n=100, seed=0, log=said.append)}
    assert list(rows) == ["oracle, stage 1", "oracle", COPY, "first frame at the true wind"]
    assert {row.samples for row in rows.values()} == {24}
    still, made, moved = (rows[k].metrics for k in (COPY, "oracle", "first frame at the true wind"))
    assert rows["oracle, stage 1"].metrics == pytest.approx(still, rel=1e-5)
    assert (still["motion"], still["drift"]) == (0, 0)
    assert made["PSNR"] > moved["PSNR"] > still["PSNR"] > still["PSNR last"]
    assert made["MSE"] < still["MSE"]
    assert made["motion"] == pytest.approx(1, abs=0.2)
    assert made["drift"] == pytest.approx(1, abs=0.05)
    assert made["Gram 1"] < still["Gram 1"]
    assert made["Gram 3"] < still["Gram 3"]
    curve = rows[COPY].protocol["by frame"]["PSNR"]
    assert len(curve) == 15
    assert curve[0] > curve[-1]
    assert np.mean(curve) == pytest.approx(still["PSNR"], abs=1e-3)
    assert np.mean(curve[-8:]) == pytest.approx(still["PSNR last"], abs=1e-3)
    assert "by frame" not in table(list(rows.values()))


def test_chunks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = photo_motion(Oracle(), SKIES, n=5, seed=0, log=str)
    monkeypatch.setattr("kinema.metrics.photo_motion.CHUNK", 2)
    for a, b in zip(whole, photo_motion(Oracle(), SKIES, n=5, seed=0, log=str), strict=True):
        assert a.metrics == pytest.approx(b.metrics, rel=1e-4)


def test_the_wind_is_found_where_clips_move() -> None:
    rows = {row.name: row.metrics for row in wind(Oracle(), SKIES, n=24, seed=0, log=str)}
    for name in ("oracle", "real, held out"):
        assert rows[name]["direction"] == 1
        assert rows[name]["correlation"] > 0.99
    for name in ("oracle, stage 1", COPY):
        assert (rows[name]["direction"], rows[name]["correlation"]) == (0, 0)
    said: list[str] = []
    assert wind(Oracle(), SimpleNamespace(), n=4, seed=0, log=said.append) == []
    assert "not known" in said[0]


def test_speed_is_exact_to_a_fraction_of_a_pixel() -> None:
    x = np.arange(64) / 64 * 2 * np.pi
    for v in (-2.25, -0.4, 0.0, 0.3, 1.7):
        places = [x - v * t * 2 * np.pi / 64 for t in range(32)]
        waves = [np.sin(place) + 0.5 * np.cos(3 * place) for place in places]
        clip = (np.stack(waves)[:, None, :, None] * 50 + 128).round().astype(np.uint8)
        assert speed(np.broadcast_to(clip, (32, 64, 64, 3))[None])[0] == pytest.approx(v, abs=0.05)


def test_agreement_by_hand() -> None:
    found = agreement(np.array([1.0, -1.0, 2.0, 0.0]), np.array([0.5, -1.0, 1.0, 1.0]))
    assert found["direction"] == 0.75
    assert found["error"] == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert found["correlation"] == pytest.approx(np.corrcoef([1, -1, 2, 0], [0.5, -1, 1, 1])[0, 1])


def test_random_features_are_always_the_same_and_grams_compare_clips_one_by_one() -> None:
    clips = SKIES.pixels(range(3))
    maps = random_features(clips)
    assert [m.shape[:3] for m in maps] == [(3, 16, 16), (3, 64, 4)]
    assert all((a == b).all() for a, b in zip(maps, random_features(clips), strict=True))
    other = SKIES.pixels(range(3, 6))
    pairs = zip(maps[0], random_features(other)[0], strict=True)
    want = np.mean([float((gram(a[None]) - gram(b[None])).abs().sum()) for a, b in pairs])
    assert float(compare(clips, other)["Gram 1"]) == pytest.approx(want, rel=1e-4)


def test_metrics_that_do_not_fit_a_system_are_refused() -> None:
    with pytest.raises(UsageError, match="does not fit g3an; those that do: moving_shapes, "):
        photo_motion(load("g3an-shapes"), SKIES, n=4, seed=0, log=print)
    with pytest.raises(UsageError, match="does not fit md-gan; those that do: photo_motion, wind"):
        acd(load("md-gan-sky"), SKIES, n=4, seed=0, log=print)
