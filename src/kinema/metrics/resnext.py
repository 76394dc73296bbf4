"""Video FID: Fréchet distance on a 3-D ResNeXt-101, with the weights that the user brings (`--resnext FILE`).

The measure of the MoCoGAN and G3AN line: pooled features (2048) of the network of Hara, Kataoka, Satoh, "Can
Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", arXiv 1711.09577, 32 groups, trained on
Kinetics-400; generated clips (the papers' 5,000) against all training clips. Names of weights are those of
the public checkpoints (3D-ResNets-PyTorch), with or without `module.` before them; the head is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from kinema.core.errors import UsageError
from kinema.metrics.features import Extracted, known_features
from kinema.metrics.foreign import Clips, Foreign, filled, rgb
from kinema.metrics.measures import Log, frechet_rows, frozen, generated
from kinema.metrics.report import Row

WIDTH, SIDE, FRAMES, GROUPS, CHUNK = 2048, 112, 16, 32, 4
MEAN = (114.7748, 107.7354, 99.4750)
USUAL, PIECE = 5000, 64
"""generated clips in the papers; training clips read at a time"""


class Block(nn.Module):
    """1x1x1, grouped 3x3x3, 1x1x1, and a shortcut that is a convolution where the shape changes."""

    def __init__(self, ins: int, middle: int, stride: int) -> None:
        super().__init__()
        outs = 2 * middle
        self.conv1, self.bn1 = nn.Conv3d(ins, middle, 1, bias=False), nn.BatchNorm3d(middle)
        self.conv2 = nn.Conv3d(middle, middle, 3, stride, 1, groups=GROUPS, bias=False)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3, self.bn3 = nn.Conv3d(middle, outs, 1, bias=False), nn.BatchNorm3d(outs)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or ins != outs:
            self.downsample = nn.Sequential(nn.Conv3d(ins, outs, 1, stride, bias=False), nn.BatchNorm3d(outs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T/s, H/s, W/s)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNeXt101(nn.Module):
    """Video (B, 3, 16, 112, 112), 0 to 255 without its mean -> pooled features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.layer1 = _stage(64, 128, 3, 1)
        self.layer2 = _stage(256, 256, 4, 2)
        self.layer3 = _stage(512, 512, 23, 2)
        self.layer4 = _stage(1024, 1024, 3, 2)

    def forward(self, video: Tensor) -> Tensor:
        """Features (B, 2048)."""
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(video))), 3, 2, 1)  # (B, 64, 8, 28, 28)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 2048, 1, 4, 4)
        return x.mean((2, 3, 4))


def _stage(ins: int, middle: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [Block(2 * middle, middle, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(ins, middle, stride), *rest)


class ResNeXtExtractor:
    """The 2048 features of the user's ResNeXt-101."""

    name, width = "resnext", WIDTH

    def __init__(self, given: Foreign) -> None:
        self.net = filled(ResNeXt101(), given, "a 3-D ResNeXt-101 of 32 groups", head="fc.")
        self.sha256 = given.sha256

    def describe(self) -> dict[str, Any]:
        """The protocol: hash of the file, and what is done to pixels."""
        size = f"{FRAMES} centre frames, {SIDE}x{SIDE} PIL bilinear, 0..255 minus {MEAN}"
        return {"features": "3D ResNeXt-101", "width": WIDTH, "input": size, "resnext": self.sha256}

    def extract(self, clips: Clips) -> Extracted:
        """Features (N, 2048); no logits."""
        if clips.ndim == 5 and clips.shape[1] < FRAMES:
            raise UsageError(f"video FID is of clips of {FRAMES} frames or more, not {clips.shape[1]}.")
        with torch.inference_mode():
            parts = [self.net(prepared(part.permute(0, 2, 3, 4, 1).numpy())) for part in rgb(clips, CHUNK)]
        return torch.cat(parts).numpy(), None


def prepared(clips: Clips) -> Tensor:
    """Clips uint8 (B, T, H, W, 3) -> video (B, 3, 16, 112, 112) as the network was trained on."""
    start = (clips.shape[1] - FRAMES) // 2
    frames = np.ascontiguousarray(clips[:, start : start + FRAMES])
    small = [Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for f in _flat(frames)]
    pixels = np.stack([np.asarray(picture, np.float32) for picture in small]) - np.array(MEAN, np.float32)
    video = torch.from_numpy(pixels).unflatten(0, (len(clips), FRAMES))  # (B, T, H, W, 3)
    return video.permute(0, 4, 1, 2, 3).contiguous()


def _flat(clips: Clips) -> NDArray[np.uint8]:
    return clips.reshape(-1, *clips.shape[2:])


def video_fid(
    system: Any, data: Any, *, n: int, seed: int, log: Log, resnext: Foreign, train: Callable[[], Any]
) -> list[Row]:
    """Generated clips, held-out real ones, and these standing still, against all training clips."""
    extractor, training = ResNeXtExtractor(resnext), train()
    if n != USUAL:
        log(f"video FID is usually of {USUAL} clips; compare this one with others of as many clips only")
    other = data.pixels(range(min(n, len(data))))
    sets = {system.name: generated(system, data, n, seed, log), "real, held out": other}
    sets["real, frozen"] = frozen(other)
    pieces = [range(i, min(i + PIECE, len(training))) for i in range(0, len(training), PIECE)]
    reference = []
    for rows in pieces:
        reference.append(known_features(extractor, training.pixels(rows)))
        log(f"features of {rows.stop} of {len(training)} training clips")
    protocol = {"metric": "video FID", "data": training.describe, "beside": data.describe}
    protocol |= {"reference_clips": len(training), "clip_seed": seed}
    return frechet_rows(extractor, np.concatenate(reference), sets, protocol, manifold=False)
