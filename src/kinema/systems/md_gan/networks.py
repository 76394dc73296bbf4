"""The generator of both stages, and the critic: 3-D convolutions without biases.

Xiong et al. 2018 (arXiv:1709.07592), section 3. Layers and their names are those of the released weights. For
clips of T frames of S x S pixels the innermost kernels span what is left of them, T/16 x S/32 x S/32; at T =
32, S = 128 this is the published network. Where we differ: from a clip that stands still, in eval mode, the
encoder computes only the frames that can differ.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kinema.nn.norm import BatchNorm3d
from kinema.systems.md_gan.config import Config


def _relu(x: Tensor) -> Tensor:
    return nn.functional.relu(x)


def _leaky(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, 0.2)


class Stage(nn.Module):
    """A clip becomes another: encoder, decoder, and sums of their maps.

    39,072,576 parameters at g = 32.
    """

    def __init__(self, config: Config, skips: str) -> None:
        super().__init__()
        g, self.frames = config.generator_width, config.frames
        self.skips = 5 if skips == "all" else 3  # how many of the five, counted from the innermost
        rest = (config.frames // 16, config.size // 32, config.size // 32)

        def conv(i: int, o: int) -> nn.Conv3d:
            return nn.Conv3d(i, o, 4, 2, 1, bias=False)

        def deconv(i: int, o: int) -> nn.ConvTranspose3d:
            return nn.ConvTranspose3d(i, o, 4, 2, 1, bias=False)

        # shapes behind the layer at T = 32, S = 128
        self.downConv1 = nn.Conv3d(3, g, (3, 4, 4), (1, 2, 2), 1, bias=False)  # (g, 32, 64, 64)
        self.downConv2, self.downBN2 = conv(g, 2 * g), BatchNorm3d(2 * g)  # (2g, 16, 32, 32)
        self.downConv3, self.downBN3 = conv(2 * g, 4 * g), BatchNorm3d(4 * g)  # (4g, 8, 16, 16)
        self.downConv4, self.downBN4 = conv(4 * g, 8 * g), BatchNorm3d(8 * g)  # (8g, 4, 8, 8)
        self.downConv5, self.downBN5 = conv(8 * g, 16 * g), BatchNorm3d(16 * g)  # (16g, 2, 4, 4)
        self.downConv6 = nn.Conv3d(16 * g, 16 * g, rest, bias=False)  # (16g, 1, 1, 1)
        self.upConv1, self.upBN1 = (
            nn.ConvTranspose3d(16 * g, 16 * g, rest, bias=False),  # (16g, 2, 4, 4)
            BatchNorm3d(16 * g),
        )
        self.upConv2, self.upBN2 = deconv(16 * g, 8 * g), BatchNorm3d(8 * g)  # (8g, 4, 8, 8)
        self.upConv3, self.upBN3 = deconv(8 * g, 4 * g), BatchNorm3d(4 * g)  # (4g, 8, 16, 16)
        self.upConv4, self.upBN4 = deconv(4 * g, 2 * g), BatchNorm3d(2 * g)  # (2g, 16, 32, 32)
        self.upConv5, self.upBN5 = deconv(2 * g, g), BatchNorm3d(g)  # (g, 32, 64, 64)
        self.upConv6 = nn.ConvTranspose3d(g, 3, (3, 4, 4), (1, 2, 2), 1, bias=False)  # (3, 32, 128, 128)

    def forward(self, clip: Tensor) -> Tensor:
        """Clip (B, 3, T, S, S) in [-1, 1] -> clip of the same shape."""
        maps, x = [], clip
        for level in range(5):
            x = self._down(level, x)
            maps.append(x)
        return self._decode(maps)

    def animate(self, photo: Tensor) -> Tensor:
        """Photo (B, 3, S, S) in [-1, 1] -> clip (B, 3, T, S, S): `forward` of the photo repeated T times."""
        if self.training:  # batch norm counts the repeated frames
            return self(repeat(photo, self.frames))
        # Frames of a still clip are of three kinds at most: the first, those between, the last. Of six such
        # frames a stride of two makes three again, the middle one from the four that are alike.
        maps, x, frames = [], repeat(photo, 3), self.frames
        for level in range(5):
            x = self._down(level, x if level == 0 else spread(x, min(frames, 6)))
            frames = frames if level == 0 else frames // 2
            maps.append(spread(x, frames))
        return self._decode(maps)

    def _down(self, level: int, x: Tensor) -> Tensor:
        """One level of the encoder."""
        if level == 0:
            return self.downConv1(x)
        conv, norm = (
            (self.downConv2, self.downBN2),
            (self.downConv3, self.downBN3),
            (self.downConv4, self.downBN4),
            (self.downConv5, self.downBN5),
        )[level - 1]
        return _leaky(norm(conv(x)))

    def _decode(self, maps: list[Tensor]) -> Tensor:
        """Maps of the five levels of the encoder -> clip."""
        x = self.downConv6(maps[-1])
        for level, (deconv, norm) in enumerate(
            (
                (self.upConv1, self.upBN1),
                (self.upConv2, self.upBN2),
                (self.upConv3, self.upBN3),
                (self.upConv4, self.upBN4),
                (self.upConv5, self.upBN5),
            )
        ):
            x = _relu(norm(deconv(x)))
            if level < self.skips:
                x = x + maps[4 - level]
        return torch.tanh(self.upConv6(x).float())


def repeat(photo: Tensor, frames: int) -> Tensor:
    """Photo (B, 3, S, S) -> clip (B, 3, T, S, S) that stands still."""
    return photo.unsqueeze(2).expand(-1, -1, frames, -1, -1)


def spread(x: Tensor, frames: int) -> Tensor:
    """First, inner and last frame (B, C, 3, H, W) -> `frames` of them; what is no such triple stays."""
    if x.shape[2] != 3 or frames <= 3:
        return x
    inner = x[:, :, 1:2].expand(-1, -1, frames - 2, -1, -1)
    return torch.cat([x[:, :, :1], inner, x[:, :, 2:]], 2)


class Generator(nn.Module):
    """Photo (B, 3, S, S) -> what every stage makes of it (B, N, 3, T, S, S), in order; N is 1 or 2."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.base = Stage(config, config.base_skips) if config.stage != "one-stage" else None
        self.refine = Stage(config, config.refine_skips) if config.stage != "base" else None

    def forward(self, photo: Tensor) -> Tensor:
        """Y1 = G1(X) and Y2 = G2(Y1), where X is the photo repeated T times."""
        first, *later = (stage for stage in (self.base, self.refine) if stage is not None)
        clips = [first.animate(photo)]
        for stage in later:
            clips.append(stage(clips[-1]))
        return torch.stack(clips, 1)


