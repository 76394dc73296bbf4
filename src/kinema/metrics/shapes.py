"""Moving shapes read back: what is seen in a clip, how it moves, and whether a generator keeps the two apart.

Two judges, trained on real clips only. One reads shape and hue from single frames. The other reads the
motion from whole clips, and knows a fifth kind, no motion of the set: frozen clips, clips in any other order,
circles backwards, noise. So it cannot tell a motion by the places alone. Its features carry the Fréchet
distance.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.shapes import HUES, MOTIONS, SHAPES, MovingShapes
from kinema.metrics.features import JudgeExtractor
from kinema.metrics.frechet import frechet_distance
from kinema.metrics.measures import untrained
from kinema.metrics.report import Row

Clips = NDArray[np.uint8]  # (N, T, H, W, C)
Log = Callable[[str], object]
TRAINED, FRAMES_EACH, SURE, SIDE = 2000, 6, 0.9, 8
"""clips that judges learn from; frames of each; when a judge is sure; appearances and motions of a grid"""


class Seen(NamedTuple):
    """What the judges read from N clips of T frames."""

    look: NDArray[np.int64]
    """place of shape and hue among all 24, by the mean over frames (N,)"""
    looks: NDArray[np.int64]
    """the same, frame by frame (N, T)"""
    look_sure: NDArray[np.bool_]
    """frames whose shape and hue are both more than nine tenths probable (N, T)"""
    motion: NDArray[np.int64]
    """place in `MOTIONS`, -1 for none of them (N,)"""
    motion_sure: NDArray[np.bool_]
    """a motion more than nine tenths probable (N,)"""
    features: NDArray[np.float32]
    """of the judge of motions (N, 128)"""


class ShapesJudge:
    """Reads clips of moving shapes."""

    def __init__(self, size: int = 64, frames: int = 16) -> None:
        """Train on real clips like these (forty CPU-seconds), or read from the cache."""
        self.size, self.frames = size, frames
        real = MovingShapes(TRAINED, size=size, frames=frames, seed=1)  # the judges' own clips
        clips, labels = real.pixels(range(TRAINED)), real.labels(range(TRAINED))
        chance = np.random.default_rng(0)
        rows = np.repeat(np.arange(TRAINED), FRAMES_EACH)
        pictures = clips[rows, chance.integers(0, frames, len(rows))][:, None]
        both = np.concatenate([np.eye(3)[labels[rows, 0]], np.eye(8)[labels[rows, 1]]], 1)
        self.looks = JudgeExtractor(pictures, both, epochs=4)
        none = _no_motion(clips, labels, chance)
        kinds = np.concatenate([labels[:, 2], np.full(len(none), len(MOTIONS))])
        self.motions = JudgeExtractor(
            np.concatenate([clips, none]), np.eye(len(MOTIONS) + 1)[kinds], epochs=4
        )

    def __call__(self, clips: Clips) -> Seen:
        """What clips uint8 (N, T, H, W, 3) show."""
        n, t = clips.shape[:2]
        logits = self.looks.extract(clips.reshape(n * t, 1, *clips.shape[2:]))[1]
        assert logits is not None
        shapes = _probable(logits[:, : len(SHAPES)]).reshape(n, t, -1)
        hues = _probable(logits[:, len(SHAPES) :]).reshape(n, t, -1)
        features, logits = self.motions.extract(clips)
        assert logits is not None
        motions = _probable(logits)
        motion = motions.argmax(1)
        return Seen(
            look=_best(np.log(shapes + 1e-9).mean(1), np.log(hues + 1e-9).mean(1)),
            looks=_best(shapes, hues),
            look_sure=np.minimum(shapes.max(2), hues.max(2)) > SURE,
            motion=np.where(motion == len(MOTIONS), -1, motion),
            motion_sure=motions[:, : len(MOTIONS)].max(1) > SURE,
            features=features,
        )

    def describe(self) -> dict[str, Any]:
        """The protocol."""
        held_out = MovingShapes(500, size=self.size, frames=self.frames, split="val", seed=1)
        seen, labels = self(held_out.pixels(range(500))), held_out.labels(range(500))
        right = {
            "look": seen.look == labels[:, 0] * len(HUES) + labels[:, 1],
            "motion": seen.motion == labels[:, 2],
        }
        accuracy = {f"judge_of_{kind}_accuracy": round(float(hit.mean()), 4) for kind, hit in right.items()}
        return {"judge": self.motions.describe(), **accuracy}


@cache
def shapes_judge(size: int, frames: int) -> ShapesJudge:
    """The judge for clips of this size and length, made once."""
    return ShapesJudge(size, frames)


def moving_shapes(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Do clips look like moving shapes, and are appearance and motion apart?

    FD-motion on n clips; `motions` and `looks` are the entropies of what is read, relative to those of four
    motions, and of three shapes in eight hues, in turn: few looks are easily kept apart from motions;
    `motion sure` and `look sure` are shares of clips and of frames; `look kept` is the share of pairs of
    neighbouring frames with one shape and hue. With codes of appearance and motion, n more clips in grids of
    eight by eight: `same look` is the share of pairs of clips of one appearance with one shape and hue, `same
    hue` with one hue, `same motion` that of pairs of one motion code that move alike.
    """
    if not isinstance(data, MovingShapes):
        raise UsageError("this metric reads moving shapes: --data shapes.")
    log("training, or reading from the cache, the judges of looks and motions")
    judge, m = shapes_judge(data.size, data.frames), min(n, len(data) // 2)
    real = judge(data.pixels(range(m)))
    rows = {
        system.name: _scores(system, data, judge, real, m, seed),
        "untrained": _scores(untrained(system, data), data, judge, real, m, seed),
        "real, held out": described(judge(data.pixels(range(m, 2 * m))), real),
        "real, pairs at random": _chance(real, seed),
    }
    protocol = {"metric": "moving shapes", **judge.describe(), "data": data.describe, "clip_seed": seed}
    protocol |= {"grids": f"{SIDE}x{SIDE}", "ddof": 1}
    return [Row(name, numbers, m, protocol) for name, numbers in rows.items()]


def described(seen: Seen, real: Seen) -> dict[str, float]:
    """What is said of clips by themselves, against real ones."""
    return {
        "FD-motion": frechet_distance(real.features, seen.features),
        "motions": variety(seen.motion[seen.motion >= 0], len(MOTIONS)),
        "looks": variety(seen.look, len(SHAPES) * len(HUES)),
        "motion sure": float(seen.motion_sure.mean()),
        "look sure": float(seen.look_sure.mean()),
        "look kept": float((seen.looks[:, 1:] == seen.looks[:, :-1]).mean()),
    }


def variety(kinds: NDArray[np.int64], known: int) -> float:
    """Entropy of the kinds found (N,), relative to that of all `known` in turn; 0 for one or none."""
    shares = np.bincount(kinds, minlength=known) / max(1, len(kinds))
    there = shares[shares > 0]
    return abs(float(-(there * np.log(there)).sum() / np.log(known)))


def kept_apart(look: NDArray[np.int64], motion: NDArray[np.int64]) -> dict[str, float]:
    """Shares of equal pairs in grids (G, A, M): looks of one appearance, motions of one motion code."""
    return {
        "same look": _equal_pairs(look),
        "same hue": _equal_pairs(look % len(HUES)),
        "same motion": _equal_pairs(motion.swapaxes(1, 2)),
    }


def _equal_pairs(seen: NDArray[np.int64]) -> float:
    """Share of pairs along the last axis that are equal; -1 equals nothing."""
    first, second = np.triu_indices(seen.shape[-1], 1)
    return float(((seen[..., first] == seen[..., second]) & (seen[..., first] >= 0)).mean())


def _scores(system: Any, data: MovingShapes, judge: ShapesJudge, real: Seen, n: int, seed: int) -> Any:
    seeds = [seed * 1_000_003 + i for i in range(n)]
    captions = [data.captions[i % len(data.captions)] for i in range(n)]
    made = _some_at_a_time(lambda rows: system.generate(captions[rows], seeds[rows]), n)
    found = described(judge(made), real)
    inner = getattr(system, "system", system)
    if hasattr(inner, "combine"):
        grids = -(-n // SIDE**2)
        appearances = np.repeat(np.arange(grids * SIDE), SIDE)  # (G A M)
        motions = np.tile(np.arange(grids * SIDE).reshape(grids, 1, SIDE), (1, SIDE, 1)).reshape(-1)
        a, b = ([10**9 + seed * 1_000_003 + int(i) for i in codes] for codes in (appearances, motions))
        clips = _some_at_a_time(lambda rows: system.combine(a[rows], b[rows]), len(a))
        seen = judge(clips)
        found |= kept_apart(*(x.reshape(grids, SIDE, SIDE) for x in (seen.look, seen.motion)))
    return found


def _chance(real: Seen, seed: int) -> dict[str, float]:
    """How often two real clips agree."""
    other = np.random.default_rng(seed).permutation(len(real.look))
    read = {"same look": real.look, "same hue": real.look % len(HUES), "same motion": real.motion}
    equal = {name: seen == seen[other] for name, seen in read.items()}
    return {name: float(hit[other != np.arange(len(other))].mean()) for name, hit in equal.items()}


def _no_motion(clips: Clips, labels: NDArray[np.int64], chance: np.random.Generator) -> Clips:
    """Clips in another order, clips that stand still, circles backwards, noise and flat colours."""
    n, t, size = len(clips) // 4, clips.shape[1], clips.shape[2]
    shuffled = np.stack([clip[chance.permutation(t)] for clip in clips[:n]])
    frozen = np.repeat(clips[n : n + n // 5, :1], t, 1)
    circles = clips[labels[:, 2] == MOTIONS.index("moves in a circle")]
    noise = [clips[:0]]
    for side in (1, size // 8, size):
        cells = chance.integers(0, 256, (n // 6, t, side, side, 3), np.uint8)
        cells[::2] = cells[::2, :1]  # every second one stands still
        noise.append(cells.repeat(size // side, 2).repeat(size // side, 3))
    return np.concatenate([shuffled, frozen, circles[:, ::-1], *noise])


def _probable(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    e = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _best(shapes: NDArray[np.float64], hues: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(shapes.argmax(-1) * len(HUES) + hues.argmax(-1), np.int64)


def _some_at_a_time(make: Callable[[slice], Clips], n: int, batch: int = 50) -> Clips:
    return np.concatenate([make(slice(start, min(start + batch, n))) for start in range(0, n, batch)])
