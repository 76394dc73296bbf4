"""What is wrong with a set, a folder or a packed file of pictures, said before anything long starts."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kinema.data.layout import Problem
from kinema.data.picture_folder import (
    MOST_BYTES,
    Listed,
    Listing,
    decoded,
    listed,
    too_many,
    unpacked,
)
from kinema.data.pictures import SETS, open_pictures
from kinema.data.prepare import Seen

FEW_PICTURES = 50
"""of a class, which is learned by heart"""
UNBALANCED = 10
"""times as many pictures of one class as of another"""


@dataclass
class PictureReport:
    """What `check_pictures` found; `ok` says whether training would start."""

    ok: bool
    pictures: int
    """pictures that can be used"""
    problems: list[Problem]
    """(file, reason) of everything that would be skipped"""
    classes: dict[str, dict[str, int]]
    """name -> usable pictures to train on ("train") and for validation ("val")"""
    sizes: dict[str, int]
    """"width x height" -> number of pictures"""
    advice: list[str] = field(default_factory=list)
    """what to do, most important first"""


def check_pictures(
    where: str | Path, *, size: int = 32, channels: int = 3, conditional: bool = True
) -> PictureReport:
    """Decode every picture as training would, and report.

    Args:
        where: a folder with a folder of pictures for each class, a packed file, or the name of a set.
        size: side of the pictures that the network wants.
        channels: 1 or 3.
        conditional: whether the system needs classes.

    Raises:
        DataError: nothing is there, or it holds no pictures.
    """
    path = Path(where)
    if str(where).partition(":")[0] in SETS:
        parts = [open_pictures(where, size=size, channels=channels, split=part) for part in ("train", "val")]
        names = parts[0].captions
        named = [Listed(path, names[k], names[k], part is parts[1]) for part in parts for k in part.labels]
        n = len(named)
        return _report(
            Listing(named, [], []), names, [Seen(size, size, 1)] * n, [""] * n, (size, channels), conditional
        )
    if path.is_file():
        whole = unpacked(path)
        _, height, width, _ = whole.pixels.shape
        pictures = [
            Listed(path, str(k), whole.classes[label], bool(val))
            for k, (label, val) in enumerate(zip(whole.labels, whole.val, strict=True))
        ]
        seen: list[Seen | None] = [Seen(width, height, 1)] * len(pictures)
        return _report(
            Listing(pictures, [], []),
            whole.classes,
            seen,
            [""] * len(pictures),
            (size, channels),
            conditional,
        )
    listing = listed(path)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda p: decoded(p.path, size, channels)[1:], listing.pictures))
    return _report(
        listing, listing.classes, [s for s, _ in found], [r for _, r in found], (size, channels), conditional
    )


def _report(
    listing: Listing,
    names: list[str],
    seen: list[Seen | None],
    reasons: list[str],
    shape: tuple[int, int],
    conditional: bool,
) -> PictureReport:
    pictures = listing.pictures
    good = [p for p, reason in zip(pictures, reasons, strict=True) if not reason]
    count = Counter((p.label, p.val) for p in good)
    classes = {name: {"train": count[name, False], "val": count[name, True]} for name in names}
    problems = [Problem(p.name, reason) for p, reason in zip(pictures, reasons, strict=True) if reason]
    broken = {
        part: (sum(bool(r) for p, r in zip(pictures, reasons, strict=True) if p.val == val), len(own))
        for part, val in (("training", False), ("validation", True))
        for own in [[p for p in pictures if p.val == val]]
    }
    stops = [*_too_many("training", *broken["training"]), *_stops(classes, conditional, shape)]
    sizes = Counter(f"{s.width}x{s.height}" for s in seen if s is not None)
    return PictureReport(
        ok=not stops,
        pictures=len(good),
        problems=problems,
        classes=classes,
        sizes=dict(sizes.most_common()),
        advice=stops
        + list(_on_validation(classes, *broken["validation"]))
        + list(_unused(listing))
        + list(_on_classes(classes, conditional))
        + list(_on_sizes([s for s in seen if s is not None], shape[0])),
    )


def _too_many(part: str, problems: int, pictures: int) -> Iterator[str]:
    if too_many(problems, pictures):
        yield f"{problems} of {pictures} pictures for {part} cannot be used: mend or remove them."


def _stops(classes: dict[str, dict[str, int]], conditional: bool, shape: tuple[int, int]) -> Iterator[str]:
    """Reasons why training would not start."""
    if conditional and len(classes) < 2:
        yield "There is one class only: add another, or train with --set conditional=false."
    if untaught := [name for name, n in classes.items() if not n["train"]]:
        yield f"No pictures to train on of {_some(untaught)}."
    for part in ("train", "val"):
        total = sum(n[part] for n in classes.values()) * shape[0] ** 2 * shape[1]
        if total > MOST_BYTES:
            yield f"All of {part} needs {total / 1e9:.0f} GB of memory; take fewer or smaller pictures."


def _on_validation(classes: dict[str, dict[str, int]], problems: int, pictures: int) -> Iterator[str]:
    """Reasons why a run could not be scored."""
    yield from _too_many("validation", problems, pictures)
    if not any(n["val"] for n in classes.values()):
        yield "No pictures are for validation, so that a run cannot be scored."


def _unused(listing: Listing) -> Iterator[str]:
    """Files that training would not look at."""
    if listing.loose:
        yield f"{len(listing.loose)} pictures lie in no folder of a class ({_some(listing.loose)})."
    if listing.unread:
        yield f"{len(listing.unread)} files are not png, jpg, webp or bmp ({_some(listing.unread)})."


def _on_classes(classes: dict[str, dict[str, int]], conditional: bool) -> Iterator[str]:
    """What is allowed in classes but worth knowing."""
    counts = {name: n["train"] for name, n in classes.items() if n["train"]}
    few = [name for name, n in counts.items() if n < FEW_PICTURES]
    if few and conditional:
        yield (
            f"{len(few)} classes have fewer than {FEW_PICTURES} pictures to train on ({_some(few)}) and "
            "will be learned by heart; add some, or change them at random while training, if the system can."
        )
    if conditional and counts and max(counts.values()) > UNBALANCED * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        yield (
            f"Classes are unbalanced: {most} has {counts[most]} pictures and {least} {counts[least]}. "
            "All are generated equally often, so the critic sees few real ones of the rare."
        )


def _on_sizes(seen: list[Seen], size: int) -> Iterator[str]:
    """What is allowed in sizes but worth knowing."""
    if any(s.width != s.height for s in seen):
        yield f"Some pictures are not square; the middle square of each becomes {size}x{size}."
    if small := sum(min(s.width, s.height) < size for s in seen):
        yield f"{small} pictures are smaller than {size}x{size} and get enlarged; train at a smaller size."


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
