"""A system small enough to train in milliseconds: it learns the mean picture, and runs from it and noise."""

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinema.core.config import Preset, RunSettings
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.core.system import Player, System


@dataclass(frozen=True)
class Config:
    """How it is built."""

    frames: int = 4
    """frames of a clip"""
    size: int = 16
    """side of a frame"""
    channels: int = 1
    """of a frame"""
    words: tuple[str, ...] = ()
    """filled from the data"""


@dataclass(frozen=True)
class Request:
    """What can be asked."""

    caption: tuple[str, ...]
    """one sentence, or several"""
    n: int = 1
    """clips for each"""
    seed: int = 0
    """of the noise"""


class Painter(nn.Module):
    """Noise (B, 8) -> clip (B, C, T, S, S)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.shape = (config.channels, config.frames, config.size, config.size)
        self.to_pixels = nn.Linear(8, int(np.prod(self.shape)))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.to_pixels(noise).tanh().reshape(-1, *self.shape)


class Vocabulary:
    """Knows some words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def check(self, caption: str) -> None:
        for word in caption.split():
            if word not in self.words:
                raise UsageError(f"the word '{word}' is not known.")


class Fake(System):
    name = "fake-gan"
    Config = Config
    Request = Request
    metrics = ("fd_pixels",)
    serving = ("colour", "painter")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.vocabulary = config, Vocabulary(config.words)
        self.painter = Painter(config)
        self.critic = nn.Linear(8, 3)
        self.colour = nn.Linear(1, 1)

    @classmethod
    def adapt(cls, config: Config, data: Any) -> Config:
        return replace(config, words=tuple(sorted({w for c in data.captions for w in c.split()})))

    def players(self) -> dict[str, Player]:
        return {"painter": Player([self.painter, self.colour], 1e-2)}

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        made = self.painter(progress.randn(8))
        yield {"painter": {"distance": (made - batch["video"]).square().mean()}}

    def examples(self, captions: Any, clips: Any) -> dict[str, dict[str, Any]]:
        return {caption: {"caption": (caption,)} for caption in captions}

    def run(self, request: Request) -> Video | Batch:
        for caption in request.caption:
            self.vocabulary.check(caption)
        captions = [c for c in request.caption for _ in range(request.n)]
        clips = self.generate(captions, [request.seed * 1000 + i for i in range(len(captions))])
        videos = [Video(clip, Fraction(8)) for clip in clips]
        return videos[0] if len(videos) == 1 else Batch(videos, captions)

    @torch.no_grad()
    def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
        noise = torch.stack([torch.randn(8, generator=torch.Generator().manual_seed(s)) for s in seeds])
        pixels = (
            (self.painter(noise) * (127.5 + 0 * self.colour.weight) + 127.5).round().byte()
        )  # (N, C, T, S, S)
        return pixels.permute(0, 2, 3, 4, 1).expand(-1, -1, -1, -1, 3).numpy().copy()

    def preview(self, batch: dict[str, Any]) -> Batch:
        return Batch([Video(c, Fraction(8)) for c in self.generate(batch["caption"][:4], list(range(4)))])

    def export_module(self) -> tuple[nn.Module, tuple[torch.Tensor, ...], list[str], list[str]]:
        return self.painter, (torch.zeros(2, 8),), ["noise"], ["video"]

    def judge(self, clips: torch.Tensor, captions: list[str]) -> torch.Tensor:
        return clips.flatten(1).mean(1)


def jobs(device: str, precision: Any) -> list[Any]:
    painter, noise = Painter(Config()).to(device), torch.randn(4, 8, device=device)

    def slow() -> torch.Tensor:
        return torch.cat([painter(row[None]) for row in noise])

    return [("run", "4 clips", slow, lambda: painter(noise))]


def tiny() -> Preset[Config]:
    """Takes a second on any machine."""
    settings = RunSettings(steps=6, batch=4, save_every_steps=3, preview_every_steps=3, log_every_steps=1)
    return Preset(Config(), replace(settings, precision="fp32", device="cpu"), "sbmg")


PRESETS = {"tiny": tiny}


class Hostile:
    """Unpickling it creates a folder."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.target,)
