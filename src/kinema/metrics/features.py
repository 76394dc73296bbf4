"""What Fréchet distances are taken on: three extractors that need no downloaded weights.

`JudgeExtractor` is a classifier of the real set's own labels, `RandomExtractor` a convolutional network that
nobody trained, `PixelsExtractor` principal components of tiny clips. Distances on them are called FD-judge,
FD-random and FD-pixels, never FID or FVD, which mean other networks. All take uint8 clips (N, T, H, W, C);
pictures have T = 1; grey is repeated to three channels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kinema.core.errors import DataError, UsageError
from kinema.metrics.cache import trained, weights_hash

Clips = NDArray[np.uint8]  # (N, T, H, W, C)
Triple = tuple[int, int, int]
Extracted = tuple[NDArray[np.float32], NDArray[np.float32] | None]
CHUNK = 32  # clips at a time


class Extractor(Protocol):
    """Clips to features (N, width) and, where the network classifies, logits (N, K)."""

    name: str
    width: int

    def describe(self) -> dict[str, Any]:
        """The protocol: weights, input size, what it was fitted on."""
        ...

    def extract(self, clips: Clips) -> Extracted:
        """Features float32 (N, width), and logits or None."""
        ...


_KNOWN: dict[str, NDArray[np.float32]] = {}


def known_features(extractor: Extractor, clips: Clips) -> NDArray[np.float32]:
    """Features (N, width) that are kept while the program runs: several runs meet the same real clips."""
    facts = json.dumps([extractor.describe(), clips.shape], sort_keys=True)
    key = hashlib.sha256(facts.encode() + clips.tobytes()).hexdigest()
    if key not in _KNOWN:
        _KNOWN[key] = extractor.extract(clips)[0]
    return _KNOWN[key]


class RandomExtractor:
    """Two layers of random space-time filters at each of three scales, averaged over positions: 256 numbers.

    Ranks blur, noise and collapse well enough to watch a training run; no claim beyond that.
    """

    name, width, size = "random", 256, 64
    gain = 100.0
    """of a layer; it sets the unit of the distance, so that moving digits stand some units apart"""

    def __init__(self, seed: int = 0) -> None:
        """The filters are a function of `seed`."""
        generator = torch.Generator().manual_seed(seed)

        def filters(outputs: int, inputs: int, kernel: Triple) -> Tensor:
            draw = torch.randn(outputs, inputs, *kernel, generator=generator)
            return draw * (self.gain / draw[0].numel()) ** 0.5

        self.layers = [(filters(16, 3, (3, 5, 5)), filters(c, 16, (3, 3, 3))) for c in (128, 64, 64)]
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        """The protocol."""
        facts = {"features": self.name, "width": self.width, "input": "64x64"}
        return facts | {"seed": self.seed, "gain": self.gain}

    def extract(self, clips: Clips) -> Extracted:
        """Features (N, 256); no logits."""
        with torch.inference_mode():
            features = [self._features(part) for part in parts(clips, self.size)]
        return torch.cat(features).numpy(), None

    def _features(self, video: Tensor) -> Tensor:
        out = []
        for scale, (first, second) in enumerate(self.layers):
            x = F.avg_pool3d(video, (1, 2**scale, 2**scale)) if scale else video
            x = F.leaky_relu(F.conv3d(x, first, stride=(1, 2, 2), padding=(1, 2, 2)), 0.2)
            out.append(F.relu(F.conv3d(x, second, stride=2, padding=1)).mean((2, 3, 4)))
        return torch.cat(out, 1)  # (B, 256)


class PixelsExtractor:
    """The first 64 principal components of grey 16×16 clips of a real set; for smoke tests."""

    name, size = "pixels", 16

    def __init__(self, real: Clips) -> None:
        """Fit on at least two clips of a real set."""
        if len(real) < 2:
            raise DataError(f"principal components need at least 2 clips, not {len(real)}.")
        flat = self._flat(real)
        self.mean = flat.mean(0)
        _, _, axes = np.linalg.svd(flat - self.mean, full_matrices=False)
        self.axes = axes[:64]  # (width, T·256)
        self.width = len(self.axes)
        self.fitted = hashlib.sha256(real.tobytes()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """The protocol."""
        return {"features": self.name, "width": self.width, "input": "16x16 grey", "fitted_on": self.fitted}

    def extract(self, clips: Clips) -> Extracted:
        """Features (N, width); no logits."""
        flat = self._flat(clips)
        if flat.shape[1] != len(self.mean):
            raise UsageError(f"FD-pixels was fitted on clips of another length than {clips.shape[1]} frames.")
        return (flat - self.mean) @ self.axes.T, None

    def _flat(self, clips: Clips) -> NDArray[np.float32]:
        return np.concatenate([p.mean(1).flatten(1).numpy() for p in parts(clips, self.size)])


class JudgeNet(nn.Module):
    """A video (B, 3, T, 32, 32) → logits (B, K), by 128 features; two layers on frames, two in space-time."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_layer(3, 16, (1, 3, 3), (1, 2, 2)),
            *_layer(16, 32, (1, 3, 3), (1, 2, 2)),
            *_layer(32, 64, (3, 3, 3), (2, 2, 2)),
            *_layer(64, 128, (3, 3, 3), (2, 1, 1)),
        )
        self.classes = nn.Linear(128, classes)

    def features(self, video: Tensor) -> Tensor:
        """Features (B, 128)."""
        return self.trunk(video).mean((2, 3, 4))

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.classes(self.features(video))


