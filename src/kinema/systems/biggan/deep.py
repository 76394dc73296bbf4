"""BigGAN-deep: bottlenecks of four convolutions, twice as many blocks, shortcuts without convolutions.

Brock, Donahue, Simonyan 2019 (arXiv:1809.11096), appendix B, "BigGAN-deep". The whole noise goes everywhere,
beside the class. Layers and state-dict names are those of the public port.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.conditional import Table
from kinema.nn.norm import holding
from kinema.nn.projection import projected
from kinema.nn.residual import UP, Held, Norm, doubled, halved, stages
from kinema.systems.biggan.config import Config
from kinema.systems.biggan.networks import attention, block_norm, shared_table
from kinema.systems.shared.networks import to_picture

DEEP_DOWN = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
}
"""size -> channels before each stage and after the last, in multiples of the width"""
SHRINK = 4
"""a bottleneck has so many times fewer channels"""


class DeepGenerator(nn.Module):
    """Noise and a class become a picture; 50,244,484 parameters at 128x128 for ImageNet."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [w * config.width for w in UP[config.size]]
        normed = config.spectral == "both"
        held = holding(normed)
        self.shared = shared_table(config)
        code = 0 if not config.conditional else config.shared or len(config.classes)
        norm = partial(block_norm, config, code + config.noise)
        self.noise_first = config.noise_first
        self.linear = held(nn.Linear(code + config.noise, widths[0] * 4 * 4))
        blocks, side = [], 4
        for ins, outs in pairwise(widths):
            side *= 2
            blocks.append(nn.ModuleList([DeepUpBlock(ins, ins, norm, held, up=False)]))
            layers: list[nn.Module] = [DeepUpBlock(ins, outs, norm, held, up=True)]
            blocks.append(nn.ModuleList(layers + attention(config, normed, outs, side)))
        self.blocks = nn.ModuleList(blocks)
        self.output_layer = to_picture(config, widths[-1], held)

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Noise (B, Z) and one-hot classes (B, K) -> pictures (B, C, S, S) in [-1, 1]."""
        code = classes if self.shared is None or classes is None else self.shared(classes)
        parts = [part for part in (code, z) if part is not None]
        condition = torch.cat(parts[::-1] if self.noise_first else parts, 1)
        x = self.linear(condition).unflatten(1, (-1, 4, 4))
        for block in stages(self.blocks):
            for layer in block:
                x = layer(x, condition) if isinstance(layer, DeepUpBlock) else layer(x)
        return torch.tanh(self.output_layer(x).float())


class DeepUpBlock(nn.Module):
    """Four norms, ReLUs and convolutions through a bottleneck; the shortcut drops channels."""

    def __init__(self, ins: int, outs: int, norm: Norm, held: Held, *, up: bool) -> None:
        super().__init__()
        inner = ins // SHRINK
        self.outs, self.up = outs, up
        self.bn1, self.bn2, self.bn3, self.bn4 = norm(ins), norm(inner), norm(inner), norm(inner)
        self.conv1 = held(nn.Conv2d(ins, inner, 1))
        self.conv2 = held(nn.Conv2d(inner, inner, 3, padding=1))
        self.conv3 = held(nn.Conv2d(inner, inner, 3, padding=1))
        self.conv4 = held(nn.Conv2d(inner, outs, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Maps (B, C, H, W) and a condition (B, D) -> (B, C', H, W), or twice the size with `up`."""
        h = self.conv1(F.relu(self.bn1(x, condition)))
        h = F.relu(self.bn2(h, condition))
        h = self.conv2(doubled(h) if self.up else h)
        h = self.conv3(F.relu(self.bn3(h, condition)))
        h = self.conv4(F.relu(self.bn4(h, condition)))
        kept = x[:, : self.outs]
        return h + (doubled(kept) if self.up else kept)


class DeepCritic(nn.Module):
    """Is a picture real, and of its class? 34,590,210 parameters at 128x128 for ImageNet."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        normed = config.spectral != "none"
        held = holding(normed)
        widths = [w * config.width for w in DEEP_DOWN[config.size]]
        self.input_conv = held(nn.Conv2d(config.channels, widths[0], 3, padding=1))
        blocks, side = [], config.size
        for i, (ins, outs) in enumerate(pairwise(widths)):
            down = config.size > 32 or i < len(widths) - 2
            side = side // 2 if down else side
            blocks.append(nn.ModuleList([DeepDownBlock(ins, outs, held, down=down)]))
            layers: list[nn.Module] = [DeepDownBlock(outs, outs, held, down=False)]
            blocks.append(nn.ModuleList(layers + attention(config, normed, outs, side if down else 0)))
        self.blocks = nn.ModuleList(blocks)
        self.linear = held(nn.Linear(widths[-1], 1))
        self.embed = held(Table(len(config.classes), widths[-1])) if config.conditional else None

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Pictures (B, C, S, S) and one-hot classes (B, K) -> logits (B,)."""
        x = self.input_conv(x)
        for block in stages(self.blocks):
            for layer in block:
                x = layer(x)
        return projected(self.linear, self.embed, x, classes)


class DeepDownBlock(nn.Module):
    """Four ReLUs and convolutions through a bottleneck; the shortcut adds channels by a convolution."""

    def __init__(self, ins: int, outs: int, held: Held, *, down: bool) -> None:
        super().__init__()
        inner = outs // SHRINK
        self.down = down
        self.conv1 = held(nn.Conv2d(ins, inner, 1))
        self.conv2 = held(nn.Conv2d(inner, inner, 3, padding=1))
        self.conv3 = held(nn.Conv2d(inner, inner, 3, padding=1))
        self.conv4 = held(nn.Conv2d(inner, outs, 1))
        self.conv_sc = held(nn.Conv2d(ins, outs - ins, 1)) if outs > ins else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, C', H, W), or half the size with `down`."""
        h = self.conv1(F.relu(x))
        h = self.conv2(F.relu(h))
        h = F.relu(self.conv3(F.relu(h)))
        h = self.conv4(halved(h) if self.down else h)
        x = halved(x) if self.down else x
        return h + (x if self.conv_sc is None else torch.cat([x, self.conv_sc(x)], 1))
