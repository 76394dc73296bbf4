"""Does a generator repeat its training clips? A memoriser has a perfect Fréchet distance.

The distance of each clip to its nearest training clip, generated ones relative to held-out real ones: about
1 is right, near 0 is memory, far above 1 is far from everything real. Clips are compared as 16×16 pixels in
colour, area-averaged, so that a copy with little noise is still a copy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.metrics.features import parts
from kinema.metrics.measures import Clips, Log, compared
from kinema.metrics.report import Row

Float = NDArray[np.float32]
SIDE, MOST, PIECE, SLAB = 16, 4000, 256, 128
CLOSE = 1.0
"""per cent of held-out clips that count as close to a training clip"""


def small(clips: Clips) -> Float:
    """Clips (N, T, H, W, C) as rows of 3·T·16·16 numbers in [0, 1]."""
    return np.concatenate([part.flatten(1).numpy() for part in parts(clips, SIDE)])


def nearest(rows: Float, training: Float) -> NDArray[np.float64]:
    """Root mean square distance from each row (N, D) to the nearest of training (M, D), (N,)."""
    centre = training.mean(0)
    known = training - centre
    squares = np.square(known).sum(1)
    found = []
    for start in range(0, len(rows), SLAB):
        part = rows[start : start + SLAB] - centre
        best = (squares - 2 * part @ known.T).argmin(1)  # |a|² is the same for all
        found.append(np.sqrt(np.square(part - known[best]).mean(1, dtype=np.float64)))
    return np.concatenate(found)


def nearest_training(
    system: Any, data: Any, *, n: int, seed: int, log: Log, train: Callable[[], Any]
) -> list[Row]:
    """`nearest ratio`, median of generated to median of held-out clips; `copies`, how many are very close.

    Very close is nearer than 99 of 100 held-out clips are, so that one in a hundred is right. A row of
    training clips shows what memory scores.
    """
    training = train()
    m = min(len(training), MOST)
    pieces = [small(training.pixels(range(i, min(i + PIECE, m)))) for i in range(0, m, PIECE)]
    known = np.concatenate(pieces)
    real, sets = compared(system, data, n, seed, log)
    usual = nearest(small(real), known)
    sets["training clips"] = training.pixels(range(min(m, len(real))))
    protocol = {"metric": "nearest training clip", "space": "16x16 RGB, root mean square", "training": m}
    protocol |= {"trained_on": training.describe, "data": data.describe}
    protocol |= {"reference_clips": len(real), "clip_seed": seed}
    rows = []
    for name, clips in sets.items():
        distance = nearest(small(clips), known)
        ratio = float(np.median(distance) / max(float(np.median(usual)), 1e-9))
        copies = float((distance < np.percentile(usual, CLOSE)).mean())
        rows.append(Row(name, {"nearest ratio": ratio, "copies": copies}, len(clips), protocol))
    return rows
