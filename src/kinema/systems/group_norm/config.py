"""Group normalization: what can be chosen, and the named presets. Imports no torch.

Wu, He, "Group Normalization", ECCV 2018, arXiv:1803.08494.
"""

from dataclasses import dataclass

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the classifier is built and trained. The defaults are the paper's."""

    # What a picture is
    size: int = 224
    """height and width in pixels (S)"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    classes: tuple[str, ...] = ()
    """the classes, filled from the training data"""

    # Network
    depth: int = 50
    """layers: 50 for large pictures; 8, 14, 20 or 32 for 32x32"""
    width: int = 16
    """channels of the first stage of 8 to 32 layers; 50 layers have 64"""
    norm: str = "gn"
    """bn, brn, frozenbn, gn, ln, rms, in, in:affine or none, with settings as in "gn:groups=8",
    "gn:channels=16" or "bn:eps=1e-4" """
    gamma_zero: bool = True
    """the last norm of every residual branch begins with scale zero"""

    # What is seen while training
    mirror: bool = True
    """half of the pictures are mirrored"""
    shift: float = 0.0
    """pictures are shifted by at most this share of a side, 0 to 0.5; their edges are repeated"""

    # Optimisation
    lr: float = 0.1
    """learning rate of stochastic gradient descent; for smaller batches in proportion to the batch"""
    momentum: float = 0.9
    """of stochastic gradient descent"""
    weight_decay: float = 1e-4
    """λ of the term λ/2 |w|²"""
    decay_norms: bool = True
    """whether that term counts scales and shifts of norms, too; fine-tuning leaves them out"""
    drops: tuple[float, ...] = (0.3, 0.6, 0.9)
    """fractions of the run at which the learning rate falls to a tenth"""
    decay_from: float | None = None
    """fraction of the run after which the learning rate falls linearly to zero"""

    @property
    def frames(self) -> int:
        """A picture is a clip of one frame, where clips are expected."""
        return 1


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained classifier."""

    image: tuple[str, ...] = ()
    """a picture file, or several: what does it show?"""


def _digits(depth: int, width: int, norm: str, lr: float) -> Config:
    """Grey digits, which mean something else in a mirror."""
    return Config(
        size=32,
        channels=1,
        depth=depth,
        width=width,
        norm=norm,
        gamma_zero=False,  # a short training of few layers has no time to open its branches
        mirror=False,
        shift=0.1,
        lr=lr,
        drops=(),
        decay_from=0.5,
    )


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises nothing."""
    config = _digits(8, 4, "gn:groups=2", 0.025)
    settings = RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6)
    return Preset(config, settings, "digits")


def small() -> Preset[Config]:
    """ResNet-8 with groups on the bundled digits: 3.1 % error on held-out ones after 80 s of a CPU core."""
    return Preset(_digits(8, 16, "gn:groups=8", 0.1), RunSettings(steps=800, batch=32), "digits")


def paper() -> Preset[Config]:
    """ResNet-50 and the paper's recipe, 100 epochs of a set as large as ImageNet; for a GPU; no result yet.

    Eight times 32 pictures make a step. `micro_batch` is what batch norm takes its statistics over on one
    GPU, as the paper's batch per GPU is; groups do not depend on it.
    """
    settings = RunSettings(
        steps=500_000, batch=256, micro_batch=32, save_every_steps=5000, preview_every_steps=5000
    )
    return Preset(Config(), settings, "mirrored")


PRESETS = {"tiny": tiny, "small": small, "paper": paper}
