"""Residual classifiers with any norm: 8, 20 … layers for 32x32 pictures, 50 layers for large ones.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385. The 50-layer form has
its stride in the 3x3 convolution; names are those that its public weights have. Initial weights as in Wu & He
2018 (arXiv:1803.08494), section 4.1: He's, and the last norm of every branch begins at zero.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.factory import make_norm

DEPTHS = (8, 14, 20, 32, 50)


class ResNet(nn.Module):
    """Pictures become features and logits of classes; 25,557,032 parameters at 50 layers for ImageNet."""

    def __init__(
        self,
        depth: int,
        classes: int,
        norm: str = "bn",
        channels: int = 3,
        width: int = 16,
        gamma_zero: bool = True,
    ) -> None:
        """Build it.

        Args:
            depth: 50, or 6n + 2 for 32x32 pictures.
            classes: logits.
            norm: as in `make_norm`.
            channels: of the pictures.
            width: channels of the first stage of the small form; the large one has 64.
            gamma_zero: scales of the last norm of every branch begin at zero: a block begins as nothing.
        """
        super().__init__()
        large, make = depth == 50, partial(make_norm, norm)
        width = 64 if large else width
        self.conv1 = nn.Conv2d(
            channels, width, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False
        )
        self.bn1 = make(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        counts = (3, 4, 6, 3) if large else ((depth - 2) // 6,) * 3
        block, ins = Bottleneck if large else Basic, width
        for stage, count in enumerate(counts):
            outs = width << stage
            layers: list[nn.Module] = []
            for i in range(count):
                layers.append(block(ins, outs, 2 if stage and i == 0 else 1, make))
                ins = outs * block.widening
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.stages = len(counts)
        self.fc = nn.Linear(ins, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif gamma_zero and isinstance(module, Basic | Bottleneck):
                scale = getattr(module.last, "weight", None)
                if scale is not None:
                    nn.init.zeros_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, C, S, S) in [-1, 1] -> logits (B, K)."""
        logits: Tensor = self.fc(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Pictures (B, C, S, S) -> the mean over places of the last maps (B, D)."""
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x.float().mean((2, 3)).to(self.fc.weight.dtype)


class Basic(nn.Module):
    """Two 3x3 convolutions, added to what comes."""

    widening = 1

    def __init__(self, ins: int, outs: int, stride: int, make: "partial[nn.Module]") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.bn1 = make(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.bn2 = make(outs)
        self.downsample = shortcut(ins, outs, stride, make)

    @property
    def last(self) -> nn.Module:
        """The norm that ends the branch."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, C', H, W), or half the size."""
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution, added to what comes."""

    widening = 4

    def __init__(self, ins: int, outs: int, stride: int, make: "partial[nn.Module]") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 1, bias=False)
        self.bn1 = make(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, stride, 1, bias=False)
        self.bn2 = make(outs)
        self.conv3 = nn.Conv2d(outs, 4 * outs, 1, bias=False)
        self.bn3 = make(4 * outs)
        self.downsample = shortcut(ins, 4 * outs, stride, make)

    @property
    def last(self) -> nn.Module:
        """The norm that ends the branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, C', H, W), or half the size."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(h)))))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


def shortcut(ins: int, outs: int, stride: int, make: "partial[nn.Module]") -> nn.Sequential | None:
    """A 1x1 convolution and a norm where the shape changes."""
    if stride == 1 and ins == outs:
        return None
    return nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), make(outs))
