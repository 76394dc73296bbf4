"""Published weights in three layouts, both ways: the authors', and those of two public re-implementations.

"official" (albertpumarola/GANimation) has an instance norm with scale and shift; "replicate"
(donydchen/ganimation_replicate) has none, but biases; "stargan-like" (vipermu/ganimation) keeps statistics,
and some layers stand there a second time as `debug1` to `debug4`. `Config.norm` tells them apart.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.ganimation.config import Config
from kinema.systems.shared.face_port import Names, State, read_faces, write_faces

CRITIC = {"main.": "main.", "conv1.": "patches.", "conv2.": "units."}
NAMES = {
    "affine": Names(
        {"main.": "main.", "img_reg.0.": "colour.", "attetion_reg.0.": "attention."},  # sic
        CRITIC,
    ),
    "plain": Names(
        {"model.": "main.", "color_top.0.": "colour.", "au_top.0.": "attention."},
        {"model.": "main.", "dis_top.": "patches.", "aus_top.": "units."},
        inside="conv_block",
    ),
    "running": Names(
        {"main.": "main.", "im_reg.0.": "colour.", "im_att.0.": "attention."},
        CRITIC,
        aliases=r"debug\d\.",
    ),
}
"""kind of norm -> names"""


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """The authors' generator, discriminator or both -> our configuration and state dict.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    return _read(checkpoint, "official", "affine")


def read_replicate(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """As `read`, of the re-implementation with biased convolutions."""
    return _read(checkpoint, "replicate", "plain")


def read_stargan_like(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """As `read`, of the re-implementation whose instance norms keep statistics."""
    return _read(checkpoint, "stargan-like", "running")


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> networks "G" and "D" in the layout that computes the same; the reverse of reading."""
    return write_faces(state, NAMES[_norm(state)])


def _read(checkpoint: Mapping[str, Any], layout: str, norm: str) -> tuple[Config, State]:
    values, ours = read_faces(checkpoint, layout, NAMES[norm])
    if "generator.main.0.weight" in ours:
        if _norm(ours) != norm:
            raise WeightsError(f"its instance norms are {_norm(ours)}, those of {layout} are {norm}.")
        values["mask"] = "generator.attention.weight" in ours
    return Config(**values, norm=norm), ours  # type: ignore[arg-type]


def _norm(state: Mapping[str, Tensor]) -> str:
    """The kind of a generator's instance norms; of a critic alone, the authors'."""
    if "generator.main.1.running_mean" in state:
        return "running"
    return "plain" if "generator.main.0.bias" in state else "affine"


LAYOUTS = {"official": read, "replicate": read_replicate, "stargan-like": read_stargan_like}
