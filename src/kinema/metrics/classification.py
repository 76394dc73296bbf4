"""How often a classifier is wrong on pictures that it has not seen."""

import math
from typing import Any

import numpy as np

from kinema.core.errors import UsageError
from kinema.data.pictures import Pictures
from kinema.metrics.measures import Log, untrained
from kinema.metrics.report import Row


def classification(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Share of held-out pictures whose likeliest class is wrong, and the cross-entropy of the right one.

    Beside it the same network before training, and chance: every class equally likely.
    """
    if not isinstance(data, Pictures):
        raise UsageError(
            "this metric reads pictures of classes: --data digits, cifar10, drawings or a folder."
        )
    known = tuple(getattr(system, "system", system).config.classes)
    if tuple(data.captions) != known:
        raise UsageError(f"these pictures are of {len(data.captions)} classes, the classifier's are others.")
    if n > len(data):
        log(f"there are {len(data)} held-out pictures: these are taken, not {n}")
    rows = np.random.default_rng(seed).permutation(len(data))[:n]  # sets may be sorted by class
    pixels, labels = data.pixels(rows)[:, 0], data.labels[rows]
    scores = {}
    for name, network in ((system.name, system), ("untrained", untrained(system, data))):
        found = network.classify(pixels)
        right = found[np.arange(len(rows)), labels].astype(np.float64)
        wrong = float((found.argmax(1) != labels).mean())
        scores[name] = {"error": wrong, "cross-entropy": float(-np.log(right.clip(1e-12)).mean())}
    scores["chance"] = {"error": 1 - 1 / len(known), "cross-entropy": math.log(len(known))}
    protocol = {"metric": "classification", "data": data.describe, "picture_seed": seed}
    return [Row(name, numbers, len(rows), protocol) for name, numbers in scores.items()]
