"""Generators: noise and sentence to a clip. The paper's two, its two rivals, and one of ours.

Every generator maps noise (B, *noise_shape) and s (B, d_s) to video (B, C, T, S, S) in [-1, 1].
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from kinema.systems.tgans_c.config import Config


class Generator(nn.Module):
    """What all generators have in common: noise (B, *noise_shape) and sentences (B, d_s) become video."""

    noise_shape: tuple[int, ...]


def _activation(config: Config) -> nn.Module:
    return nn.LeakyReLU(0.2) if config.activation == "leaky" else nn.ReLU()


def _deconv3d(
    config: Config, ins: int, outs: int, kernel: object = 4, stride: int = 2, padding: int = 1
) -> list[nn.Module]:
    """Transposed 3-D convolution without bias, batch norm, activation."""
    convolution = nn.ConvTranspose3d(ins, outs, kernel, stride, padding, bias=False)  # type: ignore[arg-type]
    return [convolution, BatchNorm3d(outs), _activation(config)]


class Canonical(Generator):
    """The generator as published re-implementations build it: all upsampling by 3-D transposed convolutions.

    State-dict names are those of the public re-implementation; at full width, 48x48 and colour it has
    24,263,548 parameters.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, ins = config.width, config.noise + config.sentence
        self.noise_shape = (config.noise,)
        self.input_map = nn.Sequential(nn.Linear(ins, ins), BatchNorm1d(ins), _activation(config))
        first = (config.frames // 8, config.size // 8, config.size // 8)
        self.seq = nn.Sequential(
            *_deconv3d(config, ins, 8 * w, first, 1, 0),
            *_deconv3d(config, 8 * w, 4 * w),
            *_deconv3d(config, 4 * w, 2 * w),
            *_deconv3d(config, 2 * w, w),
            nn.ConvTranspose3d(w, config.channels, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Noise (B, d_z), sentences (B, d_s) -> video (B, C, T, S, S)."""
        x = self.input_map(torch.cat([z, s], 1))
        return self.seq(x[:, :, None, None, None])


class DCGAN(Generator):
    """The layout of the paper's figure: linear to one time step, then four doublings of time and space."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, side = config.width, config.size // 16
        self.noise_shape = (config.noise,)
        self.start = (8 * w, config.frames // 16, side, side)
        flat = 8 * w * (config.frames // 16) * side * side
        self.linear = nn.Linear(config.noise + config.sentence, flat, bias=False)
        self.seq = nn.Sequential(
            BatchNorm3d(8 * w),
            _activation(config),
            *_deconv3d(config, 8 * w, 4 * w),
            *_deconv3d(config, 4 * w, 2 * w),
            *_deconv3d(config, 2 * w, w),
            nn.ConvTranspose3d(w, config.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Noise (B, d_z), sentences (B, d_s) -> video (B, C, T, S, S)."""
        x = self.linear(torch.cat([z, s], 1)).unflatten(1, self.start)
        return self.seq(x)


class VGAN(Generator):
    """Two streams, a still background and a moving foreground under a mask, with z replaced by [z, s].

    Vondrick et al., "Generating Videos with Scene Dynamics", 2016, arXiv:1609.02612. `last_mask` keeps the
    mask (B, 1, T, S, S) of the newest forward pass for its L1 penalty. 16 frames need a first kernel of one
    time step.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, ins, side = config.width, config.noise + config.sentence, config.size // 16
        self.noise_shape = (config.noise,)
        self.video = nn.Sequential(
            nn.ConvTranspose3d(ins, 8 * w, (config.frames // 16, side, side)), BatchNorm3d(8 * w), nn.ReLU(),
            nn.ConvTranspose3d(8 * w, 4 * w, 4, 2, 1), BatchNorm3d(4 * w), nn.ReLU(),
            nn.ConvTranspose3d(4 * w, 2 * w, 4, 2, 1), BatchNorm3d(2 * w), nn.ReLU(),
            nn.ConvTranspose3d(2 * w, w, 4, 2, 1), BatchNorm3d(w), nn.ReLU(),
        )  # fmt: skip
        self.foreground = nn.ConvTranspose3d(w, config.channels, 4, 2, 1)
        self.mask = nn.ConvTranspose3d(w, 1, 4, 2, 1)
        self.static = nn.Sequential(
            nn.ConvTranspose2d(ins, 8 * w, side), BatchNorm2d(8 * w), nn.ReLU(),
            nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1), BatchNorm2d(4 * w), nn.ReLU(),
            nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), BatchNorm2d(2 * w), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, 4, 2, 1), BatchNorm2d(w), nn.ReLU(),
            nn.ConvTranspose2d(w, config.channels, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        self.last_mask: Tensor | None = None

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Noise (B, d_z), sentences (B, d_s) -> video (B, C, T, S, S)."""
        x = torch.cat([z, s], 1)
        moving = self.video(x[:, :, None, None, None])  # (B, w, T/2, S/2, S/2)
        mask = self.mask(moving).sigmoid()
        still = self.static(x[:, :, None, None]).unsqueeze(2)  # (B, C, 1, S, S)
        self.last_mask = mask
        return mask * self.foreground(moving).tanh() + (1 - mask) * still


class Frames(Generator):
    """GAN-CLS: each frame is generated alone from noise of its own and the shared sentence.

    Reed et al., "Generative Adversarial Text to Image Synthesis", 2016, arXiv:1605.05396.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, ins, side = config.width, config.noise + config.sentence, config.size // 8
        self.noise_shape = (config.frames, config.noise)
        self.input_map = nn.Sequential(nn.Linear(ins, ins), BatchNorm1d(ins), _activation(config))
        self.seq = nn.Sequential(
            nn.ConvTranspose2d(ins, 8 * w, side, bias=False), BatchNorm2d(8 * w), _activation(config),
            nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1, bias=False), BatchNorm2d(4 * w), _activation(config),
            nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False), BatchNorm2d(2 * w), _activation(config),
            nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), BatchNorm2d(w), _activation(config),
            nn.ConvTranspose2d(w, config.channels, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Noise (B, T, d_z), sentences (B, d_s) -> video (B, C, T, S, S)."""
        b, t, _ = z.shape
        x = self.input_map(torch.cat([z, s[:, None].expand(-1, t, -1)], 2).flatten(0, 1))  # (B T, d)
        return self.seq(x[:, :, None, None]).unflatten(0, (b, t)).transpose(1, 2)


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift are linear in a condition (de Vries et al. 2017, arXiv:1707.00683)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels, affine=False)
        self.scale_shift = nn.Linear(condition, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W) and (B, condition) -> (B, C, H, W)."""
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, 1)
        return self.norm(x) * (1 + scale) + shift


class Sprite(nn.Module):
    """A condition to a small picture (B, C + 1, P, P): colour in [-1, 1], then opacity in [0, 1]."""

    def __init__(self, condition: int, width: int, channels: int, side: int) -> None:
        super().__init__()
        plan = (8 * width, 4 * width, 2 * width, width)
        self.start = (plan[0], side // 8, side // 8)
        self.linear = nn.Linear(condition, plan[0] * (side // 8) ** 2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(plan)
        )
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(c, condition) for c in plan)
        self.to_rgba = nn.Conv2d(width, channels + 1, 3, padding=1)
        ramp = torch.arange(side).minimum(torch.arange(side).flip(0)).div(side / 8).clamp(max=1)
        self.register_buffer(
            "window", ramp[:, None] * ramp, persistent=False
        )  # no hard edge may slide into view

    def forward(self, condition: Tensor) -> Tensor:
        """(B, condition) -> (B, C + 1, P, P)."""
        x = self.linear(condition).unflatten(1, self.start)
        x = F.leaky_relu(self.norms[0](x, condition), 0.2)
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = convolution(F.interpolate(x, scale_factor=2.0))
            x = F.leaky_relu(norm(x, condition), 0.2)
        colour, opacity = self.to_rgba(x).float().split([self.to_rgba.out_channels - 1, 1], 1)
        return torch.cat([colour.tanh(), opacity.sigmoid() * self.window], 1)


class Layered(Generator):
    """Ours: each layer is a picture with opacity that drifts along a path over a still background.

    A clip of a moving thing is far simpler than 16 pictures: what it looks like is drawn once, where it is
    are two numbers a frame. It extends the scene model of VGAN (above) by translation, and costs a fraction
    of 3-D convolutions.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size, self.frames, self.layers = config.size, config.frames, config.layers
        self.side = config.size * 2 // 3 // 8 * 8
        self.noise_shape = (config.layers, config.noise)
        ins, n = config.noise + config.sentence, config.layers
        # One map for each layer: to tell a shared one which layer it works for, the words of a sentence would
        # have to be multiplied by that number, and a network learns this slowly.
        self.input_map = nn.Sequential(
            nn.Linear(n * config.noise + config.sentence, n * ins, bias=False),
            BatchNorm1d(n * ins),
            nn.LeakyReLU(0.2),
        )
        self.sprite = Sprite(ins, config.width, config.channels, self.side)
        self.path = nn.Sequential(
            nn.Linear(ins, 512, bias=False), BatchNorm1d(512), nn.LeakyReLU(0.2),
            nn.Linear(512, 512, bias=False), BatchNorm1d(512), nn.LeakyReLU(0.2),
            nn.Linear(512, 2 * config.frames),
        )  # fmt: skip
        self.background = nn.Parameter(torch.full((config.channels, 1, 1, 1), -1.0))

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Noise (B, layers, d_z), sentences (B, d_s) -> video (B, C, T, S, S)."""
        b = z.shape[0]
        x = self.input_map(torch.cat([z.flatten(1), s], 1)).view(b * self.layers, -1)  # (B·layers, d)
        placed = self._place(self.sprite(x), self.path(x).float()).unflatten(0, (b, self.layers))
        video = self.background.clamp(-1, 1)
        for layer in placed.unbind(1):  # (B, C + 1, T, S, S), later ones in front
            colour, opacity = layer[:, :-1], layer[:, -1:]
            video = opacity * colour + (1 - opacity) * video
        return video

    def _place(self, sprites: Tensor, path: Tensor) -> Tensor:
        """Sprites (N, C + 1, P, P) at positions (N, 2T) -> (N, C + 1, T, S, S), transparent outside."""
        n, t = sprites.shape[0], self.frames
        zoom = self.size / self.side
        axis = torch.linspace(
            -1 + 1 / self.size, 1 - 1 / self.size, self.size, device=path.device
        )  # pixel centres
        screen = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (S, S, 2)
        grid = zoom * (screen + path.view(n * t, 1, 1, 2) / 4)  # where each screen pixel lies on the sprite
        repeated = sprites[:, None].expand(-1, t, -1, -1, -1).flatten(0, 1)
        placed = F.grid_sample(repeated, grid, align_corners=False)
        return placed.unflatten(0, (n, t)).transpose(1, 2)


GENERATORS: dict[str, type[Generator]] = {
    "canonical": Canonical,
    "dcgan": DCGAN,
    "vgan": VGAN,
    "frames": Frames,
    "layered": Layered,
}
