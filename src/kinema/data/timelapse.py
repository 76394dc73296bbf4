"""The Sky Time-lapse data set as its authors laid it out, read in runs of consecutive frames.

    sky_train/<long video>/<short video>/<name>_00000001.jpg …
    sky_test/<long video>/<short video>/…

Xiong et al. 2018 (arXiv:1709.07592): a short video gives as many clips as it has non-overlapping runs of T
frames, and none if it is shorter. Pictures are squashed to a square, not cropped. Nothing is decoded before
it is asked for; a picture that is broken is replaced by its neighbour, because some are truncated.
"""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import DataError, MediaError
from kinema.data.captions import Split
from kinema.data.clips import LEVELS
from kinema.data.layout import STILL, Problem
from kinema.data.prepare import squash
from kinema.media.limits import Limits
from kinema.media.still import read_picture

FOLDERS = {"train": ("sky_train",), "val": ("sky_test",), "all": ("sky_train", "sky_test")}
MEMORY_BYTES = 2**31
"""clips stay decoded until they fill this; what comes later is decoded each time"""

log = logging.getLogger("kinema")


def is_timelapse(folder: Path) -> bool:
    """Whether a folder has the data set's layout."""
    if folder.name in FOLDERS["all"] and folder.is_dir():
        raise DataError(
            f"'{folder}' is one half of the set; give the folder that holds it: '{folder.parent}'."
        )
    return any((folder / name).is_dir() for name in FOLDERS["all"])


def short_videos(folder: Path, split: Split) -> dict[str, list[Path]]:
    """Name -> pictures in the order of their names, of every short video of a split."""
    found = {}
    for path in sorted(p for part in FOLDERS[split] for p in (folder / part).glob("*/*") if p.is_dir()):
        pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in STILL)
        found[path.relative_to(folder).as_posix()] = pictures
    return found


class TimeLapse:
    """Clips of T consecutive frames of short videos; see `Clips`. There are no captions."""

    def __init__(
        self,
        folder: str | Path,
        *,
        frames: int = 32,
        size: int = 128,
        split: Split = "train",
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """List the short videos; nothing is decoded yet.

        Args:
            folder: holds sky_train and sky_test.
            frames: frames a clip.
            size: side of the square frames in pixels.
            split: "train", "val" (sky_test) or "all".
            memory_bytes: most bytes of decoded clips to keep.
        """
        self.folder, self.frames, self.size, self.split = Path(folder), frames, size, split
        videos = short_videos(self.folder, split)
        self._runs = [
            (name, pictures[start : start + frames])
            for name, pictures in videos.items()
            for start in range(0, len(pictures) - frames + 1, frames)
        ]
        self.videos = len(videos)
        self.problems = too_short(videos, frames)
        if not self._runs:
            wanted = " or ".join(FOLDERS[split])
            raise DataError(
                f"'{folder}' has no short video with {frames} frames in {wanted}; expected "
                f"{FOLDERS[split][0]}/<long video>/<short video>/<pictures>."
            )
        if self.problems:
            log.warning("skipped %d short videos with fewer than %d frames", len(self.problems), frames)
        self._room = memory_bytes // (frames * size * size * 3)
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._pool = ThreadPoolExecutor(thread_name_prefix="kinema-frames")

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def captions(self) -> list[str]:
        """None."""
        return []

    @property
    def vocabulary(self) -> list[str]:
        """No words."""
        return []

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the pictures' names and sizes in bytes, and of how they are prepared."""
        digest = hashlib.sha256(repr((self.frames, self.size, self.split)).encode())
        for name, pictures in self._runs:
            digest.update(repr((name, [(p.name, p.stat().st_size) for p in pictures])).encode())
        return digest.hexdigest()

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        shape = f"{self.frames} consecutive frames of {self.size}×{self.size}×3"
        skipped = f", {len(self.problems)} shorter ones skipped" if self.problems else ""
        return (
            f"{len(self)} clips of '{self.folder}' as {shape}, split {self.split}, "
            f"from {self.videos - len(self.problems)} short videos{skipped}."
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Items as "video" float32 (B, 3, T, S, S) in [-1, 1] and "index" int64 (B,), with empty captions."""
        video = LEVELS[self.pixels(indices)].transpose(0, 4, 1, 2, 3)
        return {
            "video": torch.from_numpy(np.ascontiguousarray(video)),
            "caption": [""] * len(indices),
            "wrong": [""] * len(indices),
            "index": torch.as_tensor(np.asarray(indices, np.int64)),
        }

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The clips as bytes (B, T, S, S, 3)."""
        return np.stack([self._clip(int(i)) for i in indices])

    def _clip(self, index: int) -> NDArray[np.uint8]:
        if index in self._kept:
            return self._kept[index]
        _, pictures = self._runs[index]
        frames = enumerate(self._pool.map(self._frame, pictures))
        good = {k: frame for k, frame in frames if frame is not None}
        if not good:
            raise DataError(f"none of the {len(pictures)} pictures from {pictures[0]} on can be read.")
        nearest = [min((abs(k - t), k) for k in good)[1] for t in range(len(pictures))]
        clip = np.stack([good[k] for k in nearest])
        if len(self._kept) < self._room:
            self._kept[index] = clip
        return clip

    def _frame(self, path: Path) -> NDArray[np.uint8] | None:
        """A picture squashed to (S, S, 3), or None if it is broken."""
        try:
            return squash(read_picture(path, Limits()), self.size)
        except MediaError as error:
            log.warning("the frame beside it stands for a broken one: %s", error)
            return None


def too_short(videos: dict[str, list[Path]], frames: int) -> list[Problem]:
    """Short videos that give no clip, and why."""
    return [
        Problem(name, f"has {len(pictures)} frames; {frames} are needed")
        for name, pictures in videos.items()
        if len(pictures) < frames
    ]
