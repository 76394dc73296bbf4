"""Folders of faces with their action units, in any of four layouts.

    crops/000001.png metadata.jsonl       {"file_name": "crops/000001.png", "action_units": {"AU01": 0.1, …}}
    imgs/a.jpg aus_openface.pkl           as GANimation's, with train_ids.csv and test_ids.csv, a name a line
    imgs/a.jpg units.txt                  a line for each picture: its name and 17 numbers
    a.jpg a.csv                           OpenFace's CSV beside each picture, or clip.csv and clip/000001.jpg

In metadata.jsonl the intensities are 0 to 1, and a list of 17 may stand for the names; in the others they are
0 to 5, as OpenFace writes them. The pictures are crops of one face; `kinema data action-units` makes them.
"""

import hashlib
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.data.action_units import UNITS, unit_called
from kinema.data.layout import SPLITS, STILL, Problem
from kinema.data.openface import Row, Units, is_csv, read_csv, read_pickle, scaled
from kinema.data.picture_folder import check_memory, decoded, for_validation, too_many

METADATA, PICKLE = "metadata.jsonl", "aus_openface.pkl"
LEAST_CONFIDENCE = 0.88
"""of OpenFace, below which a face is left out"""

log = logging.getLogger("kinema")


class Listed(NamedTuple):
    """A picture on disk and its units."""

    path: Path
    name: str
    units: Units
    val: bool | None
    """whether it is for validation; None where the folder does not say"""


class Listing(NamedTuple):
    """What lies in a folder of faces."""

    source: str
    """the file that the units come from, or what stands for it"""
    faces: list[Listed]
    """by name"""
    problems: list[Problem]
    """pictures and lines that cannot be used"""
    left_out: list[Problem]
    """pictures that are well and not to be learned from: of several faces, or unsure"""
    unnamed: list[str]
    """pictures without units"""

    def of(self, split: str) -> list[Listed]:
        """The faces of "train", "val" or "all"."""
        return [face for face in self.faces if split == "all" or face.val == (split == "val")]


class Found(NamedTuple):
    """The faces of one split that can be used."""

    pixels: NDArray[np.uint8]
    units: NDArray[np.float32]
    listing: Listing
    problems: list[Problem]


def read_folder(folder: Path, size: int, split: str) -> Found:
    """Decode the faces of a split: upright, the middle square, area-averaged to SxS.

    Raises:
        DataError: no layout is known, there are no faces, more than one in a hundred cannot be used, or they
            would not fit in memory.
    """
    listing = listed(folder)
    chosen = listing.of(split)
    check_memory(len(chosen), size, 3)
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda face: decoded(face.path, size, 3), chosen))
    broken = [Problem(f.name, reason) for f, (_, _, reason) in zip(chosen, read, strict=True) if reason]
    problems = [*listing.problems, *broken]
    for name, reason in problems:
        log.warning("skipped %s: %s", name, reason)
    n = len(listing.faces) + len(listing.problems)
    if too_many(len(listing.problems), n) or too_many(len(broken), len(chosen)):
        first = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in problems[:3])
        raise DataError(
            f"{len(problems)} of {n} faces in '{folder}' cannot be used ({first}); "
            f"mend or remove them; all are listed by `kinema data check {folder} --for SYSTEM`."
        )
    good = [(face, pixels) for face, (pixels, _, _) in zip(chosen, read, strict=True) if pixels is not None]
    if not good:
        raise DataError(f"'{folder}' has no faces for split '{split}'.")
    pixels, units = (np.stack(part) for part in zip(*((p, face.units) for face, p in good), strict=True))
    return Found(pixels, units, listing, problems)


