"""Residual blocks that double or halve a picture, as SAGAN and BigGAN have them.

Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018, arXiv:1802.05637. Layers are named as in
the public port of BigGAN. For speed, a 3x3 convolution behind a doubling, or before a halving, is computed as
one 4x4 convolution with stride 2: the same map for 16 products where there were 36. Shortcuts' 1x1
convolutions stand on the smaller side.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn import functional as F

UP = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""size of pictures -> channels from 4x4 on, before and after each doubling, in multiples of the width"""
DOWN = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
"""size -> channels after each block of a critic; the last block, and at 32 the last two, keep the size"""

Norm = Callable[[int], nn.Module]
"""channels -> a norm that is called with maps (B, C, H, W) and a condition (B, D) or None"""
Held = Callable[[nn.Module], nn.Module]
"""a layer -> the same layer with its weight held, as by `spectral`, or as it is"""


class UpBlock(nn.Module):
    """Norm, ReLU, twice the size, convolution; norm, ReLU, convolution; and a shortcut."""

    def __init__(self, ins: int, outs: int, norm: Norm, held: Held) -> None:
        super().__init__()
        self.bn1, self.bn2 = norm(ins), norm(outs)
        self.conv1 = held(nn.Conv2d(ins, outs, 3, padding=1))
        self.conv2 = held(nn.Conv2d(outs, outs, 3, padding=1))
        self.conv_sc = held(nn.Conv2d(ins, outs, 1))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Maps (B, C, H, W) and a condition (B, D) -> (B, C', 2 H, 2 W)."""
        h = conv_of_doubled(self.conv1, F.relu(self.bn1(x, condition)))
        h = self.conv2(F.relu(self.bn2(h, condition)))
        return h + doubled(self.conv_sc(x))


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, half the size; and a shortcut, which may be nothing."""

    def __init__(self, ins: int, outs: int, held: Held, *, first: bool = False, down: bool = True) -> None:
        """Build the block.

        Args:
            ins: channels of what comes.
            outs: channels of what goes; the first convolution already has as many ("wide").
            held: how weights are held.
            first: it reads pictures, so there is no ReLU before the first convolution.
            down: halve the size.
        """
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = held(nn.Conv2d(ins, outs, 3, padding=1))
        self.conv2 = held(nn.Conv2d(outs, outs, 3, padding=1))
        self.conv_sc = held(nn.Conv2d(ins, outs, 1)) if down or ins != outs else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, C', H/2, W/2), or (B, C', H, W) without `down`."""
        h = F.relu(self.conv1(x if self.first else F.relu(x)))
        h = halved_conv(self.conv2, h) if self.down else self.conv2(h)
        if self.conv_sc is None:
            return h + x
        return h + self.conv_sc(halved(x) if self.down else x)


def stages(blocks: nn.ModuleList) -> Iterator[list[nn.Module]]:
    """The layers of each block of a network whose blocks are lists of layers."""
    return (list(block.children()) for block in blocks)


def doubled(x: Tensor) -> Tensor:
    """Every place becomes 2x2 places: (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    return F.interpolate(x, scale_factor=2)


def halved(x: Tensor) -> Tensor:
    """Every 2x2 places become their mean: (B, C, H, W) -> (B, C, H/2, W/2)."""
    return F.avg_pool2d(x, 2)


def conv_of_doubled(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(doubled(x))` for a 3x3 convolution with padding 1."""
    assert isinstance(layer.weight, Tensor)
    weight = _spread(layer.weight.flip(2, 3)).transpose(0, 1)
    return F.conv_transpose2d(x, weight, _bias(layer), stride=2, padding=1)


def halved_conv(layer: nn.Module, x: Tensor) -> Tensor:
    """`halved(layer(x))` for a 3x3 convolution with padding 1."""
    assert isinstance(layer.weight, Tensor)
    return F.conv2d(x, _spread(layer.weight) / 4, _bias(layer), stride=2, padding=1)


def _spread(weight: Tensor) -> Tensor:
    """Kernels (O, I, 3, 3) -> (O, I, 4, 4): their sums over the four shifts by one place."""
    wide = F.pad(weight, (1, 1, 1, 1))
    return wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]


def _bias(layer: nn.Module) -> Tensor | None:
    return layer.bias if isinstance(layer.bias, Tensor) else None
