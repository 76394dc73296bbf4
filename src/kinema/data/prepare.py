"""One clip from disk to bytes of the size and length that networks want: sampled, cropped, area-averaged."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import MediaError
from kinema.data.digits import area_weights
from kinema.data.layout import Entry
from kinema.data.strips import cut
from kinema.media import stream

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. ITU-R BT.601


class Seen(NamedTuple):
    """What a clip on disk is."""

    width: int
    height: int
    frames: int


def prepare(
    entry: Entry, frames: int, size: int, channels: int, frame_steps: tuple[int, ...] = ()
) -> tuple[NDArray[np.uint8] | None, Seen | None, str]:
    """Read a clip as uint8 (T, S, S, C), or say in words why not.

    Memory holds one full frame at a time; of a longer clip, `frames` are taken at even distances, first and
    last included. With `frame_steps` all its frames are given, and `window` says which to show.

    Returns:
        The clip or None, what it is on disk if it could be read, and the reason if it cannot be used.
    """
    try:
        with stream(entry.path) as clip:
            width, height = clip.info.width, clip.info.height
            if entry.strip:
                whole = cut(entry.path, next(clip))
                width, height = whole[0].shape[1], whole[0].shape[0]
            small = [fit(frame, size, channels) for frame in (whole if entry.strip else clip)]
            seen = Seen(width, height, len(small))
    except MediaError as error:
        return None, None, str(error)
    step = min(frame_steps, default=1)
    needed = (frames - 1) * step + 1
    if len(small) < needed:
        apart = f" ({frames}, {step} apart)" if step > 1 else ""
        return None, seen, f"has {len(small)} frames; {needed} are needed{apart}"
    if frame_steps:
        return np.stack(small), seen, ""
    chosen = np.rint(np.linspace(0, len(small) - 1, frames)).astype(int)
    return np.stack([small[k] for k in chosen]), seen, ""


def window(
    chance: NDArray[np.float64], length: int, frames: int, frame_steps: tuple[int, ...]
) -> NDArray[np.int64]:
    """Which frames of a clip of `length` to show: the step is drawn from those that fit, then the start.

    Args:
        chance: two numbers in [0, 1); (0.5, 0.5) is the middle.
        length: frames of the clip.
        frames: how many are shown.
        frame_steps: distances from one shown frame to the next.
    """
    fitting = [step for step in frame_steps if (frames - 1) * step < length]
    step = fitting[int(chance[0] * len(fitting))]
    starts = length - (frames - 1) * step
    return int(chance[1] * starts) + step * np.arange(frames)


def fit(frame: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.uint8]:
    """Crop the middle square of a frame (H, W, 3) and area-average it to (S, S, C)."""
    h, w, _ = frame.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = frame[top : top + side, left : left + side]
    if side == size and channels == 3:
        return np.ascontiguousarray(square)
    values = square.astype(np.float32)
    if channels == 1:
        values = (values @ _LUMA)[..., None]
    weights = area_weights(side, size)
    rows = (weights @ values.reshape(side, -1)).reshape(size, side, channels)
    averaged = np.einsum("xw,ywc->yxc", weights, rows, optimize=True)
    return np.rint(averaged).clip(0, 255).astype(np.uint8)


def squash(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Area-average a whole frame (H, W, 3) to (S, S, 3), whatever its sides; nothing is cropped."""
    height, width, channels = frame.shape
    rows = area_weights(height, size) @ frame.reshape(height, -1).astype(np.float32)  # (S, W·3)
    averaged = np.einsum("xw,ywc->yxc", area_weights(width, size), rows.reshape(size, width, channels))
    return np.rint(averaged).clip(0, 255).astype(np.uint8)