def listed(folder: Path) -> Listing:
    """Every face of a folder, and a tenth of them for validation unless the folder says which.

    Raises:
        DataError: there is no such folder, or it has none of the four layouts.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder '{folder}'; `kinema data action-units` makes one of pictures or a video."
        )
    pictures = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in STILL and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }
    lists = [path for path in sorted(folder.glob("*.txt")) if is_list(path)]
    tables = [path for path in sorted(folder.rglob("*.csv")) if is_csv(path)]
    if (folder / METADATA).is_file():
        listing = _from_metadata(folder, pictures)
    elif (folder / PICKLE).is_file():
        listing = _from_pickle(folder, pictures)
    elif lists:
        listing = _from_list(lists[0], folder, pictures)
    elif tables:
        listing = _from_tables(tables, folder, pictures)
    else:
        raise DataError(
            f"'{folder}' has no action units: no {METADATA}, {PICKLE}, list of names and 17 numbers, or "
            f"CSV files of OpenFace; `kinema data action-units {folder} --out DIR` measures them."
        )
    if not listing.faces:
        first = [f" ({name}: {reason})" for name, reason in [*listing.problems, *listing.left_out][:1]]
        raise DataError(f"'{folder}' has no faces with action units in {listing.source}{''.join(first)}.")
    return listing._replace(faces=held_back(sorted(listing.faces, key=lambda face: face.name)))


def held_back(faces: list[Listed]) -> list[Listed]:
    """Keep a tenth for validation, by a hash of the names, where no face is marked."""
    if any(face.val is not None for face in faces):
        return [face._replace(val=bool(face.val)) for face in faces]
    names = sorted((face.name for face in faces), key=lambda name: hashlib.sha256(name.encode()).digest())
    held = set(names[: for_validation(len(names))])
    return [face._replace(val=face.name in held) for face in faces]


def is_list(path: Path) -> bool:
    """Whether a text file begins with a name and 17 numbers."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            words = file.readline(10_000).split()
            return len(words) == 1 + len(UNITS) and all(float(word) >= 0 for word in words[1:])
    except (OSError, ValueError):
        return False


def units_in(row: dict[str, Any]) -> Units | str:
    """The units of a line of metadata.jsonl, or what is wrong with it; units that it does not name are 0."""
    given = row.get("action_units")
    try:
        if isinstance(given, dict):
            named = {unit_called(name): float(value) for name, value in given.items()}
            given = [named.get(unit, 0.0) for unit in UNITS]
        found = np.array(given, np.float64)
    except UsageError as error:
        return str(error)
    except (TypeError, ValueError):
        return "has an intensity that is no number"
    if found.shape != (len(UNITS),):
        return f"needs action_units: {len(UNITS)} numbers, or names with numbers"
    if not np.isfinite(found).all() or found.min() < 0 or found.max() > 1:
        return f"has intensities from {found.min():g} to {found.max():g}; in {METADATA} they are 0 to 1"
    return found.astype(np.float32)


def _from_metadata(folder: Path, pictures: dict[str, Path]) -> Listing:
    listing = Listing(METADATA, [], [], [], [])
    unnamed = dict(pictures)
    for number, line in enumerate(_lines(folder / METADATA), 1):
        place = f"{METADATA} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        name = row.get("file_name") if isinstance(row, dict) else None
        split = str(row.get("split") or "").lower() if isinstance(row, dict) else ""
        units = units_in(row) if isinstance(row, dict) else ""
        if not isinstance(name, str):
            listing.problems.append(Problem(place, "is no JSON object with file_name and action_units"))
        elif name not in pictures:
            listing.problems.append(Problem(name, f"is named in {place} but is not in the folder"))
        elif split and split not in SPLITS:
            listing.problems.append(Problem(name, f"has the split '{split}'; expected train or val"))
        elif isinstance(units, str):
            listing.problems.append(Problem(name, units))
        else:
            val = SPLITS[split] == "val" if split else None
            listing.faces.append(Listed(pictures[name], name, units, val))
        unnamed.pop(str(name), None)
    return listing._replace(unnamed=list(unnamed))


