"""What systems that edit faces by action units have in common to choose and to ask. Imports no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

UNITS = tuple(f"AU{n:02}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
"""the units of `kinema.data.action_units`, which cannot be read without torch"""


@dataclass(frozen=True)
class FaceConfig:
    """How the networks are built and trained, where GANimation and StarGAN do not differ."""

    # What an item is
    size: int = 128
    """height and width in pixels (S), a power of two from 32 on"""
    units: tuple[str, ...] = UNITS
    """entries of the condition (K); of these, training keeps the action units that vary in its data"""

    # Networks
    generator_width: int = 64
    """channels of the generator's first feature map"""
    blocks: int = 6
    """residual blocks in the middle of the generator"""
    critic_width: int = 64
    """channels of the critic's first feature map; each further one has twice as many, the last is 2x2"""

    # Objective
    loss: Literal["wgan-gp", "lsgan"] = "wgan-gp"
    """what both players pay for patches: Wasserstein with a gradient penalty, or least squares without"""
    lambda_gp: float = 10.0
    """weight of (|∇D| - 1)² between real and edited faces, D the sum of the patches; not of lsgan"""
    penalty: Literal["together", "apart"] = "together"
    """the gradient penalty in one update with the critic's other terms, or in one of its own behind it"""
    lambda_au: float = 160.0
    """weight of the squared error of action units, its mean over items and units. The authors' 4000 is
    divided once more by the batch: with 25 it is 160. Here the batch does not count"""
    lambda_cycle: float = 10.0
    """weight of the mean absolute difference between a face and itself, edited there and back"""
    virtual_cycle: bool = False
    """one more cycle, which goes on to a second target before it returns"""
    target_noise: float = 0.1
    """targets are another face's action units, plus noise between minus and plus this on each"""
    clip_targets: bool = False
    """keep targets in [0, 1] in spite of the noise"""
    critic_noise: tuple[float, float] = (0.0, 0.0)
    """standard deviation of noise on all that the critic sees, at the start and at the end of the run (ours):
    it then reads shapes, where without noise faint stripes on a face can tell it any action unit"""
    first_steps: int = 0
    """steps at the beginning of a run in which the critic learns action units and nothing else, and the
    generator, every critic_steps-th time, to paint faces as they are (ours): one that is told nothing yet
    hides behind its mask"""
    critic_steps: int = 5
    """updates of the critic before one of the generator; each sees its part of the step's faces"""
    flip: bool = True
    """half of the faces are mirrored in training; action units do not know left from right"""

    # Optimisation
    lr: float = 1e-4
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critic; None: the generator's"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's"""
    decay_from: float | None = 2 / 3
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in faces seen; None keeps none"""

    @property
    def channels(self) -> int:
        """Colour, always."""
        return 3

    @property
    def frames(self) -> int:
        """A picture is a clip of one frame, where clips are expected."""
        return 1


@dataclass(frozen=True)
class FaceRequest:
    """What a user asks of trained weights: faces with another expression."""

    image: tuple[str, ...] = ()
    """photographs, or folders of them"""
    expression: tuple[str, ...] = ()
    """expressions and how strong they are, such as happy=0.8; action units that they leave out go to rest"""
    action_units: tuple[str, ...] = ()
    """intensities from 0 to 1, such as AU12=0.9,AU26=0.3; the others stay as they are in the picture"""
    sweep: str | None = None
    """one action unit that goes from 0 to 1 while the others stay"""
    strip: bool = False
    """every action unit alone at 0, 1/3, 2/3 and 1, a row for each, as small as the network makes faces"""
    masks: bool = False
    """show how: the face, where it is painted, the paint, and the edited face, side by side and small"""
    driver: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """a video whose face drives the photograph"""
    video: str | None = None
    """a video to be edited in place of photographs; frame rate and sound stay"""
    face: tuple[int, ...] = ()
    """which faces of a picture, from 0 for the largest on; none named: the largest"""
    cropped: bool = False
    """pictures are crops of one face already, as those for training: nothing is searched, nothing put back"""
    frames: int | None = None
    """of a clip from the face as it is to the one asked for; None: 1, a picture, or 24 in a file for clips"""
    consent: str = ""
    """who agreed to be shown so, such as "myself"; needed for photographs, and written into the file"""
    label: bool = True
    """write "synthetic" into a corner"""
    task: str | None = None
    """MediaPipe's face_landmarker.task; None: the one that was fetched"""

    @property
    def clip_frames(self) -> int | None:
        """Frames that the command line asks for where the file is for clips; None where they are given."""
        return None if self.driver or self.video or self.strip or self.masks else 24
