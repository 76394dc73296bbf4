"""The paper's way of computing against ours, at full size: the same weights and clips in both.

The faithful path is fp32, eager and contiguous: the photo goes through the encoder as often as the clip has
frames, and a step computes its clip once for the critic and once more for the generator. Both paths make the
clip in eval mode, so that they can be compared.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kinema.core.system import Progress
from kinema.nn.norm import cumulative_statistics
from kinema.systems.md_gan.config import Config
from kinema.systems.md_gan.networks import repeat
from kinema.systems.md_gan.system import MDGAN

Work = Callable[[], dict[str, Tensor]]
Precision = Callable[[], AbstractContextManager[object]]


class Job(NamedTuple):
    """One comparison; both callables give outputs that must agree."""

    name: str
    shape: str
    faithful: Work
    default: Work


def jobs(device: str, precision: Precision) -> list[Job]:
    """One photo through both stages, and a training step of the second stage.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        precision: the context in which the default path computes.
    """
    torch.manual_seed(0)
    slow = MDGAN(Config(stage="refine")).to(device)
    _settle(slow)
    fast = MDGAN(Config(stage="refine", updates="simultaneous")).to(device)
    fast.load_state_dict(slow.state_dict())
    _channels_last(fast)
    size, frames = slow.config.size, slow.config.frames
    photo = torch.rand(1, 3, size, size, device=device) * 2 - 1
    batch = {"video": torch.rand(1, 3, frames, size, size, device=device) * 2 - 1}
    return [
        Job(
            "run",
            f"1x3x{size}x{size}",
            lambda: faithful_run(slow.eval(), photo),
            lambda: default_run(fast.eval(), photo, precision),
        ),
        Job(
            "step",
            f"1x3x{frames}x{size}x{size}",
            lambda: step(slow.train(), batch, nullcontext),
            lambda: step(fast.train(), batch, precision),
        ),
    ]


@torch.no_grad()
def faithful_run(system: MDGAN, photo: Tensor) -> dict[str, Tensor]:
    """Both stages on the photo repeated T times."""
    base, refine = system.generator.base, system.generator.refine
    assert base is not None  # both stages are there
    assert refine is not None
    first = base(repeat(photo, system.config.frames).contiguous())
    return {"base": first, "refine": refine(first)}


@torch.no_grad()
def default_run(system: MDGAN, photo: Tensor, precision: Precision) -> dict[str, Tensor]:
    """The same by the system's own generator."""
    with precision():
        base, refine = system.generator(photo).unbind(1)
    return {"base": base, "refine": refine}


def step(system: MDGAN, batch: dict[str, Any], precision: Precision) -> dict[str, Tensor]:
    """One update without the optimiser: gradients of critic and generator. Gives the adversarial terms."""
    progress = Progress(0, 1, 1, slice(0, 1), torch.Generator(), system.device)
    out: dict[str, Tensor] = {}
    steps, players = system.step(batch, progress), system.players()
    while True:
        with precision():
            losses = next(steps, None)
        if losses is None:
            return out
        for n, (player, terms) in enumerate(losses.items(), 1):
            loss = torch.stack([term.float() for term in terms.values()]).sum()
            torch.autograd.grad(loss, players[player].parameters(), retain_graph=n < len(losses))
            out |= {f"{player}/{k}": v.detach() for k, v in terms.items() if k in ("real", "fake", "fool")}


@torch.no_grad()
def _settle(system: MDGAN) -> None:
    """Give both stages the statistics of their inputs, as training does: initial ones show nothing."""
    size = system.config.size
    clip = repeat(torch.rand(1, 3, size, size, device=system.device) * 2 - 1, system.config.frames)
    for stage in (system.generator.base, system.generator.refine):
        assert stage is not None
        with cumulative_statistics(stage):
            clip = stage(clip)


def _channels_last(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
