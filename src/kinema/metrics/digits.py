"""Does a clip show what its caption says? A judge for moving digits, and caption fidelity.

The captions of Pan et al. (To Create What You Tell, arXiv 1804.08264) name digits and the axis along which
each moves. The judge is trained on single real digit images only and never sees a caption. One digit: it
looks at the window around the centroid of the ink, averages log-probabilities over the frames, and takes the
axis along which the centroid spreads more. Two digits: see `tracks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinema.core.errors import DataError, UsageError
from kinema.data.digits import bundled_digits, split_digits
from kinema.metrics.cache import trained, weights_hash
from kinema.metrics.digit_nets import (
    FRAME,
    GRID,
    SIDE,
    FrameNet,
    WindowNet,
    digit_side,
    fit_frames,
    fit_windows,
    to_side,
)
from kinema.metrics.tracks import best_tracks

Clips = NDArray[np.uint8]  # (N, T, H, W, C)
Labels = NDArray[np.int64]  # (N, digits, 2): digit, axis (0 left and right, 1 up and down)
Images = NDArray[np.uint8]
VERSION = 1  # of networks and training; a new one retrains cached judges
CHUNK = 64  # clips at a time
STEADY = 128  # clips, evenly spread, whose coherence is measured


@dataclass
class CaptionJudge:
    """Reads (digit, axis) pairs from clips; made by `CaptionJudge.fit`, or by `digit_judge`."""

    size: int
    digits: int
    net: WindowNet | FrameNet
    protocol: dict[str, Any]
    """what it was trained on and how, for reports"""

    @classmethod
    def fit(
        cls, images: Images, labels: NDArray[np.int64], *, size: int, digits: int = 1, seed: int = 0
    ) -> CaptionJudge:
        """Train on single digits, or read from the cache: ten CPU-seconds for one digit, forty for two.

        Args:
            images: uint8 (M, 28, 28), of the training split only, or the scores mean little.
            labels: 0 to 9, (M,).
            size: height and width of the clips to judge.
            digits: digits in a clip, 1 or 2.
            seed: fixes initial weights, order and distortions.
        """
        if digits not in (1, 2):
            raise UsageError(f"the judge reads clips with 1 or 2 digits, not {digits}.")
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1]:
            raise DataError(
                f"the judge needs images (M, 28, 28) and M labels, not {images.shape} and {labels.shape}."
            )
        digest = hashlib.sha256(images.tobytes() + labels.astype(np.int64).tobytes()).hexdigest()[:16]
        protocol = {
            "judge": f"digits {digits}",
            "version": VERSION,
            "size": size,
            "seed": seed,
            "trained_on": digest,
        }
        net: WindowNet | FrameNet
        if digits == 1:
            net = trained(protocol, WindowNet, lambda: fit_windows(images, labels, size, seed))
        else:
            net = trained(protocol, FrameNet, lambda: fit_frames(images, labels, size, seed))
        return cls(size, digits, net, protocol | {"weights": weights_hash(net)})

    def __call__(self, clips: Clips) -> Labels:
        """The pairs (digit, axis) seen in each clip, (N, digits, 2); two digits in no particular order."""
        _check(clips, self.size)
        with torch.inference_mode():
            read = self._one if self.digits == 1 else self._two
            return np.concatenate([read(part) for part in _parts(clips)]).astype(np.int64)

    def steps(self, clips: Clips) -> NDArray[np.float64]:
        """Mean distance of the features of neighbouring frames, one number for each of at most 128 clips.

        Features: the network's convolutions on whole frames, averaged over each quarter. A frozen clip has 0.
        """
        _check(clips, self.size)
        some = clips[np.linspace(0, len(clips) - 1, min(len(clips), STEADY)).astype(np.int64)]
        with torch.inference_mode():
            return np.concatenate([self._steps(part) for part in _parts(some)])

    def _steps(self, clips: Tensor) -> NDArray[np.float64]:
        n, t = clips.shape[:2]
        maps = self.net.trunk(to_side(clips.flatten(0, 1)[:, None], FRAME))
        quarters = F.adaptive_avg_pool2d(maps, 2).view(n, t, -1)
        return quarters.diff(dim=1).norm(dim=2).mean(1).double().numpy()

    def _one(self, clips: Tensor) -> NDArray[np.int64]:
        centre = centroids(clips)  # (N, T, 2)
        windows = _cut(clips.flatten(0, 1), centre.flatten(0, 1), digit_side(self.size))
        scores = F.log_softmax(self.net(windows), 1).view(*clips.shape[:2], 10).mean(1)
        return np.stack([scores.argmax(1).numpy(), _axis(centre)], 1)[:, None]

    def _two(self, clips: Tensor) -> NDArray[np.int64]:
        n, t = clips.shape[:2]
        maps = self.net(to_side(clips.flatten(0, 1)[:, None], FRAME)).view(n, t, 11, GRID, GRID)
        digit, path = best_tracks(maps)  # (N, 2), (N, 2, T, 2)
        return np.stack([digit.numpy(), _axis(path.flatten(0, 1)).reshape(n, 2)], 2)


def digit_judge(size: int, digits: int = 1, seed: int = 0) -> CaptionJudge:
    """The judge for the bundled digits, trained on the images of their training split."""
    images, labels = bundled_digits()
    rows = np.concatenate(split_digits(labels, "train"))
    return CaptionJudge.fit(images[rows], labels[rows], size=size, digits=digits, seed=seed)


def caption_fidelity(
    clips: Clips, labels: Labels, judge: CaptionJudge, real: tuple[Clips, Labels] | None = None
) -> dict[str, float]:
    """Scores of clips against the digits and axes that their captions ask for.

    Args:
        clips: uint8 (N, T, H, W, C).
        labels: what each caption says, (N, digits, 2); two digits may stand in either order.
        judge: for this size and number of digits.
        real: real clips and their labels; with them diversity and coherence are relative to real.

    Returns:
        `digit`: share of clips with the right digit (both, in any order); `direction`: with the right axes;
        `joint`: with the right pairs; `diversity`: standard deviation of a pixel over clips of one caption;
        `coherence`: distance of neighbouring frames' features, below 1 too still, above 1 unsteady; `ink`:
        mean brightness in [0, 1].
    """
    if labels.shape != (len(clips), judge.digits, 2):
        raise UsageError(f"labels must have shape {(len(clips), judge.digits, 2)}, not {labels.shape}.")
    scores = match(judge(clips), labels)
    scores["diversity"], scores["coherence"] = diversity(clips, labels), float(judge.steps(clips).mean())
    if real is not None:
        scores["diversity"] /= max(diversity(*real), 1e-12)
        scores["coherence"] /= max(float(judge.steps(real[0]).mean()), 1e-12)
    return scores | {"ink": float(clips.mean(dtype=np.float64) / 255)}


def match(seen: Labels, wanted: Labels) -> dict[str, float]:
    """Shares of rows whose digits, axes and pairs agree, whatever their order: joint, digit, direction."""
    pair = _sorted(_codes(wanted)) == _sorted(_codes(seen))
    both = {"digit": 0, "direction": 1}
    shares = {
        k: float((_sorted(seen[..., i]) == _sorted(wanted[..., i])).all(1).mean()) for k, i in both.items()
    }
    return shares | {"joint": float(pair.all(1).mean())}


def diversity(clips: Clips, labels: Labels) -> float:
    """Standard deviation of a pixel over the clips of one caption, mean over pixels and captions, in [0, 1].

    Captions with a single clip are left out; none left gives nan.
    """
    codes = _sorted(_codes(labels))
    _, group = np.unique(codes, axis=0, return_inverse=True)
    spreads = [
        (clips[group == g].astype(np.float32) / 255).std(0, ddof=1).mean(dtype=np.float64)
        for g in range(group.max() + 1)
        if (group == g).sum() > 1
    ]
    return float(np.mean(spreads)) if spreads else float("nan")


def centroids(clips: Tensor) -> Tensor:
    """Centre of the ink in each frame, (N, T, 2) as (y, x) in pixels; the middle where a frame is black."""
    n, t, h, w = clips.shape
    ink = clips.sum((2, 3))
    y = (clips.sum(3) @ torch.arange(h, dtype=clips.dtype)) / ink.clamp(min=1e-6)
    x = (clips.sum(2) @ torch.arange(w, dtype=clips.dtype)) / ink.clamp(min=1e-6)
    dark = ink < 1e-3
    return torch.stack([y.masked_fill(dark, (h - 1) / 2), x.masked_fill(dark, (w - 1) / 2)], 2).view(n, t, 2)


def _axis(path: Tensor) -> NDArray[np.int64]:
    """0 where the path (N, T, 2) of (y, x) spreads more along x, 1 along y, -1 where it stands still."""
    y, x = path.double().std(1, correction=0).unbind(1)
    axis = (y > x).long()
    return axis.masked_fill(torch.maximum(x, y) < 1e-3, -1).numpy()


def _cut(frames: Tensor, centre: Tensor, side: int) -> Tensor:
    """Windows (B, 1, 28, 28) of `side` pixels around `centre` (B, 2) of frames (B, H, W), black outside."""
    padded = F.pad(frames, [side] * 4)
    corner = (centre - (side - 1) / 2).round().long() + side
    y = corner[:, 0, None, None] + torch.arange(side)[:, None]
    x = corner[:, 1, None, None] + torch.arange(side)
    return to_side(padded[torch.arange(len(frames))[:, None, None], y, x][:, None], SIDE)


def _parts(clips: Clips) -> Iterator[Tensor]:
    """Grey float clips (n, T, H, W) in [0, 1], some at a time."""
    for i in range(0, len(clips), CHUNK):
        yield torch.from_numpy(clips[i : i + CHUNK].mean(-1, dtype=np.float32) / 255)


def _codes(labels: Labels) -> NDArray[np.int64]:
    """One number for each (digit, axis); axis may be -1."""
    return labels[..., 0] * 3 + labels[..., 1]


def _sorted(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sort(codes, axis=-1)


def _check(clips: Clips, size: int) -> None:
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[2:4] != (size, size):
        raise UsageError(
            f"this judge reads uint8 clips (N, T, {size}, {size}, C), not {clips.dtype} {clips.shape}."
        )
