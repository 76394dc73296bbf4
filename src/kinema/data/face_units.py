"""Intensities of action units read from face crops by the network that ships with the package.

It was trained on rendered heads only (`benchmarks/face_units.py`), and `reliability` says how well its
intensities agree with the true ones of rendered heads of other persons. Of photographs MediaPipe's scores are
worth more where they are worth anything, so that `measured` takes each unit from the better of the two.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file

from kinema.data.action_units import UNITS
from kinema.data.face_finding import AGREEMENT, DOUBTFUL
from kinema.data.prepare import squash
from kinema.nn.unit_reader import SIDE, UnitReader

FILE = Path(__file__).with_name("face_units.safetensors")
TRUSTED = np.array([(AGREEMENT[unit] or 0) >= DOUBTFUL for unit in UNITS])
"""units that MediaPipe measures well enough on photographs (17,)"""


@cache
def reader() -> UnitReader:
    """The network with its weights."""
    net = UnitReader(len(UNITS))
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(FILE).items()}
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


@cache
def reliability() -> dict[str, float]:
    """Unit -> correlation with the truth on rendered heads of persons it has not seen."""
    with safe_open(FILE, "pt") as file:
        found: dict[str, float] = json.loads(file.metadata()["r"])
    return found


def read_units(crops: NDArray[np.uint8], batch: int = 250) -> NDArray[np.float32]:
    """Intensities (N, 17) of upright crops uint8 (N, S, S, 3), as `kinema.data.face_crop` cuts them; 0..1."""
    small = crops if crops.shape[1] == SIDE else np.stack([squash(crop, SIDE) for crop in crops])
    found = []
    with torch.no_grad():
        for start in range(0, len(small), batch):
            x = torch.from_numpy(small[start : start + batch]).permute(0, 3, 1, 2).float() / 127.5 - 1
            found.append(reader()(x))
    return torch.cat(found).clamp(0, 1).numpy()


def measured(crops: NDArray[np.uint8], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intensities (N, 17) of photographs, each from who measures it better.

    Args:
        crops: uint8 (N, S, S, 3), for our reader.
        found: MediaPipe's (N, 17), as `face_finding` gives them.
    """
    return np.where(TRUSTED, found, read_units(crops))
