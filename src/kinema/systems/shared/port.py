"""Weights of the public port of BigGAN (ajbrock/BigGAN-PyTorch), whose names SAGAN and BigGAN have here.

It keeps `u0`, one vector of the power iteration, beside every weight that is divided by its largest singular
value, and moves it once more in every forward, also in use. So the pair (u, v) here is that after this step,
and a vector that is written is one from which this step finds what is divided by here.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from kinema.core.errors import WeightsError
from kinema.nn.residual import DOWN, UP
from kinema.systems.shared.config import PictureConfig

State = dict[str, Tensor]
Config = TypeVar("Config", bound=PictureConfig)
FILES = {"generator": "G", "critic": "D"}
"""part of ours -> how its file is called"""
WRAPPER = "module."
HELD = "parametrizations.weight."
STATISTICS = {
    "bn.stored_mean": "norm.running_mean",
    "bn.stored_var": "norm.running_var",
    "bn.running_mean": "norm.running_mean",
    "bn.running_var": "norm.running_var",
    "stored_mean": "norm.running_mean",
    "stored_var": "norm.running_var",
}
"""names of statistics in its three kinds of batch norm -> ours; the first that fits"""
LAST = {
    "gain": "weight",
    "bias": "bias",
    "norm.running_mean": "running_mean",
    "norm.running_var": "running_var",
}
"""the generator's last norm, which no class conditions"""
LEFT_OUT = ("sv0", "accumulation_counter", "num_batches_tracked")


def read_port(
    checkpoint: Mapping[str, Any], name: str, configured: Callable[[dict[str, State], dict[str, Any]], Config]
) -> tuple[Config, State]:
    """A state dict, or a dict of several under any names -> configuration and state dict of a room.

    Classes have no names in these files: they become "0", "1" and so on.

    Args:
        checkpoint: of a generator, a discriminator or both; each is known by its keys.
        name: of the system, for errors.
        configured: their state dicts by part, and what all rooms infer from them -> the configuration.

    Raises:
        WeightsError: it holds something else than networks of this layout, or two that do not fit.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    found: dict[str, State] = {}
    for file, theirs in (checkpoint if nested else {"the file": checkpoint}).items():
        state = {k.removeprefix(WRAPPER): v for k, v in theirs.items()} if isinstance(theirs, Mapping) else {}
        part = (
            "generator"
            if "output_layer.2.weight" in state
            else "critic"
            if "linear.weight" in state
            else None
        )
        if part is None or part in found:
            raise WeightsError(
                f"'{file}' is not a further network of {name} (its keys: {list(state)[:4]} …)."
            )
        found[part] = state
    try:
        config = configured(found, common([sizes(part, state) for part, state in found.items()]))
        ours = {f"{part}.{k}": v for part, state in found.items() for k, v in read_network(state).items()}
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(
            f"the checkpoint looks like {name}, but {error} is missing or misshapen."
        ) from None
    return config, ours


def write_port(state: Mapping[str, Tensor]) -> dict[str, State]:
    """State dict of a room -> their networks by file, "G" and "D"; the reverse of `read_port`."""
    parts = {
        file: {k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")}
        for part, file in FILES.items()
    }
    return {file: write_network(ours) for file, ours in parts.items() if ours}


def sizes(part: str, state: State) -> dict[str, Any]:
    """What the names and shapes of one of their networks say of any picture room."""
    deep, linear = "blocks.0.0.conv4.weight" in state, state["linear.weight"]
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("blocks.")]
    attended = {int(key.split(".")[1]) for key in state if key.endswith(".1.gamma")}
    stages, each = (max(numbers) + 1) // (1 + deep), 1 + deep  # blocks to a stage
    if part == "generator":
        size, channels = 4 << stages, state["output_layer.2.weight"].shape[0]
        sides, rows = {8 << i // each for i in attended}, linear.shape[0] // 16
        width, classes = rows // UP[size][0], state.get("shared.weight", state["blocks.0.0.bn1.gain.weight"])
    else:
        size, channels = 4 << (stages if deep else stages - 1), _first_weight(state).shape[1]
        last = 8 if size == 32 else 4  # side of the maps that are left
        sides = {max(last, size >> i // each + 1) for i in attended}
        width, classes = linear.shape[1] // DOWN[size][-1], state["embed.weight"]
    return {
        "size": size,
        "channels": channels,
        "width": width,
        "attention": tuple(sorted(sides)),
        "classes": tuple(map(str, range(len(classes)))),
        "deep": deep,
    }


def common(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """What both networks say; they have one configuration here.

    Raises:
        WeightsError: they differ.
    """
    for key, value in facts[0].items():
        other = facts[-1][key]
        if value != other:
            value, other = (f"{len(v)} classes" if key == "classes" else f"{key} {v}" for v in (value, other))
            raise WeightsError(f"one network has {value}, the other {other}: import them one by one.")
    return dict(facts[0])


def _first_weight(critic: State) -> Tensor:
    return critic["input_conv.weight" if "input_conv.weight" in critic else "blocks.0.0.conv1.weight"]


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
        if last in ("stored_mean", "running_mean"):
            ours[_renamed(key).replace("running_mean", "num_batches_tracked")] = torch.tensor(0)
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
            sigma = torch.dot(u, value.flatten(1) @ v)
            theirs[f"{layer}.u0"] = _before(value.flatten(1), sigma)[None]
            theirs[f"{layer}.sv0"] = sigma[None]
    return theirs


def _held(layer: str, weight: Tensor, u0: Tensor) -> State:
    """A weight under spectral norm: v = Wᵀu₀ and u = Wv, both of length one."""
    matrix = weight.flatten(1).float()
    if u0.numel() != len(matrix):
        raise WeightsError(f"'{layer}.u0' has {u0.numel()} numbers; its weight has {len(matrix)} rows.")
    v = F.normalize(matrix.T @ u0.flatten().float(), dim=0)
    u = F.normalize(matrix @ v, dim=0)
    return {f"{layer}.{HELD}original": weight, f"{layer}.{HELD}0._u": u, f"{layer}.{HELD}0._v": v}


def _before(matrix: Tensor, sigma: Tensor) -> Tensor:
    """The u₀ from which one step of theirs, v = Wᵀu₀ and u = Wv, finds this value for the largest.

    Weights have moved since ours was found, so it is a little less than the largest. For u₀ in the plane of
    two left singular vectors, σ² is a mean of the squares of their values: those of the largest and of the
    next that is not above σ.
    """
    m, square = matrix.detach().double(), float(sigma) ** 2
    tall = m.shape[0] > m.shape[1]
    squares, vectors = torch.linalg.eigh(m.T @ m if tall else m @ m.T)  # ascending
    high, low = len(squares) - 1, max(0, int((squares <= square).sum()) - 1)
    pair = vectors[:, [high, low]]
    left = F.normalize(m @ pair if tall else pair, dim=0)
    a, b = squares[[high, low]].clamp_min(1e-8 * squares[high]).clamp_min(1e-24)
    share = ((square - b) / (a - b)).clamp(0, 1) if a > b else torch.ones(())
    start = left[:, 0] * (share / a).sqrt() + left[:, 1] * ((1 - share) / b).sqrt()
    return F.normalize(start, dim=0).to(matrix.dtype)


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
