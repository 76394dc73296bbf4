"""The authors' way of computing against ours: the same weights, clips and noise in both.

The faithful path is fp32, eager and contiguous: 5-D convolutions throughout, attention on sequences that are
copied out and read back as a strided tensor, and critics that see the generated clips once for themselves and
once more for the generator. γ of the attention is 0.5, so that it counts.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kinema.core.system import Progress
from kinema.losses.adversarial import ADVERSARIAL
from kinema.systems.g3an.attention import SelfAttention
from kinema.systems.g3an.config import Config
from kinema.systems.g3an.networks import G3, Parts, TimeConv, TransposedConv, joined
from kinema.systems.g3an.system import G3AN, look

BATCH = 4
LOG = ADVERSARIAL["log"]
"""the paper's objective"""
Work = Callable[[], dict[str, Tensor]]
Precision = Callable[[], AbstractContextManager[object]]


class Job(NamedTuple):
    """One comparison; both callables give outputs that must agree."""

    name: str
    shape: str
    faithful: Work
    default: Work


def jobs(device: str, precision: Precision) -> list[Job]:
    """A full training step with F-SA, in fp32 and as wanted, and generation, at the paper's width and size.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        precision: the context in which the default path computes.
    """
    slow, fast = pair(Config(updates="simultaneous"), device)
    batch = {"video": torch.rand(BATCH, 3, 16, 64, 64, device=device) * 2 - 1}
    za, zm = torch.randn(BATCH, 128, device=device), torch.randn(BATCH, 10, 1, device=device)
    step, shape = partial(faithful_step, slow, batch), f"{BATCH}x3x16x64x64"
    return [
        Job("step in fp32", shape, step, partial(default_step, fast, batch, nullcontext)),
        Job("step", shape, step, partial(default_step, fast, batch, precision)),
        Job("run", shape, partial(_run, slow, za, zm, nullcontext), partial(_run, fast, za, zm, precision)),
    ]


def pair(config: Config, device: str) -> tuple[G3AN, G3AN]:
    """Two systems with the same weights: one that computes as the authors' code does, and ours."""
    torch.manual_seed(0)
    slow, fast = (G3AN(config).to(device).train() for _ in range(2))
    for module in slow.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)
            module.forward = partial(_attend_in_sequences, module)  # type: ignore[method-assign]
        elif isinstance(module, TransposedConv | TimeConv):
            kind = nn.ConvTranspose3d if isinstance(module, TransposedConv) else nn.Conv3d
            module.forward = partial(kind.forward, module)  # type: ignore[method-assign, arg-type]
        elif isinstance(module, G3):
            module.forward = partial(_fuse, module)  # type: ignore[method-assign]
    fast.load_state_dict(slow.state_dict())
    for parameter in fast.parameters():
        if parameter.dim() in (4, 5):
            layout = torch.channels_last if parameter.dim() == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return slow, fast


def faithful_step(system: G3AN, batch: dict[str, Any]) -> dict[str, Tensor]:
    """One update without the optimiser: gradients of critics, then of the generator. Gives the terms."""
    c, progress = system.config, _progress(system, len(batch["video"]))
    codes = progress.randn(c.appearance), progress.randn(c.motion, 1)
    chance = [torch.rand(2, generator=progress.generator).tolist() for _ in range(2)]
    fake = system.generator(*codes)
    views, made = look(batch["video"], chance[0]), look(fake, chance[1])
    real = {name: critic(views[name]) for name, critic in system.critics.items()}
    false = {name: critic(made[name].detach()) for name, critic in system.critics.items()}
    losses = {
        f"{name}_critic": {"real": LOG.true(real[name]), "fake": LOG.false(false[name], real[name])}
        for name in real
    }
    _differentiate(system, losses)
    fooled = {
        "generator": {
            name: LOG.fool(critic(made[name]), real[name]) for name, critic in system.critics.items()
        }
    }
    _differentiate(system, fooled)
    return _named(losses | fooled)


def default_step(system: G3AN, batch: dict[str, Any], precision: Precision) -> dict[str, Tensor]:
    """The same by the system's own step."""
    with precision():
        (losses,) = system.step(batch, _progress(system, len(batch["video"])))
    _differentiate(system, losses)
    return _named(losses)


def _differentiate(system: G3AN, losses: dict[str, dict[str, Tensor]]) -> None:
    players = system.players()
    for left, (player, terms) in enumerate(losses.items(), 1 - len(losses)):
        loss = torch.stack(list(terms.values())).sum()
        torch.autograd.grad(loss, players[player].parameters(), retain_graph=left < 0)


def _fuse(module: G3, s: Tensor, v: Parts, t: Tensor) -> tuple[Tensor, Parts, Tensor]:
    moving = module.conv_v(joined(v))
    s, t = module.conv_s(s), module.conv_t(t)  # type: ignore[misc]
    return s, (torch.cat([s.expand_as(moving), moving + t], 1),), t


def _attend_in_sequences(module: SelfAttention, x: Tensor) -> Tensor:
    """q, k, v by 1x1x1 convolutions, copied into sequences; the result is a strided view."""
    b, _, t, h, w = x.shape
    if module.along == "time":
        sequences, shape, back = (0, 3, 4, 2, 1), (b * h * w, t, -1), (b, h, w, t, -1)
        axes = (0, 4, 3, 1, 2)
    else:
        sequences, shape, back = (0, 2, 3, 4, 1), (b * t, h * w, -1), (b, t, h, w, -1)
        axes = (0, 4, 1, 2, 3)
    q, k, v = (
        conv(x).permute(sequences).reshape(shape) for conv in (module.q_conv, module.k_conv, module.v_conv)
    )
    seen = torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), v)
    return module.gamma * seen.view(back).permute(axes) + x


@torch.no_grad()
def _run(system: G3AN, za: Tensor, zm: Tensor, precision: Precision) -> dict[str, Tensor]:
    with precision():
        return {"video": system.generator(za, zm)}


def _named(losses: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{p}/{name}": value.detach() for p, terms in losses.items() for name, value in terms.items()}


def _progress(system: G3AN, batch: int) -> Progress:
    return Progress(0, 1, batch, slice(0, batch), torch.Generator().manual_seed(0), system.device)
