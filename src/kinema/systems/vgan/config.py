"""VGAN: what can be chosen, what can be asked, and the named presets. Imports no torch.

Vondrick, Pirsiavash, Torralba, "Generating Videos with Scene Dynamics", NeurIPS 2016, arXiv:1609.02612.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's."""

    # What a clip is
    frames: int = 32
    """frames of a clip (T): a multiple of 16"""
    size: int = 64
    """height and width of a frame in pixels (S): a multiple of 16, 64 in the paper"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    fps: int = 8
    """frames per second at which results are shown"""

    # Networks
    streams: Literal["two", "one"] = "two"
    """foreground under a mask before a still background; or a foreground alone, which is the whole clip"""
    noise: int = 100
    """width of the noise (Z)"""
    width: int = 64
    """channels before the generator's last layers"""
    critic_width: int = 64
    """channels of the critic's first layer"""
    critic_norm: Literal["batch", "none"] = "batch"
    """batch norm in the critic (paper), or none and larger initial weights"""
    conditional: bool = False
    """a clip belongs to a class, which is its caption"""
    classes: tuple[str, ...] = ()
    """the classes (K), filled from the training data"""
    class_code: int = 16
    """numbers that a class adds to the noise"""

    # Objective
    loss: Literal["log", "hinge", "r3gan"] = "log"
    """log: the paper's cross-entropy on two logits; r3gan: real and generated in pairs, gradients
    penalised"""
    mask: float = 0.1
    """weight of the L1 norm of the mask, its mean over clips, time and space"""
    r1: float = 0.0
    """weight of the zero-centred gradient penalty on real clips"""
    r1_every: int = 16
    """steps between penalties; its weight is multiplied by this"""
    gamma: tuple[float, float] = (2.0, 0.2)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    augment: tuple[str, ...] = ()
    """what the critic sees is changed by these, alike in all frames of a clip: colour, translation, cutout"""
    augment_target: float | None = None
    """how sure critics may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the longer
    they are surer than that; None: all changes, always"""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """critic, then generator on new noise; or both from one forward pass"""

    # Optimisation
    lr: float = 2e-4
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critic; None: the generator's"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in clips seen; None keeps none"""
    settled: bool = False
    """take the statistics of batch norm anew before weights are used; false keeps the running ones"""


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained VGAN."""

    n: int = 1
    """clips, each from noise of its own"""
    part: Literal["video", "foreground", "background", "mask"] = "video"
    """the clip, or what it is composed of: all of the foreground, the still background, the mask in grey"""
    label: str | None = None
    """class of the clips, for weights trained with classes"""
    seed: int = 0
    """same seed, same clips; clip i has noise (seed, i)"""


_GOOD = Config(
    frames=16,
    width=32,
    critic_width=32,
    critic_norm="none",
    r1=1.0,
    updates="simultaneous",
    ema_halflife_images=10_000,
    settled=True,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = replace(_GOOD, size=32, noise=16, width=4, critic_width=4)
    return Preset(config, RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6), "shapes")


def small() -> Preset[Config]:
    """Moving shapes, 64x64, with half of the paper's channels; for two CPU cores; no finished result yet.

    At size=32, ten minutes of one core reached a Fréchet distance of motions of 26 (untrained 64).
    """
    return Preset(_GOOD, RunSettings(steps=3000, batch=16), "shapes")


def r3gan() -> Preset[Config]:
    """`small` with the R3GAN objective, the generator's norms as they are; no result yet."""
    config = replace(_GOOD, loss="r3gan", r1=0.0, betas=(0.0, 0.99))
    return Preset(config, RunSettings(steps=2000, batch=16), "shapes")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, 32 frames of 64x64; for a GPU; no result yet."""
    settings = RunSettings(steps=50_000, batch=64, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "shapes")


PRESETS = {"tiny": tiny, "small": small, "r3gan": r3gan, "paper": paper}
