"""How folders of clips are laid out on disk: which file is a clip and which sentences belong to it.

Four layouts are read: `metadata.jsonl` beside the clips (the convention of Hugging Face image and video
folders), the MSVD corpus (clips beside a CSV or JSON file of clip names and sentences), strips in folders of
their category (see `strips`), and clips alone. No clip is decoded here.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kinema.core.errors import DataError
from kinema.data.strips import are_strips, category

MOVING = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".apng", ".npz"}
STILL = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
SPLITS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("val", "validation", "valid", "dev", "test"), "val"
)
VAL_SHARE = 0.1
"""of the clips are kept for validation where the folder does not say which"""

_FILE = ("file_name", "clip", "clip_id", "clip id", "video", "video_id", "id", "name")
_TEXT = ("text", "caption", "captions", "texts", "sentence", "sentences", "description")


class Problem(NamedTuple):
    """A file, or a line of a list, that cannot be used, and why."""

    file: str
    reason: str


@dataclass
class Entry:
    """One clip on disk: a file or a folder of frames, its sentences, and its split if the folder says so."""

    name: str
    path: Path
    captions: list[str] = field(default_factory=list)
    split: str | None = None
    strip: bool = False
    """whether it is one picture of all its frames"""


@dataclass
class Layout:
    """What a folder holds before anything is decoded."""

    folder: Path
    entries: list[Entry]
    problems: list[Problem]
    source: str
    """the file that the sentences come from, or "" """
    unnamed: list[str] = field(default_factory=list)
    """clips that lie in the folder and are not named there"""

    def captioned(self) -> bool:
        """Whether any clip has a sentence."""
        return any(entry.captions for entry in self.entries)

    def choose(self, split: str) -> list[Entry]:
        """The clips of "train", "val" or "all", in a fixed order.

        Where no clip is marked, a tenth of them, chosen by a hash of their names, is for validation.
        """
        if split == "all":
            return self.entries
        if any(entry.split for entry in self.entries):
            return [e for e in self.entries if (e.split or "train") == split]
        shuffled = sorted(self.entries, key=lambda e: hashlib.sha256(e.name.encode()).digest())
        held = {e.name for e in shuffled[: max(1, round(VAL_SHARE * len(shuffled)))]}
        return [e for e in self.entries if (e.name in held) == (split == "val")]


def read_layout(folder: Path, only: Path | None = None) -> Layout:
    """Find the clips of a folder and their sentences.

    Args:
        folder: holds the clips; `metadata.jsonl` or a CSV or JSON file with sentences lies in it.
        only: a text file that names the clips to use, one a line, each optionally followed by its split.
    """
    if not folder.exists():
        raise DataError(
            f"the folder '{folder}' does not exist; give a folder of clips with a metadata.jsonl in it."
        )
    if not folder.is_dir():
        raise DataError(f"'{folder}' is a file; give the folder that holds the clips and metadata.jsonl.")
    files = list(_visible(folder))
    pictures = [path for path in files if path.suffix.lower() in STILL]
    strips = are_strips(folder, pictures) and not any(path.suffix.lower() in MOVING for path in files)
    clips = {p.relative_to(folder).as_posix(): p for p in pictures} if strips else _find_clips(folder)
    if not clips:
        raise DataError(
            f"'{folder}' holds no clips; expected mp4, mov, webm, gif, apng, npz, or folders of pictures."
        )
    layout = Layout(folder, [], [], "")
    source = _find_list(folder)
    if source is None:
        layout.entries = [Entry(name, path) for name, path in clips.items()]
    else:
        layout.source = source.name
        _collect(layout, _rows(source), clips)
        if not layout.entries and not layout.problems:
            raise DataError(f"'{source}' names no clips; it needs one line for each clip in the folder.")
    for entry in layout.entries if strips else ():
        entry.strip = True
        if source is None:
            entry.captions = category(folder, entry.path)
    if only is not None:
        _restrict(layout, only)
    return layout


def _visible(folder: Path) -> Iterator[Path]:
    """Everything under `folder` whose name, and whose folders' names, begin with no dot; sorted."""
    for path in sorted(folder.rglob("*")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _find_clips(folder: Path) -> dict[str, Path]:
    """Every clip under `folder`, by its path in it: files that move, and subfolders that hold pictures."""
    found = {}
    for path in _visible(folder):
        suffix = path.suffix.lower()
        clip = path if suffix in MOVING else path.parent if suffix in STILL else None
        if clip is not None and clip != folder:
            found[clip.relative_to(folder).as_posix()] = clip
    return found


def _find_list(folder: Path) -> Path | None:
    """The file with the sentences; metadata.jsonl comes before CSV and JSON files."""
    for pattern in ("metadata.jsonl", "metadata.csv", "*.csv", "*.json"):
        found = [p for p in sorted(folder.glob(pattern)) if p.name not in ("provenance.json", "dataset.json")]
        if len(found) > 1:
            names = ", ".join(p.name for p in found)
            raise DataError(
                f"'{folder}' has more than one list of sentences ({names}); name one of them metadata.csv."
            )
        if found:
            return found[0]
    return None


def _rows(source: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Rows as (place in the file, fields in lower case, or what is wrong with the row)."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{source}' cannot be read as text: {error}.") from error
    if source.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"{source.name} line {number}", _json_row(line)
    elif source.suffix == ".json":
        yield from _json_rows(source, text)
    else:
        yield from _csv_rows(source, text)


def _json_row(line: str) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is not JSON ({error})"
    return {k.lower(): v for k, v in row.items()} if isinstance(row, dict) else "is not a JSON object"


def _json_rows(source: Path, text: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Either {"clip": ["sentence", …], …} or [{"clip": …, "sentence": …}, …]."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{source}' is not JSON: {error}.") from error
    if isinstance(data, dict):
        data = [{"clip": clip, "text": sentences} for clip, sentences in data.items()]
    if not isinstance(data, list):
        raise DataError(
            f"'{source}' should map clip names to sentences, or list objects with 'clip' and 'sentence'."
        )
    for number, row in enumerate(data, 1):
        yield f"{source.name} row {number}", _json_row(json.dumps(row))


def _csv_rows(source: Path, text: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """A header is optional: without one the columns are clip name and sentence.

    The MSVD corpus names a clip by VideoID, Start and End, and says the language of every sentence; English
    is kept.
    """
    lines = list(csv.reader(text.splitlines()))
    head = [cell.strip().lower() for cell in lines[0]] if lines else []
    headed = any(cell in _TEXT for cell in head)
    for number, cells in enumerate(lines[headed:], 1 + headed):
        row = dict(zip(head if headed else ("clip", "text"), cells, strict=False))
        if {"videoid", "start", "end"} <= row.keys():
            row["clip"] = f"{row['videoid']}_{row['start']}_{row['end']}"
        if cells and row.get("language", "English").lower() == "english":
            yield f"{source.name} line {number}", row


def _collect(
    layout: Layout, rows: Iterator[tuple[str, dict[str, Any] | str]], clips: dict[str, Path]
) -> None:
    """Join rows about the same clip; note what cannot be used."""
    stems = {Path(name).stem: name for name in clips}
    entries: dict[str, Entry] = {}
    unnamed = dict(clips)
    for place, row in rows:
        if isinstance(row, str):
            layout.problems.append(Problem(place, row))
            continue
        given = next((row[key] for key in _FILE if row.get(key)), None)
        name = _match(given, clips, stems) if isinstance(given, str) else None
        unnamed.pop(name or "", None)
        texts: Any = next((row[key] for key in _TEXT if row.get(key)), [])
        split = row.get("split")
        if not isinstance(given, str):
            layout.problems.append(Problem(place, "names no file (expected the field file_name)"))
        elif split and str(split).lower() not in SPLITS:
            layout.problems.append(Problem(place, f"has the split '{split}'; expected train or val"))
        elif name is None:
            layout.problems.append(Problem(given, f"is named in {place} but is not in the folder"))
        else:
            entry = entries.setdefault(name, Entry(name, clips[name]))
            sentences = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
            entry.captions += [t.strip() for t in sentences if isinstance(t, str) and t.strip()]
            entry.split = SPLITS[str(split).lower()] if split else entry.split
    layout.entries, layout.unnamed = list(entries.values()), list(unnamed)


def _match(given: str, clips: dict[str, Path], stems: dict[str, str]) -> str | None:
    """The clip that a list means: by its path in the folder, or by its name without a suffix."""
    name = given.replace("\\", "/").removeprefix("./").rstrip("/")
    return name if name in clips else stems.get(name)


def _restrict(layout: Layout, only: Path) -> None:
    """Keep the clips that the list names; a second word on a line is the clip's split."""
    try:
        wanted = [line.split() for line in only.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of clips '{only}' cannot be read: {error}.") from error
    by_name = {key: e for e in layout.entries for key in (e.name, Path(e.name).stem)}
    kept: dict[str, Entry] = {}
    for name, *split in wanted:
        if name not in by_name:
            layout.problems.append(Problem(name, f"is named in {only.name} but is not in the folder"))
        elif split and split[0].lower() not in SPLITS:
            layout.problems.append(
                Problem(name, f"has the split '{split[0]}' in {only.name}; expected train or val")
            )
        else:
            entry = by_name[name]
            entry.split = SPLITS[split[0].lower()] if split else entry.split
            kept[entry.name] = entry
    layout.entries = list(kept.values())