class Judged(NamedTuple):
    """What the critic says of clips."""

    logits: Tensor
    """(B, 1); their sigmoid is the probability that the clip is real"""
    first: Tensor
    """feature map behind the first convolution (B, d, T, S/2, S/2)"""
    third: Tensor
    """behind the third (B, 4d, T/4, S/8, S/8)"""


class Critic(nn.Module):
    """Is a clip real? Two of its maps are the features of the ranking term.

    11,164,032 parameters at d = 32.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        d = config.critic_width
        rest = (config.frames // 16, config.size // 32, config.size // 32)

        def block(i: int, o: int, slope: float = 0.2) -> list[nn.Module]:
            plain = config.critic_norm == "none"
            conv = nn.Conv3d(i, o, 4, 2, 1, bias=plain)
            return [conv, nn.Identity() if plain else BatchNorm3d(o), nn.LeakyReLU(slope)]

        self.slice1 = nn.Sequential(nn.Conv3d(3, d, (3, 4, 4), (1, 2, 2), 1, bias=False), nn.LeakyReLU(0.2))
        self.slice2 = nn.Sequential(*block(d, 2 * d), *block(2 * d, 4 * d))
        self.slice3 = nn.Sequential(*block(4 * d, 8 * d), *block(8 * d, 16 * d, slope=0.01))  # as released
        self.slice4 = nn.Sequential(nn.Conv3d(16 * d, 1, rest, bias=False))

    def forward(self, clip: Tensor) -> Judged:
        """Clip (B, 3, T, S, S) in [-1, 1]."""
        first = self.slice1(clip)
        third = self.slice2(first)
        return Judged(self.slice4(self.slice3(third)).float().flatten(1), first, third)
