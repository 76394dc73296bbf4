"""BigGAN and BigGAN-deep: what can be chosen, and the named presets. Imports no torch.

Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019,
arXiv:1809.11096.
"""

from dataclasses import dataclass, replace

from kinema.core.config import Preset, RunSettings
from kinema.systems.shared.config import PictureConfig, PictureRequest


@dataclass(frozen=True)
class Config(PictureConfig):
    """How the networks are built and trained. The defaults are the paper's at 128x128."""

    noise: int = 120
    """width of the noise (z); with `hierarchical` a multiple of the blocks and one"""
    width: int = 96
    """channels that the networks' tables are multiples of (ch)"""
    deep: bool = False
    """BigGAN-deep: bottlenecks, and twice as many blocks"""
    shared: int | None = 128
    """width of the embedding of classes that all norms share; None: a table for every norm"""
    hierarchical: bool = True
    """every block gets a chunk of the noise (skip-z); of BigGAN alone"""
    noise_first: bool = False
    """BigGAN-deep: the noise stands before the class, as in the published weights"""
    truncations: int = 0
    """rows of statistics of batch norm, for truncations from 0 to 1 in equal steps, as published weights of
    BigGAN-deep have them (51); 0: taken anew for the truncation that is asked for"""
    attention: tuple[int, ...] = (64,)
    """sides of maps, in both networks, that attention stands behind: some of 8, 16, 32, 64; empty: none"""
    orthogonal: float = 1e-4
    """weight β of the orthogonal regularisation of the generator; 0 leaves it out"""
    lr: float = 5e-5
    """learning rate of the generator"""
    critic_lr: float | None = 2e-4
    """learning rate of the critic; None: the generator's"""
    critic_steps: int = 2
    """updates of the critic before one of the generator; each sees its part of the step's pictures"""
    ema_halflife_images: float | None = 14_000_000
    """half-life of the generator's moving average, in pictures seen; 0.9999 a step at batch 2,048"""


@dataclass(frozen=True)
class Request(PictureRequest):
    """What a user asks of a trained BigGAN."""

    compat: bool = False
    """of weights with statistics for every truncation: between two of them, weigh each by its distance, as
    the published port does, not by its nearness"""


_GOOD = Config(
    size=32,
    noise=80,
    width=16,
    shared=32,
    attention=(16,),
    updates="simultaneous",
    critic_steps=1,
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
    """Mirrored shapes at 32x32 with a sixth of the paper's channels: 16 minutes on one busy CPU core.

    Reached an FD-judge of 1.0 (untrained 115, real 0.3); the judge named the class asked for in 87 % of
    pictures, 82 % had both halves of one hue, and all hues were drawn. Pairs and R1 stand in place of the
    hinge, with which hues collapse on this set (see SAGAN's `small`).
    """
    config = replace(_GOOD, loss="relativistic", r1=1.0)
    return Preset(config, RunSettings(steps=4000, batch=32), "mirrored")


def cifar10() -> Preset[Config]:
    """CIFAR-10 with a sixth of the channels: 48 minutes on one busy CPU core.

    Reached an FD-judge of 2.2 (untrained 22, real 0.06), and a judge that is right on 91 % of real pictures
    named the class asked for in 60 %.
    """
    config = replace(_GOOD, loss="relativistic", r1=0.1)
    return Preset(config, RunSettings(steps=10_000, batch=32), "cifar10")


def paper() -> Preset[Config]:
    """The paper's networks and recipe at 128x128; for GPUs and a folder of one's own; no result yet."""
    settings = RunSettings(steps=150_000, batch=4096, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "mirrored")


PRESETS = {"tiny": tiny, "small": small, "cifar10": cifar10, "paper": paper}
