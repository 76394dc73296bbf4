"""The Inception score: are pictures sure of their class, and the set of pictures of many classes?

Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498: exp of the mean KL(p(y|x) ‖ p(y)),
mean over splits. The order of the samples changes the value, so they are shuffled, as torch-fidelity does it.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import DataError


def inception_score(
    logits: NDArray[np.floating], splits: int = 10, seed: int | None = 2020
) -> tuple[float, float]:
    """Mean and standard deviation over splits.

    Args:
        logits: class scores before softmax, (N, K).
        splits: parts that are scored apart.
        seed: of the shuffle; None keeps the order.
    """
    n = len(logits)
    if n < splits or splits < 1:
        raise DataError(f"{n} samples cannot be cut into {splits} splits.")
    order = np.arange(n) if seed is None else np.random.RandomState(seed).permutation(n)
    log_p = torch.from_numpy(logits[order].astype(np.float64)).log_softmax(1)
    scores = []
    for i in range(splits):
        part = log_p[i * n // splits : (i + 1) * n // splits]
        kl = part.exp() * (part - part.exp().mean(0, keepdim=True).log())
        scores.append(float(kl.sum(1).mean().exp()))
    return float(np.mean(scores)), float(np.std(scores))
