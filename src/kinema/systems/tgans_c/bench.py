"""The paper's way of computing against ours: the same weights, clips and noise in both.

The faithful path is fp32, eager and contiguous: every frame goes through the frame map on its own, and each
of the three pairs goes through the trunks anew. Batch norms stand on their running statistics in both,
because statistics of one frame and of all frames differ, and the two paths could not be compared.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kinema.core.system import Progress
from kinema.systems.tgans_c.config import Config
from kinema.systems.tgans_c.losses import Logits, critic_terms, generator_terms
from kinema.systems.tgans_c.system import TGANsC

BATCH = 8
WORDS = ("digit", "1", "2", "moves", "up", "down", ".")
Work = Callable[[], dict[str, Tensor]]
Precision = Callable[[], AbstractContextManager[object]]


class Job(NamedTuple):
    """One comparison; both callables give outputs that must agree."""

    name: str
    shape: str
    faithful: Work
    default: Work


def jobs(device: str, precision: Precision) -> list[Job]:
    """A full training step and generation, at the paper's width and size.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        precision: the context in which the default path computes.
    """
    torch.manual_seed(0)
    system = TGANsC(Config(words=WORDS, text_steps=0)).to(device).eval()
    fast = TGANsC(system.config).to(device).eval()
    _calibrate(system)
    fast.load_state_dict(system.state_dict())
    _channels_last(fast)
    batch = {
        "video": torch.rand(BATCH, 3, 16, 48, 48, device=device) * 2 - 1,
        "caption": ["digit 1 moves up ."] * BATCH,
        "wrong": ["digit 2 moves down ."] * BATCH,
    }
    z = torch.randn(16, system.config.noise, device=device)
    s = system.sentences(["digit 1 moves up ."] * 16)
    return [
        Job(
            "step",
            f"{BATCH}x3x16x48x48",
            lambda: faithful_step(system, batch),
            lambda: default_step(fast, batch, precision),
        ),
        Job(
            "run",
            "16x3x16x48x48",
            lambda: _generate(system, z, s, nullcontext),
            lambda: _generate(fast, z, s, precision),
        ),
    ]


def faithful_step(system: TGANsC, batch: dict[str, Any]) -> dict[str, Tensor]:
    """One update without the optimiser: gradients of critics, then of generator. Gives the terms."""
    progress, real = _progress(system), batch["video"]
    s, wrong = system.sentences(batch["caption"]), system.sentences(batch["wrong"])
    with torch.no_grad():
        fake = system.generator(progress.randn(*system.generator.noise_shape), s)
    true, rejected, false = (
        _logits_frame_by_frame(system, video, words) for video, words in ((real, s), (real, wrong), (fake, s))
    )
    terms = critic_terms("log", true, rejected, false)
    _differentiate(terms, system.players()["critic"].parameters())
    fake = system.generator(progress.randn(*system.generator.noise_shape), s)
    fooled = generator_terms("log", _logits_frame_by_frame(system, fake, s), None)
    _differentiate(fooled, system.players()["generator"].parameters())
    return _named(terms, "critic") | _named(fooled, "generator")


def default_step(system: TGANsC, batch: dict[str, Any], precision: Precision) -> dict[str, Tensor]:
    """The same by the system's own step: frames folded, trunks run once for both captions."""
    out: dict[str, Tensor] = {}
    steps, players = system.step(batch, _progress(system)), system.players()
    while True:
        with precision():
            losses = next(steps, None)
        if losses is None:
            return out
        for player, terms in losses.items():
            terms.pop("caption_share", None)
            _differentiate(terms, players[player].parameters())
            out |= _named(terms, player)


def _differentiate(terms: dict[str, Tensor], parameters: list[nn.Parameter]) -> None:
    torch.autograd.grad(torch.stack(list(terms.values())).sum(), parameters)


def _logits_frame_by_frame(system: TGANsC, video: Tensor, s: Tensor) -> Logits:
    critics, frames = system.critics, system.critics.frames
    assert critics.video is not None  # all heads are there: the variant is `ca`
    assert frames is not None
    assert frames.motion is not None
    maps = [frames.maps(frame.unsqueeze(2)) for frame in video.unbind(2)]  # each (B, 1, 8w, h, w)
    steps = [after - before for before, after in pairwise(maps)]
    return {
        "video": critics.video.head(critics.video.maps(video), s),
        "frame": torch.cat([frames.frame(m, s) for m in maps], 1),
        "motion": torch.cat([frames.motion(m, s) for m in steps], 1),
    }


@torch.no_grad()
def _generate(system: TGANsC, z: Tensor, s: Tensor, precision: Precision) -> dict[str, Tensor]:
    with precision():
        return {"video": system.generator(z, s).float()}


@torch.no_grad()
def _calibrate(system: TGANsC) -> None:
    """Give batch norms the statistics of a batch, so that outputs are of the size that training makes."""
    norms = [m for m in system.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    system.train()
    s = torch.randn(BATCH, system.config.sentence, device=system.device)
    video = system.generator(torch.randn(BATCH, system.config.noise, device=system.device), s)
    system.critics.logits(system.critics.features(video), s)
    system.eval()


def _named(terms: dict[str, Tensor], player: str) -> dict[str, Tensor]:
    return {f"{player}/{name}": value.detach() for name, value in terms.items()}


def _progress(system: TGANsC) -> Progress:
    return Progress(0, 1, BATCH, slice(0, BATCH), torch.Generator().manual_seed(0), system.device)


def _channels_last(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.dim() in (4, 5):
            layout = torch.channels_last if parameter.dim() == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
