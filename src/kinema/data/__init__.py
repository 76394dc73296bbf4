"""Data sets, layouts and procedural toy data; gives dicts of tensors."""

from kinema.data.captions import parse_caption, words, write_caption
from kinema.data.clips import Clips
from kinema.data.digits import Digits, bundled_digits, load_digits
from kinema.data.moving import MovingDigits
from kinema.data.sources import open_clips

__all__ = [
    "Clips",
    "Digits",
    "MovingDigits",
    "bundled_digits",
    "load_digits",
    "open_clips",
    "parse_caption",
    "words",
    "write_caption",
]
