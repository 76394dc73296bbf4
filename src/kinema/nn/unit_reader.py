"""A small convolutional network that reads the intensities of action units from an upright face crop.

Not of a paper: four halvings, a residual block after each but the first, and a linear layer on all places of
the last map, since crops are aligned and a place in them means a part of the face.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 64
"""of the crops that it reads, in pixels"""
WIDTHS = (24, 48, 96, 128)


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(x + y)


class UnitReader(nn.Module):
    """Crop -> intensities."""

    def __init__(self, units: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            kernel = 5 if k == 0 else 3
            conv = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()] + ([Block(after)] if k else [])
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTHS[-1] * (SIDE // 16) ** 2, units)

    def forward(self, images: Tensor) -> Tensor:
        """Crops (B, 3, 64, 64) in [-1, 1] -> intensities (B, units), in 0..1 but for errors."""
        x = self.trunk(images).flatten(1)
        with torch.autocast(images.device.type, enabled=False):
            found: Tensor = self.head(x.float())
        return found
