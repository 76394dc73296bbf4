"""G3AN: what can be chosen, what can be asked, and the named presets. Imports no torch.

Wang, Bilinski, Bremond, Dantcheva, "G3AN: Disentangling Appearance and Motion for Video Generation", CVPR
2020, arXiv:1912.05523.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's."""

    # What a clip is
    frames: int = 16
    """frames of a training clip (T): 16, 20, 24, …; the critics see 16 of them"""
    size: int = 64
    """height and width of a frame in pixels (S): 64 as in the paper; 32, 128 or 256 by the same rule"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    fps: int = 8
    """frames per second at which results are shown"""
    frame_steps: tuple[int, ...] = (2, 3)
    """a clip of one's own folder shows frames this far apart, from a random start, the distance drawn from
    these; empty: frames evenly over the whole clip"""

    # Networks
    appearance: int = 128
    """width of the appearance noise (za)"""
    motion: int = 10
    """width of the motion noise of one time step (zm)"""
    width: int = 64
    """channels of the generator's fifth block (ch)"""
    mode: Literal["1p2d", "2p1d", "3d"] = "1p2d"
    """convolutions of the video stream: over time, then space; the reverse; or both at once"""
    spatial_stream: bool = True
    """the stream G_S that makes what does not move"""
    temporal_stream: bool = True
    """the stream G_T that makes what has no place"""
    video_code: Literal["both", "motion"] = "both"
    """what the first block of G_V is given: both codes, or the motion code alone (ours), so that the first
    layout in space and time does not depend on the appearance"""
    temporal_mean: bool = True
    """False (ours): of G_T only what changes over time is added, not its mean, so that G_T cannot say what
    stays the same"""
    attention: int | None = 4
    """the block after which factorised self-attention (F-SA) stands; None leaves it out"""
    attention_layout: Literal["correct", "official"] = "correct"
    """official: the axes exchanged as in the authors' code; needed by their weights"""
    critics: Literal["both", "video", "image"] = "both"
    """which critics train the generator"""
    critic_width: int = 64
    """channels of the critics' first layer"""
    image_frames: int = 1
    """frames of each clip that the image critic sees in a step; 1 in the paper"""
    video_critic: Literal["2p1d", "3d"] = "2p1d"
    """space and time in turn, as in the released code; or plain 3-D convolutions, as in the paper"""
    critic_norm: Literal["spectral", "none"] = "spectral"
    """none: plain convolutions, to be held by `r1`"""
    conditional: bool = False
    """a clip belongs to a class, which is its caption"""
    classes: tuple[str, ...] = ()
    """the classes, filled from the training data"""
    class_code: int = 16
    """numbers that a class adds to each of the two codes"""

    # Objective
    loss: Literal["log", "hinge", "relativistic", "r3gan"] = "log"
    """log: the paper's cross-entropy on logits; r3gan: real and generated in pairs, gradients penalised"""
    r1: float = 0.0
    """weight γ of the gradient penalty γ/2 |∇D(x)|² of each critic on real clips; 0 leaves it out (paper)"""
    r1_every: int = 16
    """steps between penalties, which then count that much more"""
    gamma: tuple[float, float] = (2.0, 0.2)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    augment: tuple[str, ...] = ()
    """what the critics see is changed by these, alike in all frames of a clip: colour, translation, cutout"""
    augment_target: float | None = None
    """how sure critics may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the longer
    they are surer than that; None: all changes, always"""
    apart: bool = False
    """two further critics keep the codes apart (ours), see apart.py"""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """critics, then generator on the same clips (paper), or all from one forward pass"""

    # Optimisation
    lr: float = 2e-4
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critics; None: the generator's"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in clips seen; None keeps none"""
    settled: bool = False
    """take the statistics of batch norm anew before weights are used; false keeps the running ones (paper)"""


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained G3AN: clips, or one of `grid`, `lengths` and `walk`."""

    n: int = 1
    """clips, each with its own appearance and motion; of a walk, its steps"""
    grid: tuple[int, int] | None = None
    """N and M: a sheet of N appearances (rows), each with the same M motions (columns)"""
    lengths: tuple[int, ...] = ()
    """one appearance with one motion at each of these numbers of frames"""
    walk: Literal["appearance", "motion"] | None = None
    """go from one code of this kind to another in n steps while the other kind stays"""
    frames: int | None = None
    """16, 20, 24, …; None takes the trained number"""
    smooth: float = 0.0
    """how much of the motion noise is kept from one time step to the next, in [0, 1); 0 is the paper's"""
    label: str | None = None
    """class of the clips, for weights trained with classes"""
    seed: int = 0
    """same seed, same clips; appearance i and motion i come from (seed, i)"""


_GOOD = Config(
    size=32,
    frame_steps=(),
    appearance=16,
    width=16,
    video_code="motion",
    temporal_mean=False,
    attention=None,
    image_frames=4,
    critic_width=32,
    critic_norm="none",
    apart=True,
    loss="relativistic",
    r1=1.0,
    updates="simultaneous",
    lr=4e-4,
    betas=(0.5, 0.99),
    decay_from=0.7,
    ema_halflife_images=10_000,
    settled=True,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = Config(
        size=32,
        frame_steps=(),
        width=4,
        attention=2,
        critic_width=4,
        updates="simultaneous",
        ema_halflife_images=10_000,
        settled=True,
    )
    return Preset(config, RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6), "shapes")


def small() -> Preset[Config]:
    """Moving shapes at 32x32 with a quarter of the paper's channels: some 40 minutes on one CPU core.

    Reached a Fréchet distance of motions of 2.0 (untrained 63); one motion code gave one motion in 97 % of
    pairs, one appearance code one hue in 94 % and one shape and hue in 39 %.
    """
    return Preset(_GOOD, RunSettings(steps=5000, batch=16), "shapes")


def r3gan() -> Preset[Config]:
    """`small` with the R3GAN objective, the generator's norms as they are; no result yet."""
    config = replace(_GOOD, loss="r3gan", r1=0.0, lr=2e-4, betas=(0.0, 0.99))
    return Preset(config, RunSettings(steps=3000, batch=16), "shapes")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, 16 frames of 64x64; for a GPU; no result yet."""
    settings = RunSettings(steps=60_000, batch=96, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "shapes")


PRESETS = {"tiny": tiny, "small": small, "r3gan": r3gan, "paper": paper}
