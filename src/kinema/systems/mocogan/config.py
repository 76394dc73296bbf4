"""MoCoGAN: what can be chosen, what can be asked, and the named presets. Imports no torch.

Tulyakov, Liu, Yang, Kautz, "MoCoGAN: Decomposing Motion and Content for Video Generation", CVPR 2018,
arXiv:1707.04993.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's."""

    # What a clip is
    frames: int = 16
    """frames of a training clip (T)"""
    size: int = 64
    """height and width of a frame in pixels (S): 64 as in the paper; 32 or 128 by the same rule"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    fps: int = 8
    """frames per second at which results are shown"""
    frame_steps: tuple[int, ...] = (2,)
    """a clip of one's own folder shows frames this far apart, from a random start, the distance drawn from
    these; empty: frames evenly over the whole clip"""

    # Networks
    content: int = 50
    """width of the content code, drawn once a clip"""
    motion: int = 10
    """width of the motion noise and of the recurrent net's state"""
    conditional: bool = True
    """a clip belongs to a category, which is its caption"""
    classes: tuple[str, ...] = ()
    """the categories, filled from the training data"""
    width: int = 64
    """channels before the generator's last layer"""
    critic_width: int = 64
    """channels of the critics' first layer"""
    image_critic: Literal["patch", "plain"] = "patch"
    """patch: a logit for each of 4x4 places of a frame; plain: one logit"""
    video_critic: Literal["patch", "plain", "categorical"] = "categorical"
    """patch and plain as for images; categorical: plain, and a logit for each category"""
    norm: Literal["batch", "generator", "none"] = "batch"
    """batch norm in all networks (paper), in the generator alone, or in none; elsewhere biases stand in its
    place; the loss r3gan needs none"""
    input_noise: float = 0.1
    """deviation of the noise that is added to what the critics' layers are given (σ); 0 adds none"""

    # Objective
    loss: Literal["log", "r3gan"] = "log"
    """log: the paper's cross-entropy on logits; r3gan: real and generated in pairs, gradients penalised"""
    infogan: bool = True
    """the generator pays where the categorical critic does not tell which category was drawn"""
    r1: float = 0.0
    """weight of the penalty on the critics' gradient at real clips, with the loss log; 0 computes none"""
    r1_every: int = 16
    """the penalty is computed every so many steps, with its weight times as many"""
    gamma: tuple[float, float] = (2.0, 0.2)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    augment: tuple[str, ...] = ()
    """what the critics see is changed by these, alike in all frames of a clip: colour, translation, cutout"""
    augment_target: float | None = None
    """how sure critics may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the longer
    they are surer than that; None: all changes, always"""

    # Optimisation
    lr: float = 2e-4
    """learning rate of all players"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's"""
    weight_decay: float = 1e-5
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in clips seen; None keeps none"""
    settled: bool = False
    """take the statistics of batch norm anew before weights are used; false keeps the running ones (paper)"""


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained MoCoGAN: clips, or a grid of contents and motions."""

    n: int = 1
    """clips, each with its own content and motion"""
    grid: tuple[int, int] | None = None
    """N and M: a sheet of N contents (rows), each with the same M motions (columns)"""
    frames: int | None = None
    """any number; None takes the trained one"""
    label: str | None = None
    """category of all clips; None draws one with each motion"""
    seed: int = 0
    """same seed, same clips; content i and motion i come from (seed, i)"""


_GOOD = Config(
    size=32,
    frame_steps=(),
    conditional=False,
    width=32,
    critic_width=32,
    norm="generator",
    input_noise=0.0,
    r1=1.0,
    lr=4e-4,
    betas=(0.5, 0.99),
    weight_decay=0.0,
    decay_from=0.7,
    ema_halflife_images=10_000,
    settled=True,
)


def tiny() -> Preset[Config]:
    """The paper's way in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = Config(
        size=32, frame_steps=(), width=4, critic_width=4, ema_halflife_images=10_000, settled=True
    )
    return Preset(config, RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6), "shapes")


def small() -> Preset[Config]:
    """Moving shapes at 32x32 with half of the paper's channels: 16 minutes on one CPU core.

    Reached a Fréchet distance of motions of 5.4 (untrained 64); one content gave one look in 88 % of pairs.
    """
    return Preset(_GOOD, RunSettings(steps=3000, batch=16), "shapes")


def r3gan() -> Preset[Config]:
    """`small` with the R3GAN objective and networks without norm.

    On 500 moving shapes, in six process minutes, it stayed behind the logarithmic loss in two seeds of two.
    """
    config = replace(_GOOD, loss="r3gan", gamma=(20.0, 2.0), norm="none", r1=0.0, lr=2e-4, betas=(0.0, 0.99))
    return Preset(config, RunSettings(steps=2000, batch=16), "shapes")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, 16 frames of 64x64; for a GPU; no result yet."""
    settings = RunSettings(steps=100_000, batch=32, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "shapes")


PRESETS = {"tiny": tiny, "small": small, "r3gan": r3gan, "paper": paper}
