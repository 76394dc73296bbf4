"""Inception-v3 as FID and the Inception score take it, for weights that the user brings (`--inception FILE`).

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567, as TensorFlow
published it on 2015-12-05. Names of weights are those of the public PyTorch forms of that file. It differs
from the usual network: 1008 classes; averages around a place count no padded zeros; the last block takes the
largest value there instead of the average; and pictures are enlarged as TensorFlow 1 did it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kinema.core.errors import UsageError
from kinema.metrics.foreign import Clips, Foreign, filled, rgb

WIDTH, CLASSES, SIDE, CHUNK = 2048, 1008, 299, 32
"""features, classes, side of its pictures, pictures at a time"""
PUBLISHED = "6726825d"
"""end of the published files' names: by PyTorch's custom the first digits of the SHA-256"""

Kernel = tuple[int, int]
Layer = tuple[str, int, Kernel]
"""name, channels, kernel (H, W)"""
Step = tuple[Layer, ...]
"""layers that read the same and whose maps are joined"""
ONE, THREE, FIVE, ACROSS, DOWN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU; `edge` zeros around, by default as many as keep the size."""

    def __init__(
        self, ins: int, outs: int, kernel: Kernel, stride: int = 1, edge: Kernel | None = None
    ) -> None:
        super().__init__()
        edge = (kernel[0] // 2, kernel[1] // 2) if edge is None else edge
        self.conv = nn.Conv2d(ins, outs, kernel, stride, edge, bias=False)
        self.bn = nn.BatchNorm2d(outs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, the last of which is a pool and, if `pooled`, a 1x1 convolution of so many."""

    def __init__(self, ins: int, *branches: list[Step], pooled: int, largest: bool = False) -> None:
        super().__init__()
        self.names = [[[name for name, _, _ in step] for step in branch] for branch in branches]
        self.largest, self.halves = largest, not pooled
        for branch in branches:
            width = ins
            for i, step in enumerate(branch):
                last = self.halves and i == len(branch) - 1
                for name, outs, kernel in step:
                    self.add_module(
                        name, Unit(width, outs, kernel, 2, (0, 0)) if last else Unit(width, outs, kernel)
                    )
                width = sum(outs for _, outs, _ in step)
        if pooled:
            self.branch_pool = Unit(ins, pooled, ONE)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W), or half as high and wide where nothing follows the pool."""
        found = []
        for branch in self.names:
            y = x
            for step in branch:
                y = torch.cat([self.get_submodule(name)(y) for name in step], 1)
            found.append(y)
        if self.halves:
            return torch.cat([*found, F.max_pool2d(x, 3, 2)], 1)
        near = F.max_pool2d(x, 3, 1, 1) if self.largest else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([*found, self.branch_pool(near)], 1)


def _chain(name: str, *layers: tuple[int, Kernel]) -> list[Step]:
    """A branch of single layers: `name`, or `name_1`, `name_2` and so on if they are several."""
    if len(layers) == 1:
        return [((name, *layers[0]),)]
    return [((f"{name}_{i}", *layer),) for i, layer in enumerate(layers, 1)]


def _fives(ins: int, pooled: int) -> Mixed:
    """Block A, at 35x35."""
    return Mixed(
        ins,
        _chain("branch1x1", (64, ONE)),
        _chain("branch5x5", (48, ONE), (64, FIVE)),
        _chain("branch3x3dbl", (64, ONE), (96, THREE), (96, THREE)),
        pooled=pooled,
    )


def _sevens(middle: int) -> Mixed:
    """Block C, at 17x17: 7x7 in two parts."""
    m = middle
    return Mixed(
        768,
        _chain("branch1x1", (192, ONE)),
        _chain("branch7x7", (m, ONE), (m, ACROSS), (192, DOWN)),
        _chain("branch7x7dbl", (m, ONE), (m, DOWN), (m, ACROSS), (m, DOWN), (192, ACROSS)),
        pooled=192,
    )


def _wide(ins: int, largest: bool) -> Mixed:
    """Block E, at 8x8: branches that end in a row and a column beside each other."""

    def ends(name: str) -> Step:
        return (f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))

    return Mixed(
        ins,
        _chain("branch1x1", (320, ONE)),
        [*_chain("branch3x3_1", (384, ONE)), ends("branch3x3_2")],
        [*_chain("branch3x3dbl", (448, ONE), (384, THREE)), ends("branch3x3dbl_3")],
        pooled=192,
        largest=largest,
    )


class Inception(nn.Sequential):
    """Pictures (B, 3, 299, 299), (x - 128)/128 of 0 to 255 -> maps of 2048 averaged, then `fc`."""

    def __init__(self) -> None:
        halving = _chain("branch3x3dbl", (64, ONE), (96, THREE), (96, THREE))
        sevens = _chain("branch7x7x3", (192, ONE), (192, ACROSS), (192, DOWN), (192, THREE))
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": Unit(3, 32, THREE, 2, (0, 0)),
            "Conv2d_2a_3x3": Unit(32, 32, THREE, edge=(0, 0)),
            "Conv2d_2b_3x3": Unit(32, 64, THREE),
            "pool_2": nn.MaxPool2d(3, 2),
            "Conv2d_3b_1x1": Unit(64, 80, ONE),
            "Conv2d_4a_3x3": Unit(80, 192, THREE, edge=(0, 0)),
            "pool_4": nn.MaxPool2d(3, 2),
            "Mixed_5b": _fives(192, 32),
            "Mixed_5c": _fives(256, 64),
            "Mixed_5d": _fives(288, 64),
            "Mixed_6a": Mixed(288, _chain("branch3x3", (384, THREE)), halving, pooled=0),
            "Mixed_6b": _sevens(128),
            "Mixed_6c": _sevens(160),
            "Mixed_6d": _sevens(160),
            "Mixed_6e": _sevens(192),
            "Mixed_7a": Mixed(768, _chain("branch3x3", (192, ONE), (320, THREE)), sevens, pooled=0),
            "Mixed_7b": _wide(1280, largest=False),
            "Mixed_7c": _wide(2048, largest=True),
            "average": nn.AdaptiveAvgPool2d(1),
            "flat": nn.Flatten(),
            "fc": nn.Linear(WIDTH, CLASSES),
        }
        super().__init__(OrderedDict(layers))

    def features(self, pictures: Tensor) -> Tensor:
        """Features (B, 2048): all but the last layer."""
        x = pictures
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


