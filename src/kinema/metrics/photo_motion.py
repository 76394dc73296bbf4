"""Clips made from one photo, against the real clips that begin with it: pixels, motion, and the wind.

A still copy of the photo wins PSNR and SSIM on most time-lapses, so its row stands beside every result, and
how much the clips move stands beside how near they are.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from kinema.data.skies import WIND, drift
from kinema.losses.gram import gram
from kinema.metrics.pixels import psnr, ssim
from kinema.metrics.report import Row

Clips = NDArray[np.uint8]  # (N, T, H, W, 3)
Means = dict[str, NDArray[np.float64]]
LAST, CHUNK = 8, 20
COPY = "copy of the first frame"


def photo_motion(system: Any, data: Any, *, n: int, seed: int, log: Callable[[str], object]) -> list[Row]:
    """How near the clips are to the real ones from the second frame on, and how much they move.

    PSNR and SSIM are means over frames and clips, `last` over the last eight frames; motion (the mean change
    from frame to frame) and drift (from first to last) are relative to the real clips; Gram 1 and 3 are sums
    of absolute differences of Gram matrices behind the first and third layer of a random network. Nothing is
    left to chance, so `seed` is not used.
    """
    del seed
    n = min(n, len(data))
    found: dict[str, list[tuple[int, Means]]] = {}
    for rows in _chunks(n):
        real = data.pixels(rows)
        for name, clips in (_made(system, real) | _baselines(data, rows, real)).items():
            found.setdefault(name, []).append((len(rows), compare(clips, real)))
        log(f"{rows.stop} of {n} clips compared")
    protocol = {"metric": "photo motion", "data": data.describe, "frames": "2 to the last", "last": LAST}
    return [_row(name, parts, n, protocol) for name, parts in found.items()]


def wind(system: Any, data: Any, *, n: int, seed: int, log: Callable[[str], object]) -> list[Row]:
    """Do the clouds of procedural skies move as the photo says? Nothing for data without a known wind."""
    del seed
    if not hasattr(data, "wind"):
        log("the wind of these clips is not known; it is only of procedural skies.")
        return []
    n = min(n, len(data))
    found: dict[str, list[NDArray[np.float64]]] = {}
    for rows in _chunks(n):
        real = data.pixels(rows)
        sets = {**_made(system, real), COPY: _still(real), "real, held out": real}
        for name, clips in sets.items():
            found.setdefault(name, []).append(speed(clips))
    true = data.wind(range(n)).astype(np.float64)
    protocol = {"metric": "wind", "data": data.describe, "unit": "pixels a frame"}
    return [Row(name, agreement(np.concatenate(parts), true), n, protocol) for name, parts in found.items()]


def compare(made: Clips, real: Clips) -> Means:
    """Means over clips: by frame from the second on (T - 1,), or one number."""
    a, b = made.astype(np.float32) / 255, real.astype(np.float32) / 255
    later = range(1, real.shape[1])
    means: dict[str, Any] = {
        "PSNR": [psnr(made[:, t], real[:, t]) for t in later],
        "SSIM": [ssim(made[:, t], real[:, t]) for t in later],
        "MSE": np.square(a - b).mean((0, 2, 3, 4))[1:],
    }
    for who, clips in (("made", a), ("real", b)):
        means[f"{who} motion"] = np.abs(np.diff(clips, axis=1)).mean()
        means[f"{who} drift"] = np.abs(clips[:, -1] - clips[:, 0]).mean()
    for layer, x, y in zip((1, 3), random_features(made), random_features(real), strict=True):
        means[f"Gram {layer}"] = (gram(x) - gram(y)).abs().sum((1, 2)).mean()
    return {name: np.asarray(value, np.float64) for name, value in means.items()}


def random_features(clips: Clips) -> list[torch.Tensor]:
    """Maps behind the first and third layer of a random network, always the same (N, C, T', H', W')."""
    generator = torch.Generator().manual_seed(0)
    x, maps = torch.from_numpy(clips.astype(np.float32) / 127.5 - 1).movedim(-1, 1), []
    for inputs, outputs, kernel in ((3, 16, (3, 4, 4)), (16, 32, (4, 4, 4)), (32, 64, (4, 4, 4))):
        filters = torch.randn(outputs, inputs, *kernel, generator=generator)
        filters *= (2 / filters[0].numel()) ** 0.5
        x = F.leaky_relu(F.conv3d(x, filters, stride=(1 if inputs == 3 else 2, 2, 2), padding=1), 0.2)
        maps.append(x)
    return [maps[0], maps[2]]


def speed(clips: Clips) -> NDArray[np.float64]:
    """Pixels a frame by which the upper part of clips moves to the right, by cross-correlation (N,).

    Compared are the frames at a quarter and at half of the length, in the top 28 of 64 rows.
    """
    frames, height, width = clips.shape[1:4]
    first, second = frames // 4, frames // 2
    grey = clips[:, [first, second], : height * 28 // 64].mean(-1)  # (N, 2, rows, W)
    spectrum = np.fft.rfft(grey - grey.mean(-1, keepdims=True))
    score = np.fft.irfft((spectrum[:, 0].conj() * spectrum[:, 1]).sum(1), n=width)  # (N, W)
    best = score.argmax(1)
    left, peak, right = (np.take_along_axis(score, (best + d)[:, None] % width, 1)[:, 0] for d in (-1, 0, 1))
    bend = left - 2 * peak + right
    exact = best + np.divide(left - right, 2 * bend, out=np.zeros_like(peak), where=bend < 0)
    return (exact - width * (exact > width / 2)) / (second - first)


def agreement(measured: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, float]:
    """Share of right directions, Pearson's correlation, mean absolute error; zero for what stands still."""
    varies = measured.std() > 1e-6 and true.std() > 1e-6
    return {
        "direction": float((np.sign(measured.round(6)) == np.sign(true)).mean()),
        "correlation": float(np.corrcoef(measured, true)[0, 1]) if varies else 0.0,
        "error": float(np.abs(measured - true).mean()),
    }


def _chunks(n: int) -> Iterator[range]:
    return (range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _made(system: Any, real: Clips) -> dict[str, Clips]:
    """What each stage makes of the first frames; the last stage has the name of the system."""
    made = system.animate(real[:, 0])  # (N, stages, T, H, W, 3)
    stages = made.shape[1]
    names = [f"{system.name}, stage {k + 1}" for k in range(stages - 1)] + [system.name]
    return {name: made[:, k] for k, name in enumerate(names)}


def _still(real: Clips) -> Clips:
    return np.broadcast_to(real[:, :1], real.shape)


def _baselines(data: Any, rows: range, real: Clips) -> dict[str, Clips]:
    """The still copy, and for procedural skies the first frame moved as a whole."""
    sets = {COPY: _still(real)}
    if hasattr(data, "wind"):
        speeds = {"true": data.wind(rows)}
        if not data.signed:  # else the mean wind is none, and the copy is there already
            speeds["mean"] = np.full(len(rows), sum(WIND) / 2 * data.size / 64)
        for name, winds in speeds.items():
            sets[f"first frame at the {name} wind"] = np.stack(
                [_moved(clip[0], v, len(clip)) for clip, v in zip(real, winds, strict=True)]
            )
    return sets


def _moved(frame: NDArray[np.uint8], speed: float, frames: int) -> NDArray[np.uint8]:
    """A frame (H, W, 3), ridge and all, moved round and round: (T, H, W, 3)."""
    clip = drift(frame.transpose(2, 0, 1).astype(np.float32), speed, frames)  # (T, 3, H, W)
    return np.rint(clip).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _row(name: str, parts: list[tuple[int, Means]], n: int, protocol: dict[str, Any]) -> Row:
    weights = [count for count, _ in parts]
    mean = {key: np.average([m[key] for _, m in parts], axis=0, weights=weights) for key in parts[0][1]}
    numbers = {key: float(mean[key].mean()) for key in ("PSNR", "SSIM", "MSE")}
    numbers |= {f"{key} last": float(mean[key][-LAST:].mean()) for key in ("PSNR", "SSIM")}
    for key in ("motion", "drift"):
        numbers[key] = float(mean[f"made {key}"] / max(float(mean[f"real {key}"]), 1e-9))
    numbers |= {key: float(mean[key]) for key in ("Gram 1", "Gram 3")}
    curves = {key: [round(float(v), 4) for v in mean[key]] for key in ("PSNR", "SSIM")}
    return Row(name, numbers, n, {**protocol, "by frame": curves})
