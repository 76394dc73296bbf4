"""ADA: critics see changed items as often as keeps them from being too sure of the real ones.

Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, arXiv:2006.06676.
Where we differ: the changes are those of `kinema.ops.augment`; a strength can go from 0 to 1 in a tenth of
the run, however short that is; how sure a critic is comes from one batch, where the paper averages four; and
objectives that only compare real and generated items have a statistic of their own, see `surety`.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from kinema.core.system import Update

RAMP = 0.1
"""share of the run in which a strength goes from 0 to 1 when it only rises"""
SURE, STRENGTH = "sure", "strength"
"""terms of a critic without gradient: how sure it is, see `surety`, and how often it sees changes"""


class Settings(Protocol):
    """What a room's `Config` says of it."""

    @property
    def augment_target(self) -> float | None:
        """How sure critics may be, from -1 to 1; None changes everything, always (DiffAugment)."""


class Strengths(nn.Module):
    """For every critic the chance that a change happens, in [0, 1]: buffers, which a resumed run keeps."""

    def __init__(self, settings: Settings, critics: Iterable[str]) -> None:
        """Begin at 0; `critics` are names of players."""
        super().__init__()
        self.target = settings.augment_target
        for critic in critics if self.target is not None else ():
            self.register_buffer(critic, torch.zeros(()))

    def of(self, critic: str) -> Tensor | None:
        """The strength of a critic; None where all changes always happen."""
        found: Tensor | None = self._buffers.get(critic)
        return found

    def after_update(self, player: str, update: Update) -> None:
        """Rise or fall by what the update of a critic said; that of another player changes nothing."""
        strength, sure = self.of(player), update.terms.get(f"{player}/{SURE}")
        if self.target is None or strength is None or sure is None:
            return
        rise = (sure > self.target) - (sure < self.target)
        strength.copy_((strength + rise / (RAMP * update.steps)).clamp(0, 1))


def surety(true: Tensor, false: Tensor | None) -> Tensor:
    """E sign D(x), the paper's r_t, a scalar in [-1, 1] without gradient.

    Args:
        true: D(x), logits of any shape.
        false: D(G(z)) of the same shape, for objectives that only compare, whose logits have no zero: then
            E sign (D(x) - D(G(z))). None for the others.
    """
    return (true if false is None else true - false).detach().float().sign().mean()
