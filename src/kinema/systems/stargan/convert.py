"""Weights of the authors' code (yunjey/stargan), both ways. Classes have no names in its files."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.systems.shared.face_port import Names, State, read_faces, write_faces
from kinema.systems.stargan.config import Config

NAMES = Names({"main.": "main."}, {"main.": "main.", "conv1.": "patches.", "conv2.": "units."})


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """The authors' generator, discriminator or both -> our configuration and state dict.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    values, ours = read_faces(checkpoint, "StarGAN", NAMES)
    return Config(**values), ours


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> the authors' networks, "G" and "D"; the reverse of `read`."""
    return write_faces(state, NAMES)


LAYOUTS = {"official": read}
