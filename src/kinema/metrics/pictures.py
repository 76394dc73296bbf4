"""Pictures of classes scored by a classifier of the real ones: how near, how various, and of which class.

FD-judge is the Fréchet distance of the classifier's features, and says so: FID is that distance on the
features of another network, Inception, which no package brings (`kinema.metrics.fid`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import UsageError
from kinema.data.mirrored import HUES, halves
from kinema.data.pictures import Pictures
from kinema.metrics.frechet import frechet_by_count, frechet_distance, limit
from kinema.metrics.kid import kid
from kinema.metrics.measures import Log, generated_parts, untrained
from kinema.metrics.picture_judge import PictureJudge, Seen, picture_judge
from kinema.metrics.prdc import prdc
from kinema.metrics.report import Row
from kinema.metrics.shapes import variety

NEIGHBOURS, SUBSET = 5, 1000
DOUBTFUL = 0.8
"""share of real pictures that a judge should be right on"""


def pictures(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """How near are pictures to held-out real ones, and do they show the class that was asked for?

    `label right` is the share of which the judge names the class asked for; `KID` is in thousandths, where
    there are a thousand samples; `halves agree`, of mirrored shapes, the share whose two halves are coloured
    alike, and `hues` the entropy of their hues, relative to that of eight in turn. Of a run whose critic
    gives logits with a zero, it is told which share of training and of held-out pictures the critic calls
    real: where these part, it remembers. Of real pictures stand the held-out ones, and those with their
    classes shuffled.
    """
    chance = np.random.default_rng(seed)
    given = beside(data, n, seed, chance, log)
    m, judge = len(given.asked), given.judge
    rows = {
        name: given.scores(generated_parts(s, data, m, seed, log))
        for name, s in ((system.name, system), ("untrained", untrained(system, data)))
    }
    rows[system.name] |= _recognised(system, {"training": judge.train, "held-out": data}, m, chance)
    rows["real, held out"] = given.scores([given.other], given.labels)
    rows["real, classes shuffled"] = {
        "label right": float((judge(given.other).label == chance.permutation(given.labels)).mean())
    }
    return [Row(name, numbers, m, {"metric": "pictures", **given.protocol}) for name, numbers in rows.items()]


@dataclass(frozen=True)
class Beside:
    """What pictures are compared with."""

    judge: PictureJudge
    real: Seen
    """what the judge finds in half of the real pictures"""
    other: NDArray[np.uint8]
    """as many real pictures"""
    labels: NDArray[np.int64]
    """their classes"""
    asked: NDArray[np.int64]
    """the classes in turn, which pictures are asked for"""
    protocol: dict[str, Any]

    def scores(
        self, parts: Iterable[NDArray[np.uint8]], asked: NDArray[np.int64] | None = None
    ) -> dict[str, float]:
        """The numbers of a row of pictures, which come in parts, of which none is kept.

        `asked` are their classes, if these are not in turn.
        """
        mirrored, seen, hues = self.judge.train.where.partition(":")[0] == "mirrored", [], []
        for part in parts:
            pixels = part[..., : self.other.shape[-1]]  # grey ones were repeated
            seen.append(self.judge(pixels))
            hues += [halves(pixels[:, 0])] if mirrored else []
        features, logits = map(np.concatenate, zip(*seen, strict=True))
        found = _scores(Seen(features, logits), self.asked if asked is None else asked, self.real)
        return found | (_hues(np.concatenate(hues)) if mirrored else {})


def beside(data: Any, n: int, seed: int, chance: np.random.Generator, log: Log) -> Beside:
    """Two halves of held-out pictures, chosen by chance, and their judge; n of each if there are enough."""
    if not isinstance(data, Pictures):
        raise UsageError(
            "this metric reads pictures of classes: --data cifar10, digits, drawings, mirrored or a folder."
        )
    log("training, or reading from the cache, the judge of these pictures")
    judge, m = picture_judge(data.where, *data.pixels([0]).shape[2::2]), min(n, len(data) // 2)
    if m < n:
        log(f"{len(data)} held-out pictures give two halves of {m}: {m} samples are taken, not {n}")
    order = chance.permutation(len(data))  # sets may be sorted by class
    first, second = order[:m], order[m : 2 * m]
    accuracy = judge.accuracy(data)
    if accuracy < DOUBTFUL:
        log(f"the judge is right on {accuracy:.0%} of the real pictures: do not lean on what it says")
    protocol = {**judge.describe(), "judge_accuracy": round(accuracy, 4), "data": data.describe}
    protocol |= {"reference": m, "picture_seed": seed, "ddof": 1, "neighbours": NEIGHBOURS}
    asked = np.arange(m) % len(data.captions)
    real, other = judge(data.pixels(first)), data.pixels(second)
    return Beside(judge, real, other, data.labels[second], asked, protocol)


def _recognised(
    system: Any, sets: dict[str, Pictures], n: int, chance: np.random.Generator
) -> dict[str, float]:
    """Share of pictures of each set that the critic calls real; nothing where the weights have no critic."""
    inner = getattr(system, "system", system)
    if getattr(system, "about", {}).get("modules") is not None or not hasattr(inner, "recognised"):
        return {}
    found = {}
    for name, of in sets.items():
        some = np.array_split(chance.permutation(len(of))[:n], max(1, n // 64))
        parts = [(inner.recognised(of.batch(rows)), len(rows)) for rows in some]
        if parts[0][0] is not None:
            found[f"critic accepts {name}"] = sum(share * k for share, k in parts) / sum(k for _, k in parts)
    return found


def _scores(seen: Seen, asked: NDArray[np.int64], real: Seen) -> dict[str, float]:
    """The numbers of what the judge found."""
    found = {"FD-judge": frechet_distance(real.features, seen.features)}
    if len(asked) >= 10:
        found["FD-judge at infinity"] = limit(frechet_by_count(real.features, seen.features))
    if len(asked) >= SUBSET:
        found["KID"] = 1000 * kid(real.features, seen.features, size=SUBSET)[0]
    found["label right"] = float((seen.label == asked).mean())
    if len(asked) > NEIGHBOURS:
        found |= prdc(real.features, seen.features, NEIGHBOURS)
    return found


def _hues(hues: NDArray[np.int64]) -> dict[str, float]:
    """Of mirrored shapes: the hues of their halves (N, 2)."""
    same = (hues[:, 0] == hues[:, 1]) & (hues[:, 0] >= 0)
    return {"halves agree": float(same.mean()), "hues": variety(hues[hues >= 0], len(HUES))}
