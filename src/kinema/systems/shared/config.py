"""What systems from a class to a picture have in common to choose and to ask. Imports no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PictureConfig:
    """How the networks are built and trained, where SAGAN and BigGAN do not differ."""

    # What a picture is
    size: int = 128
    """height and width in pixels (S): 32, 64, 128, 256 or 512"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    conditional: bool = True
    """a picture belongs to a class"""
    classes: tuple[str, ...] = ()
    """the classes, filled from the training data"""

    # Networks
    noise: int = 128
    """width of the noise (z)"""
    width: int = 64
    """channels that the networks' tables are multiples of (ch)"""
    attention: tuple[int, ...] = (32,)
    """sides of maps, in both networks, that attention stands behind: some of 8, 16, 32, 64; empty: none"""
    spectral: Literal["both", "critic", "none"] = "both"
    """whose weights are divided by their largest singular value"""
    norm: str = "bn"
    """norm of the generator: bn, brn, frozenbn, gn, ln, rms, in, in:affine or none, with settings as in
    "bn:eps=1e-4" or "gn:groups=8" """
    initial: Literal["xavier", "orthogonal", "normal"] = "orthogonal"
    """initial weights: Xavier's, orthogonal rows, or N(0, 0.02)"""

    # Objective
    loss: Literal["hinge", "softplus", "log", "wasserstein", "relativistic", "r3gan"] = "hinge"
    """hinge; softplus: the critic's cross-entropy with the generator's term of hinge; log: non-saturating;
    wasserstein: with gradient_penalty; r3gan: pairs, gradients penalised"""
    critic_steps: int = 1
    """updates of the critic before one of the generator; each sees its part of the step's pictures"""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """critic, then generator on new noise (paper), or both from one forward pass"""
    gradient_penalty: float = 0.0
    """weight of (|∇D| - 1)² between real and generated pictures (WGAN-GP: 10)"""
    r1: float = 0.0
    """weight γ of the gradient penalty γ/2 |∇D(x)|² of the critic on real pictures"""
    r1_every: int = 16
    """steps between these penalties, which then count that much more"""
    gamma: tuple[float, float] = (0.05, 0.005)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    lecam: float = 0.0
    """weight of the term that keeps logits near the moving averages of the other kind's (LeCam: 0.001)"""
    augment: tuple[str, ...] = ()
    """what the critic sees is changed by these: colour, translation, cutout"""
    augment_target: float | None = None
    """how sure the critic may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the
    longer it is surer than that; None: all changes, always"""

    # Optimisation
    lr: float = 1e-4
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critic; None: the generator's"""
    betas: tuple[float, float] = (0.0, 0.999)
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in pictures seen; None keeps none"""
    settled: bool = False
    """take the statistics of batch norm anew before weights are used; false keeps the running ones"""

    @property
    def frames(self) -> int:
        """A picture is a clip of one frame, where clips are expected."""
        return 1


@dataclass(frozen=True)
class PictureRequest:
    """What a user asks of a trained generator: pictures, or a walk."""

    label: tuple[str, ...] = ()
    """a class, or several; none: all classes in turn"""
    n: int = 1
    """pictures of each class; of a walk, its steps"""
    truncation: tuple[float, ...] = ()
    """draw noise again while it is further out than this, 0.02 to 8: surer and less varied pictures; several:
    rows of each"""
    walk: Literal["noise", "class"] | None = None
    """a clip that goes from one noise to another, or from the first class to the second, in n steps"""
    look: tuple[float, float] | None = None
    """a place, how far across and down in [0, 1]: beside every picture what attention sees from there"""
    seed: int = 0
    """same seed, same pictures; picture i of a class has noise (seed, i)"""
