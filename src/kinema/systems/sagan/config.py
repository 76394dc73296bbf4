"""SAGAN: what can be chosen, and the named presets. Imports no torch.

Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", ICML 2019,
arXiv:1805.08318.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings
from kinema.systems.shared.config import PictureConfig, PictureRequest


@dataclass(frozen=True)
class Config(PictureConfig):
    """How the networks are built and trained. The defaults are the paper's."""

    attention_form: Literal["pooled", "paper", "residual"] = "pooled"
    """pooled: as released; paper: every place is a key, values have all channels; residual: a residual block
    with as many parameters in its place"""
    initial: Literal["xavier", "orthogonal", "normal"] = "xavier"
    """initial weights: Xavier's, orthogonal rows, or N(0, 0.02)"""
    critic_lr: float | None = 4e-4
    """learning rate of the critic; None: the generator's"""


@dataclass(frozen=True)
class Request(PictureRequest):
    """What a user asks of a trained SAGAN."""


_GOOD = Config(
    size=32,
    width=16,
    attention=(16,),
    initial="orthogonal",
    updates="simultaneous",
    lr=4e-4,
    critic_lr=None,
    betas=(0.0, 0.99),
    decay_from=0.7,
    ema_halflife_images=10_000,
    settled=True,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = replace(_GOOD, width=4, noise=16)
    settings = RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6)
    return Preset(config, settings, "mirrored")


def small() -> Preset[Config]:
    """Mirrored shapes at 32x32 with a quarter of the paper's channels: 17 minutes on one busy CPU core.

    Reached an FD-judge of 1.3 (untrained 136, real 0.3); the judge named the class asked for in 90 % of
    pictures, 94 % had both halves of one hue, and all hues were drawn. Pairs and R1 in place of the hinge,
    with which three of eight hues were left.
    """
    config = replace(_GOOD, loss="relativistic", r1=1.0)
    return Preset(config, RunSettings(steps=4000, batch=32), "mirrored")


def cifar10() -> Preset[Config]:
    """CIFAR-10 with a quarter of the paper's channels; an FD-judge of 5.9 after 3,000 of its steps."""
    config = replace(_GOOD, loss="relativistic", r1=0.1)
    return Preset(config, RunSettings(steps=10_000, batch=32), "cifar10")


def paper() -> Preset[Config]:
    """The paper's networks and recipe at 128x128; for a GPU and a folder of one's own; no result yet."""
    settings = RunSettings(steps=1_000_000, batch=256, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "mirrored")


PRESETS = {"tiny": tiny, "small": small, "cifar10": cifar10, "paper": paper}
