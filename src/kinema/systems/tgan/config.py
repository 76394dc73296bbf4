"""TGAN: what can be chosen, what can be asked, and the named presets. Imports no torch.

Saito, Matsumoto, Saito, "Temporal Generative Adversarial Nets with Singular Value Clipping", ICCV 2017,
arXiv:1611.06624.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's."""

    # What a clip is
    frames: int = 16
    """frames of a clip (T): 16, which the networks double and halve from and to one"""
    size: int = 64
    """height and width of a frame in pixels (S): a multiple of 16, 64 in the paper"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    fps: int = 8
    """frames per second at which results are shown"""

    # Networks
    noise: int = 100
    """width of the code of a clip (z0) and of each frame (z1) (Z)"""
    width: int = 32
    """channels before the generator's last layer (W)"""
    critic_width: int = 64
    """channels of the critic's first layer"""
    critic_norm: Literal["batch", "none"] = "batch"
    """batch norm in the critic (paper), or none and larger initial weights"""

    # Objective
    loss: Literal["wasserstein", "log", "least_squares", "r3gan"] = "wasserstein"
    """wasserstein: the paper's; log and least_squares: those it compares with; r3gan: real and generated in
    pairs, gradients penalised"""
    bound: Literal["singular_values", "weights", "none"] = "singular_values"
    """what keeps the critic's slope small: singular values up to 1 (paper), weights up to 0.01, or nothing"""
    bound_every: int = 5
    """steps between bounds on singular values; weights are bound in every step"""
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
    lr: float = 5e-5
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critic; None: the generator's"""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's; without momentum it is the paper's RMSprop, but for a start that is not too fast"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generators' moving average, in clips seen; None keeps none"""
    settled: bool = False
    """take the statistics of batch norm anew before weights are used; false keeps the running ones"""

    @property
    def conditional(self) -> bool:
        """Captions are not read."""
        return False


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained TGAN."""

    n: int = 1
    """clips, each from a code of its own; of a walk, its steps"""
    walk: bool = False
    """go from the code of clip 0 to that of clip 1 in n steps along a straight line"""
    seed: int = 0
    """same seed, same clips; clip i has noise (seed, i)"""


_GOOD = Config(
    width=16,
    critic_width=32,
    critic_norm="none",
    loss="log",
    bound="none",
    r1=1.0,
    updates="simultaneous",
    lr=2e-4,
    betas=(0.5, 0.999),
    ema_halflife_images=10_000,
    settled=True,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, the paper's objective, for tests: seconds on a CPU. Promises no picture."""
    config = Config(size=32, noise=16, width=4, critic_width=4, ema_halflife_images=10_000, settled=True)
    return Preset(config, RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6), "shapes")


def small() -> Preset[Config]:
    """Moving shapes, 16 frames of 64x64, fewer channels than the paper's; no finished result yet.

    At size=32, ten minutes of one core reached a Fréchet distance of motions of 25 (untrained 64).
    """
    return Preset(_GOOD, RunSettings(steps=3000, batch=16), "shapes")


def r3gan() -> Preset[Config]:
    """`small` with the R3GAN objective, the generator's norms as they are; no result yet."""
    config = replace(_GOOD, loss="r3gan", r1=0.0, betas=(0.0, 0.99))
    return Preset(config, RunSettings(steps=2000, batch=16), "shapes")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, 16 frames of 64x64; for a GPU; no result yet."""
    settings = RunSettings(steps=100_000, batch=64, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "shapes")


PRESETS = {"tiny": tiny, "small": small, "r3gan": r3gan, "paper": paper}
