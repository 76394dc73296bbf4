"""Judges of moving shapes read real clips, are not fooled by broken motion, see what is kept apart."""

from typing import Any

import numpy as np
import pytest

from kinema.core.errors import UsageError
from kinema.data import MovingDigits, MovingShapes
from kinema.data.shapes import HUES
from kinema.metrics.shapes import ShapesJudge, described, kept_apart, moving_shapes

SIZE = 32
DATA = MovingShapes(240, size=SIZE, split="val")


@pytest.fixture(scope="module")
def judge() -> ShapesJudge:
    return ShapesJudge(SIZE)


def test_real_clips_are_read(judge: ShapesJudge) -> None:
    labels, seen = DATA.labels(range(240)), judge(DATA.pixels(range(240)))
    assert (seen.look == labels[:, 0] * len(HUES) + labels[:, 1]).mean() >= 0.99
    assert (seen.motion == labels[:, 2]).mean() >= 0.98
    assert seen.motion_sure.mean() >= 0.95
    assert seen.look_sure.mean() >= 0.9


def test_broken_motion_is_no_motion(judge: ShapesJudge) -> None:
    clips, labels = DATA.pixels(range(240)), DATA.labels(range(240))
    order = np.random.default_rng(3)
    shuffled = np.stack([clip[order.permutation(16)] for clip in clips])
    assert (judge(shuffled).motion == labels[:, 2]).mean() <= 0.35
    assert (judge(np.repeat(clips[:, :1], 16, 1)).motion == labels[:, 2]).mean() <= 0.35
    circles = clips[labels[:, 2] == 2][:, ::-1]
    assert (judge(np.ascontiguousarray(circles)).motion == 2).mean() <= 0.1


class Painter:
    """Real clips, chosen by codes: appearance a is a hue and shape, motion m a motion."""

    name = "painter"

    def __init__(self, faithful: bool) -> None:
        self.data, self.faithful = MovingShapes(2000, size=SIZE, seed=5), faithful
        labels = self.data.labels(range(2000))
        self.looks, self.motions = labels[:, 0] * 8 + labels[:, 1], labels[:, 2]
        self.config = None

    def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
        return self.data.pixels([s % 2000 for s in seeds])

    def combine(self, appearances: list[int], motions: list[int]) -> np.ndarray:
        rows = []
        for k, (a, m) in enumerate(zip(appearances, motions, strict=True)):
            a = a if self.faithful else k * 7 + a
            fits = np.flatnonzero((self.looks == a % 24) & (self.motions == m % 4))
            rows.append(int(fits[(a + m) % len(fits)]))
        return self.data.pixels(rows)


@pytest.mark.parametrize("faithful", [True, False])
def test_codes_that_keep_things_apart_are_told_from_others(
    faithful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinema.metrics.shapes.untrained", lambda system, data: Black())
    rows = moving_shapes(Painter(faithful), DATA, n=100, seed=0, log=str)
    found: dict[str, Any] = {row.name: row.metrics for row in rows}
    made, real = found["painter"], found["real, held out"]
    assert made["same motion"] > 0.97
    assert (made["same look"] > 0.97) == faithful
    assert found["real, pairs at random"]["same motion"] < 0.5
    assert made["motions"] > 0.9
    assert made["looks"] > 0.8
    assert made["FD-motion"] < 2 * real["FD-motion"] + 1
    assert made["FD-motion"] < 0.2 * found["untrained"]["FD-motion"]
    assert (found["untrained"]["motions"], found["untrained"]["motion sure"]) == (0, 0)


class Black:
    """An untrained generator that draws nothing."""

    def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
        return np.zeros((len(seeds), 16, SIZE, SIZE, 3), np.uint8)


def test_pairs_are_counted_in_the_right_direction() -> None:
    look = np.array([[[1, 1, 1], [2, 2, 10]]])  # two appearances, three motions; eight hues of each shape
    motion = np.array([[[0, 1, -1], [0, 2, -1]]])
    assert kept_apart(look, motion) == {
        "same look": pytest.approx(4 / 6),
        "same hue": pytest.approx(1),
        "same motion": pytest.approx(1 / 3),
    }


def test_the_spread_of_motions_is_of_those_that_are_read(judge: ShapesJudge) -> None:
    real = judge(DATA.pixels(range(40)))

    def motions(seen: list[int]) -> float:
        few = real._replace(motion=np.array(seen))
        return described(few, real)["motions"]

    assert motions([2, 2, 2, 2]) == motions([2, -1, -1, 2]) == motions([-1, -1]) == 0
    assert motions([0, 1, 2, 3]) == motions([0, -1, 1, -1, 2, 3]) == pytest.approx(1)
    assert motions([0, 0, 3, 3]) == pytest.approx(0.5)

    def looks(seen: list[int]) -> float:
        return described(real._replace(look=np.array(seen)), real)["looks"]

    assert looks([7, 7, 7]) == 0
    assert looks(list(range(24))) == pytest.approx(1)
    assert looks([0, 23]) == pytest.approx(np.log(2) / np.log(24))


def test_other_clips_are_refused() -> None:
    with pytest.raises(UsageError, match="reads moving shapes"):
        moving_shapes(Painter(True), MovingDigits(8), n=4, seed=0, log=str)
