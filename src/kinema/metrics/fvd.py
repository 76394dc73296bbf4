"""Fréchet Video Distance by three protocols, with the I3D that the user brings (`--i3d FILE`).

Unterthiner et al., arXiv 1812.01717. The protocols are known to differ in the clips they take, in who
resizes, and in the divisor of the covariance, so a number says which it is:

    fvd             the first 16 frames; N - 1
    fvd_stylegan_v  16 consecutive frames at random; of clips of 128 frames also all of them, and every
                    eighth; the file resizes if it can; N
    fvd_cd          as fvd, with N

All are published for 2,048 clips. I3D hears far more of the quality of frames than of motion (arXiv
2404.12391): the row of frozen clips tells how much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kinema.core.errors import UsageError
from kinema.metrics.features import known_features
from kinema.metrics.foreign import Clips, Foreign
from kinema.metrics.i3d import FRAMES, I3DExtractor
from kinema.metrics.measures import Log, compared, frechet_rows, frozen
from kinema.metrics.report import Row

USUAL = 2048
LONG, EVERY = 128, 8


def fvd(system: Any, data: Any, *, n: int, seed: int, log: Log, i3d: Foreign) -> list[Row]:
    """The distance as first published, divisor N - 1."""
    return _first_frames("FVD", 1, I3DExtractor(i3d), system, data, n, seed, log)


def fvd_cd(system: Any, data: Any, *, n: int, seed: int, log: Log, i3d: Foreign) -> list[Row]:
    """As cd-fvd takes it, divisor N."""
    return _first_frames("FVD cd-fvd", 0, I3DExtractor(i3d), system, data, n, seed, log)


def fvd_stylegan_v(system: Any, data: Any, *, n: int, seed: int, log: Log, i3d: Foreign) -> list[Row]:
    """As StyleGAN-V takes it: `fvd2048_16f`, and for long clips `_128f` and `_128f_subsample8f`."""
    extractor = I3DExtractor(i3d, inside=True)
    real, sets = _clips(system, data, n, seed, log)
    rows: list[Row] = []
    for name, frames, every in (("16f", FRAMES, 1), ("128f", LONG, 1), ("128f_subsample8f", LONG, EVERY)):
        if real.shape[1] < frames:
            continue
        cut = {key: window(clips, frames, every, seed) for key, clips in sets.items()}
        metric = f"fvd{len(real)}_{name}"
        protocol = {"metric": metric, "frames": f"{frames} consecutive at random, every {every}"}
        rows += _rows(extractor, window(real, frames, every, seed), cut, protocol, data, seed, 0)
    return rows


def window(clips: Clips, frames: int, every: int, seed: int) -> Clips:
    """Consecutive frames of each clip (N, T, H, W, C), from a random start, of which every n-th is kept."""
    starts = np.random.default_rng(seed).integers(0, clips.shape[1] - frames + 1, len(clips))
    places = starts[:, None] + np.arange(0, frames, every)
    return clips[np.arange(len(clips))[:, None], places]


def _first_frames(
    metric: str, ddof: int, extractor: I3DExtractor, system: Any, data: Any, n: int, seed: int, log: Log
) -> list[Row]:
    real, sets = _clips(system, data, n, seed, log)
    protocol = {"metric": metric, "frames": f"first {FRAMES} of {real.shape[1]}"}
    cut = {name: clips[:, :FRAMES] for name, clips in sets.items()}
    return _rows(extractor, real[:, :FRAMES], cut, protocol, data, seed, ddof)


def _clips(system: Any, data: Any, n: int, seed: int, log: Log) -> tuple[Clips, dict[str, Clips]]:
    """Real clips, and those to compare with them, frozen ones among them."""
    if n != USUAL:
        log(f"FVD is usually of {USUAL} clips; compare this one with others of as many clips only")
    real, sets = compared(system, data, n, seed, log)
    if real.shape[1] < FRAMES:
        raise UsageError(f"FVD is of clips of {FRAMES} frames or more; these have {real.shape[1]}.")
    return real, sets | {"real, frozen": frozen(sets["real, held out"])}


def _rows(
    extractor: I3DExtractor,
    real: Clips,
    sets: dict[str, Clips],
    protocol: dict[str, Any],
    data: Any,
    seed: int,
    ddof: int,
) -> list[Row]:
    protocol |= {"data": data.describe, "reference_clips": len(real), "clip_seed": seed}
    reference = known_features(extractor, real)
    return frechet_rows(extractor, reference, sets, protocol, ddof=ddof, manifold=False)