class JudgeExtractor:
    """Features of a classifier trained on a labelled real set; trained once and kept in the cache."""

    name, width, size = "judge", 128, 32

    def __init__(self, real: Clips, targets: NDArray[np.floating], seed: int = 0, epochs: int = 6) -> None:
        """Train on real clips, or read from the cache.

        Args:
            real: uint8 clips (N, T, H, W, C) that the scores will not be taken on.
            targets: (N, K), what each shows: one at its class; several classes share the one.
            seed: fixes initial weights and order.
            epochs: passes over the clips.
        """
        if targets.ndim != 2 or len(targets) != len(real) or targets.shape[1] < 2:
            raise DataError(f"the judge needs (N, K) targets of 2 classes or more, not {targets.shape}.")
        digest = hashlib.sha256(real.tobytes() + np.asarray(targets, np.float32).tobytes()).hexdigest()[:16]
        key = {"extractor": "judge 1", "trained_on": digest, "seed": seed, "epochs": epochs}
        classes = targets.shape[1]
        self.net = trained(key, lambda: JudgeNet(classes), lambda: _fit(real, targets, seed, epochs))
        self.protocol = {"features": self.name, "width": self.width, "input": "32x32", "trained_on": digest}

    def describe(self) -> dict[str, Any]:
        """The protocol."""
        return self.protocol | {"weights": weights_hash(self.net)}

    def accuracy(self, clips: Clips, targets: NDArray[np.floating]) -> float:
        """Share of clips whose likeliest classes are exactly those with a one in targets (N, K)."""
        logits = self.extract(clips)[1]
        assert logits is not None
        last = (targets > 0).sum(1)[:, None] - 1
        least = np.take_along_axis(-np.sort(-logits, 1), last, 1)
        return float(((logits >= least) == (targets > 0)).all(1).mean())

    def extract(self, clips: Clips) -> Extracted:
        """Features (N, 128) and logits (N, K)."""
        with torch.inference_mode():
            features = torch.cat([self.net.features(part) for part in parts(clips, self.size)])
            return features.numpy(), self.net.classes(features).numpy()


def _layer(inputs: int, outputs: int, kernel: Triple, stride: Triple) -> list[nn.Module]:
    conv = nn.Conv3d(inputs, outputs, kernel, stride, (kernel[0] // 2, 1, 1), bias=False)
    return [conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]


def _fit(real: Clips, targets: NDArray[np.floating], seed: int, epochs: int) -> JudgeNet:
    """Cross-entropy with AdamW and one cycle of the learning rate; clips moved by up to two pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, generator = JudgeNet(targets.shape[1]).train(), torch.Generator().manual_seed(seed)
        video, wanted = torch.cat(list(parts(real, JudgeExtractor.size))), torch.from_numpy(targets).float()
        wanted = wanted / wanted.sum(1, keepdim=True)
        batch = min(32, len(video))
        orders = torch.cat([torch.randperm(len(video), generator=generator) for _ in range(epochs)])
        optimiser = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-2)
        total = len(orders) // batch
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=total)
        for step in range(total):
            rows = orders[step * batch :][:batch]
            shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
            optimiser.zero_grad()
            logits = net(video[rows].roll(shift, (3, 4)))
            F.cross_entropy(logits, wanted[rows], label_smoothing=0.05).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def parts(clips: Clips, size: int) -> Iterator[Tensor]:
    """Clips (n, 3, T, size, size) in [0, 1], some at a time; area-averaged, or enlarged bilinearly."""
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[4] not in (1, 3):
        raise UsageError(
            f"features are of uint8 clips (N, T, H, W, 1 or 3), not {clips.dtype} {clips.shape}."
        )
    for i in range(0, len(clips), CHUNK):
        part = torch.from_numpy(clips[i : i + CHUNK].astype(np.float32) / 255).permute(0, 1, 4, 2, 3)
        n, _, _, height, width = part.shape  # (n, T, C, H, W)
        frames = part.flatten(0, 1)
        if min(height, width) > size:
            frames = F.interpolate(frames, (size, size), mode="area")
        elif (height, width) != (size, size):
            frames = F.interpolate(frames, (size, size), mode="bilinear", align_corners=False)
        yield frames.unflatten(0, (n, -1)).transpose(1, 2).expand(-1, 3, -1, -1, -1)
