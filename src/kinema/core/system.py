"""The contract that every system fulfils and the engine drives.

A step is a Python generator. Each `yield` hands over the losses of one or more players; before the generator
resumes, the engine has differentiated them with respect to that player's parameters only, averaged, clipped,
stepped, and updated its moving average. No autograd graph may cross a `yield`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from kinema.core.errors import UsageError
from kinema.core.results import Result

Losses = dict[str, dict[str, Tensor]]
"""player -> term -> scalar; a term carries its weight already, and its name is its name in the log"""


@dataclass
class Player:
    """Parameters that are optimised together, and how."""

    modules: Sequence[nn.Module]
    """what is trained; all their parameters and, for the moving average, their buffers"""
    lr: float
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    """λ of the term λ/2 |w|² whose gradient is added"""
    clip_norm: float | None = None
    """largest norm of the whole gradient"""
    ema_halflife_images: float | None = None
    """half-life of the moving average of the weights, in images seen; None keeps none"""
    decay_from: float | None = None
    """fraction of the run after which the learning rate falls linearly to zero; None keeps it constant"""
    drops: tuple[float, ...] = ()
    """fractions of the run at which the learning rate falls to a tenth"""
    momentum: float | None = None
    """of stochastic gradient descent, which takes Adam's place; None: Adam with `betas`"""

    def __post_init__(self) -> None:
        """Refuse what would silently do nothing."""
        if self.decay_from is not None and not 0 <= self.decay_from <= 1:
            raise UsageError(f"decay_from is a fraction of the run, 0 to 1, or none, not {self.decay_from}.")
        if not all(0 <= drop <= 1 for drop in self.drops):
            raise UsageError(f"drops are fractions of the run, 0 to 1, not {self.drops}.")
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is from 0 to below 1, or none for Adam, not {self.momentum}.")
        half = self.ema_halflife_images
        if half is not None and not 0 < half < float("inf"):
            raise UsageError(f"ema_halflife_images is more than 0, or none, not {half}.")

    def parameters(self) -> list[nn.Parameter]:
        """All trainable parameters, in a fixed order, each once."""
        return list({id(p): p for m in self.modules for p in m.parameters() if p.requires_grad}.values())


def adversaries(config: Any, critics: Mapping[str, nn.Module], generator: nn.Module) -> dict[str, Player]:
    """Critics, each a player of its own, and `generator`, of which alone a moving average is kept.

    Args:
        config: has `lr`, `critic_lr` (None: `lr`), `betas`, `decay_from` and `ema_halflife_images`.
        critics: name of the player -> its network.
        generator: the network they judge.
    """
    c = config
    players = {
        name: Player([critic], c.critic_lr or c.lr, c.betas, decay_from=c.decay_from)
        for name, critic in critics.items()
    }
    players["generator"] = Player(
        [generator], c.lr, c.betas, ema_halflife_images=c.ema_halflife_images, decay_from=c.decay_from
    )
    return players


@dataclass
class Progress:
    """Where the run stands, and the only source of chance in a step.

    A draw is a function of (seed, step, order of the draw, place of the item in the whole batch): so
    micro-batches and processes see the rows of one and the same draw, and a resumed run repeats it.
    """

    step: int
    steps: int
    batch: int
    """items in the whole step, over all processes and micro-batches"""
    rows: slice
    """which of them this call computes"""
    generator: torch.Generator
    device: torch.device

    @property
    def fraction(self) -> float:
        """How much of the run is done, in [0, 1)."""
        return self.step / max(1, self.steps)

    def randn(self, *shape: int) -> Tensor:
        """Normal noise (rows, *shape)."""
        return self._rows(torch.randn(self.batch, *shape, generator=self.generator))

    def rand(self, *shape: int) -> Tensor:
        """Uniform noise in [0, 1), (rows, *shape)."""
        return self._rows(torch.rand(self.batch, *shape, generator=self.generator))

    def _rows(self, draw: Tensor) -> Tensor:
        return draw[self.rows].to(self.device, non_blocking=True)


