"""FID, KID and Inception score of pictures, on the Inception that the user brings (`--inception FILE`).

Heusel et al., arXiv 1706.08500; Bińkowski et al., arXiv 1801.01401; Salimans et al., arXiv 1606.03498. The
settings are those of torch-fidelity: bytes, enlarged as TensorFlow 1 did it, pool features, logits without
bias. Generated pictures stand against all training pictures, as BigGAN's numbers of CIFAR-10 do, 50,000
against 50,000. Moments and score are summed up while pictures pass; KID keeps the features of at most `KEPT`
pictures of each set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.core.errors import UsageError
from kinema.data.pictures import Pictures
from kinema.metrics.cache import kept
from kinema.metrics.foreign import Clips, Foreign
from kinema.metrics.frechet import Moments, frechet_from_statistics
from kinema.metrics.inception import PUBLISHED, InceptionExtractor
from kinema.metrics.inception_score import Splits
from kinema.metrics.kid import kid
from kinema.metrics.measures import Log, generated_parts
from kinema.metrics.report import Row

USUAL, PIECE = 50_000, 500
"""generated pictures in papers; real pictures read at a time, and features whose moments are taken at once"""
KEPT, SUBSET, SPLITS = 10_000, 1000, 10
"""pictures of a set that KID is taken on; samples of its subsets; splits of the Inception score"""


@dataclass(frozen=True)
class Seen:
    """What is kept of a set of pictures."""

    moments: Moments
    features: NDArray[np.float32]
    """of some pictures, (at most KEPT, 2048)"""
    score: dict[str, float]

    @classmethod
    def of(cls, extractor: InceptionExtractor, parts: Iterable[Clips], n: int) -> Seen:
        """Look at n pictures, which come in parts."""
        chosen = np.zeros(n, bool)
        chosen[np.random.default_rng(0).permutation(n)[:KEPT]] = True
        splits = Splits(n, SPLITS) if n >= SPLITS else None
        moments, features, seen = None, [], 0
        for clips in _gathered(parts):
            found, logits = extractor.extract(clips)
            moments = Moments.of(found) if moments is None else moments + Moments.of(found)
            features.append(found[chosen[seen : seen + len(found)]])
            seen += len(found)
            if splits is not None:
                splits.add(logits)
        assert moments is not None
        score = dict(zip(("IS", "IS deviation"), splits.score(), strict=True)) if splits else {}
        return cls(moments, np.concatenate(features), score)

    def against(self, real: Seen) -> dict[str, float]:
        """The numbers of a row."""
        pairs = [(m.mean, m.covariance()) for m in (real.moments, self.moments)]
        found = {"FID": frechet_from_statistics(*pairs[0], *pairs[1])}
        if min(len(real.features), len(self.features)) >= SUBSET:
            mean, deviation = kid(self.features, real.features, size=SUBSET)
            found |= {"KID": 1000 * mean, "KID deviation": 1000 * deviation}
        return found | self.score

    def tensors(self) -> dict[str, Tensor]:
        """For a file."""
        m = self.moments
        found = {"mean": m.mean, "scatter": m.scatter, "features": self.features}
        count = {"count": torch.tensor(m.count)}
        scores = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.score.items()}
        return {name: torch.from_numpy(value) for name, value in found.items()} | count | scores

    @classmethod
    def from_tensors(cls, held: dict[str, Tensor]) -> Seen:
        """From a file."""
        held = dict(held)
        mean, scatter, features = (held.pop(name).numpy() for name in ("mean", "scatter", "features"))
        moments = Moments(int(held.pop("count")), mean, scatter)
        return cls(moments, features, {name: float(value) for name, value in held.items()})


def fid(
    system: Any, data: Any, *, n: int, seed: int, log: Log, inception: Foreign, train: Callable[[], Any]
) -> list[Row]:
    """Generated pictures, and as many held-out real ones at most, against all training pictures.

    `KID` is in thousandths, of 100 subsets of 1,000, where there are as many. The score of training
    pictures stands beside those of the others. What was seen of them is kept in the cache.
    """
    if not isinstance(data, Pictures):
        raise UsageError("FID is of pictures: --data cifar10, digits, drawings, mirrored or a folder.")
    inner = getattr(system, "system", system)
    extractor, training = InceptionExtractor(inception, getattr(inner, "device", "cpu")), train()
    if n != USUAL:
        log(f"FID is usually of {USUAL:,} pictures; compare this one with others of as many pictures only")
    if not inception.sha256.startswith(PUBLISHED):
        log(f"{inception.file} is not the published file: its SHA-256 does not begin with {PUBLISHED}")
    order = np.random.default_rng(seed).permutation(len(data))[:n]  # sets may be sorted by class
    key = {"statistics": "inception 1", "inception": inception.sha256, "data": training.hash, "kept": KEPT}
    held = kept(key, lambda: Seen.of(extractor, _read(training, log), len(training)).tensors())
    real = Seen.from_tensors(held)
    fake = Seen.of(extractor, generated_parts(system, data, n, seed, log), n)
    other = Seen.of(extractor, (data.pixels(rows) for rows in _pieces(order)), len(order))
    protocol = {"metric": "FID", **extractor.describe(), "ddof": 1, "data": training.describe}
    protocol |= {"beside": data.describe, "reference": len(training), "picture_seed": seed}
    protocol |= {"kid": f"100 subsets of {SUBSET} among at most {KEPT}", "is": f"{SPLITS} splits, shuffled"}
    if min(n, len(training), len(order)) < extractor.width:
        protocol["warning"] = f"fewer samples than the {extractor.width} features: compare equal samples only"
    return [
        Row(system.name, fake.against(real), n, protocol),
        Row("real, held out", other.against(real), len(order), protocol),
        Row("real, training", real.score, len(training), protocol),
    ]


def _read(pictures: Pictures, log: Log) -> Iterator[Clips]:
    """All pictures, some at a time."""
    for rows in _pieces(np.arange(len(pictures))):
        yield pictures.pixels(rows)
        log(f"Inception has read {rows[-1] + 1} of {len(pictures)} training pictures")


def _pieces(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[i : i + PIECE] for i in range(0, len(rows), PIECE)]


def _gathered(parts: Iterable[Clips]) -> Iterator[Clips]:
    """The same clips, PIECE or more at a time."""
    held: list[Clips] = []
    for clips in parts:
        held.append(clips)
        if sum(map(len, held)) >= PIECE:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)
