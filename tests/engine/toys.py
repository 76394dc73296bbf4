"""Systems and data that train in milliseconds, and the run that tests start in a process of its own."""

import sys
import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.core.config import RunSettings
from kinema.core.errors import KinemaError
from kinema.core.results import Batch, Result, Video
from kinema.core.system import Player, System
from kinema.engine import Outcome, train
from kinema.nn.norm import BatchNorm1d, BatchNorm2d, cumulative_statistics, spectral


class Points:
    """Items that are a function of their index; a batch takes `slow` seconds."""

    hash = "points"

    def __init__(self, items: int = 40, slow: float = 0.0) -> None:
        self.items, self.slow = items, slow
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return self.items

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        time.sleep(self.slow)
        self.asked.append(list(indices))
        rows = [torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(i)) for i in indices]
        return {"video": torch.stack(rows), "caption": [str(i) for i in indices]}


class Game(System):
    """A generator and a spectral-normed critic with a gradient penalty."""

    name = "game"
    lr = 1e-2
    dropout = 0.0
    normalised = False
    decay_from: float | None = None

    def __init__(self) -> None:
        super().__init__()
        norm = BatchNorm1d(8) if self.normalised else nn.Identity()
        norm_2d = BatchNorm2d(4) if self.normalised else nn.Identity()
        # A bias before batch norm has no gradient but rounding noise, which Adam would blow up to full steps.
        first, bias = nn.Linear(3, 8, bias=not self.normalised), not self.normalised
        self.generator = nn.Sequential(first, norm, nn.Tanh(), nn.Linear(8, 32), nn.Unflatten(1, (2, 4, 4)))
        self.critic = nn.Sequential(
            spectral(nn.Conv2d(2, 4, 3, padding=1, bias=bias)),
            norm_2d,
            nn.Softplus(),
            nn.Dropout(self.dropout),
            nn.Flatten(),
            spectral(nn.Linear(64, 1)),
        )

    def players(self) -> dict[str, Player]:
        return {
            "critic": Player([self.critic], self.lr, clip_norm=5.0),
            "generator": Player(
                [self.generator], self.lr, ema_halflife_images=200, decay_from=self.decay_from
            ),
        }

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        real = batch["video"]
        z = progress.randn(3)
        for _ in range(2):
            x = real.detach().requires_grad_()
            scores, fake = self.critic(x), self.critic(self.generator(z).detach())
            slope = torch.autograd.grad(scores.sum(), x, create_graph=True)[0]
            yield {
                "critic": {
                    "hinge": torch.relu(1 - scores).mean() + torch.relu(1 + fake).mean(),
                    "r1": slope.square().sum((1, 2, 3)).mean(),
                }
            }
        yield {"generator": {"hinge": -self.critic(self.generator(z)).mean()}}

    def preview(self, batch: dict[str, Any]) -> Result:
        frames = self.generator(torch.randn(len(batch["video"]), 3)).clamp(-1, 1).detach().numpy()
        clips = ((frames[..., None] + 1) * 127.5).repeat(3, axis=-1).astype(np.uint8)
        return Batch([Video(c, Fraction(8)) for c in clips])


class NormGame(Game):
    """The same with batch statistics in both networks; the critic's are settled before use."""

    normalised = True

    def settle(self, batches: Iterable[dict[str, Any]]) -> None:
        with cumulative_statistics(self.critic):
            for batch in batches:
                self.critic(batch["video"])


class DropGame(Game):
    """With dropout, which draws from the global generator, and batch statistics, which move buffers."""

    dropout = 0.3
    normalised = True


class Counted(Game):
    """Remembers the steps that were done, in their order."""

    normalised = True

    def __init__(self) -> None:
        super().__init__()
        self.done: list[int] = []

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        self.done.append(progress.step)
        yield from super().step(batch, progress)


class Dull(Counted):
    """Its previews are varied, but all alike in the steps of `dull`: the first time, or always."""

    dull: tuple[int, ...] = (6, 8)
    stubborn = False

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[int] = []

    def preview(self, batch: dict[str, Any]) -> Batch:
        step = self.done[-1] + 1
        spread = 5 if step in self.dull and (self.stubborn or step not in self.shown) else 255
        self.shown.append(step)
        chance = np.random.default_rng(0)
        clips = (spread * chance.random((8, 1, 4, 4, 3))).astype(np.uint8)
        return Batch([Video(clip, Fraction(8)) for clip in clips])


def settings(**changes: Any) -> RunSettings:
    """Settings of a short run in fp32."""
    base: dict[str, Any] = {
        "steps": 6,
        "batch": 8,
        "save_every_steps": 2,
        "device": "cpu",
        "precision": "fp32",
    }
    return RunSettings(**{**base, "log_every_steps": 1, "preview_every_steps": 100, **changes})


def run(
    folder: Path, kind: type[System] = Game, data: Points | None = None, **changes: Any
) -> tuple[System, Outcome]:
    """Build a system from the seed and train it."""
    torch.manual_seed(0)
    system = kind()
    return system, train(
        system,
        Points() if data is None else data,
        settings(**changes),
        folder,
        write_config={"system": kind.name},
    )


def numbers(system: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict."""
    return {k: v.detach().clone() for k, v in system.state_dict().items()}


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Over all entries of two state dicts."""
    assert a.keys() == b.keys()
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in a)


if __name__ == "__main__":
    where, system_name, slow, *assignments = sys.argv[1:]
    values = {k: int(v) for k, v in (a.split("=") for a in assignments)}
    try:
        run(Path(where), globals()[system_name], Points(slow=float(slow)), **values)
    except KinemaError as stop:
        print(stop)
        sys.exit(stop.exit_code)
