"""The Inception score: are pictures sure of their class, and the set of pictures of many classes?

Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498: exp of the mean KL(p(y|x) ‖ p(y)),
mean over splits. The order of the samples changes the value, so they are shuffled, as torch-fidelity does it.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import DataError


class Splits:
    """Sums over each split of samples that come in pieces, of which no logits are kept."""

    def __init__(self, n: int, splits: int = 10, seed: int | None = 2020) -> None:
        """Give each of n samples its split; the arguments are those of `inception_score`."""
        if n < splits or splits < 1:
            raise DataError(f"{n} samples cannot be cut into {splits} splits.")
        order = np.arange(n) if seed is None else np.random.RandomState(seed).permutation(n)
        self.split = torch.empty(n, dtype=torch.long)
        for i in range(splits):
            self.split[order[i * n // splits : (i + 1) * n // splits]] = i
        self.seen = 0
        self.sure = torch.zeros(splits, dtype=torch.float64)
        """sum of Σ p log p, minus the entropy of each sample"""
        self.mean: torch.Tensor | None = None
        """sum of p, (splits, K)"""

    def add(self, logits: NDArray[np.floating]) -> None:
        """The next samples: class scores before softmax, (M, K)."""
        log_p = torch.from_numpy(logits.astype(np.float64)).log_softmax(1)
        where = self.split[self.seen : self.seen + len(logits)]
        self.seen += len(logits)
        if self.mean is None:
            self.mean = torch.zeros(len(self.sure), logits.shape[1], dtype=torch.float64)
        self.sure.index_add_(0, where, (log_p.exp() * log_p).sum(1))
        self.mean.index_add_(0, where, log_p.exp())

    def score(self) -> tuple[float, float]:
        """Mean and standard deviation over splits; all n samples were added."""
        assert self.mean is not None
        size = torch.bincount(self.split).double()
        kl = self.sure / size + torch.special.entr(self.mean / size[:, None]).sum(1)
        return float(kl.exp().mean()), float(kl.exp().std(correction=0))


def inception_score(
    logits: NDArray[np.floating], splits: int = 10, seed: int | None = 2020
) -> tuple[float, float]:
    """Mean and standard deviation over splits.

    Args:
        logits: class scores before softmax, (N, K).
        splits: parts that are scored apart.
        seed: of the shuffle; None keeps the order.
    """
    parts = Splits(len(logits), splits, seed)
    parts.add(logits)
    return parts.score()
