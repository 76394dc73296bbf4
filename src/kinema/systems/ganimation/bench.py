"""The authors' way of computing against ours, at full size: the same weights, faces and targets in both.

The faithful path is fp32, eager and contiguous, with the layers of the authors' code: an instance norm that
knows one layout, a convolution for each head of the generator, and a pass of the critic each for real and for
edited faces. A cycle is what a step has without the optimisers: five updates of the critic and one of the
generator.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.system import Progress
from kinema.systems.ganimation.config import Config
from kinema.systems.ganimation.networks import Generator
from kinema.systems.ganimation.system import GANimation
from kinema.systems.shared.bench import Job, Precision
from kinema.systems.shared.face_networks import Judged

RUN, CYCLE = 4, 4
"""faces in a forward pass, and in each update of a cycle"""
Context = Callable[[], AbstractContextManager[object]]


class Faithful(GANimation):
    """The same system, computed as the authors do."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, nn.GroupNorm):
                module.forward = partial(_norm, module)  # type: ignore[method-assign]
        assert isinstance(self.generator, Generator)
        self.generator.heads = partial(_heads, self.generator)  # type: ignore[method-assign]

    def judge(self, real: Tensor, made: Tensor) -> tuple[Judged, Judged]:
        """One after the other."""
        return self.critic(real), self.critic(made)


def jobs(device: str, precision: Precision) -> list[Job]:
    """Faces edited, and a whole step, with the paper's networks.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        precision: the context in which the default path computes.
    """
    config = Config()
    torch.manual_seed(0)
    slow, fast = (kind(config).to(device) for kind in (Faithful, GANimation))
    fast.load_state_dict(slow.state_dict())
    for parameter in fast.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    items, size = CYCLE * config.critic_steps, config.size
    batch = {
        "image": torch.rand(items, 3, size, size, device=device) * 2 - 1,
        "action_units": torch.rand(items, 17, device=device),
        "others": torch.rand(items, 8, 17, device=device),
    }
    run, whole = partial(_run, batch=batch), partial(cycle, batch=batch)
    return [
        Job("run", f"{RUN}x3x{size}x{size}", partial(run, slow, nullcontext), partial(run, fast, precision)),
        Job(
            "cycle 5:1",
            f"{items}x3x{size}x{size}",
            partial(whole, slow, nullcontext),
            partial(whole, fast, precision),
        ),
    ]


def cycle(system: GANimation, precision: Context, batch: dict[str, Any]) -> dict[str, Tensor]:
    """All updates of a step without the optimisers: their gradients. Gives the terms."""
    items = len(batch["image"])
    progress = Progress(0, 1, items, slice(0, items), torch.Generator().manual_seed(0), system.device)
    players, steps = system.players(), system.step(batch, progress)
    found: dict[str, Tensor] = {}
    while True:
        with precision():
            losses = next(steps, None)
        if losses is None:
            return found
        for player, terms in losses.items():
            torch.autograd.grad(torch.stack(list(terms.values())).sum(), players[player].parameters())
            found |= {f"{player}/{name}": value.detach() for name, value in terms.items()}


@torch.no_grad()
def _run(system: GANimation, precision: Context, batch: dict[str, Any]) -> dict[str, Tensor]:
    with precision():
        edited, mask, colour = system.generator(batch["image"][:RUN], batch["action_units"][:RUN])
    return {"edited": edited, "mask": mask, "colour": colour}


def _norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=norm.eps)


def _heads(generator: Generator, maps: Tensor) -> tuple[Tensor, Tensor | None]:
    assert generator.attention is not None
    return torch.tanh(generator.colour(maps)), torch.sigmoid(generator.attention(maps))
