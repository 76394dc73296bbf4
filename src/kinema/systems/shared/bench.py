"""The public port's way of computing against ours: the same weights, pictures and noise in both.

The faithful path is fp32, eager and contiguous: convolutions at full size before a halving and behind a
doubling, and a step of every power iteration in every forward. Like ours, the port makes pictures for the
critic without a graph, and judges real and generated ones in one pass.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kinema.core.system import Progress
from kinema.nn.norm import Spectral, advance_spectral
from kinema.nn.residual import DownBlock, UpBlock, doubled, halved
from kinema.systems.shared.pictures import PictureSystem

BATCH = 32
Work = Callable[[], dict[str, Tensor]]
Precision = Callable[[], AbstractContextManager[object]]


class Job(NamedTuple):
    """One comparison; both callables give outputs that must agree."""

    name: str
    shape: str
    faithful: Work
    default: Work


def jobs(kind: type[PictureSystem], configs: list[Any], device: str, precision: Precision) -> list[Job]:
    """A full alternating step in fp32 and as wanted, and pictures, for each configuration."""
    out = []
    for config in configs:
        slow, fast = pair(kind, config, device)
        size, classes = config.size, config.classes
        batch = {
            "image": torch.rand(BATCH, config.channels, size, size, device=device) * 2 - 1,
            "caption": [classes[i % len(classes)] for i in range(BATCH)],
        }
        step = partial(whole_step, slow, batch, nullcontext, each_forward=True)
        shape = f"{BATCH}x{config.channels}x{size}x{size}, ch {config.width}"
        out += [
            Job("step in fp32", shape, step, partial(whole_step, fast, batch, nullcontext)),
            Job("step", shape, step, partial(whole_step, fast, batch, precision)),
            Job("run", shape, partial(_run, slow, nullcontext), partial(_run, fast, precision)),
        ]
    return out


def pair(kind: type[PictureSystem], config: Any, device: str) -> tuple[PictureSystem, PictureSystem]:
    """Two systems with the same weights: one that computes as the port does, and ours."""
    torch.manual_seed(0)
    slow, fast = (kind(config).to(device).train() for _ in range(2))
    fast.load_state_dict(slow.state_dict())
    for module in slow.modules():
        if isinstance(module, UpBlock):
            module.forward = partial(_up, module)  # type: ignore[method-assign]
        elif isinstance(module, DownBlock):
            module.forward = partial(_down, module)  # type: ignore[method-assign]
    for parameter in fast.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return slow, fast


def whole_step(
    system: PictureSystem, batch: dict[str, Any], precision: Precision, *, each_forward: bool = False
) -> dict[str, Tensor]:
    """Both updates without the optimisers: their gradients. Gives the terms.

    Vectors of power iterations do not move, so that every repetition computes the same; where they should
    move in each forward (`each_forward`), as much is computed and then put back.
    """
    progress = Progress(0, 1, BATCH, slice(0, BATCH), torch.Generator().manual_seed(0), system.device)
    players = system.players()
    found: dict[str, Tensor] = {}
    if not each_forward:
        with Kept(system):
            advance_spectral(system)
    own = system.step(batch, progress)
    while True:
        with precision():
            losses = next(own, None)
        if losses is None:
            return found
        for player, terms in losses.items():
            torch.autograd.grad(torch.stack(list(terms.values())).sum(), players[player].parameters())
            found |= {f"{player}/{name}": value.detach() for name, value in terms.items()}
        if each_forward:  # generator and critic have each been run once
            with Kept(system):
                advance_spectral(system)


class Kept:
    """Outside, the vectors of power iterations are what they were."""

    def __init__(self, system: PictureSystem) -> None:
        self.layers = [m for m in system.modules() if isinstance(m, Spectral)]

    def __enter__(self) -> None:
        self.before = [(layer._u.clone(), layer._v.clone()) for layer in self.layers]

    def __exit__(self, *_: object) -> None:
        for layer, (u, v) in zip(self.layers, self.before, strict=True):
            layer._u.copy_(u)
            layer._v.copy_(v)


def _up(block: UpBlock, x: Tensor, condition: Tensor | None) -> Tensor:
    h = block.conv1(doubled(F.relu(block.bn1(x, condition))))
    h = block.conv2(F.relu(block.bn2(h, condition)))
    shortcut: Tensor = block.conv_sc(doubled(x))
    return h + shortcut


def _down(block: DownBlock, x: Tensor) -> Tensor:
    h = block.conv2(F.relu(block.conv1(x if block.first else F.relu(x))))
    if block.down:
        h = halved(h)
    if block.conv_sc is None:
        return h + x
    if not block.down:
        return h + block.conv_sc(x)
    return h + (block.conv_sc(halved(x)) if block.first else halved(block.conv_sc(x)))


@torch.no_grad()
def _run(system: PictureSystem, precision: Precision) -> dict[str, Tensor]:
    classes = system.config.classes
    given = system.codes(range(BATCH), [classes[i % len(classes)] for i in range(BATCH)], None)
    with precision():
        return {"picture": system.generator(*given)}