def _from_pickle(folder: Path, pictures: dict[str, Path]) -> Listing:
    """A name of the pickle is that of a picture without its ending; the lists name pictures with theirs."""
    values = {Path(name).stem: numbers for name, numbers in read_pickle(folder / PICKLE).items()}
    marked: dict[str, bool] = {}
    for file, val in (("train_ids.csv", False), ("test_ids.csv", True)):
        if (folder / file).is_file():
            names = (line.split(",")[0].strip() for line in _lines(folder / file))
            marked |= {Path(name).stem: val for name in names if name}
    listing = _joined(PICKLE, {stem: scaled(numbers) for stem, numbers in values.items()}, pictures)
    faces, unlisted = [], []
    for face in listing.faces:
        if marked and face.path.stem not in marked:
            unlisted.append(face.name)
        else:
            faces.append(face._replace(val=marked.get(face.path.stem)))
    absent = [
        Problem(stem, "is named in train_ids.csv or test_ids.csv and has no picture, or no units")
        for stem in sorted(
            marked.keys() - {face.path.stem for face in faces} - {p.file for p in listing.problems}
        )
    ]
    return listing._replace(
        faces=faces, problems=[*listing.problems, *absent], unnamed=[*listing.unnamed, *unlisted]
    )


def _from_list(file: Path, folder: Path, pictures: dict[str, Path]) -> Listing:
    rows = {words[0]: words[1:] for line in _lines(file) if (words := line.split())}
    return _joined(file.name, {Path(name).stem: scaled(numbers) for name, numbers in rows.items()}, pictures)


def _from_tables(tables: list[Path], folder: Path, pictures: dict[str, Path]) -> Listing:
    listing = Listing(f"{len(tables)} CSV files of OpenFace", [], [], [], [])
    unnamed = dict(pictures)
    for table in tables:
        name = table.relative_to(folder).as_posix()
        try:
            rows = read_csv(table)
        except DataError as error:
            listing.problems.append(Problem(name, str(error)))
            continue
        for picture, path, own in _of_table(table, rows, folder, pictures):
            unnamed.pop(picture, None)
            if reason := doubt(own):
                listing.left_out.append(Problem(picture, reason))
            else:
                listing.faces.append(Listed(path, picture, own[0].units, None))
    return listing._replace(unnamed=list(unnamed))


def _of_table(
    table: Path, rows: list[Row], folder: Path, pictures: dict[str, Path]
) -> list[tuple[str, Path, list[Row]]]:
    """(name, path, rows) of the pictures that a table is about: that of its name, or numbered frames."""
    own = [(name, path) for name, path in pictures.items() if path.with_suffix(".csv") == table]
    if own:
        return [(name, path, rows) for name, path in own]
    homes = (table.with_suffix(""), table.with_name(f"{table.stem}_aligned"))
    frames: dict[int, list[Row]] = {}
    for row in rows:
        frames.setdefault(row.frame or 0, []).append(row)
    found = []
    for name, path in pictures.items():
        number = re.search(r"(\d+)$", path.stem)
        if path.parent in homes and number and int(number[1]) in frames:
            found.append((name, path, frames[int(number[1])]))
    return found


def doubt(rows: list[Row], least: float = LEAST_CONFIDENCE) -> str:
    """Why OpenFace's rows about one picture are not to be learned from, or nothing."""
    if len(rows) != 1:
        return f"has {len(rows)} faces"
    sure = rows[0].confidence
    return f"OpenFace is unsure of it ({sure:.2f} of {least:.2f})" if sure < least else ""


def _joined(source: str, units: dict[str, Units | str], pictures: dict[str, Path]) -> Listing:
    """Pictures and units of the same name without ending."""
    listing = Listing(source, [], [], [], [])
    for name, path in pictures.items():
        found = units.get(path.stem)
        if isinstance(found, str):
            listing.problems.append(Problem(path.stem, found))
        elif found is None:
            listing.unnamed.append(name)
        else:
            listing.faces.append(Listed(path, name, found, None))
    here = {path.stem for path in pictures.values()}
    absent = [
        Problem(stem, f"is named in {source} but is not in the folder") for stem in units if stem not in here
    ]
    return listing._replace(problems=[*listing.problems, *absent])


def _lines(file: Path) -> list[str]:
    """The lines of a text file that say something."""
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{file}' cannot be read as text: {error}.") from None
