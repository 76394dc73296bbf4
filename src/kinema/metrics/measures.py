"""The scores that `evaluate` prints: each a function (system, data, *, n, seed, log) -> rows.

`data` are held-out real clips; the system makes n clips of their captions, evenly. Beside its row stand a row
of real clips against other real clips, which is the best that can be hoped for, and rows of what must be
beaten.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits, parse_caption
from kinema.metrics import digits
from kinema.metrics.features import (
    Extractor,
    JudgeExtractor,
    PixelsExtractor,
    RandomExtractor,
    known_features,
)
from kinema.metrics.frechet import frechet_by_count, frechet_distance, limit
from kinema.metrics.prdc import prdc
from kinema.metrics.report import Row

Clips = NDArray[np.uint8]  # (N, T, H, W, C)
Log = Callable[[str], object]
NEIGHBOURS, TRAINING_CLIPS = 5, 4000


def caption_fidelity(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Does a clip of moving digits show what its caption says? Beside it the ceiling and chance."""
    captions = _captions(system, data, n)
    labels = _labels(captions)
    fake = _generate(system, captions, seed, log)
    first, second = _halves(data, n)
    real, held_out = ((data.pixels(rows), _labels(data.batch(rows)["caption"])) for rows in (first, second))
    _same_shape(fake, real[0])
    log(f"training, or reading from the cache, the judge for {labels.shape[1]} digits")
    judge = digits.digit_judge(fake.shape[2], labels.shape[1])
    protocol = {"metric": "caption fidelity", **judge.protocol, "data": data.describe, "clip_seed": seed}
    chance = digits.match(judge(held_out[0]), np.random.default_rng(seed).permutation(held_out[1]))
    return [
        Row(system.name, digits.caption_fidelity(fake, labels, judge, real), n, protocol),
        Row("real, held out", digits.caption_fidelity(*held_out, judge, real), len(second), protocol),
        Row("real, captions shuffled", chance, len(second), protocol),
    ]