class Update(NamedTuple):
    """An update of a player that has been made."""

    step: int
    """number of the step, from 0"""
    steps: int
    """of the whole run"""
    terms: Mapping[str, float]
    """"player/term" -> value over all items of the step, of every player updated together with this one"""


class Extent(NamedTuple):
    """How much a request asks for, known before anything is made."""

    clips: int
    frames: int
    """of the longest clip"""
    height: int
    """of the largest clip, in pixels"""
    width: int
    columns: int | None = None
    """clips in a row of their sheet; None makes it about square"""


class System(nn.Module):
    """A published method. Networks are attributes; see STYLE of the project for the order inside a room."""

    name: ClassVar[str]
    """as on the command line"""
    Config: ClassVar[type]
    """frozen dataclass: how it is built and trained"""
    Request: ClassVar[type]
    """frozen dataclass: what a user asks of it; command line, web form and HTTP schema are made from it"""
    reads: ClassVar[Literal["clips", "pictures", "faces"]] = "clips"
    """which kind of data set it is trained on"""
    answers: ClassVar[bool] = False
    """whether the labels of what `run` gives back are its answer, to be printed"""
    metrics: ClassVar[tuple[str, ...]] = ()
    """names in `kinema.metrics.METRICS`, the first being the headline"""
    serving: ClassVar[tuple[str, ...]] = ()
    """modules that `run` needs, in the order in which it uses them; the others are left out of exports"""

    config: Any

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.parameters()).device

    @classmethod
    def adapt(cls, config: Any, data: Any) -> Any:
        """Complete a configuration by what only the data decides (vocabulary, number of classes)."""
        del data
        return config

    @property
    def inherits(self) -> tuple[str, ...]:
        """Modules that training does not begin anew: the setting `init_from` has to bring them."""
        return ()

    @property
    def class_parts(self) -> tuple[str, ...]:
        """Modules that know the classes by their numbers: with others, training begins them anew."""
        return ()

    def players(self) -> dict[str, Player]:
        """Name -> what is trained; empty if nothing is."""
        return {}

    def step(self, batch: dict[str, Any], progress: Progress) -> Generator[Losses, None, None]:
        """One update of the paper, as mathematics."""
        del batch, progress
        yield from ()

    def after_update(self, player: str, update: Update) -> None:
        """Put the weights of a player back to where they must stay, or change buffers by what it said.

        Called without gradients after each of its updates, alike in all processes, so that bounds on weights,
        as Wasserstein critics have them, hold from one update to the next. A step cannot do this: its last
        update comes after its last line, micro-batches carry it out several times, and an update that is not
        finite is left out.

        Args:
            player: the name under which `step` yielded its losses.
            update: when, and the values of the terms.
        """
        del player, update

    def worries(self, means: Mapping[str, float]) -> dict[str, str]:
        """What a line of the log shows to go wrong, in words with what to try; each is said once.

        Args:
            means: "player/term" -> its mean since the last line.

        Returns:
            A key for each worry -> the warning. When a key is gone, all is well again.
        """
        del means
        return {}

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        """Fit to its weights what only use depends on, such as the statistics of batch norms.

        Called without gradients before weights are written or previewed; what it changes in buffers is undone
        before training goes on.
        """
        del batches

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """What shows best what the weights can do: title -> fields of a `Request`, for `kinema demo`.

        Args:
            captions: some sentences of the training data, none where it has none.
            clips: opens the held-out clips. A picture of them may stand for the name of its file.
        """
        del captions, clips
        return {"clip": {}}

    def extent(self, request: Any) -> Extent:
        """How much a request asks for: `n` clips for each `caption`, as far as it has these fields."""
        clips = len(getattr(request, "caption", (None,))) * int(getattr(request, "n", 1))
        return Extent(clips, self.config.frames, self.config.size, self.config.size)

    def run(self, request: Any) -> Result:
        """The one way to use it."""
        raise NotImplementedError(f"{self.name} has no run")

    def preview(self, batch: dict[str, Any]) -> Result:
        """What a training run shows while it trains: the same items and noise each time."""
        raise NotImplementedError(f"{self.name} has no preview")
