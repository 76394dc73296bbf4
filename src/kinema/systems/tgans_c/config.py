"""TGANs-C: what can be chosen, what can be asked, and the named presets. Imports no torch.

Pan, Qiu, Yao, Li, Mei, "To Create What You Tell: Generating Videos from Captions", ACM MM 2017,
arXiv:1804.08264.
"""

from dataclasses import dataclass, replace
from typing import Literal

from kinema.core.config import Preset, RunSettings


@dataclass(frozen=True)
class Config:
    """How the networks are built and trained. The defaults are the paper's."""

    # What a clip is
    frames: int = 16
    """frames of a clip (T)"""
    size: int = 48
    """height and width of a frame in pixels (S), a multiple of 16"""
    channels: int = 3
    """3 for colour, 1 for grey"""
    fps: int = 8
    """frames per second at which results are shown"""

    # Text
    words: tuple[str, ...] = ()
    """the vocabulary, filled from the training data"""
    sentence: int = 256
    """width of the sentence vector (d_s)"""
    text_steps: int = 600
    """steps at the start that train the text encoder alone, as a sequence auto-encoder"""
    text_lr: float = 2e-3
    """learning rate of that stage"""
    finetune_text: bool = False
    """train the text encoder on with the generator instead of freezing it"""

    # Networks
    noise: int = 100
    """width of the noise vector (d_z)"""
    width: int = 64
    """channels of the widest feature map; the paper's nets have 64"""
    generator: Literal["canonical", "dcgan", "vgan", "frames", "layered"] = "canonical"
    """canonical and dcgan: the paper's; vgan: two-stream rival; frames: GAN-CLS, every frame alone; layered:
    ours"""
    layers: int = 1
    """moving layers of the `layered` generator"""
    activation: Literal["leaky", "relu"] = "leaky"
    """non-linearity of the generator"""
    heads: Literal["concat", "projection"] = "concat"
    """how critics read the sentence: concatenated to the features (paper) or as an inner product with them"""
    critic_norm: Literal["batch", "spectral", "none"] = "batch"
    """normalisation inside the critics"""
    legacy_2x2: bool = False
    """end frame and motion heads in a 2x2 stride-2 convolution, as the public re-implementation does"""

    # Objective
    variant: Literal["frame", "c1", "c2", "cc", "ca"] = "ca"
    """frame: frame critic alone (GAN-CLS); c1: video critic; c2: and frame critic; cc: and coherence
    constraint; ca: and motion critic (the paper's best)"""
    conditional: bool = True
    """False trains without captions: the sentence vector is zero and there are no wrong captions"""
    loss: Literal["log", "hinge", "relativistic", "r3gan"] = "log"
    """log: the paper's cross-entropy on logits; r3gan: pairs, gradients penalised; needs critic_norm=none"""
    r1: float = 0.0
    """weight of the zero-centred gradient penalty on real clips"""
    r1_every: int = 16
    """steps between penalties; its weight is multiplied by this"""
    gamma: tuple[float, float] = (2.0, 0.2)
    """weight of the gradient penalties of r3gan at the start and at the end of the run"""
    augment: tuple[str, ...] = ()
    """what the critics see is changed by these, alike in all frames of a clip: colour, translation, cutout"""
    augment_target: float | None = None
    """how sure critics may be of real items, from -1 to 1 (ADA: 0.6): changes come the more often the longer
    they are surer than that; None: all changes, always"""
    diversity: float = 0.0
    """weight of the term that asks two clips of one caption to differ as much as from a real clip of it"""
    contrast: float = 0.0
    """weight of the term that asks every clip to fit its caption better than the other captions of its batch,
    or of its part of the batch on several processes; needs projection heads"""
    smoothing: float = 0.0
    """one-sided label smoothing: the true label is 1 - smoothing (log loss only)"""
    frame_stride: int = 1
    """frame and motion critics see every n-th frame, from a first one that moves on each step; 1 sees all"""
    updates: Literal["alternating", "simultaneous"] = "alternating"
    """critic, then generator on new noise (paper), or both from one forward pass"""

    # Optimisation
    lr: float = 1e-4
    """learning rate of the generator"""
    critic_lr: float | None = None
    """learning rate of the critics; None: the generator's"""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's"""
    decay_from: float | None = None
    """fraction of the run after which learning rates fall to zero"""
    ema_halflife_images: float | None = None
    """half-life of the generator's moving average, in clips seen; None keeps none"""


@dataclass(frozen=True)
class Request:
    """What a user asks of a trained TGANs-C."""

    caption: tuple[str, ...]
    """one sentence, or several"""
    n: int = 1
    """clips for each sentence"""
    seed: int = 0
    """same seed, same clips; clip i of a sentence has noise (seed, i)"""
    frames: int | None = None
    """only the trained number; None takes it"""
    size: int | None = None
    """only the trained size; None takes it"""


_GOOD = Config(
    channels=1,
    sentence=128,
    width=32,
    generator="layered",
    heads="projection",
    critic_norm="spectral",
    loss="hinge",
    diversity=1.0,
    contrast=0.3,
    frame_stride=4,
    updates="simultaneous",
    lr=4e-4,
    betas=(0.5, 0.99),
    decay_from=0.7,
    ema_halflife_images=10_000,
)


def tiny() -> Preset[Config]:
    """Everything in miniature, for tests: seconds on a CPU. Promises no picture."""
    config = replace(_GOOD, size=32, width=8, sentence=32, noise=16, text_steps=4)
    return Preset(config, RunSettings(steps=12, batch=8, save_every_steps=6, preview_every_steps=6), "sbmg")


def small() -> Preset[Config]:
    """One digit at 48x48, grey: 30 minutes on one CPU core reached digit 1.000, direction 1.000."""
    return Preset(_GOOD, RunSettings(steps=2600, batch=32), "sbmg")


def two() -> Preset[Config]:
    """Two digits: 65 minutes on one CPU core reached both digits 0.853, both directions 0.989."""
    return Preset(replace(_GOOD, layers=2, text_steps=1500), RunSettings(steps=5000, batch=32), "tbmg")


def paper() -> Preset[Config]:
    """The paper's networks and recipe, 16 frames of 48x48 in colour; for a GPU.

    At 32x32 and width 32, 25 minutes on one CPU core stayed at chance (digit 0.100); the page says why.
    """
    return Preset(
        Config(), RunSettings(steps=50_000, batch=64, save_every_steps=1000, preview_every_steps=1000), "sbmg"
    )


def stable() -> Preset[Config]:
    """The paper's networks, a gentler optimiser (2e-4, beta1 0.5), a moving average; for a GPU.

    At 32x32 and width 32, 25 minutes on one CPU core stayed at chance (digit 0.100); the page says why.
    """
    base = paper()
    return replace(base, config=replace(base.config, lr=2e-4, betas=(0.5, 0.999), ema_halflife_images=10_000))


PRESETS = {"tiny": tiny, "small": small, "two": two, "paper": paper, "stable": stable}
