"""Clips with captions from a folder, in any of the layouts of `layout`."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.data.captions import Split, meaning, swap_directions, words
from kinema.data.chance import uniform
from kinema.data.clips import LEVELS
from kinema.data.layout import Entry, Problem, read_layout
from kinema.data.prepare import prepare, window

MOST_BROKEN = 0.01
"""share of clips that may be skipped; above it nothing is trained"""
MEMORY_BYTES = 2**31
"""clips are kept decoded up to this many bytes, and decoded each time they are asked for beyond"""

WINDOWS = 32
"""items that a training clip makes with each of its sentences when its frames are drawn"""

log = logging.getLogger("kinema")


class FolderClips:
    """Clips of a folder, cropped to the middle square and area-averaged, with their sentences.

    An item is a clip with one of its sentences: first every clip with its first sentence, then those that
    have a second one, and so on. A wrong caption comes from another clip and says something else than all
    sentences of this one. Every clip is decoded once at the start, so that a broken one is known before
    anything long begins.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        frames: int = 16,
        size: int = 48,
        channels: int = 1,
        split: Split = "train",
        seed: int = 0,
        captions: bool = True,
        swap_axes: bool = False,
        only: Path | None = None,
        frame_steps: tuple[int, ...] = (),
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Read the folder's list and decode its clips.

        Args:
            folder: holds the clips and their list.
            frames: frames a clip; a longer one is sampled evenly, a shorter one cannot be used.
            size: side of the square frames in pixels.
            channels: 1 (grey) or 3.
            split: "train", "val" or "all".
            seed: of the wrong captions.
            captions: whether every clip must have a sentence.
            swap_axes: exchange the directions in captions of moving digits: for files of the older public
                script, whose "left and right" clips move vertically.
            only: a text file that names the clips to use.
            frame_steps: show `frames` frames this far apart, from a start of their own, instead of evenly
                sampled ones; of several distances one is drawn. A training clip then makes 32 items, each
                with its own distance and start; any other clip shows its middle.
            memory_bytes: most bytes of decoded clips to keep.
        """
        self.folder, self.split, self.seed = Path(folder), split, seed
        self.frames, self.size, self.channels, self.frame_steps = frames, size, channels, frame_steps
        if any(step < 1 for step in frame_steps):
            raise UsageError(f"frame_steps are at least 1, not {min(frame_steps)}.")
        layout = read_layout(self.folder, only)
        if captions and layout.entries and not layout.captioned():
            raise DataError(no_captions(self.folder))
        if swap_axes:
            for entry in layout.entries:
                entry.captions = [swap_directions(text) for text in entry.captions]
        self._layout, self._needs_captions = layout, captions
        self._everything = layout.entries
        chosen = layout.choose(split)
        if not chosen and layout.entries:
            raise DataError(
                f"'{folder}' has no clips for split '{split}'; mark rows with \"split\": \"{split}\"."
            )
        self.problems = layout.problems + [
            Problem(e.name, "has no caption") for e in chosen if captions and not e.captions
        ]
        self._decode(self._usable(split), memory_bytes)
        self._refuse_many(len(layout.entries) + len(layout.problems))
        self._pair(captions)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def captions(self) -> list[str]:
        """All distinct sentences of this split, sorted."""
        return sorted({text for entry in self._entries for text in entry.captions})

    @cached_property
    def vocabulary(self) -> list[str]:
        """All distinct words of every split, sorted."""
        return sorted({word for entry in self._everything for text in entry.captions for word in words(text)})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the clips' bytes, their sentences, and how they are prepared."""
        return self.split_hash(self.split)

    def split_hash(self, split: Split) -> str:
        """The hash that this folder has when it is opened in the same way for `split`; decodes nothing."""
        settings = (self.frames, self.size, self.channels, split, self.seed, *self.frame_steps)
        digest = hashlib.sha256(repr(settings).encode())
        for entry in self._usable(split):
            digest.update(repr((entry.name, entry.captions)).encode())
            for file in sorted(entry.path.iterdir()) if entry.path.is_dir() else [entry.path]:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @property
    def describe(self) -> str:
        """The set in one sentence."""
        sizes = (
            f"{len(self.sizes)} different sizes" if len(self.sizes) > 1 else f"size {next(iter(self.sizes))}"
        )
        shape = f"{self.frames} frames of {self.size}×{self.size}×{self.channels}"
        skipped = f", {len(self.problems)} skipped" if self.problems else ""
        return (
            f"{len(self._entries)} clips of '{self.folder}' ({sizes}) as {shape}, split {self.split}, "
            f"{len(self.captions)} sentences{skipped}."
        )

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Items with video float32 (B, C, T, H, W) in [-1, 1]; see `Clips`."""
        video = LEVELS[self.pixels(indices)].transpose(0, 4, 1, 2, 3)
        items = [self._items[int(i)] for i in indices]
        index = np.asarray(indices, np.int64)
        return {
            "video": torch.from_numpy(np.ascontiguousarray(video)),
            "caption": [text for _, text in items],
            "wrong": [self._wrong(u, k) for u, (k, _) in zip(uniform(self._key, index), items, strict=True)],
            "index": torch.from_numpy(index),
        }

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The clips as bytes (B, T, H, W, C)."""
        clips = [self._items[int(i)][0] for i in indices]
        found = [self._read(self._entries[k]) if self._kept is None else self._kept[k] for k in clips]
        if self.frame_steps:
            chance = uniform(f"window {self._key}", np.asarray(indices, np.int64))
            chance = chance if self.split == "train" else np.full_like(chance, 0.5)
            shown = [
                window(u, len(f), self.frames, self.frame_steps) for u, f in zip(chance, found, strict=True)
            ]
            found = [clip[rows] for clip, rows in zip(found, shown, strict=True)]
        return np.stack(found)

    def _usable(self, split: Split) -> list[Entry]:
        """The clips of a split that have what is needed; whether they can be decoded is not known yet."""
        return [e for e in self._layout.choose(split) if e.captions or not self._needs_captions]

    @property
    def _key(self) -> str:
        return f"folder {self.split} {self.seed}"

    def _read(self, entry: Entry) -> NDArray[np.uint8]:
        pixels, _, reason = prepare(entry, self.frames, self.size, self.channels, self.frame_steps)
        if pixels is None:
            raise DataError(
                f"{entry.name} can no longer be read ({reason}); "
                f"see `kinema data check {self.folder} --for SYSTEM`."
            )
        return pixels

    def _decode(self, entries: list[Entry], memory_bytes: int) -> None:
        """Decode every clip once; keep all if they fit, else only what is known about them."""
        kept: list[NDArray[np.uint8]] = []
        self._entries, self.sizes = [], Counter[str]()
        shape = (self.frames, self.size, self.channels, self.frame_steps)
        with ThreadPoolExecutor() as pool:
            read = pool.map(lambda e: prepare(e, *shape), entries)
            for entry, (pixels, seen, reason) in zip(entries, read, strict=True):
                if pixels is None or seen is None:
                    self.problems.append(Problem(entry.name, reason))
                    continue
                self._entries.append(entry)
                self.sizes[f"{seen.width}x{seen.height}"] += 1
                memory_bytes -= pixels.nbytes
                kept.append(pixels)
                if memory_bytes < 0:
                    kept.clear()
        self._kept = kept if memory_bytes >= 0 else None

    def _refuse_many(self, n: int) -> None:
        """Stop if more than one clip in a hundred cannot be used; otherwise say which are skipped."""
        for file, reason in self.problems:
            log.warning("skipped %s: %s", file, reason)
        if len(self.problems) > MOST_BROKEN * n or not self._entries:
            first = "; ".join(f"{file}: {reason.rstrip('.')}" for file, reason in self.problems[:3])
            raise DataError(
                f"{len(self.problems)} of {n} clips in '{self.folder}' cannot be used ({first}); "
                "mend or remove them; all are listed by "
                f"`kinema data check {self.folder} --for SYSTEM` with the training's preset and settings."
            )
        if len(self.sizes) > 1:
            log.info(
                "'%s' has clips of %d sizes; all become %dx%d",
                self.folder,
                len(self.sizes),
                self.size,
                self.size,
            )

    def _pair(self, captions: bool) -> None:
        """Make the items, each a (clip, sentence), and what is needed to find wrong sentences."""
        most = max(1, *(len(e.captions) for e in self._entries)) if self._entries else 0
        texts = [e.captions or [""] for e in self._entries]
        self._items = [(k, t[turn]) for turn in range(most) for k, t in enumerate(texts) if turn < len(t)]
        self._items *= WINDOWS if self.frame_steps and self.split == "train" else 1
        self._own = [{meaning(text) for text in t} for t in texts]
        self._pool = sorted({text for t in texts for text in t})
        if captions and any(all(meaning(t) in own for t in self._pool) for own in self._own):
            self._pool = sorted({text for e in self._everything for text in e.captions})
        if captions and any(all(meaning(t) in own for t in self._pool) for own in self._own):
            raise DataError(f"the captions of '{self.folder}' all say the same; at least two must differ.")

    def _wrong(self, chance: NDArray[np.float64], clip: int) -> str:
        """A sentence drawn from the pool that says nothing this clip's own say; "" if there is none."""
        drawn = (chance * len(self._pool)).astype(int)
        for k in (
            *drawn,
            *range(len(self._pool)),
        ):  # the second part matters only when nearly all are its own
            if meaning(self._pool[k]) not in self._own[clip]:
                return self._pool[k]
        return ""


def no_captions(folder: Path) -> str:
    """What to say about a folder without sentences."""
    return (
        f"'{folder}' has clips but no captions; write a metadata.jsonl in it with a line like "
        '{"file_name": "a.mp4", "text": "a dog runs ."} for each clip.'
    )
