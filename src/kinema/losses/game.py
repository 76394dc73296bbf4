"""A critic's and a generator's terms by any objective, with R1 or R3GAN's penalties, DiffAugment and ADA.

Systems that make clips share it: a room says what its critic answers to which items, and when who
is updated. What is left to chance comes from `Progress`, so that micro-batches and processes agree.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.system import Progress
from kinema.losses import r3gan
from kinema.losses.adaptive import STRENGTH, SURE, surety
from kinema.losses.adversarial import ADVERSARIAL, Adversarial, gradient_penalty
from kinema.ops.augment import DRAWS, KINDS, augment

Judge = Callable[[Tensor], Tensor]
"""items (B, ...) -> logits of being real (B, ...), each item's from itself but for batch norm"""
EVERY = slice(None)
ABSOLUTE = ("log", "minimax", "hinge", "softplus")
"""objectives whose logits mean something alone: real above zero, generated below"""
COMPARED = ("relativistic", "r3gan")
"""objectives that look at pairs of a real and a generated item"""


class Settings(Protocol):
    """What a room's `Config` says of the game."""

    @property
    def loss(self) -> str:
        """Name of an objective, or "r3gan"."""

    @property
    def r1(self) -> float:
        """Weight of the gradient penalty on real items; r3gan has penalties of its own."""

    @property
    def r1_every(self) -> int:
        """Steps between these penalties, which then count that much more."""

    @property
    def gamma(self) -> tuple[float, float]:
        """Weight of r3gan's penalties at the start and at the end of the run."""

    @property
    def augment(self) -> tuple[str, ...]:
        """What critics see is changed by these, see `augment`."""

    @property
    def augment_target(self) -> float | None:
        """How sure critics may be before they see more changes, see `Strengths`; None: always all changes."""


class Game:
    """The game of one step. Every method draws once how items are changed, real and generated ones alike.

    Real items are judged first, without autocast where they are penalised; so are generated ones by r3gan.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        objectives: Mapping[str, Adversarial] = ADVERSARIAL,
        strength: Tensor | None = None,
    ) -> None:
        """Read the rules.

        Args:
            settings: of the room.
            progress: where the run stands, which decides whether R1 has its turn and how large γ is.
            objectives: what `settings.loss` may name besides "r3gan".
            strength: chance of each change, see `Strengths`; None: all happen.
        """
        self.settings, self.progress, self.strength = settings, progress, strength
        self.paired = settings.loss == "r3gan"
        self.objective = r3gan.PAIRS if self.paired else objectives[settings.loss]
        self.penalised = settings.r1 > 0 and progress.step % settings.r1_every == 0

    def critic_terms(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The critic's: "real", "fake" and R1 as "r1" in its turn; of r3gan "pairs", "r1" and "r2".

        With a strength to adapt also "sure" and "strength", which have no gradient.

        Args:
            judge: the critic.
            real: items (B, ...).
            fake: generated ones; no gradient reaches the generator.
        """
        judge, fake = self._through_changes(judge), fake.detach()
        if self.paired:
            return self._pairs(judge, real, fake)[0]
        true, penalty = self._judge_real(judge, real)
        return self._apart(true, judge(fake)) | penalty

    def generator_term(self, judge: Judge, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's; `real` (B, ...) is judged only by objectives that compare."""
        judge = self._through_changes(judge)
        false = judge(fake)
        if self.settings.loss not in COMPARED:
            return self.objective.fool(false, false.detach())
        with torch.no_grad():
            true = judge(real)
        return self.objective.fool(false, true)

    def both(self, judge: Judge, real: Tensor, fake: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The critic's terms and the generator's before one of them moves, for an update of both at once.

        The generated items (B, ...) are judged once; by r3gan twice, since its penalty needs a graph that
        begins at them, and the generator's term one that goes on to the generator.
        """
        judge = self._through_changes(judge)
        if self.paired:
            terms, true = self._pairs(judge, real, fake.detach())
            false = judge(fake)
        else:
            true, penalty = self._judge_real(judge, real)
            false = judge(fake)
            terms = self._apart(true, false) | penalty
        return terms, self.objective.fool(false, true.detach())

    # ---- parts ----

    def _through_changes(self, judge: Judge) -> Judge:
        """The same critic behind one draw of changes."""
        change = changes(self.settings, self.progress, self.strength)
        return lambda items: judge(change(items))

    def _judge_real(self, judge: Judge, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of real items, and R1 when it has its turn."""
        if not self.penalised:
            return judge(real), {}
        real = real.detach().requires_grad_()
        with torch.autocast(real.device.type, enabled=False):
            true = judge(real)
        weight = self.settings.r1 * self.settings.r1_every
        return true, {"r1": weight * gradient_penalty(r3gan.of_item(true), real)}

    def _apart(self, true: Tensor, false: Tensor) -> dict[str, Tensor]:
        """What the critic pays for real and for generated items; where it compares them, that is one term."""
        terms = {"fake": self.objective.false(false, true)}
        if self.settings.loss not in COMPARED:
            terms = {"real": self.objective.true(true), **terms}
        return terms | self._sure(true, false)

    def _sure(self, true: Tensor, false: Tensor) -> dict[str, Tensor]:
        """How sure the critic is, and the strength of changes that depends on it, if one does."""
        if self.strength is None:
            return {}
        sure = surety(true, None if self.settings.loss in ABSOLUTE else false)
        return {SURE: sure, STRENGTH: self.strength.clone()}

    def _pairs(self, judge: Judge, real: Tensor, fake: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """R3GAN's terms with both penalties, and the logits of real items; everything without autocast."""
        real, fake = (items.detach().requires_grad_() for items in (real, fake))
        with torch.autocast(real.device.type, enabled=False):
            true, false = judge(real), judge(fake)
        gamma = r3gan.annealed(self.settings.gamma, self.progress.fraction)
        return r3gan.critic_terms(true, false, real, fake, gamma) | self._sure(true, false), true


def changes(
    settings: Settings, progress: Progress, strength: Tensor | None = None, rows: slice = EVERY
) -> Callable[[Tensor], Tensor]:
    """One draw of how the items of a batch (B, ...) are changed before critics see them, if they are.

    Items (K B, ...) are K times the batch, or the `rows` of it: frames of clips, which share what their clip
    has drawn.
    """
    kinds = settings.augment
    if not kinds:
        return lambda items: items
    chance = progress.rand(DRAWS)[rows]
    return lambda items: augment(items, chance.repeat(len(items) // len(chance), 1), kinds, strength)


def check(settings: Settings) -> None:
    """Refuse rules that contradict each other.

    Raises:
        UsageError: says which setting helps.
    """
    at_least_one(settings, "r1_every")
    not_negative(settings, "r1")
    if not all(0 <= gamma < float("inf") for gamma in settings.gamma):
        raise UsageError(f"gamma is two numbers from 0 on, but {settings.gamma} was given.")
    for kind in settings.augment:
        if kind not in KINDS:
            raise UsageError(f"augment is some of {', '.join(KINDS)}, not '{kind}'.")
    if len(set(settings.augment)) < len(settings.augment):
        raise UsageError(f"augment names a change once, not {', '.join(settings.augment)}.")
    target = settings.augment_target
    if target is not None and not (settings.augment and -1 < target < 1):
        raise UsageError(f"augment_target is between -1 and 1 and needs augment, but {target} was given.")
    if settings.loss == "r3gan" and settings.r1:
        raise UsageError("loss=r3gan has penalties of its own, weighted by gamma: r1=0.")