class InceptionExtractor:
    """The 2048 features of the user's Inception, and its 1008 logits without their bias."""

    name, width = "inception", WIDTH

    def __init__(self, given: Foreign, device: torch.device | str = "cpu") -> None:
        net = filled(
            Inception(), given, f"the Inception of FID (weights-inception-2015-12-05-{PUBLISHED}.pth)"
        )
        self.net: Any = net.to(device)
        self.device, self.sha256 = device, given.sha256

    def describe(self) -> dict[str, Any]:
        """The protocol: hash of the file, and what is done to pixels."""
        size = f"uint8, {SIDE}x{SIDE} bilinear as in TensorFlow 1, (x-128)/128, float32"
        return {
            "features": "Inception 2015-12-05 pool",
            "width": WIDTH,
            "input": size,
            "inception": self.sha256,
        }

    def extract(self, clips: Clips) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (N, 2048) and logits (N, 1008) of pictures, clips of one frame."""
        if clips.ndim == 5 and clips.shape[1] != 1:
            raise UsageError(f"Inception reads pictures, not clips of {clips.shape[1]} frames.")
        features = []
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for part in rgb(clips, CHUNK):
                x = (enlarged(part[:, :, 0].to(self.device).float()) - 128) / 128
                features.append(self.net.features(x))
            found = torch.cat(features)
            return found.cpu().numpy(), (found @ self.net.fc.weight.T).cpu().numpy()


def enlarged(pictures: Tensor, side: int = SIDE) -> Tensor:
    """Pictures (B, C, H, W) -> (B, C, side, side), bilinear as TensorFlow 1 did it.

    Place i is read at i H/side: the first pixel stays in its corner, and the last lines are repeated.
    """
    for axis in (3, 2):
        size = pictures.shape[axis]
        place = torch.arange(side, device=pictures.device) * (size / side)
        low = place.floor().long()
        share = (place - low).view(-1, *[1] * (3 - axis))
        first = pictures.index_select(axis, low)
        pictures = first + (pictures.index_select(axis, (low + 1).clamp(max=size - 1)) - first) * share
    return pictures
