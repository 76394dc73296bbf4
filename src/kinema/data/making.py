"""Write a procedural set to disk: clips with the metadata.jsonl that `open_clips` reads back, or pictures."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kinema.core.errors import DataError, UsageError, nearest
from kinema.core.files import disk_errors
from kinema.core.results import Image, Video
from kinema.data.action_units import UNITS
from kinema.data.captions import Split, Template
from kinema.data.digits import Digits
from kinema.data.heads import Heads
from kinema.data.mirrored import SHAPES, mirrored
from kinema.data.moving import MovingDigits
from kinema.data.picture_folder import check_memory
from kinema.data.shapes import MovingShapes
from kinema.data.skies import Skies
from kinema.data.sources import DIGITS, PROCEDURAL, procedural
from kinema.media import save

Format = Literal["npz", "gif", "mp4", "webm"]
TRAIN_SHARE = 5 / 6
"""of the clips of split "all", as in 12,000 = 10,000 + 2,000"""


def make(
    name: str,
    n: int,
    out: str | Path,
    *,
    size: int = 64,
    frames: int | None = None,
    split: Split = "all",
    seed: int = 0,
    template: Template = "long",
    bank: Digits | None = None,
    format: Format | None = None,
) -> None:
    """Write `n` clips of a procedural set, and what is known of them, into a new folder.

    "mirrored" are pictures: png in folders of their classes, in train/ and val/, for `open_pictures`; "heads"
    are pictures with their action units in metadata.jsonl, for `open_faces`.

    Clips are npz unless asked otherwise: the bytes come back exactly and fast, where mp4 and webm blur the
    edges of digits; gif is exact too. Split "all" writes five sixths of training clips and the rest of
    validation, and marks them.

    Args:
        name: "sbmg" or "tbmg", perhaps with ":holdout", "shapes", "skies", perhaps with ":signed",
            "mirrored" or "heads".
        n: number of clips or pictures.
        out: a folder that does not exist yet or is empty.
        size: side of the square frames in pixels.
        frames: frames a clip; None: 16 of digits and shapes, 32 of skies.
        split: "train", "val" or "all".
        seed: fixes every clip.
        template: wording of the captions of digits.
        bank: other digits than the bundled ones.
        format: npz, gif, mp4 or webm; None: npz of clips. Pictures are png.
    """
    out, base = Path(out), name.partition(":")[0]
    if name in STILLS and (frames, format, template, bank) != (None, None, "long", None):
        raise UsageError(f"frames, format, template and bank belong to clips; {name} are pictures.")
    format = format or "npz"
    _check(base, n, out, split, format)
    trained = round(TRAIN_SHARE * n)
    parts: list[tuple[Split, int]] = (
        [("train", trained), ("val", n - trained)] if split == "all" else [(split, n)]
    )
    if name in STILLS:
        with disk_errors(out):
            STILLS[name](parts, size, seed, out)
        return
    settings: dict[str, Any] = {"size": size, "seed": seed} | ({} if frames is None else {"frames": frames})
    if base in DIGITS:
        settings |= {"template": template, "bank": bank}
    elif template != "long" or bank is not None:
        raise UsageError(f"template and bank belong to sets of digits, not to '{name}'.")
    sets = [procedural(name, n=count, split=part, **settings) for part, count in parts if count]
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = [row for clips in sets for row in _write(clips, name, out, format)]
        (out / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    except OSError as error:
        raise DataError(f"clips cannot be written to '{out}': {error.strerror}.") from error


def _check(base: str, n: int, out: Path, split: str, format: str) -> None:
    """Refuse what no set has, and a folder that holds something."""
    if base not in (known := (*PROCEDURAL, *STILLS)):
        raise UsageError(f"no procedural set is called '{base}'; {nearest(base, known)}.")
    if format not in get_args(Format):
        raise UsageError(f"clips are written as one of {', '.join(get_args(Format))}, not '{format}'.")
    if n < 1:
        raise UsageError(f"a set has at least one clip, not {n}.")
    if split not in get_args(Split):
        raise UsageError(f"split is one of {', '.join(get_args(Split))}, not '{split}'.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is not an empty folder; name a new folder for the clips.")


def _write(
    clips: MovingDigits | MovingShapes | Skies, name: str, out: Path, format: str
) -> list[dict[str, Any]]:
    """Save every clip of one split; returns its rows of metadata.jsonl."""
    rows = []
    for k in range(len(clips)):
        frames = clips.pixels([k])[0]  # (T, H, W, 1 or 3)
        origin = {"data": name, "split": clips.split, "seed": clips.seed, "index": k}
        file = f"{clips.split}-{k:06d}.{format}"
        rgb = np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3)))
        save(Video(rgb, Fraction(8), provenance=origin), out / file)
        rows.append({"file_name": file, **clips.row(k), "split": clips.split})
    return rows


def _write_mirrored(parts: list[tuple[Split, int]], size: int, seed: int, out: Path) -> None:
    """Save mirrored shapes in folders of their classes."""
    for split, n in parts:
        check_memory(n, size, 3)
        made = mirrored(n, size, split, seed)
        for k, (pixels, shape) in enumerate(zip(made.pixels, made.shapes, strict=True)):
            origin = {"data": "mirrored", "split": split, "seed": seed, "index": k}
            save(Image(pixels, provenance=origin), out / split / SHAPES[shape] / f"{k:06d}.png")


def _write_heads(parts: list[tuple[Split, int]], size: int, seed: int, out: Path) -> None:
    """Save rendered heads with their action units in metadata.jsonl."""
    rows = []
    for split, heads in ((split, Heads(n, size, split, seed)) for split, n in parts if n):
        for k in range(len(heads)):
            file = f"{split}-{k:06d}.png"
            units = {name: round(float(u), 4) for name, u in zip(UNITS, heads.units[k], strict=True)}
            origin = {"data": "heads", "split": split, "seed": seed, "index": k}
            pixels = heads.rendered(k, heads.units[k]).pixels  # not kept, for there may be many
            save(Image(pixels, provenance=origin), out / file)
            rows.append({"file_name": file, "action_units": units, "split": split})
    (out / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


STILLS = {"mirrored": _write_mirrored, "heads": _write_heads}
"""sets of pictures"""
