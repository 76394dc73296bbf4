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


def damaged(clips: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The clips, and these with every single frame real, but in no order, backwards, or standing still."""
    rows = np.arange(len(clips))
    order = np.argsort(rng.random(clips.shape[:2]), 1)
    still = clips[rows, rng.integers(0, clips.shape[1], len(clips))]
    return {
        "real": clips,
        "shuffled": clips[rows[:, None], order],
        "reversed": clips[:, ::-1],
        "frozen": np.repeat(still[:, None], clips.shape[1], 1),
    }


def picked(clips: np.ndarray, which: np.ndarray) -> np.ndarray:
    """One frame of each clip (N, 1, H, W, C)."""
    return clips[np.arange(len(clips)), which][:, None]


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
    motions: dict[str, float] = {}
    pictures: dict[str, list[float]] = {}
    for _ in range(8):  # one frame of each clip a time: the frames of a clip are too alike to count as many
        which = rng.integers(0, 16, len(first))
        one = picked(first, which)
        for name, clips in damaged(other, rng).items():
            frame_fd = frechet_distance(frames.extract(one)[0], frames.extract(picked(clips, which))[0])
            pictures.setdefault(name, []).append(frame_fd)
            if name not in motions:
                motions[name] = frechet_distance(judge.extract(first)[0], judge.extract(clips)[0])
    by_frame = {name: float(np.mean(found)) for name, found in pictures.items()}
    with capsys.disabled():
        print({k: (round(motions[k], 3), round(by_frame[k], 3)) for k in motions})
    for name in ("shuffled", "reversed", "frozen"):
        assert motions[name] > 10 * motions["real"], name
        assert by_frame[name] == pytest.approx(by_frame["real"], rel=0.05), name
