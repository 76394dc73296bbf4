"""What the tests of SAGAN and BigGAN share: tiny systems, one batch, and slow references of the losses."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.core.system import Progress
from kinema.data.pictures import open_pictures
from kinema.systems import load_class, load_presets
from kinema.systems.shared.pictures import PictureSystem

DATA = open_pictures("mirrored", size=32, split="val")
BATCH = DATA.batch(range(4))


def build(name: str, **changes: Any) -> PictureSystem:
    """The tiny preset with changes; attention already counts."""
    torch.manual_seed(0)
    kind = load_class(name)
    system: PictureSystem = kind(kind.adapt(replace(load_presets(name)["tiny"]().config, **changes), DATA))
    for key, parameter in system.named_parameters():
        if key.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    return system


def lively(name: str, **changes: Any) -> PictureSystem:
    """With tables and weights of norms as if trained, so that classes differ."""
    system = build(name, **changes)
    for key, parameter in system.generator.named_parameters():
        if ".gain" in key or ".bias.w" in key or "shared" in key:
            nn.init.normal_(parameter, 0, 0.5)
    return system


def at(step: int, batch: int = 4, rows: slice | None = None) -> Progress:
    """A place in a run of 100 steps."""
    chance = torch.Generator().manual_seed(step)
    return Progress(step, 100, batch, rows or slice(0, batch), chance, torch.device("cpu"))


def terms_of(system: PictureSystem, step: int = 0, batch: dict[str, Any] = BATCH) -> dict[str, float]:
    """The terms of a step in which nothing moves, "player/term"; of several updates the last."""
    found = {}
    for losses in system.step(batch, at(step, len(batch["image"]))):
        found |= {f"{p}/{k}": v.item() for p, terms in losses.items() for k, v in terms.items()}
    return found


def count(module: nn.Module) -> int:
    """How many parameters."""
    return sum(p.numel() for p in module.parameters())


def softplus(x: float) -> float:
    """log(1 + e^x)."""
    return math.log1p(math.exp(x))


Formula = Callable[[float, float], float]
"""of the logits of a real and of a generated picture"""
FORMULAS: dict[str, tuple[Formula | None, Formula, Formula]] = {
    "hinge": (lambda r, f: max(0, 1 - r), lambda r, f: max(0, 1 + f), lambda r, f: -f),
    "softplus": (lambda r, f: softplus(-r), lambda r, f: softplus(f), lambda r, f: -f),
    "log": (lambda r, f: softplus(-r), lambda r, f: softplus(f), lambda r, f: softplus(-f)),
    "wasserstein": (lambda r, f: -r, lambda r, f: f, lambda r, f: -f),
    "relativistic": (None, lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    "r3gan": (None, lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
}
"""loss -> what is paid for a real picture, for a generated one, and by the generator"""


def logits(system: PictureSystem, step: int = 0) -> list[tuple[float, float]]:
    """What the critic says of the real and the generated pictures of a step, one at a time."""
    progress, k = at(step), len(system.config.classes)
    z, chance = progress.randn(system.config.noise), progress.rand()
    drawn = nn.functional.one_hot((chance * k).long(), k).float()
    with torch.no_grad():
        fake, said = system.generator(z, drawn), system.one_hot(BATCH["caption"])
        pairs = [
            [
                system.critic(x[i : i + 1], y[i : i + 1]).item()
                for x, y in ((BATCH["image"], said), (fake, drawn))
            ]
            for i in range(4)
        ]
    return [(true, false) for true, false in pairs]


def mean(formula: Formula, pairs: list[tuple[float, float]]) -> float:
    """Over pairs of logits."""
    return float(np.mean([formula(r, f) for r, f in pairs]))


def squared_slope(critic: nn.Module, pictures: Tensor, classes: Tensor) -> float:
    """Mean over pictures, one at a time, of |∇D|²."""
    found = []
    for x, y in zip(pictures, classes, strict=True):
        x = x[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(x, y[None]).sum(), x)
        found.append(gradient.square().sum().item())
    return float(np.mean(found))
