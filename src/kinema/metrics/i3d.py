"""I3D: the network whose 400 logits FVD is taken on, for weights that the user brings.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", arXiv
1705.07750: Inception-v1 inflated to 3-D. Names of weights are those of the well-known PyTorch port
(pytorch-i3d). Padding is TensorFlow's "same": the odd pixel comes last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.core.errors import UsageError, WeightsError
from kinema.metrics.features import Extracted
from kinema.metrics.foreign import Clips, Foreign, filled, rgb

Triple = tuple[int, int, int]
WIDTH, SIDE, FRAMES, CHUNK = 400, 224, 16, 4
"""logits, side of its pictures, least frames of a clip, clips at a time"""


def same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around (B, C, T, H, W), so that a layer gives size/stride, rounded up."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, ins: int, outs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(ins, outs, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(outs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T/s, H/s, W/s)."""
        return F.relu(self.bn(self.conv3d(same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """Largest value; what is around the edge counts as zero, which nothing after a ReLU is below."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T/s, H/s, W/s)."""
        return F.max_pool3d(same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, ins: int, b0: int, b1: tuple[int, int], b2: tuple[int, int], b3: int) -> None:
        super().__init__()
        self.b0 = Unit(ins, b0)
        self.b1a, self.b1b = Unit(ins, b1[0]), Unit(b1[0], b1[1], 3)
        self.b2a, self.b2b = Unit(ins, b2[0]), Unit(b2[0], b2[1], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(ins, b3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, b0 + b1 + b2 + b3, T, H, W)."""
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))
        return torch.cat(branches, 1)


class Logits(nn.Module):
    """Average over 2x7x7, a 1x1x1 convolution, average over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1024, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1024, T/8, 7, 7) -> (B, 400)."""
        return self.conv3d(F.avg_pool3d(x, (2, 7, 7), 1)).mean((2, 3, 4))


class I3D(nn.Sequential):
    """Video (B, 3, T, 224, 224) in [-1, 1] -> logits (B, 400); T at least 16."""

    def __init__(self) -> None:
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(3, 64, 7, 2),
            "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit(64, 64),
            "Conv3d_2c_3x3": Unit(64, 192, 3),
            "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Mixed_3b": Mixed(192, 64, (96, 128), (16, 32), 32),
            "Mixed_3c": Mixed(256, 128, (128, 192), (32, 96), 64),
            "MaxPool3d_4a_3x3": Pool((3, 3, 3), (2, 2, 2)),
            "Mixed_4b": Mixed(480, 192, (96, 208), (16, 48), 64),
            "Mixed_4c": Mixed(512, 160, (112, 224), (24, 64), 64),
            "Mixed_4d": Mixed(512, 128, (128, 256), (24, 64), 64),
            "Mixed_4e": Mixed(512, 112, (144, 288), (32, 64), 64),
            "Mixed_4f": Mixed(528, 256, (160, 320), (32, 128), 128),
            "MaxPool3d_5a_2x2": Pool((2, 2, 2), (2, 2, 2)),
            "Mixed_5b": Mixed(832, 256, (160, 320), (32, 128), 128),
            "Mixed_5c": Mixed(832, 384, (192, 384), (48, 128), 128),
            "logits": Logits(),
        }
        super().__init__(OrderedDict(layers))


class I3DExtractor:
    """The 400 logits of the user's I3D."""

    name, width = "i3d", WIDTH

    def __init__(self, given: Foreign, *, inside: bool = False) -> None:
        """Take a state dict, or a TorchScript module.

        Args:
            given: the file. A module whose `forward` has the flags `rescale`, `resize` and `return_features`
                (as that of StyleGAN-V) is told by them what to do.
            inside: leave scaling and resizing to such a module.
        """
        self.scripted = isinstance(given.content, nn.Module)
        net: Any = given.content if self.scripted else filled(I3D(), given, "an I3D of Kinetics-400")
        flags = {"rescale", "resize", "return_features"}
        known = {a.name for a in net.forward.schema.arguments} if self.scripted else set()
        self.net: Any = net.eval()
        self.flagged = flags <= known
        self.inside, self.file = inside and self.flagged, given.file
        self.facts = {"i3d": given.sha256, "read_as": "TorchScript" if self.scripted else "state dict"}

    def describe(self) -> dict[str, Any]:
        """The protocol: hash of the file, and who resizes."""
        how = "by the file itself" if self.inside else "bilinear, corners not aligned, no antialias"
        facts = {"features": "I3D logits", "width": self.width, "input": f"{SIDE}x{SIDE} {how}, 2x/255-1"}
        return facts | self.facts

    def extract(self, clips: Clips) -> Extracted:
        """Logits (N, 400) as features and as logits."""
        if clips.ndim == 5 and clips.shape[1] < FRAMES:
            raise UsageError(f"I3D reads clips of {FRAMES} frames or more, not {clips.shape[1]}.")
        with torch.inference_mode():
            parts = [self._logits(part) for part in rgb(clips, CHUNK)]
        logits = torch.cat(parts).float().numpy()
        return logits, logits

    def _logits(self, video: Tensor) -> Tensor:
        """Video uint8 (B, 3, T, H, W) -> (B, 400)."""
        try:
            if self.inside:
                found = self.net(video.contiguous(), rescale=True, resize=True, return_features=True)
            elif self.flagged:
                found = self.net(prepared(video), rescale=False, resize=False, return_features=True)
            else:
                found = self.net(prepared(video))
        except RuntimeError as error:
            if not self.scripted or "memory" in str(error):
                raise
            last = str(error).strip().splitlines()[-1]
            what = "videos (B, 3, T, 224, 224)"
            raise WeightsError(f"{self.file} is no I3D: it does not take {what} ({last}).") from None
        if not isinstance(found, Tensor) or found.shape != (len(video), WIDTH):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            wanted = (len(video), WIDTH)
            raise WeightsError(f"{self.file} gives {shape} where {wanted}, the logits of I3D, were expected.")
        return found


def prepared(video: Tensor) -> Tensor:
    """Video uint8 (B, 3, T, H, W) -> (B, 3, T, 224, 224) in [-1, 1]; every frame resized by itself."""
    frames = video.transpose(1, 2).flatten(0, 1).float()  # (B T, 3, H, W)
    if frames.shape[-2:] != (SIDE, SIDE):
        frames = F.interpolate(frames, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return (2 * frames / 255 - 1).unflatten(0, (len(video), -1)).transpose(1, 2)
