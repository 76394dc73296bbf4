"""A norm that took another's place gets scales and shifts that mend what the swap broke.

The old network sees some batches in eval mode, and the mean and spread of every channel behind every norm are
noted; then, layer by layer and front to back, the new norms are set to give the same.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from kinema.nn.more_norms import RMSNorm, rms_norm

SMALL = 1e-6
"""spread of a channel below which there is nothing to scale"""

log = logging.getLogger("kinema")


class Moments(NamedTuple):
    """Mean and spread of every channel (C) over all batches."""

    mean: Tensor
    spread: Tensor


def measured(model: nn.Module, found: dict[str, nn.Module], batches: Sequence[Any]) -> dict[int, Moments]:
    """What the norms give now, by their ids, in the order in which the network uses them."""
    sums: dict[int, Sums] = {}

    def note(layer: nn.Module, _: Any, out: Tensor) -> None:
        sums.setdefault(id(layer), Sums()).add(out)

    hooks = [layer.register_forward_hook(note) for layer in {id(m): m for m in found.values()}.values()]
    try:
        through(model, batches)
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in found.items():
        if id(layer) not in sums:
            log.warning("'%s' was not used on the given batches, so it is not calibrated.", name)
    return {key: each.moments() for key, each in sums.items()}


@torch.no_grad()
def settle(model: nn.Module, layer: Any, wanted: Moments, batches: Sequence[Any]) -> None:
    """Give every channel of a layer the mean and spread that are wanted; what comes before it is settled."""
    sums = Sums()

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        sums.add(bare(layer, given[0].float()))
        raise _Enough

    hook = layer.register_forward_pre_hook(note, prepend=True)
    try:
        through(model, batches)
    finally:
        hook.remove()
    mean, spread = sums.moments()
    if isinstance(layer, _NormBase):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(spread.square())
        mean, spread = torch.zeros_like(mean), spread / (spread.square() + layer.eps).sqrt()
    if layer.weight is None:
        return
    still = spread < SMALL
    sign = torch.where(layer.weight < 0, -1.0, 1.0)
    scale = torch.where(still, 0.0, sign * wanted.spread / spread.clamp_min(SMALL))
    layer.weight.copy_(scale)
    if layer.bias is not None:
        layer.bias.copy_(wanted.mean - scale * mean)


def bare(layer: Any, x: Tensor) -> Tensor:
    """What a norm computes before scale and shift; a batch norm's statistics are yet to be set: its input."""
    if isinstance(layer, _NormBase):
        return x
    if isinstance(layer, RMSNorm):
        return rms_norm(x, layer.eps)
    return F.group_norm(x, layer.num_groups, eps=layer.eps)


class _Enough(Exception):
    """The layer in question was reached; what comes behind it need not be computed."""


@torch.no_grad()
def through(model: nn.Module, batches: Sequence[Any]) -> None:
    """Show the network, in eval mode, all batches."""
    with evaluating(model):
        for batch in batches:
            try:
                model(*(batch if isinstance(batch, tuple | list) else (batch,)))
            except _Enough:
                continue


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, all modules are in eval mode; afterwards each is in its own."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class Sums:
    """Count, mean and squared distance from it of every channel, batch after batch.

    Chan, Golub & LeVeque 1983: parts are joined by their means, which does not cancel as E[x²] - E[x]² does.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Maps (B, C, …)."""
        x = x.detach().double().movedim(1, 0).flatten(1)  # (C, N)
        count, mean = x.shape[1], x.mean(1)
        squares = (x - mean[:, None]).square().sum(1)
        if self.count:
            apart, total = mean - self.mean, self.count + count
            squares = self.squares + squares + apart.square() * (self.count * count / total)
            mean = self.mean + apart * (count / total)
        self.count, self.mean, self.squares = self.count + count, mean, squares

    def moments(self) -> Moments:
        """Of all that was added."""
        return Moments(self.mean.float(), (self.squares / self.count).sqrt().float())
