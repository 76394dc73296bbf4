"""Generator and critic of BigGAN: SAGAN's blocks, a shared embedding of classes, and noise for every block.

Brock, Donahue, Simonyan 2019 (arXiv:1809.11096), appendix B. Layers and state-dict names are those of the
public port. BigGAN-deep stands in deep.py.
"""

from functools import partial

import torch
from torch import Tensor, nn

from kinema.nn.attention import SelfAttention
from kinema.nn.conditional import ConditionalNorm, PlainNorm, Table
from kinema.nn.factory import make_norm
from kinema.nn.initial import FILL
from kinema.nn.norm import holding
from kinema.nn.residual import UP, stages
from kinema.systems.biggan.config import Config
from kinema.systems.shared import networks
from kinema.systems.shared.networks import rising, to_picture


class Generator(nn.Module):
    """Noise in equal chunks and a class become a picture; 70,433,988 parameters at 128x128 for ImageNet.

    The first chunk makes the first maps. Each block is conditioned on the class and a chunk of its own.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [w * config.width for w in UP[config.size]]
        self.chunks = len(widths) if config.hierarchical else 1
        chunk = config.noise // self.chunks
        normed = config.spectral == "both"
        held = holding(normed)
        self.shared = shared_table(config)
        code = 0 if not config.conditional else config.shared or len(config.classes)
        norm = partial(block_norm, config, code + (chunk if config.hierarchical else 0))
        self.linear = held(nn.Linear(chunk, widths[0] * 4 * 4))
        self.blocks = rising(widths, norm, held, partial(attention, config, normed))
        self.output_layer = to_picture(config, widths[-1], held)

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Noise (B, Z) and one-hot classes (B, K) -> pictures (B, C, S, S) in [-1, 1]."""
        code = classes if self.shared is None or classes is None else self.shared(classes)
        first, *rest = z.chunk(self.chunks, 1)
        x = self.linear(first).unflatten(1, (-1, 4, 4))
        for i, (up, *layers) in enumerate(stages(self.blocks)):
            parts = [part for part in (code, rest[i] if rest else None) if part is not None]
            x = up(x, torch.cat(parts, 1) if parts else None)  # the class first
            for layer in layers:
                x = layer(x)
        return torch.tanh(self.output_layer(x).float())


class Critic(networks.Critic):
    """Is a picture real, and of its class? 87,982,370 parameters at 128x128 for ImageNet."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, partial(attention, config, config.spectral != "none"))


def attention(config: Config, normed: bool, channels: int, side: int) -> list[nn.Module]:
    """What stands behind maps of this side: attention, or nothing."""
    return [SelfAttention(channels, normed=normed)] if side in config.attention else []


def shared_table(config: Config) -> Table | None:
    """The embedding of classes that all norms share, if there is one; it has no spectral norm.

    It begins as other weights do. Rows of N(0, 1) are as long as the noise: classes then say what noise
    should, and every class is drawn in one colour.
    """
    if not (config.shared and config.conditional):
        return None
    table = Table(len(config.classes), config.shared)
    FILL[config.initial](table.weight)
    return table


def block_norm(config: Config, condition: int, channels: int) -> nn.Module:
    """A norm whose scale and shift are products of a condition of this width, or tables without embedding."""
    if not condition:
        return PlainNorm(make_norm(config.norm, channels))
    norm = make_norm(config.norm, channels, affine=False)
    if config.conditional and not config.shared and condition == len(config.classes):
        tables = [Table(len(config.classes), channels) for _ in range(2)]
        for table in tables:
            nn.init.zeros_(table.weight)
        return ConditionalNorm(norm, *tables)
    held = holding(config.spectral == "both")
    products = [held(nn.Linear(condition, channels, bias=False)) for _ in range(2)]
    return ConditionalNorm(norm, *products)
