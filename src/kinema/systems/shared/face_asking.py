"""From a request to edited faces: the use of GANimation and StarGAN."""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from kinema.core.errors import UsageError
from kinema.core.results import Batch, Image, Result, Video
from kinema.core.system import Extent
from kinema.data.action_units import UNITS, said
from kinema.data.clips import LEVELS
from kinema.data.prepare import squash
from kinema.media import read_image
from kinema.nn.sampling import to_uint8
from kinema.systems.shared.face_config import FaceRequest

if TYPE_CHECKING:
    from kinema.systems.shared.faces import FaceSystem

FPS = 8


def run(system: "FaceSystem", request: FaceRequest) -> Result:
    """Every picture with the units asked for, and all others at rest."""
    if not request.image:
        raise UsageError("no picture was given: --image face.png.")
    intensities = said(request.action_units, request.expression)
    units = torch.tensor([[intensities.get(unit, 0.0) for unit in UNITS]])
    size = system.config.size
    faces = np.stack([squash(read_image(path).pixels, size) for path in request.image])
    images = torch.from_numpy(LEVELS[faces]).movedim(-1, 1)  # (N, 3, S, S)
    made = [system.edit(image[None], units).edited for image in images]  # each on its own
    frames = to_uint8(torch.cat(made).unsqueeze(2))  # (N, 1, S, S, 3)
    if len(frames) == 1:
        return Image(frames[0, 0])
    return Batch([Video(frame, Fraction(FPS)) for frame in frames], labels=list(request.image))


def extent(request: FaceRequest, size: int) -> Extent:
    """How much `run` will give."""
    return Extent(len(request.image), 1, size, size)
