"""Weights in the names of BigGAN's public port, both ways, and of the authors' TensorFlow code.

The port (ajbrock/BigGAN-PyTorch) computes SAGAN where classes share no embedding. A checkpoint is the state
dict of its generator or discriminator. That of the authors (brain-research/self-attention-gan) is a .npz of
all variables under their names. There kernels are (H, W, in, out) and products (in, out); the first maps are
(4, 4, C), and scales of class norms begin at 1, not 0.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from kinema.core.errors import WeightsError
from kinema.systems.sagan.config import Config
from kinema.systems.shared.port import HELD, State, read_port, write_port

VARIABLE = re.compile(r"(?:.*/)?([gd]_[^/]+)/(?:(\w+)/)?(\w+)(?::0)?$")
"""scope, layer or nothing, name"""
LAYERS = {
    "cbn_0": "0.bn1",
    "cbn_1": "0.bn2",
    **{f"{sn}1": "0.conv1" for sn in ("snconv", "sn_conv")},
    **{f"{sn}2": "0.conv2" for sn in ("snconv", "sn_conv")},
    **{f"{sn}3": "0.conv_sc" for sn in ("snconv", "sn_conv")},
    "sn_conv_theta": "1.theta",
    "sn_conv_phi": "1.phi",
    "sn_conv_g": "1.g",
    "sn_conv_attn": "1.o",
}
"""layer of a block in TensorFlow -> in the port"""
ENDS = {
    "g_snh0": "linear",
    "g_bn": "output_layer.0",
    "g_snconv_last": "output_layer.2",
    "d_sn_linear": "linear",
    "d_embedding": "embed",
}
"""scope of a single layer -> its name in the port"""
TABLES = {"gamma": "gain.weight", "beta": "bias.weight", "mean": "stored_mean", "var": "stored_var"}
LAST = {
    "gamma": "gain",
    "beta": "bias",
    "mean": "stored_mean",
    "var": "stored_var",
    "moving_mean": "stored_mean",
    "moving_variance": "stored_var",
}
"""of norms with classes, and of the last one"""
WEIGHTS = {
    "w": "weight",
    "Matrix": "weight",
    "embedding_map": "weight",
    "biases": "bias",
    "bias": "bias",
    "u": "u0",
}
BLOCKS = re.compile(r"[gd]_(?:optimized_)?block(\d+)$")


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """A checkpoint of the port, one state dict or two by name -> our configuration and state dict.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    return read_port(checkpoint, "SAGAN", _config)


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> the port's networks, "G" and "D"; the reverse of `read`."""
    return write_port(state)


def read_tensorflow(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """All variables of the authors' networks by name -> our configuration and state dict.

    Variables of optimisers are left out.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    found: dict[str, dict[str, State]] = {"g": {}, "d": {}}
    for key, value in checkpoint.items():
        if (match := VARIABLE.match(key)) and isinstance(value, Tensor) and "Adam" not in key:
            scope, layer, name = match.groups()
            found[scope[0]].setdefault(f"{scope}/{layer}" if layer else scope, {})[name] = value
    parts = {side: _to_port(scopes) for side, scopes in found.items() if scopes}
    if not parts:
        raise WeightsError(f"no variable is called g_… or d_… (there are: {list(checkpoint)[:4]} …).")
    config, ours = read(parts)
    table = f"critic.embed.{HELD}0._u"
    if table in ours:  # the only weight whose iteration theirs ends on the other side
        ours[table] = parts["d"]["embed.u0"].flatten()
    return config, ours


def _config(found: dict[str, State], values: dict[str, Any]) -> Config:
    """How wide the noise is."""
    if values.pop("deep") or any("shared.weight" in state for state in found.values()):
        raise WeightsError("the checkpoint is of a BigGAN: kinema convert biggan.")
    if "generator" in found:
        values["noise"] = found["generator"]["linear.weight"].shape[1]
    return Config(**values)


def _to_port(scopes: dict[str, State]) -> State:
    """Variables by scope of one network -> the port's state dict."""
    out: State = {}
    for scope, variables in scopes.items():
        start, _, layer = scope.partition("/")
        if start in ENDS and not layer:
            where = ENDS[start]
        elif block := BLOCKS.match(start):
            where = f"blocks.{int(block[1]) - 1}.{LAYERS.get(layer, layer)}"
        elif start.endswith("_non_local"):
            where = f"blocks.{_behind(scopes, start)}.{LAYERS.get(layer, '1')}"
        else:
            raise WeightsError(f"no layer of SAGAN is called '{scope}'.")
        out |= {f"{where}.{name}": value for name, value in _layer(start, layer, variables).items()}
    return out


def _layer(start: str, layer: str, variables: State) -> State:
    """One layer's variables under the port's names, with axes in its order."""
    if "sigma_ratio" in variables:
        return {"gamma": variables["sigma_ratio"].reshape(())}
    if start == "g_bn":
        return {LAST[name]: value.flatten() for name, value in variables.items()}
    if layer.startswith("cbn"):
        tables = {TABLES[name]: value for name, value in variables.items()}
        tables["gain.weight"] = tables["gain.weight"] - 1
        return {n: value.flatten() if n.startswith("stored") else value for n, value in tables.items()}
    named = {WEIGHTS[name]: value for name, value in variables.items()}
    weight = named["weight"]
    if start == "d_embedding":  # (classes, C), and theirs iterates from the side of the channels
        return {"weight": weight, "u0": F.normalize(weight @ named["u0"].flatten(), dim=0)[None]}
    named["weight"] = (weight.permute(3, 2, 0, 1) if weight.dim() == 4 else weight.T).contiguous()
    if start == "g_snh0":
        named = {name: _channels_first(value, name == "u0") for name, value in named.items()}
    return named


def _channels_first(value: Tensor, row: bool) -> Tensor:
    """Rows (4·4·C, …) in the order of (C, 4, 4); `row`: the only row is what is to be put in order."""
    rows = value.flatten() if row else value
    ordered = rows.unflatten(0, (4, 4, -1)).movedim(2, 0).flatten(0, 2).contiguous()
    return ordered[None] if row else ordered


def _behind(scopes: dict[str, State], start: str) -> int:
    """The block that attention stands behind: the first with as many channels."""
    channels = scopes[f"{start}/sn_conv_theta"]["w"].shape[2]
    fitting = [
        int(block[1]) - 1
        for scope, variables in scopes.items()
        if (block := BLOCKS.match(scope.partition("/")[0]))
        and scope.endswith("conv2")
        and variables["w"].shape[3] == channels
    ]
    if not fitting:
        raise WeightsError(f"'{start}' has {channels} channels, and no block has as many.")
    return min(fitting)


LAYOUTS = {"port": read, "tensorflow": read_tensorflow}
