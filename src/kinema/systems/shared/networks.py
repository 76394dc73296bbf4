"""What the networks of SAGAN and BigGAN have in common: rows of residual blocks, and the critic.

BigGAN's critic is SAGAN's. Layers are named as in the public port of BigGAN.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from kinema.nn.conditional import Table
from kinema.nn.factory import make_norm
from kinema.nn.norm import holding
from kinema.nn.projection import projected
from kinema.nn.residual import DOWN, DownBlock, Held, Norm, UpBlock, stages
from kinema.systems.shared.config import PictureConfig

Behind = Callable[[int, int], list[nn.Module]]
"""channels and side of maps -> the layers that stand behind the block that makes them, such as attention"""


def rising(widths: Sequence[int], norm: Norm, held: Held, behind: Behind) -> nn.ModuleList:
    """Blocks of a generator from 4x4 on, each twice as large as the last, with the channels `widths`."""
    return nn.ModuleList(
        nn.ModuleList([UpBlock(ins, outs, norm, held), *behind(outs, 8 << i)])
        for i, (ins, outs) in enumerate(pairwise(widths))
    )


def to_picture(config: PictureConfig, width: int, held: Held) -> nn.Sequential:
    """Maps (B, width, S, S) -> pictures (B, C, S, S) before tanh."""
    last = held(nn.Conv2d(width, config.channels, 3, padding=1))
    return nn.Sequential(make_norm(config.norm, width), nn.ReLU(), last)


class Critic(nn.Module):
    """Is a picture real, and of its class? Projection of Miyato & Koyama (arXiv:1802.05637)."""

    def __init__(self, config: PictureConfig, behind: Behind) -> None:
        super().__init__()
        held = holding(config.spectral != "none")
        widths = [w * config.width for w in DOWN[config.size]]
        halving = len(widths) - (2 if config.size == 32 else 1)
        blocks, side = [], config.size
        for i, (ins, outs) in enumerate(pairwise([config.channels, *widths])):
            down = i < halving
            side = side // 2 if down else side
            block = DownBlock(ins, outs, held, first=i == 0, down=down)
            blocks.append(nn.ModuleList([block, *(behind(outs, side) if down else [])]))
        self.blocks = nn.ModuleList(blocks)
        self.linear = held(nn.Linear(widths[-1], 1))
        self.embed = held(Table(len(config.classes), widths[-1])) if config.conditional else None

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Pictures (B, C, S, S) and one-hot classes (B, K) -> logits (B,)."""
        for block in stages(self.blocks):
            for layer in block:
                x = layer(x)
        return projected(self.linear, self.embed, x, classes)
