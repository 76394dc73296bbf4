"""Weights of the authors' code (wyhsirius/g3an-project), both ways.

A checkpoint is the state dict of one network, or a dict of several under any names; each is known by its
keys. They were saved from a wrapper for several GPUs, so names may begin with `module.`, and by an older
PyTorch, which keeps spectral norm as `weight_orig`, `weight_u`, `weight_v`; the names of newer ones are ours.
Rows of the normed matrix are output channels in both, also of transposed convolutions.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.g3an.config import Config
from kinema.systems.g3an.networks import width_of

State = dict[str, Tensor]
PREFIXES = {"generator": "generator.", "video": "critics.video.", "image": "critics.image."}
"""part -> where it is in our state dict"""
SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
"""older name -> newer name"""
WRAPPER = "module."


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint -> our configuration and state dict (of the networks that it holds).

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    named = (
        {k: v for k, v in checkpoint.items() if isinstance(v, Mapping)} if nested else {"file": checkpoint}
    )
    found: dict[str, State] = {}
    for name, theirs in named.items():
        state = {new_name(key): value for key, value in theirs.items()}
        part = _part(state)
        if part is None or part in found:
            raise WeightsError(f"'{name}' is not a further network of G3AN (its keys: {list(theirs)[:4]} …).")
        found[part] = state
    ours = {PREFIXES[part] + key: value for part, state in found.items() for key, value in state.items()}
    try:
        return _config(found), ours
    except (KeyError, IndexError, StopIteration) as error:
        raise WeightsError(f"the checkpoint looks like G3AN, but {error} is missing or misshapen.") from None


def write(state: Mapping[str, Tensor], *, older: bool = True, wrapped: bool = True) -> dict[str, State]:
    """Our state dict -> their networks by part; the reverse of `read`.

    Args:
        state: of a `G3AN`.
        older: name spectral norm as PyTorch did then, else as it does now.
        wrapped: begin names with `module.`.
    """
    names = {new: old for old, new in SPECTRAL.items()} if older else {}
    start = WRAPPER if wrapped else ""
    return {
        part: {
            start + _renamed(key.removeprefix(prefix), names): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
        for part, prefix in PREFIXES.items()
        if any(key.startswith(prefix) for key in state)
    }


def new_name(key: str) -> str:
    """Their name of a tensor -> ours, without the part.

    Example:
        >>> new_name("module.net.0.weight_u")
        'net.0.parametrizations.weight.0._u'
    """
    return _renamed(key.removeprefix(WRAPPER), SPECTRAL)


def _renamed(key: str, names: Mapping[str, str]) -> str:
    ending = next((name for name in names if key.endswith(f".{name}")), None)
    return key if ending is None else key.removesuffix(ending) + names[ending]


def _part(state: State) -> str | None:
    """Which network this is."""
    first = state.get("net.0.parametrizations.weight.original")
    if first is not None:
        return "image" if first.dim() == 4 else "video"
    return "generator" if "block1.conv_v.0.bias" in state else None


def _config(found: Mapping[str, State]) -> Config:
    """Kinds and sizes from the names and shapes of the weights."""
    values: dict[str, Any] = {}
    critics = [part for part in ("video", "image") if part in found]
    if len(critics) == 1:
        values["critics"] = critics[0]
    for part in critics:
        first = found[part]["net.0.parametrizations.weight.original"]
        values |= {"critic_width": first.shape[0], "channels": first.shape[1]}
        if part == "video":
            values["video_critic"] = "2p1d" if first.shape[2] == 1 else "3d"
        over_space = [v for k, v in found[part].items() if k.endswith("original") and v.shape[-1] == 4]
        values["size"] = 4 << (len(over_space) - 1)  # the last one ends at a single place
    if "generator" in found:
        values |= _generator(found["generator"])
    return Config(**values)


def _generator(state: State) -> dict[str, Any]:
    """What the weights of a generator say about it."""
    kernel = "{}.{}.parametrizations.weight.original".format
    first = state[kernel("block1.conv_v", 0)]
    space, time = (f"block1.{stream}.0.bias" in state for stream in ("conv_s", "conv_t"))
    both, flat = kernel("block1.conv_v", 3) in state, first.shape[2] == 1
    blocks = sum(key.endswith("conv_v.0.bias") for key in state)
    motion = state[kernel("block1.conv_t", 0)].shape[0] if time else Config.motion
    values: dict[str, Any] = {
        "width": first.shape[1] // 8,
        "mode": "3d" if not both else "2p1d" if flat else "1p2d",
        "spatial_stream": space,
        "temporal_stream": time,
        "motion": first.shape[0] - state[kernel("block1.conv_s", 0)].shape[0] if space else motion,
        "channels": state["to_rgb.0.bias"].shape[0],
        "size": 2 << blocks,
        "attention": None,
    }
    values["appearance"] = first.shape[0] - values["motion"]
    if "fsa.tsa.gamma" in state:
        channels = state["fsa.tsa.v_conv.bias"].shape[0] // (1 + space)
        after = [k for k in range(1, blocks + 1) if width_of(Config(**values), k) == channels]
        values |= {"attention": after[-1], "attention_layout": "official"}  # after blocks 1 and 2 it is alike
    return values


LAYOUTS = {"official": read}
