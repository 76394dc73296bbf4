"""Moving average of the weights, for evaluation only.

The half-life counts images. It ramps up so that it is at most 5 % of what was seen, as in NVlabs/stylegan3
(Karras et al., "Alias-Free Generative Adversarial Networks", arXiv 2106.12423): early weights are forgotten
quickly. Buffers are not averaged; evaluation uses them as they are, or as `System.settle` leaves them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kinema.core.system import Player, System

RAMP = 0.05


def decay(halflife_images: float, images_seen: int, batch: int) -> float:
    """The share of the old average that stays after a step of `batch` images."""
    halflife = min(halflife_images, RAMP * images_seen)
    return float(0.5 ** (batch / max(halflife, 1e-8)))


class Ema:
    """The averages of the parameters of all players that keep one, by their names in the system."""

    def __init__(self, system: nn.Module, players: dict[str, Player]) -> None:
        names = {id(p): name for name, p in system.named_parameters()}
        self.parameters: dict[str, nn.Parameter] = {}
        self.halflife: dict[str, float] = {}
        for player in players.values():
            if player.ema_halflife_images is not None:
                for p in player.parameters():
                    self.parameters[names[id(p)]] = p
                    self.halflife[names[id(p)]] = player.ema_halflife_images
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, images_seen: int, batch: int) -> None:
        """Move every average towards the weights; called once at the end of a step."""
        for halflife in set(self.halflife.values()):
            names = [n for n, h in self.halflife.items() if h == halflife]
            old, new = [self.values[n] for n in names], [self.parameters[n].data for n in names]
            torch._foreach_lerp_(old, new, 1 - decay(halflife, images_seen, batch))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the system carries the averaged weights."""
        raw = {name: p.data for name, p in self.parameters.items()}
        try:
            for name, p in self.parameters.items():
                p.data = self.values[name]
            yield
        finally:
            for name, p in self.parameters.items():
                p.data = raw[name]

    @contextmanager
    def serving(self, system: System) -> Iterator[None]:
        """Inside, the system is as it will be used: it carries the averages, and has settled to them."""
        buffers = [b.clone() for b in system.buffers()]
        with self.applied():
            try:
                system.settle()
                yield
            finally:
                for buffer, before in zip(system.buffers(), buffers, strict=True):
                    buffer.copy_(before)

    def weights(self, system: System) -> dict[str, Tensor]:
        """The state dict for evaluation: averages where kept, the rest as it is, settled."""
        with self.serving(system):
            buffers = {name: value.clone() for name, value in system.named_buffers()}
            return {name: buffers.get(name, value).detach() for name, value in system.state_dict().items()}
