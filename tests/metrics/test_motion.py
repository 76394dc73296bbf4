"""Distances on motion features see wrong motion that distances on frames cannot see."""

import numpy as np
import pytest

from kinema.data import MovingShapes
from kinema.data.shapes import MOTIONS
from kinema.metrics.features import JudgeExtractor, RandomExtractor
from kinema.metrics.frechet import frechet_distance

CIRCLE = MOTIONS.index("moves in a circle")


def circles(data: MovingShapes, n: int) -> np.ndarray:
    rows = np.flatnonzero(data.labels(range(len(data)))[:, 2] == CIRCLE)
    return data.pixels(rows[:n])


@pytest.mark.slow
def test_motion_features_see_order_direction_and_stillness_where_frames_do_not(capsys) -> None:
    """The judge learns the four motions and the circle backwards; it never meets shuffled or frozen clips."""
    data = MovingShapes(900, size=32)
    clips, motion = data.pixels(range(900)), data.labels(range(900))[:, 2]
    back = clips[motion == CIRCLE][:, ::-1]
    kinds = np.eye(len(MOTIONS) + 1)[np.concatenate([motion, np.full(len(back), len(MOTIONS))])]
    judge, frames = JudgeExtractor(np.concatenate([clips, back]), kinds, epochs=5), RandomExtractor()

    real = circles(MovingShapes(2400, size=32, split="val"), 500)
    first, other = real[:250], real[250:]
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random(other.shape[:2]), 1)
    sets = {
        "real": other,
        "shuffled": other[np.arange(len(other))[:, None], order],
        "reversed": other[:, ::-1],
        "frozen": np.repeat(other[:, :1], other.shape[1], 1),
    }
    which = rng.integers(0, 16, len(other))

    def one_frame(clips: np.ndarray) -> np.ndarray:
        return frames.extract(clips[np.arange(len(clips)), which][:, None])[0]

    by_motion = {k: frechet_distance(judge.extract(first)[0], judge.extract(v)[0]) for k, v in sets.items()}
    by_frame = {k: frechet_distance(one_frame(first), one_frame(v)) for k, v in sets.items()}
    with capsys.disabled():
        print({k: (round(by_motion[k], 3), round(by_frame[k], 3)) for k in sets})
    for name in ("shuffled", "reversed", "frozen"):
        assert by_motion[name] > 3 * by_motion["real"], name
        assert by_frame[name] == pytest.approx(by_frame["real"], rel=0.05), name
