"""Counter-based chance: draw k of item i is a pure function of (key, i, k), for whole batches at once.

The mixing function is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014).
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

LANES = 16
"""draws that one item may make"""


def uniform(key: str, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """`LANES` independent uniform numbers for every item.

    Args:
        key: names the stream; other keys give unrelated numbers.
        index: items (B,), none negative.

    Returns:
        float64 (B, LANES) in [0, 1).
    """
    start = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    counter = index.astype(np.uint64)[:, None] * np.uint64(LANES) + np.arange(1, LANES + 1, dtype=np.uint64)
    z = np.add(start, counter * np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
