"""Data sets, layouts and procedural toy data; gives dicts of tensors."""

from kinema.data.captions import meaning, parse_caption, words, write_caption
from kinema.data.checking import CheckReport, check
from kinema.data.clips import Clips
from kinema.data.cutting import CutReport, cut
from kinema.data.digits import Digits, bundled_digits, load_digits
from kinema.data.face_sets import open_faces
from kinema.data.faces import Faces
from kinema.data.folder import FolderClips
from kinema.data.layout import Problem
from kinema.data.making import make
from kinema.data.moving import MovingDigits
from kinema.data.picture_checking import PictureReport, check_pictures
from kinema.data.pictures import Pictures, open_pictures
from kinema.data.shapes import MovingShapes
from kinema.data.skies import Skies
from kinema.data.sources import located, open_clips
from kinema.data.timelapse import TimeLapse

__all__ = [
    "CheckReport",
    "Clips",
    "CutReport",
    "Digits",
    "Faces",
    "FolderClips",
    "MovingDigits",
    "MovingShapes",
    "PictureReport",
    "Pictures",
    "Problem",
    "Skies",
    "TimeLapse",
    "bundled_digits",
    "check",
    "check_pictures",
    "cut",
    "load_digits",
    "located",
    "make",
    "meaning",
    "open_clips",
    "open_faces",
    "open_pictures",
    "parse_caption",
    "words",
    "write_caption",
]
