"""What the networks of GANimation and StarGAN have in common: the generator's trunk, and the critic.

Pumarola et al. 2018 (arXiv:1807.09251) took both from Choi et al. 2018 (arXiv:1711.09020). Layers inside are
numbered as in the code of both.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.nn.norm import precise
from kinema.systems.shared.face_config import FaceConfig

Norm = Literal["affine", "plain", "running"]
"""instance norm with scale and shift; without, behind biased convolutions; with statistics kept for use"""
LARGEST = 512
"""side of pictures; the critic's channels double with it"""


def trunk(ins: int, width: int, blocks: int, norm: Norm) -> nn.Sequential:
    """Maps (B, ins, S, S) -> (B, width, S, S): twice to half the size, residual blocks, twice to double.

    All padding is of zeros: instance norm deletes what is the same at all places, so the border is where the
    condition comes in.
    """
    bias = norm == "plain"

    def normed(conv: nn.Module, channels: int) -> list[nn.Module]:
        return [conv, instance_norm(channels, norm), nn.ReLU()]

    layers = normed(nn.Conv2d(ins, width, 7, padding=3, bias=bias), width)
    for w in (width, 2 * width):
        layers += normed(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=bias), 2 * w)
    layers += [Residual(4 * width, norm) for _ in range(blocks)]
    for w in (2 * width, width):
        layers += normed(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=bias), w)
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """x + f(x), and no ReLU behind it."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        conv1, conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "plain") for _ in range(2))
        norm1, norm2 = (instance_norm(channels, norm) for _ in range(2))
        self.main = nn.Sequential(conv1, norm1, nn.ReLU(), conv2, norm2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape."""
        y: Tensor = x + self.main(x)
        return y


def instance_norm(channels: int, norm: Norm) -> nn.Module:
    """Each channel of each item on its own; a group norm of one channel a group computes it channels last."""
    if norm == "running":
        return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)
    return nn.GroupNorm(channels, channels, affine=norm == "affine")


def conditioned(images: Tensor, units: Tensor) -> Tensor:
    """Faces (B, 3, S, S) and units (B, K), the same at all places -> (B, 3 + K, S, S)."""
    everywhere = units.to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, everywhere], 1)


class Judged(NamedTuple):
    """What the critic says of faces."""

    patches: Tensor
    """how real each quarter is, (B, 2, 2)"""
    units: Tensor
    """how strong each unit is, (B, K)"""


class Critic(nn.Module):
    """Is a face real, patch by patch, and what are its action units? 44,860,352 parameters at 128x128."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        halvings = config.size.bit_length() - 2  # until maps are 2x2
        widths = [3, *(config.critic_width << i for i in range(halvings))]
        layers: list[nn.Module] = []
        for ins, outs in pairwise(widths):
            layers += [nn.Conv2d(ins, outs, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.main = nn.Sequential(*layers)
        self.patches = nn.Conv2d(widths[-1], 1, 3, padding=1, bias=False)
        self.units = nn.Conv2d(widths[-1], len(config.units), 2, bias=False)

    def forward(self, images: Tensor) -> Judged:
        """Faces (B, 3, S, S)."""
        maps = self.main(images)  # (B, C, 2, 2)
        return Judged(precise(self.patches(maps)).squeeze(1), precise(self.units(maps)).flatten(1))

    def realness(self, images: Tensor) -> Tensor:
        """The sum of an item's patches, (B): what the gradient penalty is about."""
        return self(images).patches.flatten(1).sum(1)


def normal(module: nn.Module) -> None:
    """For `Module.apply`: N(0, 0.02) for every convolution, biases zero."""
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_config(config: FaceConfig) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    size = config.size
    if not 32 <= size <= LARGEST or size & (size - 1):
        raise UsageError(f"size is a power of two from 32 to {LARGEST}, such as 64 or 128, not {size}.")
    if not config.units or len(set(config.units)) < len(config.units):
        given = ", ".join(config.units) or "none"
        raise UsageError(f"units are one or more names, each once, not {given}.")
    at_least_one(config, "generator_width", "blocks", "critic_width", "critic_steps")
    not_negative(config, "lr", "critic_lr", "lambda_gp", "lambda_au", "lambda_cycle", "target_noise")
    not_negative(config, "first_steps")
    if not all(0 <= noise < float("inf") for noise in config.critic_noise):
        raise UsageError(f"critic_noise is two numbers from 0 on, not {config.critic_noise}.")
