"""ACD-C with its motion, and the distance to training clips: what they must see and must not be fooled by."""

from types import SimpleNamespace

import numpy as np
import pytest

from kinema.core.errors import DataError
from kinema.data import MovingShapes
from kinema.metrics.acd import acd, acd_c, motion
from kinema.metrics.nearest import nearest, nearest_training, small

TRAIN, HELD_OUT = MovingShapes(150, size=16), MovingShapes(120, size=16, split="val")


class Maker:
    """Makes what a function of seeds gives."""

    name = "maker"

    def __init__(self, make) -> None:
        self.make = make

    def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
        return self.make(np.array(seeds) % 60)


def scores(measure, make, **besides):
    options = {"n": 60, "seed": 0, "log": lambda text: None}
    return {row.name: row for row in measure(Maker(make), HELD_OUT, **options, **besides)}


def test_acd_is_the_mean_over_pairs() -> None:
    clip = np.zeros((1, 3, 2, 2, 3), np.uint8)
    clip[0, 1, ..., 0] = 30
    clip[0, 2, ..., 1] = 40
    assert acd_c(clip) == pytest.approx((30 + 40 + 50) / 3)
    assert acd_c(clip[..., :1]) == pytest.approx(3**0.5 * (30 + 0 + 30) / 3)  # grey is three equal channels
    assert motion(clip)[0] == pytest.approx((10 + (30 + 40) / 3) / 2)
    with pytest.raises(DataError, match="2 frames or more"):
        acd_c(clip[:, :1])


def test_a_frozen_clip_has_no_content_distance_and_no_motion_either() -> None:
    found = scores(acd, lambda rows: np.repeat(TRAIN.pixels(rows)[:, :1], 16, 1))
    for name in ("maker", "real, frozen"):
        assert found[name].metrics == {"ACD-C": 0, "motion": 0, "motion to real": 0}
    assert found["real, held out"].metrics["motion to real"] == pytest.approx(1, abs=0.2)


def test_a_clip_that_changes_its_colour_has_a_large_content_distance() -> None:
    def turning(rows):
        return np.stack([np.roll(clip, t, -1) for t, clip in enumerate(TRAIN.pixels(rows).swapaxes(0, 1))], 1)

    found = scores(acd, turning)
    assert found["maker"].metrics["ACD-C"] > 2 * found["real, held out"].metrics["ACD-C"]
    assert found["maker"].samples == 60
    assert found["maker"].protocol["colours"] == "0 to 255"


def test_nearest_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.metrics.nearest.SLAB", 7)
    rng = np.random.default_rng(0)
    rows, known = (rng.random((n, 12)).astype(np.float32) for n in (20, 15))
    want = [min(np.sqrt(np.square(a - b).mean()) for b in known) for a in rows]
    assert nearest(rows, known) == pytest.approx(want, rel=1e-5)
    assert nearest(known, known).max() == 0


def test_a_memoriser_is_found_out_and_new_clips_are_not() -> None:
    def noisy(rows):
        clips = TRAIN.pixels(rows) + np.random.default_rng(0).normal(0, 2, (len(rows), 16, 16, 16, 3))
        return clips.clip(0, 255).astype(np.uint8)

    new = MovingShapes(60, size=16, seed=5)
    made = {"copy": TRAIN.pixels, "noisy copy": noisy, "new": new.pixels}
    made["half"] = lambda rows: np.where((rows % 2)[:, None, None, None, None], noisy(rows), new.pixels(rows))
    found = {k: scores(nearest_training, m, train=lambda: TRAIN)["maker"].metrics for k, m in made.items()}
    assert found["copy"] == {"nearest ratio": 0, "copies": 1}
    assert found["noisy copy"]["nearest ratio"] < 0.3
    assert found["noisy copy"]["copies"] == 1
    assert found["new"]["nearest ratio"] == pytest.approx(1, abs=0.15)
    assert found["new"]["copies"] < 0.1
    assert found["half"]["copies"] == pytest.approx(0.5, abs=0.1)


def test_rows_and_protocol_of_the_nearest_clip() -> None:
    rows = scores(nearest_training, HELD_OUT.pixels, train=lambda: TRAIN)
    assert list(rows) == ["maker", "real, held out", "training clips"]
    assert rows["maker"].metrics["nearest ratio"] == pytest.approx(1)  # the reference itself
    assert rows["training clips"].metrics == {"nearest ratio": 0, "copies": 1}
    assert rows["maker"].protocol["training"] == 150
    assert rows["maker"].protocol["trained_on"] == TRAIN.describe
    assert small(HELD_OUT.pixels([0])).shape == (1, 3 * 16 * 16 * 16)


def test_a_system_without_classes_needs_no_captions() -> None:
    class Silent:
        captions = ()
        describe = "silent"
        pixels = staticmethod(HELD_OUT.pixels)

        def __len__(self) -> int:
            return len(HELD_OUT)

    maker, options = Maker(HELD_OUT.pixels), {"n": 60, "seed": 0, "log": lambda text: None}
    with pytest.raises(DataError, match="asked by captions"):
        acd(maker, Silent(), **options)
    maker.config = SimpleNamespace(conditional=False)
    assert acd(maker, Silent(), **options)[0].metrics["motion to real"] == pytest.approx(1)
