"""Released weights (weixiong-ur/mdgan), both ways.

A released file is the state dict of one generator, and both stages have the same names and shapes: only the
file's name, `netG_S1_…` or `netG_S2_…`, says which it is. So both are handed over together, as a dict from
name to state dict; one state dict without a name counts as the first stage.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.md_gan.config import Config

State = dict[str, Tensor]
GENERATOR, CRITIC = "downConv1.weight", "slice1.0.weight"
NAMES = {"generator.base.": "netG_S1", "generator.refine.": "netG_S2", "critic.": "netD"}
"""our prefix -> how the file is called"""
FILES = "netG_S1…, netG_S2… and netD…"


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint, one state dict or several by name -> our configuration and state dict.

    Raises:
        WeightsError: something in it is neither a generator nor a critic, or is there twice.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    ours: State = {}
    for name, state in (checkpoint if nested else {"the file": checkpoint}).items():
        prefix = _prefix(name, state if isinstance(state, Mapping) else {})
        if any(key.startswith(prefix) for key in ours):
            raise WeightsError(f"'{name}' holds a part that another file holds already; name them {FILES}.")
        ours |= {prefix + key.removeprefix("module."): value for key, value in state.items()}
    try:
        return _config(ours), ours
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"the checkpoint looks like MD-GAN, but {error} is missing or has another shape."
        ) from None


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> theirs by name of file; the reverse of `read`."""
    out: dict[str, State] = {}
    for key, value in state.items():
        prefix = next((p for p in NAMES if key.startswith(p)), None)
        if prefix is None:
            continue  # no network of theirs
        out.setdefault(NAMES[prefix], {})[key.removeprefix(prefix)] = value
    return out


def _prefix(name: str, state: Mapping[str, Any]) -> str:
    """Which part of ours a state dict is."""
    keys = {key.removeprefix("module.") for key in state}  # as data-parallel training wraps a network
    if CRITIC in keys:
        return "critic."
    if GENERATOR in keys:
        return "generator.refine." if "S2" in name else "generator.base."
    raise WeightsError(f"'{name}' is no part of MD-GAN (its keys: {list(state)[:4]} …).")


def _config(ours: State) -> Config:
    """Sizes from the shapes of the weights."""
    values: dict[str, Any] = {}
    stages = [p for p in ("generator.base.", "generator.refine.") if p + GENERATOR in ours]
    if "generator.refine." in stages:
        values["stage"] = "refine"
    innermost = ours[f"{stages[0]}downConv6.weight"] if stages else ours["critic.slice4.0.weight"]
    values |= {"frames": 16 * innermost.shape[2], "size": 32 * innermost.shape[3]}
    if stages:
        values["generator_width"] = ours[stages[0] + GENERATOR].shape[0]
    if f"critic.{CRITIC}" in ours:
        values["critic_width"] = ours[f"critic.{CRITIC}"].shape[0]
    return Config(**values)


LAYOUTS = {"mdgan": read}
