"""GANimation: what can be chosen, what can be asked, and the named presets. Imports no torch.

Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer, "GANimation: Anatomically-aware Facial Animation from a
Single Image", ECCV 2018, arXiv:1807.09251.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings
from kinema.systems.shared.face_config import FaceConfig, FaceRequest


@dataclass(frozen=True)
class Config(FaceConfig):
    """How the networks are built and trained. The defaults are the paper's and its authors' code's."""

    norm: Literal["affine", "plain", "running"] = "affine"
    """instance norm of the generator. affine: with scale and shift, as released; plain: without, behind
    convolutions with biases; running: affine, and in use by statistics kept from training. The last two are
    those of public re-implementations, whose weights can be read"""
    mask: bool = True
    """paint through a mask, edited = A · face + (1 - A) · colour; false: the colour is the edited face"""
    saturate: bool = False
    """harden the mask, A -> 0.55 tanh(3 (A - 0.5)) + 0.5 kept in [0, 1]: an option of the authors' code"""
    magnitude: Literal["l1", "l2"] = "l1"
    """size of a mask: its mean (code), or its root mean square, 1/128 of the paper's norm at 128x128"""
    lambda_mask: float = 0.1
    """weight of the size of the mask, on both passes; change it in small steps"""
    smoothness: Literal["absolute", "squared"] = "absolute"
    """differences of neighbours in a mask, summed: absolute (code) or squared (paper)"""
    lambda_smooth: float = 2.5e-4
    """weight of these, summed over one mask as if at 128x128, on both passes. The code's 1e-5 is on the sum
    over a batch of 25; the paper's, for squared ones, is 1e-4"""


@dataclass(frozen=True)
class Request(FaceRequest):
    """What a user asks of a trained GANimation."""


_SMALL = Config(
    size=64,
    generator_width=32,
    blocks=4,
    critic_width=32,
    lambda_au=300.0,
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
    """First stage, 64x64 rendered heads: edits appear in an hour on a CPU core, in colours that faces lack.

    After 520 updates of the generator the change that a reader saw went with the one asked for by r = 0.55.
    """
    return Preset(_SMALL, RunSettings(steps=2200, batch=32), "heads:8000")


def refine() -> Preset[Config]:
    """Second stage behind `small` (--set init_from=runs/small): faces look like faces again; 25 minutes.

    Least squares, which tell real from made more sharply, and units that count for less.
    """
    config = replace(
        _SMALL,
        loss="lsgan",
        lambda_au=100.0,
        critic_noise=(0.1, 0.05),
        first_steps=0,
        lr=2e-4,
        decay_from=0.3,
    )
    return Preset(config, RunSettings(steps=850, batch=32), "heads:8000")


def good() -> Preset[Config]:
    """Rendered heads at 128x128, the paper's networks with a moving average, for a GPU; no result yet."""
    config = Config(ema_halflife_images=20_000)
    settings = RunSettings(steps=3000, batch=160, save_every_steps=500, preview_every_steps=500)
    return Preset(config, settings, "heads:20000")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, five batches of 25 a step; for a GPU and many faces; no result yet."""
    settings = RunSettings(steps=48_000, batch=125, save_every_steps=1000, preview_every_steps=1000)
    return Preset(Config(), settings, "heads:20000")


PRESETS = {"tiny": tiny, "small": small, "refine": refine, "good": good, "paper": paper}
