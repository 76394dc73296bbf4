"""From the losses that a step yields to one averaged gradient per player.

Micro-batches advance in lock-step: each has its own generator, all are advanced to the same `yield`, and the
graph of one is freed before the next is built. So k micro-batches give the gradient of the whole batch in a
k-th of its memory, also when one step has several updates and each sees the networks that the one before has
changed.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.core.errors import nearest
from kinema.core.system import Losses, Player
from kinema.engine.devices import Context
from kinema.engine.distributed import World

Gradient = list[Tensor | None]
Parameters = dict[str, list[torch.nn.Parameter]]


@dataclass
class Micro:
    """The rows of one micro-batch on their way through a step."""

    weight: float
    """its share of the items of the whole step"""
    step: Generator[Losses, None, None]


@dataclass
class Summed:
    """What one `yield` amounts to over all micro-batches and processes."""

    gradients: dict[str, Gradient]
    values: dict[str, float]
    """'player/term' -> its mean; 'player/gradient_norm' -> Euclidean norm of that player's gradient"""

    @property
    def broken(self) -> list[str]:
        """The names of the values that are NaN or Inf."""
        return [name for name, value in self.values.items() if not math.isfinite(value)]


def lock_step(
    micros: Sequence[Micro], parameters: Parameters, context: Context, world: World
) -> Iterator[Summed]:
    """Advance all micro-batches from `yield` to `yield`; each gives the update to be made before going on."""
    while True:
        total = _Sum(parameters)
        for i, micro in enumerate(micros):
            with context():
                losses = next(micro.step, None)
            if i > 0 and (losses is None) != total.empty:
                raise RuntimeError("a step yields a number of times that depends on the rows it was given.")
            if losses is not None:
                total.add(losses, micro.weight)
        if total.empty:
            return
        yield total.over(world)


class _Sum:
    """Losses and gradients, added up with the weights of their micro-batches."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.gradients: dict[str, Gradient] = {}
        self.terms: dict[str, Tensor] = {}

    @property
    def empty(self) -> bool:
        return not self.gradients

    def add(self, losses: Losses, weight: float) -> None:
        """Differentiate each player's loss by its parameters only, before any of them is changed."""
        for n, (player, terms) in enumerate(losses.items(), 1):
            parameters = self.known(player)
            loss = torch.stack([term.float().reshape(()) for term in terms.values()]).sum() * weight
            if not loss.requires_grad:
                raise RuntimeError(f"the loss of player '{player}' depends on no parameter.")
            new = torch.autograd.grad(loss, parameters, retain_graph=n < len(losses), allow_unused=True)
            old = self.gradients.get(player, [None] * len(new))
            self.gradients[player] = [_plus(a, b) for a, b in zip(old, new, strict=True)]
            for name, term in terms.items():
                key = f"{player}/{name}"
                self.terms[key] = self.terms.get(key, 0.0) + weight * term.detach().float().reshape(())

    def known(self, player: str) -> list[torch.nn.Parameter]:
        if player not in self.parameters:
            raise RuntimeError(
                f"the step yields player '{player}'; players() names {nearest(player, self.parameters)}."
            )
        return self.parameters[player]

    def over(self, world: World) -> Summed:
        """The update summed over processes, in a single transfer."""
        if world.size > 1:
            self.reduce(world)
        norms = {f"{player}/gradient_norm": _norm(gradient) for player, gradient in self.gradients.items()}
        named = self.terms | norms
        return Summed(self.gradients, dict(zip(named, torch.stack([*named.values()]).tolist(), strict=True)))

    def reduce(self, world: World) -> None:
        """One bucket: all gradients, which of them exist on any process, and the values of the losses."""
        flat = [(p, i, w) for p in self.gradients for i, w in enumerate(self.parameters[p])]
        grads = [self.gradients[p][i] for p, i, _ in flat]
        used = torch.tensor([float(g is not None) for g in grads], device=flat[0][2].device)
        pieces = [torch.zeros_like(w) if g is None else g for g, (_, _, w) in zip(grads, flat, strict=True)]
        bucket = torch.cat(
            [*(p.float().reshape(-1) for p in pieces), used, torch.stack([*self.terms.values()])]
        )
        sizes = [p.numel() for p in pieces]
        *sums, used, terms = torch.split(world.sum(bucket), [*sizes, len(used), len(self.terms)])
        for (player, i, w), total, count in zip(flat, sums, used.tolist(), strict=True):
            self.gradients[player][i] = total.view(w.shape) if count else None
        self.terms = dict(zip(self.terms, terms, strict=True))


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _norm(gradient: Gradient) -> Tensor:
    """Euclidean norm over all tensors of a gradient."""
    present = [g for g in gradient if g is not None]
    return (
        torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)).float())
        if present
        else torch.zeros(())
    )


def apply(
    optimiser: torch.optim.Optimizer,
    player: Player,
    parameters: list[torch.nn.Parameter],
    update: Summed,
    name: str,
) -> None:
    """Clip the gradient of one player and step its optimiser."""
    norm = update.values[f"{name}/gradient_norm"]
    scale = player.clip_norm / norm if player.clip_norm is not None and norm > player.clip_norm else None
    for parameter, gradient in zip(parameters, update.gradients[name], strict=True):
        if gradient is not None and scale is not None:
            gradient = gradient * scale
        if gradient is not None and gradient.stride() != parameter.stride():
            # Fused Adam walks through memory and would pair the wrong elements of two layouts.
            gradient = torch.empty_like(parameter).copy_(gradient)
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
