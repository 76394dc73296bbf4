"""Generator and critic of SAGAN: residual blocks, a table of norms for every class, and attention.

Zhang et al. 2019 (arXiv:1805.08318). Layers are named as in the public port of BigGAN with `G_shared` off,
which computes the same; other sizes than 128 have its channels.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.attention import SelfAttention
from kinema.nn.conditional import ConditionalNorm, PlainNorm, Table
from kinema.nn.factory import make_norm
from kinema.nn.norm import holding
from kinema.nn.residual import UP, Norm, stages
from kinema.systems.sagan.config import Config
from kinema.systems.shared import networks
from kinema.systems.shared.networks import rising, to_picture


class Generator(nn.Module):
    """Noise and a class become a picture; 42,078,852 parameters for 1,000 classes at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        normed = config.spectral == "both"
        held = holding(normed)
        norm: Norm = partial(class_norm, config) if config.conditional else partial(plain_norm, config)
        widths = [w * config.width for w in UP[config.size]]
        self.linear = held(nn.Linear(config.noise, widths[0] * 4 * 4))
        self.blocks = rising(widths, norm, held, partial(between, config, normed))
        self.output_layer = to_picture(config, widths[-1], held)

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Noise (B, Z) and one-hot classes (B, K) -> pictures (B, C, S, S) in [-1, 1]."""
        x = self.linear(z).unflatten(1, (-1, 4, 4))
        for up, *rest in stages(self.blocks):
            x = up(x, classes)
            for layer in rest:
                x = layer(x)
        return torch.tanh(self.output_layer(x).float())


class Critic(networks.Critic):
    """Is a picture real, and of its class? 39,463,618 parameters for 1,000 classes at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, partial(between, config, config.spectral != "none"))


class Residual(nn.Module):
    """What attention is compared with: two 3x3 convolutions with as many parameters, added to the maps."""

    def __init__(self, channels: int, normed: bool) -> None:
        super().__init__()
        held = holding(normed)
        inner = max(1, round(1.25 * channels / 18))  # attention has 5/4 C² parameters
        self.conv1 = held(nn.Conv2d(channels, inner, 3, padding=1, bias=False))
        self.conv2 = held(nn.Conv2d(inner, channels, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape."""
        y: Tensor = x + self.conv2(F.relu(self.conv1(F.relu(x))))
        return y


def between(config: Config, normed: bool, channels: int, side: int) -> list[nn.Module]:
    """What stands behind a block whose maps are of this side: attention, its rival, or nothing."""
    if side not in config.attention:
        return []
    if config.attention_form == "residual":
        return [Residual(channels, normed)]
    return [SelfAttention(channels, config.attention_form == "pooled", normed)]


def class_norm(config: Config, channels: int) -> ConditionalNorm:
    """A norm whose scale and shift are rows of tables, not spectrally normalised; both begin at nothing."""
    tables = [Table(len(config.classes), channels) for _ in range(2)]
    for table in tables:
        nn.init.zeros_(table.weight)
    return ConditionalNorm(make_norm(config.norm, channels, affine=False), *tables)


def plain_norm(config: Config, channels: int) -> PlainNorm:
    """The norm of a generator without classes."""
    return PlainNorm(make_norm(config.norm, channels))
