"""The scores that `evaluate` prints: each a function (system, data, *, n, seed, log) -> rows.

`data` are held-out real clips; the system makes n clips of their captions, evenly. Beside its row stand a row
of real clips against other real clips, which is the best that can be hoped for, and rows of what must be
beaten.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits, parse_caption
from kinema.metrics import digits
from kinema.metrics.features import Extractor, JudgeExtractor, PixelsExtractor, RandomExtractor
from kinema.metrics.frechet import frechet_distance, frechet_infinity
from kinema.metrics.prdc import prdc
from kinema.metrics.report import Row

Clips = NDArray[np.uint8]  # (N, T, H, W, C)
Log = Callable[[str], object]
NEIGHBOURS, TRAINING_CLIPS = 5, 4000


def caption_fidelity(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """Does a clip of moving digits show what its caption says? Beside it the ceiling and chance."""
    captions = _captions(data, n)
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
    first, second = _halves(data, n)
    m = len(first)
    if m < n:
        log(f"{len(data)} held-out clips give two halves of {m}: distances are taken on {m} samples, not {n}")
    fake = _generate(system, _captions(data, m), seed, log)
    real, other = data.pixels(first), data.pixels(second)
    _same_shape(fake, real)
    reference = extractor.extract(real)[0]
    frozen = np.broadcast_to(other[:, :1], other.shape)
    noise = np.random.default_rng(seed).integers(0, 256, other.shape, np.uint8)
    protocol = {"metric": f"FD-{extractor.name}", **extractor.describe(), "ddof": 1, "neighbours": NEIGHBOURS}
    protocol |= {"data": data.describe, "reference_clips": m, "clip_seed": seed}
    if m < extractor.width:
        protocol["warning"] = f"fewer samples than the {extractor.width} features: compare equal samples only"
    sets = {system.name: fake, "real, held out": other, "real, frozen": frozen, "noise": noise}
    return [
        Row(name, _distances(extractor.name, reference, extractor.extract(clips)[0]), m, protocol)
        for name, clips in sets.items()
    ]


def _distances(name: str, real: NDArray[np.float32], fake: NDArray[np.float32]) -> dict[str, float]:
    """Everything that two sets of features say; what needs more samples than there are is left out."""
    found = {f"FD-{name}": frechet_distance(real, fake)}
    if len(real) >= 10:
        found[f"FD-{name} at infinity"] = frechet_infinity(real, fake)
    return found | (prdc(real, fake, NEIGHBOURS) if len(real) > NEIGHBOURS else {})


def _captions(data: Any, n: int) -> list[str]:
    """The sentences of the set in turn: those for n clips begin those for more."""
    known = data.captions
    if not known:
        raise DataError("the real clips have no captions; this system is asked by captions.")
    return [known[i % len(known)] for i in range(n)]


def _generate(system: Any, captions: Sequence[str], seed: int, log: Log, batch: int = 50) -> Clips:
    """Clip i is a function of its caption and of (seed, i)."""
    parts = []
    for start in range(0, len(captions), batch):
        wanted = captions[start : start + batch]
        parts.append(system.generate(wanted, [seed * 1_000_003 + start + i for i in range(len(wanted))]))
        if start % 250 == 0 and start:
            log(f"{start} of {len(captions)} clips made")
    return np.concatenate(parts)


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
