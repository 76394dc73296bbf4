"""Write a procedural set to disk: a folder of clips with the metadata.jsonl that `open_clips` reads back."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Video
from kinema.data.captions import Split, Template
from kinema.data.digits import Digits
from kinema.data.moving import MovingDigits
from kinema.data.shapes import MovingShapes
from kinema.data.skies import Skies
from kinema.data.sources import DIGITS, procedural
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
    format: Format = "npz",
) -> None:
    """Write `n` clips of a procedural set, and what is known of them, into a new folder.

    Clips are npz unless asked otherwise: the bytes come back exactly and fast, where mp4 and webm blur the
    edges of digits; gif is exact too. Split "all" writes five sixths of training clips and the rest of
    validation, and marks them.

    Args:
        name: "sbmg" or "tbmg", perhaps with ":holdout", "shapes", or "skies", perhaps with ":signed".
        n: number of clips.
        out: a folder that does not exist yet or is empty.
        size: side of the square frames in pixels.
        frames: frames a clip; None: 16 of digits and shapes, 32 of skies.
        split: "train", "val" or "all".
        seed: fixes every clip.
        template: wording of the captions of digits.
        bank: other digits than the bundled ones.
        format: npz, gif, mp4 or webm.
    """
    out = Path(out)
    if format not in get_args(Format):
        raise UsageError(f"clips are written as one of {', '.join(get_args(Format))}, not '{format}'.")
    if n < 1:
        raise UsageError(f"a set has at least one clip, not {n}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' exists and is not an empty folder; name a new folder for the clips.")
    trained = round(TRAIN_SHARE * n)
    parts: list[tuple[Split, int]] = (
        [("train", trained), ("val", n - trained)] if split == "all" else [(split, n)]
    )
    settings: dict[str, Any] = {"size": size, "seed": seed} | ({} if frames is None else {"frames": frames})
    if name.partition(":")[0] in DIGITS:
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
