"""StarGAN, by action units: what can be chosen, what can be asked, and the named presets. Imports no torch.

Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", CVPR 2018, arXiv:1711.09020.
"""

from dataclasses import dataclass, replace

from kinema.core.config import Preset, RunSettings
from kinema.systems.shared.face_config import FaceConfig, FaceRequest


@dataclass(frozen=True)
class Config(FaceConfig):
    """How the networks are built and trained: the paper's defaults, with units in place of classes."""

    target_noise: float = 0.0
    """targets are another face's action units, plus noise between minus and plus this on each"""
    decay_from: float | None = 0.5
    """fraction of the run after which learning rates fall to zero"""


@dataclass(frozen=True)
class Request(FaceRequest):
    """What a user asks of a trained StarGAN."""


_SMALL = Config(
    size=64,
    generator_width=32,
    blocks=4,
    critic_width=32,
    lambda_au=300.0,
    target_noise=0.1,
    critic_noise=(0.3, 0.05),
    first_steps=1200,
    critic_steps=2,
    lr=3e-4,
    critic_lr=2e-4,
    decay_from=0.6,
    ema_halflife_images=5_000,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = replace(_SMALL, size=32, generator_width=4, blocks=1, critic_width=4, first_steps=0)
    settings = RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6)
    return Preset(config, settings, "heads:200")


def small() -> Preset[Config]:
    """Rendered heads at 64x64, all settings those of GANimation's `small`, for a CPU; no result yet."""
    return Preset(_SMALL, RunSettings(steps=2200, batch=32), "heads:8000")


def good() -> Preset[Config]:
    """Rendered heads at 128x128, all settings those of GANimation's `good`, for a GPU; no result yet."""
    config = Config(target_noise=0.1, decay_from=2 / 3, ema_halflife_images=20_000)
    settings = RunSettings(steps=3000, batch=160, save_every_steps=500, preview_every_steps=500)
    return Preset(config, settings, "heads:20000")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, five batches of 16 a step; for a GPU and many faces; no result yet."""
    settings = RunSettings(steps=40_000, batch=80, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "heads:20000")


PRESETS = {"tiny": tiny, "small": small, "good": good, "paper": paper}
