"""Distances on motion features see wrong motion that distances on frames cannot see."""

import numpy as np
import pytest

from kinema.data import MovingShapes
from kinema.data.shapes import MOTIONS
from kinema.metrics.features import JudgeExtractor, PixelsExtractor
from kinema.metrics.frechet import frechet_distance

CIRCLE = MOTIONS.index("moves in a circle")


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


def frame_distances(first: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Mean FD-pixels of one frame a clip, 40 draws: frames of a clip are too alike to count as many."""
    frames = PixelsExtractor(first[:, ::4].reshape(-1, 1, *first.shape[2:]))
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        which = rng.integers(0, first.shape[1], len(first))
        real = frames.extract(picked(first, which))[0]
        sets = {name: picked(clips, which) for name, clips in damaged(other, rng).items()}
        found.append({k: frechet_distance(real, frames.extract(v)[0]) for k, v in sets.items()})
    return {name: float(np.mean([draw[name] for draw in found])) for name in found[0]}


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """Real clips of the directed motion, and others."""
    data = MovingShapes(2400, size=32, split="val")
    rows = np.flatnonzero(data.labels(range(len(data)))[:, 2] == CIRCLE)[:500]
    clips = data.pixels(rows)
    return clips[:250], clips[250:]


def test_frames_do_not_show_what_is_wrong_with_a_motion(halves) -> None:
    distances = frame_distances(*halves)
    for name in ("shuffled", "reversed", "frozen"):
        assert distances[name] == pytest.approx(distances["real"], rel=0.05), distances


@pytest.mark.slow
def test_motion_features_see_order_direction_and_stillness(halves) -> None:
    """The judge learns the four motions and the circle backwards; it never meets shuffled or frozen clips."""
    data = MovingShapes(900, size=32)
    clips, motion = data.pixels(range(900)), data.labels(range(900))[:, 2]
    back = clips[motion == CIRCLE][:, ::-1]
    kinds = np.eye(len(MOTIONS) + 1)[np.concatenate([motion, np.full(len(back), len(MOTIONS))])]
    judge = JudgeExtractor(np.concatenate([clips, back]), kinds, epochs=5)
    first, other = halves
    real = judge.extract(first)[0]
    sets = damaged(other, np.random.default_rng(0))
    distances = {name: frechet_distance(real, judge.extract(clips)[0]) for name, clips in sets.items()}
    for name in ("shuffled", "reversed", "frozen"):
        assert distances[name] > 10 * distances["real"], distances  # measured: 0.02 against 16 and more
