"""Generator and critics of MoCoGAN: a recurrent net makes motion codes, a picture net the frames.

Tulyakov et al. 2018 (arXiv:1707.04993). Layers and state-dict names are those of the authors' code. Where we
differ: other sizes than 64 follow by the same rule; `norm="none"` puts biases in the place of batch norm.
"""

from collections.abc import Sequence
from functools import partial
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from kinema.nn.norm import BatchNorm2d, BatchNorm3d
from kinema.systems.mocogan.config import Config

SLOPE = 0.2
"""of the critics' leaky ReLU"""


class Generator(nn.Module):
    """Codes of content, category and motion become a clip; 3,298,836 parameters with six categories."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.recurrent = nn.GRUCell(config.motion, config.motion)
        ins, plain = config.content + categories(config) + config.motion, config.norm == "none"
        layers: list[nn.Module] = []
        for i, outs in enumerate(reversed(widths(config.size, config.width))):
            up = (4, 2, 1) if i else (4, 1, 0)
            norm = nn.Identity() if plain else BatchNorm2d(outs)
            layers += [nn.ConvTranspose2d(ins, outs, *up, bias=plain), norm, nn.ReLU()]
            ins = outs
        layers.append(nn.ConvTranspose2d(ins, config.channels, 4, 2, 1, bias=plain))
        self.main = nn.Sequential(*layers, nn.Tanh())
        if plain:
            keep_variance(self.main, 0.0)

    def codes(self, content: Tensor, start: Tensor, noise: Tensor, category: Tensor | None = None) -> Tensor:
        """What each frame is made of: content and category repeated, and a motion code of its own.

        h_t = GRU(e_t, h_{t-1}); the frames' motion codes are h_1 to h_T.

        Args:
            content: (B, Z).
            start: h_0 (B, M).
            noise: e_1 to e_T (B, T, M).
            category: one-hot (B, K), if there are categories.

        Returns:
            (B, T, Z + K + M).
        """
        h, motion = start, []
        for e in noise.unbind(1):
            h = self.recurrent(e, h)
            motion.append(h)
        still = content if category is None else torch.cat([content, category], 1)
        return torch.cat([still[:, None].expand(-1, len(motion), -1), torch.stack(motion, 1)], 2)

    def pictures(self, codes: Tensor) -> Tensor:
        """Codes (N, Z + K + M) -> frames (N, C, S, S) in [-1, 1]."""
        maps = self.main[:-1](codes[..., None, None])
        return self.main[-1](maps.float())

    def forward(
        self, content: Tensor, start: Tensor, noise: Tensor, category: Tensor | None = None
    ) -> Tensor:
        """Arguments as of `codes` -> video (B, C, T, S, S)."""
        codes = self.codes(content, start, noise, category)
        return self.pictures(codes.flatten(0, 1)).unflatten(0, codes.shape[:2]).transpose(1, 2)


class Noise(nn.Module):
    """Adds σ N(0, 1), for each item from a generator of its own: a draw does not depend on its company."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, chance: Sequence[torch.Generator] = ()) -> Tensor:
        """Items (B, ...) and a generator for each, or none, which adds nothing."""
        if not chance or self.sigma == 0:
            return x
        draws = [torch.empty_like(x[0]).normal_(generator=g) for g in chance]
        return x + self.sigma * torch.stack(draws)


class Critic(nn.Module):
    """What critics share: a chain of convolutions to logits, with noise on what the layers are given."""

    main: nn.Sequential

    def forward(self, x: Tensor, chance: Sequence[torch.Generator] = ()) -> tuple[Tensor, Tensor]:
        """Frames (B, C, S, S) or clips (B, C, T, S, S).

        Returns:
            Logits of being real (B, ...), one for each place that is judged, and of categories (B, K); K is 0
            unless the critic is categorical.
        """
        for layer in self.main:
            x = layer(x, chance) if isinstance(layer, Noise) else layer(x)
        logits = x.float()
        return logits[:, 0], logits[:, 1:].flatten(2).mean(2)


class ImageCritic(Critic):
    """D_I on frames: 663,296 parameters by patches at the paper's size, 2,765,568 plain."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        patch = config.image_critic == "patch"
        halve, last = partial(nn.Conv2d, stride=2, padding=1), nn.Conv2d
        self.main = _chain(config, halve, last, BatchNorm2d, patch=patch, noisy_end=patch, outs=1)


class VideoCritic(Critic):
    """D_V on clips: 2,650,880 parameters by patches, 11,056,896 plain, 11,253,504 with six categories."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        halve, last = partial(nn.Conv3d, stride=(1, 2, 2), padding=(0, 1, 1)), nn.Conv3d
        patch, outs = config.video_critic == "patch", 1
        if config.video_critic == "categorical":
            outs += categories(config)
        self.main = _chain(config, halve, last, BatchNorm3d, patch=patch, noisy_end=False, outs=outs)


def _chain(
    config: Config, halve: Any, last: Any, norm: Any, *, patch: bool, noisy_end: bool, outs: int
) -> nn.Sequential:
    """Layers that halve space down to 4x4; plain critics then have one that covers what is left."""
    levels, plain, ins = widths(config.size, config.critic_width), config.norm != "batch", config.channels
    layers: list[nn.Module] = []
    for i, width in enumerate(levels[:-1] if patch else levels):
        layers += [Noise(config.input_noise), halve(ins, width, 4, bias=plain)]
        layers += [nn.Identity() if plain else norm(width)] if i else []
        layers.append(nn.LeakyReLU(SLOPE))
        ins = width
    layers += [Noise(config.input_noise)] if noisy_end else []
    layers.append((halve if patch else last)(ins, outs, 4, bias=plain))
    chain = nn.Sequential(*layers)
    if plain:
        keep_variance(chain, SLOPE)
    return chain


def widths(size: int, width: int) -> list[int]:
    """Channels of the maps from the largest to that of 4x4: 1, 2, 4, 8, 8 … times the width.

    Example:
        >>> widths(64, 64)
        [64, 128, 256, 512]
    """
    return [width << min(level, 3) for level in range(size.bit_length() - 3)]


def categories(config: Config) -> int:
    """How many categories the generator knows (K)."""
    return len(config.classes) if config.conditional else 0


@torch.no_grad()
def keep_variance(chain: nn.Sequential, slope: float) -> None:
    """Weights so that signals keep their size without norms (He et al. 2015, arXiv:1502.01852); no bias."""
    convolutions: list[Any] = [m for m in chain if isinstance(m, nn.modules.conv._ConvNd)]
    for layer in convolutions:
        taps = prod(layer.kernel_size)  # that reach one place of the result
        if layer.transposed:
            taps = taps // prod(layer.stride) if layer.padding[0] else 1
        gain = 1.0 if layer is convolutions[-1] else sqrt(2 / (1 + slope**2))
        layer.weight.normal_(0, gain / sqrt(taps * layer.in_channels))
        layer.bias.zero_()
