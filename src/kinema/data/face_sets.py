"""One door to every set of faces: rendered heads by name, a folder by its path."""

from pathlib import Path

from kinema.core.errors import UsageError
from kinema.data.captions import Split
from kinema.data.face_folder import read_folder
from kinema.data.faces import Faces
from kinema.data.heads import Heads

HEADS = "heads"
"""the set that is rendered"""


def open_faces(where: str | Path, *, size: int = 64, split: Split = "train") -> Faces:
    """Open a set of faces.

    Args:
        where: "heads", with ":4000" appended for so many rendered heads in training; or a folder, see
            `face_folder`.
        size: side of the square pictures in pixels; larger ones are area-averaged.
        split: "train", "val" or "all".
    """
    if size < 1:
        raise UsageError(f"pictures have a side of 1 or more, not {size}.")
    name, _, count = str(where).partition(":")
    if name == HEADS:
        if count and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise UsageError(f"'{where}': after the colon comes how many heads to train on.")
        return Heads(int(count) if count and split == "train" else None, size, split)
    path = Path(where)
    if not path.exists() and len(path.parts) == 1:
        raise UsageError(f"no set of faces or folder is called '{where}'; the set is {HEADS}.")
    found = read_folder(path, size, split)
    skipped = f", {len(found.problems)} skipped" if found.problems else ""
    what = f"{len(found.units)} faces of '{where}' as {size}×{size}, split {split}"
    return Faces(found.pixels, found.units, f"{what}, units of {found.listing.source}{skipped}.", str(where))