def fd_random(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Fréchet distance on the features of an untrained network."""
    return _fd(RandomExtractor(), system, data, n, seed, log)


def fd_pixels(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Fréchet distance on principal components of tiny clips; for smoke tests."""
    return _fd(PixelsExtractor(data.pixels(_halves(data, n)[0])), system, data, n, seed, log)


def fd_judge(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Fréchet distance on the features of a classifier of what the captions say.

    For moving digits it is trained on other clips, of training digits; for any other set on the clips of
    `data`.
    """
    log("training, or reading from the cache, the judge of what the clips show")
    if isinstance(data, MovingDigits):
        shape: Any = {"size": data.size, "frames": data.frames}
        clips = MovingDigits(TRAINING_CLIPS, data.digits, split="train", seed=data.seed, **shape)
        rows = range(len(clips))
        judge = JudgeExtractor(clips.pixels(rows), _classes(clips.labels(rows)))
        some = range(min(len(data), n))
        judge.protocol["judge_accuracy"] = judge.accuracy(data.pixels(some), _classes(data.labels(some)))
        return _fd(judge, system, data, n, seed, log)
    rows = range(min(len(data), TRAINING_CLIPS))
    captions = data.batch(rows)["caption"]
    known = sorted(set(captions))
    if len(known) < 2 or 4 * len(known) > len(rows):
        what = f"{len(rows)} clips with {len(known)} sentences"
        raise DataError(f"FD-judge needs clips of a few classes, not {what}; use fd_random.")
    targets = np.eye(len(known), dtype=np.float32)[[known.index(c) for c in captions]]
    return _fd(JudgeExtractor(data.pixels(rows), targets), system, data, n, seed, log)


def _classes(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Ones at the pairs (digit, axis) of labels (N, digits, 2), as 20 classes: (N, 20)."""
    return np.eye(20, dtype=np.float32)[labels[..., 0] * 2 + labels[..., 1]].max(1)


def _fd(extractor: Extractor, system: Any, data: Any, n: int, seed: int, log: Log) -> list[Row]:
    """The system, other real clips, real clips that stand still, and noise, against the same real clips."""
    real, sets = compared(system, data, n, seed, log)
    other = sets["real, held out"]
    noise = np.random.default_rng(seed).integers(0, 256, other.shape, np.uint8)
    sets |= {"real, frozen": frozen(other), "noise": noise}
    protocol = {"metric": f"FD-{extractor.name}", "data": data.describe}
    protocol |= {"reference_clips": len(real), "clip_seed": seed}
    return frechet_rows(extractor, known_features(extractor, real), sets, protocol)


def compared(system: Any, data: Any, n: int, seed: int, log: Log) -> tuple[Clips, dict[str, Clips]]:
    """Real clips, and as many of the system and of other real ones to compare with them."""
    first, second = _halves(data, n)
    m = len(first)
    if m < n:
        log(f"{len(data)} held-out clips give two halves of {m}: {m} samples are taken, not {n}")
    real, other = data.pixels(first), data.pixels(second)
    return real, {system.name: generated(system, data, m, seed, log), "real, held out": other}


def generated(system: Any, data: Any, n: int, seed: int, log: Log) -> Clips:
    """Clips that the system makes of the captions of the set in turn; of the shape of its clips."""
    return np.concatenate(list(generated_parts(system, data, n, seed, log)))


def generated_parts(system: Any, data: Any, n: int, seed: int, log: Log) -> Iterator[Clips]:
    """The same clips, some at a time."""
    real = data.pixels(range(1))
    for clips in _made(system, _captions(system, data, n), seed, log):
        _same_shape(clips, real)
        yield clips


def untrained(system: Any, data: Any) -> Any:
    """The same networks before any training, settled on the same clips."""
    inner = getattr(system, "system", system)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        fresh = type(inner)(inner.config).eval()
        shown = min(64, len(data))
        fresh.settle([data.batch(range(k, min(k + 16, shown))) for k in range(0, shown, 16)])
    return fresh


def frozen(clips: Clips) -> Clips:
    """The first frames, standing still."""
    return np.broadcast_to(clips[:, :1], clips.shape)


def frechet_rows(
    extractor: Extractor,
    real: NDArray[np.float32],
    sets: dict[str, Clips],
    protocol: dict[str, Any],
    *,
    ddof: int = 1,
    manifold: bool = True,
) -> list[Row]:
    """A row for each set of clips: its Fréchet distance from real ones under the name `protocol["metric"]`.

    Args:
        extractor: of the features.
        real: features of the reference (N, width).
        sets: row name -> clips, the system's first.
        protocol: what else is to be said; how features and distance were taken is added.
        ddof: of the covariance.
        manifold: whether precision, recall, density and coverage are taken, too.
    """
    facts = {**extractor.describe(), "ddof": ddof, **({"neighbours": NEIGHBOURS} if manifold else {})}
    protocol = {"metric": protocol["metric"], **facts, **protocol}
    least = min(len(real), *map(len, sets.values()))
    if least < extractor.width:
        protocol["warning"] = f"fewer samples than the {extractor.width} features: compare equal samples only"
    own, rows = next(iter(sets)), []
    for name, clips in sets.items():
        features = extractor.extract(clips)[0] if name == own else known_features(extractor, clips)
        numbers, curve = _distances(protocol["metric"], real, features, ddof)
        if manifold and least > NEIGHBOURS:
            numbers |= prdc(real, features, NEIGHBOURS)
        rows.append(Row(name, numbers, len(clips), {**protocol, **curve}))
    return rows


def _distances(
    name: str, real: NDArray[np.float32], fake: NDArray[np.float32], ddof: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """The distance, at infinity too where there are enough samples, and by how many they are."""
    found, curve = {name: frechet_distance(real, fake, ddof)}, {}
    if min(len(real), len(fake)) >= 10:
        points = frechet_by_count(real, fake, ddof=ddof)
        found[f"{name} at infinity"] = limit(points)
        curve = {"by samples": {name: [[count, round(d, 4)] for count, d in points[::-1]]}}
    return found, curve


def _captions(system: Any, data: Any, n: int) -> list[str]:
    """The sentences of the set in turn: those for n clips begin those for more; a system may need none."""
    known = data.captions
    config = getattr(getattr(system, "system", system), "config", None)
    if not known and getattr(config, "conditional", True):
        raise DataError("the real clips have no captions; this system is asked by captions.")
    known = known or [""]
    return [known[i % len(known)] for i in range(n)]


def _generate(system: Any, captions: Sequence[str], seed: int, log: Log) -> Clips:
    return np.concatenate(list(_made(system, captions, seed, log)))


def _made(system: Any, captions: Sequence[str], seed: int, log: Log, batch: int = 50) -> Iterator[Clips]:
    """Some clips at a time; clip i is a function of its caption and of (seed, i)."""
    for start in range(0, len(captions), batch):
        wanted = captions[start : start + batch]
        yield system.generate(wanted, [seed * 1_000_003 + start + i for i in range(len(wanted))])
        if start % 250 == 0 and start:
            log(f"{start} of {len(captions)} clips made")


def _halves(data: Any, n: int) -> tuple[range, range]:
    """Two sets of real clips that share none, of n each if there are enough."""
    m = min(n, len(data) // 2)
    if m < 2:
        raise DataError(f"a comparison with real clips needs at least 4 of them, not {len(data)}.")
    return range(m), range(m, 2 * m)


def _labels(captions: Sequence[str]) -> NDArray[np.int64]:
    """What captions of moving digits say, (N, digits, 2)."""
    said = [parse_caption(caption) for caption in captions]
    for caption, pairs in zip(captions, said, strict=True):
        if pairs is None or len(pairs) != len(said[0] or ()) or len(pairs) > 2:
            what = f"captions of one or two moving digits, not '{caption}'"
            raise UsageError(f"caption fidelity reads {what}; use fd_random.")
    return np.array(said, np.int64)


def _same_shape(fake: Clips, real: Clips) -> None:
    if fake.shape[1:4] != real.shape[1:4]:
        made, wanted = fake.shape[1:4], real.shape[1:4]
        raise UsageError(
            f"the system's clips (T, H, W) are {made}, the real ones {wanted}; open data like it."
        )
