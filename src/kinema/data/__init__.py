"""Data sets, layouts and procedural toy data; gives dicts of tensors."""

from kinema.data.captions import meaning, parse_caption, words, write_caption
from kinema.data.checking import CheckReport, check
from kinema.data.clips import Clips
from kinema.data.digits import Digits, bundled_digits, load_digits
from kinema.data.folder import FolderClips
from kinema.data.layout import Problem
from kinema.data.making import make
from kinema.data.moving import MovingDigits
from kinema.data.shapes import MovingShapes
from kinema.data.sources import open_clips

__all__ = [
    "CheckReport",
    "Clips",
    "Digits",
    "FolderClips",
    "MovingDigits",
    "MovingShapes",
    "Problem",
    "bundled_digits",
    "check",
    "load_digits",
    "make",
    "meaning",
    "open_clips",
    "parse_caption",
    "words",
    "write_caption",
]
