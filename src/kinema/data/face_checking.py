"""What is wrong with a set or a folder of faces, said before anything long starts."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinema.data.action_units import UNITS
from kinema.data.face_folder import METADATA, Listed, Listing, listed
from kinema.data.face_gathering import summary
from kinema.data.face_sets import HEADS, open_faces
from kinema.data.layout import Problem
from kinema.data.picture_folder import MOST_BYTES, decoded, too_many

FEW_FACES = 400
"""to train on, below which GANimation is known to learn them by heart"""


@dataclass
class FaceReport:
    """What `check_faces` found; `ok` says whether training would start."""

    ok: bool
    source: str
    """what the units come from"""
    faces: dict[str, int]
    """usable ones to train on ("train") and for validation ("val")"""
    problems: list[Problem]
    """(file, reason) of everything that would be skipped"""
    left_out: list[Problem]
    """(file, reason) of what is well and not learned from"""
    sizes: dict[str, int]
    """"width x height" -> number of pictures"""
    units: dict[str, dict[str, float]]
    """unit -> mean, spread (standard deviation) and largest of what is trained on"""
    still: list[str]
    """units that do not vary there"""
    advice: list[str] = field(default_factory=list)
    """what to do, most important first"""


def check_faces(where: str | Path, *, size: int = 64) -> FaceReport:
    """Decode every face as training would, and report.

    Args:
        where: a folder, see `face_folder`, or "heads".
        size: side of the pictures that the network wants.

    Raises:
        DataError: nothing is there, or it holds no faces with action units.
    """
    if str(where).partition(":")[0] == HEADS:
        return _of_set(str(where), size)
    listing = listed(Path(where))
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda face: decoded(face.path, size, 3)[1:], listing.faces))
    good = [face for face, (_, reason) in zip(listing.faces, read, strict=True) if not reason]
    broken = [
        Problem(face.name, reason) for face, (_, reason) in zip(listing.faces, read, strict=True) if reason
    ]
    counts = {"train": sum(not face.val for face in good), "val": sum(bool(face.val) for face in good)}
    taught = [face.units for face in good if not face.val]
    units, still = summary(np.stack(taught) if taught else np.zeros((1, len(UNITS))))
    sizes = Counter(f"{seen.width}x{seen.height}" for seen, _ in read if seen is not None)
    stops = list(_stops(listing, broken, counts, size))
    small = sum(min(seen.width, seen.height) < size for seen, _ in read if seen is not None)
    return FaceReport(
        ok=not stops,
        source=listing.source,
        faces=counts,
        problems=[*listing.problems, *broken],
        left_out=listing.left_out,
        sizes=dict(sizes.most_common()),
        units=units,
        still=still,
        advice=[*stops, *_advice(listing, good, counts, still), *_on_sizes(small, size)],
    )


def _of_set(where: str, size: int) -> FaceReport:
    """Of the heads, which have nothing to mend."""
    parts: dict[str, Any] = {part: open_faces(where, size=size, split=part) for part in ("train", "val")}
    counts = {part: len(faces) for part, faces in parts.items()}
    units, still = summary(parts["train"].units)
    return FaceReport(True, where, counts, [], [], {f"{size}x{size}": sum(counts.values())}, units, still)


def _stops(listing: Listing, broken: list[Problem], counts: dict[str, int], size: int) -> Iterator[str]:
    """Reasons why training would not start."""
    n = len(listing.faces)
    if too_many(len(broken), n) or too_many(len(listing.problems), n + len(listing.problems)):
        yield (
            f"{len(broken) + len(listing.problems)} of {n + len(listing.problems)} faces cannot be used: "
            "mend or remove them."
        )
    if not counts["train"]:
        yield "No faces are there to train on."
    if counts["train"] * size * size * 3 > MOST_BYTES:
        yield f"All need more than {MOST_BYTES / 1e9:.0f} GB of memory; take fewer or smaller pictures."


def _advice(listing: Listing, good: list[Listed], counts: dict[str, int], still: list[str]) -> Iterator[str]:
    """What is allowed but worth knowing."""
    if not counts["val"]:
        yield "No faces are for validation, so that a run cannot be scored."
    if 0 < counts["train"] < FEW_FACES:
        yield f"{counts['train']} faces are few and will be learned by heart; {FEW_FACES} are little."
    if len(still) == len(UNITS):
        yield "No action unit varies, so that there is nothing to learn."
    elif still:
        yield f"{', '.join(still)} do not vary here, so that nothing is learned of them."
    largest = max((float(face.units.max()) for face in good), default=1.0)
    if listing.source != METADATA and 0 < largest <= 0.2:
        yield (f"No intensity is above {5 * largest:.2g} of 5: if they are 0 to 1, write {METADATA}.")
    if listing.unnamed:
        few = ", ".join(listing.unnamed[:3]) + (", …" if len(listing.unnamed) > 3 else "")
        yield f"{len(listing.unnamed)} pictures have no action units ({few})."


def _on_sizes(small: int, size: int) -> Iterator[str]:
    if small:
        yield f"{small} pictures are smaller than {size}x{size} and get enlarged; train at a smaller size."
