"""ADA: critics see changed items as often as keeps them from being too sure of the real ones.

Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, arXiv:2006.06676.
Where we differ: the changes are those of `kinema.ops.augment`, and a strength that the whole run shares rises
five times as fast, for runs that are shorter still.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from kinema.core.system import Update

IMAGES = 100_000
"""real items in which the strength goes from 0 to 1 when it only rises; 500,000 in the paper"""
SURE = "sure"
"""the term of a critic that says how sure it is, see `surety`; without gradient"""


class Settings(Protocol):
    """What a room's `Config` says of it."""

    @property
    def augment_target(self) -> float | None:
        """How sure critics may be, from -1 to 1; None changes everything, always (DiffAugment)."""


class Strength(nn.Module):
    """The chance that a change happens: `p` in [0, 1], a buffer, so that a resumed run goes on with it."""

    p: Tensor | None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.target = settings.augment_target
        self.register_buffer("p", None if self.target is None else torch.zeros(()))

    def after_update(self, player: str, update: Update) -> None:
        """Rise or fall by what the update of a critic said; that of another player changes nothing."""
        if self.p is None or self.target is None or f"{player}/{SURE}" not in update.terms:
            return
        too_sure = update.terms[f"{player}/{SURE}"] - self.target
        step = update.batch / IMAGES * ((too_sure > 0) - (too_sure < 0))
        self.p.copy_((self.p + step).clamp(0, 1))


def surety(true: Tensor, false: Tensor | None) -> Tensor:
    """E sign D(x), the paper's r_t, a scalar in [-1, 1] without gradient.

    Args:
        true: D(x), logits of any shape.
        false: D(G(z)) of the same shape, for objectives that only compare, whose logits have no zero: then
            E sign (D(x) - D(G(z))). None for the others.
    """
    return (true if false is None else true - false).detach().float().sign().mean()
