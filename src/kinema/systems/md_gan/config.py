"""MD-GAN: what can be chosen, what can be asked, and the named presets. Imports no torch.

Xiong, Luo, Ma, Liu, Luo, "Learning to Generate Time-Lapse Videos Using Multi-Stage Dynamic Generative
Adversarial Networks", CVPR 2018, arXiv:1709.07592.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's, for its first stage."""

    # What a clip is
    frames: int = 32
    """frames of a clip (T), a multiple of 16"""
    size: int = 128
    """height and width of a frame in pixels (S), a multiple of 32"""
    fps: int = 25
    """frames per second at which results are shown"""

    # Networks
    stage: Literal["base", "refine", "one-stage"] = "base"
    """base: train the Base-Net; refine: train the Refine-Net behind a Base-Net that `init_from` brings and
    that stays as it is; one-stage: train the Refine-Net on the repeated photo itself"""
    generator_width: int = 32
    """channels of a generator's first feature map (g)"""
    critic_width: int = 32
    """channels of the critic's first feature map (d)"""
    critic_norm: Literal["batch", "none"] = "batch"
    """normalisation inside the critic"""
    base_skips: Literal["all", "inner"] = "all"
    """connections from encoder to decoder of the Base-Net; inner: without the two outermost"""
    refine_skips: Literal["all", "inner"] = "inner"
    """the same for the Refine-Net"""

    # Objective
    loss: Literal["log", "minimax", "hinge", "relativistic", "r3gan"] = "log"
    """what the two players pay for real and made clips. log: the generator minimises -log D(made); minimax:
    log(1 - D(made)), as the paper writes it; r3gan: pairs, gradients penalised; needs critic_norm=none"""
    r1: float = 0.0
    """weight γ of the gradient penalty γ/2 |∇D(x)|² of the critic on real clips; 0 leaves it out (paper)"""
    r1_every: int = 16
    """steps between penalties, which then count that much more"""
    gamma: tuple[float, float] = (2.0, 0.2)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    augment: tuple[str, ...] = ()
    """what the critic sees is changed by these, alike in all frames of a clip: colour, translation, cutout;
    not together with the ranking, which compares what it sees"""
    augment_target: float | None = None
    """how sure the critic may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the
    longer it is surer than that; None: all changes, always"""
    content: Literal["l1", "l2"] = "l1"
    """distance of the made clip from the real one"""
    content_weight: float = 1.0
    """of the content term against the adversarial one"""
    ranking: Literal["gram", "features", "none"] = "gram"
    """what the ranking term of the second stage compares: Gram matrices of the critic's feature maps, these
    maps themselves, or nothing"""
    ranking_form: Literal["softplus", "nearing"] = "softplus"
    """softplus: softplus(a - b), the paper's, where a is how far the refined clip is from the real one and b
    how far from the base clip; nearing (ours): log(1 + a / c), where c is how far the base clip is from the
    real one. Fleeing from the base clip does not lower it, and it has no scale"""
    ranking_weight: float = 1.0
    """lambda, the weight of the ranking term"""
    ranking_critic: bool = True
    """the critic maximises the ranking term, as in the paper; False: it only supplies the features"""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """critic, then generator (paper), or both from one forward pass"""

    # Optimisation
    lr: float = 2e-4
    """learning rate of both players"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in clips seen; None keeps none"""

    @property
    def channels(self) -> int:
        """Colour, always."""
        return 3

    @property
    def conditional(self) -> bool:
        """Clips need no captions."""
        return False


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained MD-GAN. There is no seed: one photo makes one clip."""

    image: tuple[str, ...]
    """a photo of any size, several, or a folder of photos"""
    stage: Literal[1, 2] | None = None
    """1: the Base-Net's clip; 2: the Refine-Net's, livelier and blurrier; None: the last one there is"""
    length: int | None = None
    """frames, 2 to 1000; None: as many as the network makes. A longer clip goes on from its own last frame"""
    loop: bool = False
    """fade the end into the beginning, over a quarter of the length, so that the clip can be repeated"""
    size: Literal["photo", "net"] = "photo"
    """photo: the change that the network makes, enlarged and added to the photo; net: its own small frames"""
    fps: int | None = None
    """frames per second; None: as trained"""


_SMALL = Config(
    size=64,
    generator_width=8,
    critic_width=16,
    content_weight=500.0,
    updates="simultaneous",
    lr=5e-4,
    decay_from=0.7,
    ema_halflife_images=400.0,
)


def tiny() -> Preset[Config]:
    """The first stage in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = replace(_SMALL, frames=16, generator_width=4, critic_width=4)
    return Preset(config, RunSettings(steps=12, batch=4, save_every_steps=6, preview_every_steps=6), "skies")


def small() -> Preset[Config]:
    """First stage, 64x64x32, on procedural skies: 9 minutes on one busy CPU core reached 3.8 dB over a copy.

    On 100 held-out photos all clouds moved to the right side, with a correlation of 0.99 with the true wind.
    """
    return Preset(_SMALL, RunSettings(steps=1500, batch=4), "skies:signed")


def refine() -> Preset[Config]:
    """Second stage behind `small` (--set init_from=runs/small): 11 minutes on one busy CPU core.

    Motion rose from 0.63 to 0.92 of the real clips', for 1.3 dB of PSNR. Gram distances are 13 and 3 % below
    those without ranking, but not below the first stage's. With all skips, and with a critic that only
    supplies the features: the paper's choices need far more steps before the second stage shows what the
    first has made. The ranking is ours, because the paper's was lowered by fleeing from the first stage.
    """
    base = small()
    config = replace(
        base.config,
        stage="refine",
        content_weight=200.0,
        refine_skips="all",
        ranking_form="nearing",
        ranking_weight=30.0,
        ranking_critic=False,
    )
    return replace(base, config=config, settings=replace(base.settings, steps=1000))


def paper() -> Preset[Config]:
    """The paper's first stage, 128x128x32, fixed rate; for a GPU; no result yet."""
    return Preset(
        Config(),
        RunSettings(steps=50_000, batch=16, save_every_steps=1000, preview_every_steps=1000),
        "skies",
    )


def paper_refine() -> Preset[Config]:
    """The paper's second stage behind `paper` (--set init_from=runs/paper); for a GPU; no result yet."""
    base = paper()
    return replace(base, config=replace(base.config, stage="refine"))


PRESETS = {"tiny": tiny, "small": small, "refine": refine, "paper": paper, "paper-refine": paper_refine}
