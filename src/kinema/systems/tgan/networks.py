"""Generators and critic of TGAN: codes of frames from one code, a picture of each, one critic of clips.

Saito et al. 2017 (arXiv:1611.06624). Where we differ: what a picture takes from the code of its clip is
computed once for all frames; other sizes follow by the same rule.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from kinema.nn.initial import keeping_sizes
from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, without_shift
from kinema.systems.tgan.config import Config


class TemporalGenerator(nn.Module):
    """G0, the code of a clip becomes codes of frames; 825,444 parameters at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, z = config.width, config.noise
        layers: list[nn.Module] = []
        for level, (ins, outs) in enumerate(pairwise([z, 16 * w, 8 * w, 4 * w, 4 * w])):
            shape = (1,) if level == 0 else (4, 2, 1)
            layers += [nn.ConvTranspose1d(ins, outs, *shape), without_shift(BatchNorm1d(outs)), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.ConvTranspose1d(4 * w, z, 4, 2, 1))

    def forward(self, z0: Tensor) -> Tensor:
        """Codes z0 (B, Z) -> codes of frames z1 (B, Z, T) in [-1, 1]."""
        return self.net(z0[:, :, None]).float().tanh()


class ImageGenerator(nn.Module):
    """G1, the codes of a clip and of a frame become a picture; 3,622,691 parameters at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, side = config.width, config.size // 16
        self.of_clip = self._start(config.noise, (8 * w, side, side))
        self.of_frame = self._start(config.noise, (8 * w, side, side))
        layers: list[nn.Module] = []
        for ins, outs in pairwise([16 * w, 8 * w, 4 * w, 2 * w, w]):
            layers += [nn.ConvTranspose2d(ins, outs, 4, 2, 1, bias=False), BatchNorm2d(outs), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(w, config.channels, 3, 1, 1))

    @staticmethod
    def _start(noise: int, shape: tuple[int, int, int]) -> nn.Sequential:
        """A code becomes maps of 4x4 places."""
        flat = shape[0] * shape[1] * shape[2]
        linear = nn.Linear(noise, flat, bias=False)
        return nn.Sequential(linear, BatchNorm1d(flat), nn.ReLU(), nn.Unflatten(1, shape))

    def forward(self, z0: Tensor, z1: Tensor) -> Tensor:
        """Codes z0 (B, Z) and z1 (B, Z, T) -> video (B, C, T, S, S)."""
        b, _, t = z1.shape
        clip = self.of_clip(z0)[:, None].expand(-1, t, -1, -1, -1)  # (B, T, 8W, S/16, S/16)
        frame = self.of_frame(z1.transpose(1, 2).flatten(0, 1))  # (B T, 8W, S/16, S/16)
        pictures = self.net(torch.cat([clip.flatten(0, 1), frame], 1))  # (B T, C, S, S)
        return pictures.float().tanh().unflatten(0, (b, t)).transpose(1, 2)


class Generator(nn.Module):
    """G0 and G1 one after the other."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.temporal = TemporalGenerator(config)
        self.image = ImageGenerator(config)
        self.apply(initialise)

    def forward(self, z0: Tensor) -> Tensor:
        """Codes z0 (B, Z) in [-1, 1] -> video (B, C, T, S, S)."""
        return self.image(z0, self.temporal(z0))


class Critic(nn.Module):
    """How real is the clip? 11,032,385 parameters at the paper's size.

    The authors' has 64 more: the scales of a batch norm after the first layer, which it never uses.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = config
        layers: list[nn.Module] = []
        plan = [c.channels, *(k * c.critic_width for k in (1, 2, 4, 8))]
        for level, (ins, outs) in enumerate(pairwise(plan)):
            layers.append(nn.Conv3d(ins, outs, 4, 2, 1))
            if level > 0 and c.critic_norm == "batch":
                layers.append(without_shift(BatchNorm3d(outs)))
            layers.append(nn.LeakyReLU(0.2))
        self.maps = nn.Sequential(*layers)
        self.score = nn.Conv2d(plan[-1], 1, c.size // 16)
        self.apply(initialise if c.critic_norm == "batch" else keeping_sizes)

    def forward(self, video: Tensor) -> Tensor:
        """Video (B, C, T, S, S) -> scores (B,)."""
        return self.score(self.maps(video)[:, :, 0]).float().flatten()


def initialise(module: nn.Module) -> None:
    """The authors': uniform in [-0.01, 0.01], no bias."""
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.uniform_(module.weight, -0.01, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
