"""Weights of public ports of BigGAN, both ways for that of its first author (ajbrock/BigGAN-PyTorch).

There a checkpoint is the state dict of a generator (`G.pth`, or `G_ema.pth` with averaged weights), or of a
discriminator (`D.pth`). Deep and plain networks, three kinds of batch norm and classes with or without a
shared embedding are known by names and shapes.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.nn.residual import UP
from kinema.systems.biggan.config import Config
from kinema.systems.shared.port import State, read_port, write_port


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint, one state dict or two by name -> our configuration and state dict.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    return read_port(checkpoint, "BigGAN", _config)


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> their networks, "G" and "D"; the reverse of `read`."""
    return write_port(state)


def _config(found: dict[str, State], values: dict[str, Any]) -> Config:
    """How wide the noise and the embedding of classes are, and where the noise goes."""
    if "generator" not in found:
        return Config(**values, hierarchical=False)  # which the noise of any width fits
    state = found["generator"]
    first = state["linear.weight"].shape[1]
    if "shared.weight" not in state:
        return Config(**values, noise=first, shared=None, hierarchical=False)
    shared = state["shared.weight"].shape[1]
    if values["deep"]:
        return Config(**values, noise=first - shared, shared=shared)
    chunked = state["blocks.0.0.bn1.gain.weight"].shape[1] > shared
    noise = first * len(UP[values["size"]]) if chunked else first
    return Config(**values, noise=noise, shared=shared, hierarchical=chunked)


LAYOUTS = {"port": read}
