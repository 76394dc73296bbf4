"""Procedural skies move as they say, and their colour says it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.core.errors import UsageError
from kinema.data import Skies, make, open_clips
from kinema.data.skies import TINTS, WIND, drift
from kinema.metrics.photo_motion import agreement, speed


def tint(frame: np.ndarray) -> np.ndarray:
    """How blue the bluest pixel of each sky is, from the first frames (N, H, W, 3)."""
    sky = frame[:, : frame.shape[1] // 2].reshape(len(frame), -1, 3).astype(float)
    return np.array([s[s.min(1).argmin()][2] - s[s.min(1).argmin()][0] for s in sky])


@pytest.mark.parametrize("signed", [False, True])
def test_clouds_move_by_the_wind(signed: bool) -> None:
    skies = Skies(40, signed=signed)
    wind = skies.wind(range(40))
    assert (np.abs(wind) >= WIND[0]).all()
    assert (np.abs(wind) <= WIND[1]).all()
    assert (wind < 0).any() == signed
    found = agreement(speed(skies.pixels(range(40))), wind)
    assert found["direction"] == 1
    assert found["error"] < 0.02


def test_the_tint_is_a_linear_function_of_the_wind_unless_shuffled() -> None:
    told, shuffled = (Skies(60, signed=True, shuffled=s, frames=1) for s in (False, True))
    np.testing.assert_array_equal(told.wind(range(60)), shuffled.wind(range(60)))
    blue = [tint(s.pixels(range(60))[:, 0]) for s in (told, shuffled)]
    assert np.corrcoef(blue[0], told.wind(range(60)))[0, 1] > 0.98
    assert abs(np.corrcoef(blue[1], told.wind(range(60)))[0, 1]) < 0.3
    span = (TINTS[1] - TINTS[0]) * 255
    assert np.ptp(blue[0]) > 0.7 * (span[2] - span[0])


def test_the_ridge_stands_and_is_black() -> None:
    clips = Skies(6).pixels(range(6))
    assert (clips[:, :, -4:] == 0).all()
    black = (clips == 0).all(-1)
    assert (black == black[:, :1]).all()
    assert not black[:, :, :28].any()


def test_items_depend_on_seed_index_and_split_alone() -> None:
    skies = Skies()
    assert (len(skies), len(Skies(split="val")), len(Skies(split="all"))) == (1000, 100, 1100)
    together = skies.batch([7, 3, 999])
    assert together["video"].shape == (3, 3, 32, 64, 64)
    assert together["video"].abs().max() <= 1
    assert torch.equal(together["video"][1], skies.batch([3])["video"][0])
    assert together["wind"][1] == skies.batch([3])["wind"][0]
    first = skies.pixels([3])
    for other in (Skies(seed=1), Skies(split="val")):
        assert (other.pixels([3]) != first).any()
    np.testing.assert_array_equal(Skies(n=5, frames=8).pixels([3]), first[:, :8])
    with pytest.raises(IndexError, match="items are 0 to 999"):
        skies.batch([1000])


def test_a_larger_picture_has_the_wind_of_its_size() -> None:
    small, large = Skies(8), Skies(8, size=128)
    np.testing.assert_allclose(large.wind(range(8)), 2 * small.wind(range(8)), rtol=1e-6)
    assert agreement(speed(large.pixels(range(8))), large.wind(range(8)))["error"] < 0.05


def test_drift_by_whole_pixels_is_a_roll() -> None:
    picture = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    moved = drift(picture, -2, 4)
    for t in range(4):
        np.testing.assert_allclose(moved[t], np.roll(picture, -2 * t, axis=1), atol=1e-5)


def test_names_and_hashes_tell_the_variants_apart() -> None:
    names = ("skies", "skies:signed", "skies:shuffled", "skies:signed,shuffled")
    sets = [open_clips(name, frames=32, size=64, channels=3) for name in names]
    assert [s.signed for s in sets] == [False, True, False, True]
    assert [s.shuffled for s in sets] == [False, False, True, True]
    assert len({s.hash for s in sets}) == len({s.describe for s in sets}) == 4
    assert sets[0].hash == Skies().hash != Skies(seed=1).hash
    assert sets[0].captions == sets[0].vocabulary == []


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("skies:holdout", {}, "after the colon come signed and shuffled"),
        ("skies", {"channels": 1}, "3 channels, not 1"),
        ("skies", {"size": 8}, "size of at least 16"),
        ("skies", {"split": "test"}, "split is one of train, val, all"),
    ],
)
def test_skies_that_cannot_be_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_clips(name, **{"channels": 3, **settings})  # type: ignore[arg-type]


def test_made_skies_read_back_exactly(tmp_path: Path) -> None:
    make("skies:signed", 6, tmp_path / "set", size=32, seed=2)
    read = open_clips(tmp_path / "set", frames=32, size=32, channels=3, captions=False)
    born = Skies(5, size=32, seed=2, signed=True)
    assert torch.equal(read.batch(range(5))["video"], born.batch(range(5))["video"])
    lines = (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert f'"wind": {born.wind([0])[0]:.4f}'.rstrip("0") in lines[0]
