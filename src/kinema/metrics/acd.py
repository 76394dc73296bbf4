"""Average content distance by colour: does a clip keep the colours that it begins with?

Tulyakov et al., MoCoGAN, arXiv 1707.04993: the mean distance of all pairs of frames of a clip, each frame
being its mean colour (ACD-C). A frozen clip scores a perfect zero, so how much clips move stands beside it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError
from kinema.metrics.measures import Clips, Log, compared, frozen
from kinema.metrics.report import Row


def acd_c(clips: Clips) -> float:
    """Mean over clips of the mean distance of pairs of frames by their mean red, green, blue in 0 to 255.

    Args:
        clips: uint8 (N, T, H, W, C), T at least 2; grey counts as three equal channels.
    """
    colour = clips.mean((2, 3), dtype=np.float64)  # (N, T, C)
    if colour.shape[1] < 2:
        raise DataError(f"the content distance is of clips of 2 frames or more, not {colour.shape[1]}.")
    colour = np.broadcast_to(colour, (*colour.shape[:2], 3))
    first, second = np.triu_indices(colour.shape[1], 1)
    return float(np.linalg.norm(colour[:, first] - colour[:, second], axis=-1).mean())


def motion(clips: Clips) -> NDArray[np.float64]:
    """Mean change of a pixel from frame to frame in 0 to 255, (N,)."""
    changes = [np.abs(np.diff(clip.astype(np.int16), axis=0)).mean() for clip in clips]
    return np.array(changes, np.float64)


def acd(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """ACD-C, the motion, and the motion relative to real clips; nearest to real is best for all three."""
    real, sets = compared(system, data, n, seed, log)
    sets["real, frozen"] = frozen(sets["real, held out"])
    moves = float(motion(real).mean())
    protocol: dict[str, Any] = {
        "metric": "ACD-C",
        "colours": "0 to 255",
        "pairs": "all",
        "motion": "0 to 255 a frame",
    }
    protocol |= {"data": data.describe, "reference_clips": len(real), "clip_seed": seed}
    rows = []
    for name, clips in sets.items():
        own = float(motion(clips).mean())
        numbers = {"ACD-C": acd_c(clips), "motion": own, "motion to real": own / max(moves, 1e-9)}
        rows.append(Row(name, numbers, len(clips), protocol))
    return rows
