"""Generator and critic of VGAN: a foreground under a mask, a still background, one critic of clips.

Vondrick et al. 2016 (arXiv:1609.02612). Where we differ: the critic gives the difference of its two logits,
which is all that cross-entropy reads of them; 16 frames, other sizes and classes follow by the same rule.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kinema.nn.initial import keeping_sizes
from kinema.nn.norm import BatchNorm2d, BatchNorm3d
from kinema.systems.vgan.config import Config


class Clip(NamedTuple):
    """A clip and, where there are two streams, what it is composed of."""

    video: Tensor
    """(B, C, T, S, S) in [-1, 1]"""
    foreground: Tensor | None = None
    """f (B, C, T, S, S) in [-1, 1]"""
    mask: Tensor | None = None
    """m (B, 1, T, S, S) in [0, 1]: how much of the foreground is seen"""
    background: Tensor | None = None
    """b (B, C, 1, S, S) in [-1, 1], the same at all times"""


class Generator(nn.Module):
    """Noise becomes a clip; 16,245,383 parameters at the paper's size, 12,663,619 with one stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, code = config, config.class_code if config.conditional else 0
        self.label = nn.Linear(len(c.classes), code, bias=False) if c.conditional else None
        plan = [c.noise + code, *(k * c.width for k in (8, 4, 2, 1))]
        side = c.size // 16
        self.moving = _upwards(nn.ConvTranspose3d, BatchNorm3d, plan, (c.frames // 16, side, side))
        self.foreground = nn.ConvTranspose3d(c.width, c.channels, 4, 2, 1)
        self.mask, self.still = None, None
        if c.streams == "two":
            self.mask = nn.ConvTranspose3d(c.width, 1, 4, 2, 1)
            self.still = _upwards(nn.ConvTranspose2d, BatchNorm2d, plan, (side, side))
            self.still.append(nn.ConvTranspose2d(c.width, c.channels, 4, 2, 1))
        self.apply(initialise)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor | Clip:
        """Noise (B, Z) and one-hot classes (B, K) -> the clip: with one stream its video alone."""
        if self.label is not None:
            z = torch.cat([z, self.label(label)], 1)
        maps = self.moving(z[:, :, None, None, None])  # (B, W, T/2, S/2, S/2)
        foreground = self.foreground(maps).float().tanh()
        if self.mask is None or self.still is None:
            return foreground
        mask = self.mask(maps).float().sigmoid()
        background = self.still(z[:, :, None, None]).float().tanh()[:, :, None]  # (B, C, 1, S, S)
        return Clip(mask * foreground + (1 - mask) * background, foreground, mask, background)


class Critic(nn.Module):
    """Is the clip real? 11,057,858 parameters at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = config
        layers: list[nn.Module] = []
        plan = [c.channels, *(k * c.critic_width for k in (1, 2, 4, 8))]
        for level, (ins, outs) in enumerate(pairwise(plan)):
            layers.append(nn.Conv3d(ins, outs, 4, 2, 1))
            if level > 0 and c.critic_norm == "batch":
                layers.append(BatchNorm3d(outs, eps=1e-3))
            layers.append(nn.LeakyReLU(0.2))
        self.maps = nn.Sequential(*layers)
        self.logits = nn.Conv3d(plan[-1], 2, (c.frames // 16, c.size // 16, c.size // 16))
        self.label = nn.Linear(len(c.classes), plan[-1], bias=False) if c.conditional else None
        self.apply(initialise if c.critic_norm == "batch" else keeping_sizes)

    def forward(self, video: Tensor, label: Tensor | None = None) -> Tensor:
        """Video (B, C, T, S, S) and one-hot classes (B, K) -> log D / (1 - D) (B,).

        With two logits l, cross-entropy is -log softmax(l)_k = softplus(l_other - l_k): the logarithmic loss
        of their difference. A class is heard by an inner product of its code with the last map, summed over
        places (Miyato & Koyama 2018, arXiv:1802.05637).
        """
        maps = self.maps(video)  # (B, 8W, T/16, S/16, S/16)
        fake, real = self.logits(maps).float().flatten(1).unbind(1)
        logit = real - fake
        if self.label is not None:
            logit = logit + (self.label(label).float() * maps.float().flatten(2).sum(2)).sum(1)
        return logit


def _upwards(
    convolution: type[nn.Module], norm: type[nn.Module], plan: list[int], first: tuple[int, ...]
) -> nn.Sequential:
    """Transposed convolutions, batch norm, ReLU: one pixel to `first`, then doubled for each width."""
    layers: list[nn.Module] = []
    for level, (ins, outs) in enumerate(pairwise(plan)):
        shape = (first,) if level == 0 else (4, 2, 1)
        layers += [convolution(ins, outs, *shape), norm(outs), nn.ReLU()]
    return nn.Sequential(*layers)


def initialise(module: nn.Module) -> None:
    """The paper's: convolutions N(0, 0.01), no bias, scales of batch norm N(1, 0.02)."""
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.normal_(module.weight, 0, 0.01)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        nn.init.normal_(module.weight, 1, 0.02)
    if isinstance(getattr(module, "bias", None), Tensor):
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
