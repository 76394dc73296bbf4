"""Weights of the public port of BigGAN (ajbrock/BigGAN-PyTorch), whose names SAGAN and BigGAN have here.

It keeps `u0`, one vector of the power iteration, beside every weight that is divided by its largest singular
value, and moves it once more in every forward, also in use. So the pair (u, v) here is that after this step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from kinema.core.errors import WeightsError

State = dict[str, Tensor]
HELD = "parametrizations.weight."
STATISTICS = {
    "stored_mean": "norm.running_mean",
    "stored_var": "norm.running_var",
    "bn.stored_mean": "norm.running_mean",
    "bn.stored_var": "norm.running_var",
    "bn.running_mean": "norm.running_mean",
    "bn.running_var": "norm.running_var",
}
"""names of statistics in its three kinds of batch norm -> ours"""
LAST = {
    "gain": "weight",
    "bias": "bias",
    "norm.running_mean": "running_mean",
    "norm.running_var": "running_var",
}
"""the generator's last norm, which no class conditions"""
LEFT_OUT = ("sv0", "accumulation_counter", "num_batches_tracked")


def read_network(theirs: Mapping[str, Tensor]) -> State:
    """A state dict of their generator or discriminator -> ours of the same network.

    Raises:
        WeightsError: a `u0` has another length than its weight.
    """
    ours: State = {}
    for key, value in theirs.items():
        layer, _, last = key.rpartition(".")
        if last in LEFT_OUT:
            continue
        if last == "u0":
            ours |= _held(layer, theirs[f"{layer}.weight"], value)
        elif last != "weight" or f"{layer}.u0" not in theirs:
            ours[_renamed(key)] = value
    return ours


def write_network(ours: Mapping[str, Tensor]) -> State:
    """Our network -> theirs, with singular values `sv0` taken anew; the reverse of `read_network`."""
    theirs: State = {}
    for key, value in ours.items():
        if key.endswith("num_batches_tracked"):
            continue
        if HELD not in key:
            theirs[_named_back(key)] = value
            continue
        layer, _, part = key.partition("." + HELD)
        if part == "original":
            u, v = ours[f"{layer}.{HELD}0._u"], ours[f"{layer}.{HELD}0._v"]
            theirs[f"{layer}.weight"] = value
            theirs[f"{layer}.u0"] = u[None]
            theirs[f"{layer}.sv0"] = torch.dot(u, value.flatten(1) @ v)[None]
    return theirs


def _held(layer: str, weight: Tensor, u0: Tensor) -> State:
    """A weight under spectral norm: v = Wᵀu₀ and u = Wv, both of length one."""
    matrix = weight.flatten(1).float()
    if u0.numel() != len(matrix):
        raise WeightsError(f"'{layer}.u0' has {u0.numel()} numbers; its weight has {len(matrix)} rows.")
    v = F.normalize(matrix.T @ u0.flatten().float(), dim=0)
    u = F.normalize(matrix @ v, dim=0)
    return {f"{layer}.{HELD}original": weight, f"{layer}.{HELD}0._u": u, f"{layer}.{HELD}0._v": v}


def _renamed(key: str) -> str:
    """The name of a tensor that is not a weight under spectral norm."""
    for theirs, ours in STATISTICS.items():
        if key.endswith(f".{theirs}"):
            key = f"{key.removesuffix(theirs)}{ours}"
            break
    start, norm, rest = key.partition("output_layer.0.")
    return start + norm + LAST.get(rest, rest) if norm else key


def _named_back(key: str) -> str:
    start, norm, rest = key.partition("output_layer.0.")
    if norm:
        back = {"weight": "gain", "bias": "bias", "running_mean": "stored_mean", "running_var": "stored_var"}
        return start + norm + back[rest]
    return key.replace("norm.running_mean", "stored_mean").replace("norm.running_var", "stored_var")
