"""Adversarial objectives on logits: what critics pay, and what generators pay.

`log`: Goodfellow et al. 2014 (arXiv:1406.2661), non-saturating, as softplus of logits. `hinge`: Lim & Ye 2017
(arXiv:1705.02894). `relativistic`: Jolicoeur-Martineau 2018 (arXiv:1807.00734), real and false compared in
pairs. Beside them, for rooms that name them, Wasserstein's (Arjovsky et al. 2017, arXiv:1701.07875) and least
squares (Mao et al. 2017, arXiv:1611.04076).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Adversarial(NamedTuple):
    """An objective; every function takes logits of one shape (any) and gives a scalar, the mean over them."""

    true: Callable[[Tensor], Tensor]
    """critic: this should be called real"""
    false: Callable[[Tensor, Tensor], Tensor]
    """critic: (false, true) the first should be called false; only `relativistic` reads the second"""
    fool: Callable[[Tensor, Tensor], Tensor]
    """generator: (false, true) the first should be called real"""


def _nothing(true: Tensor) -> Tensor:
    return true.new_zeros(())


ADVERSARIAL = {
    "log": Adversarial(
        true=lambda true: F.softplus(-true).mean(),  # -log D
        false=lambda false, true: F.softplus(false).mean(),  # -log (1 - D)
        fool=lambda false, true: F.softplus(-false).mean(),
    ),
    "hinge": Adversarial(
        true=lambda true: F.relu(1 - true).mean(),
        false=lambda false, true: F.relu(1 + false).mean(),
        fool=lambda false, true: -false.mean(),
    ),
    "relativistic": Adversarial(
        true=_nothing,
        false=lambda false, true: F.softplus(false - true).mean(),  # -log sigmoid(D(true) - D(false))
        fool=lambda false, true: F.softplus(true - false).mean(),
    ),
}
WASSERSTEIN = Adversarial(
    true=lambda true: -true.mean(),
    false=lambda false, true: false.mean(),
    fool=lambda false, true: -false.mean(),
)
LEAST_SQUARES = Adversarial(
    true=lambda true: (true - 1).square().mean(),
    false=lambda false, true: false.square().mean(),
    fool=lambda false, true: (false - 1).square().mean(),
)


def gradient_penalty(logits: Tensor, inputs: Tensor) -> Tensor:
    """R1: half the squared norm of the logits' gradient, mean over items (arXiv:1801.04406).

    Args:
        logits: any shape, computed from `inputs` item by item.
        inputs: (B, ...), requiring gradients.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), inputs, create_graph=True)
    return 0.5 * gradient.float().square().flatten(1).sum(1).mean()
