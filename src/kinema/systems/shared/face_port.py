"""Weights of GANimation and StarGAN in the names of published code, both ways.

All of that code numbers its layers alike and calls them differently. A file is the state dict of one network;
both are handed over together, as a dict from any names to state dicts.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.shared.face_config import UNITS

State = dict[str, Tensor]
WRAPPER = "module."
FILES = {"generator": "G", "critic": "D"}
"""part of ours -> how its file is called"""
ENTRY = {"generator": 7, "critic": 4}
"""part of ours -> side of its first kernel, by which it is known"""


class Names(NamedTuple):
    """What a published code calls the layers: the beginning of its keys -> of ours."""

    generator: Mapping[str, str]
    critic: Mapping[str, str]
    inside: str = "main"
    """what the row of layers in a residual block is called"""
    aliases: str | None = None
    """pattern of keys that are second names of others"""


def read_faces(checkpoint: Mapping[str, Any], name: str, names: Names) -> tuple[dict[str, Any], State]:
    """A state dict, or a dict of several -> fields of a configuration and our state dict.

    Args:
        checkpoint: of a generator, a critic or both; each is known by its first kernel.
        name: of the layout, for errors.
        names: of its layers.

    Raises:
        WeightsError: it holds something else than networks of this layout, or two that do not fit.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    ours: State = {}
    for file, theirs in (checkpoint if nested else {"the file": checkpoint}).items():
        part, state = _network(file, theirs if isinstance(theirs, Mapping) else {}, name, names)
        if any(key.startswith(f"{part}.") for key in ours):
            raise WeightsError(f"'{file}' is a second {part}; hand over one of each.")
        ours |= {f"{part}.{key}": value for key, value in state.items()}
    try:
        return _values(ours), ours
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"it looks like {name}, but {error} is missing or misshapen.") from None


def write_faces(state: Mapping[str, Tensor], names: Names) -> dict[str, State]:
    """Our state dict -> theirs by file, "G" and "D"; the reverse of `read_faces`, without aliases."""
    out: dict[str, State] = {}
    for part, file in FILES.items():
        back = {ours: theirs for theirs, ours in getattr(names, part).items()}
        for key in [key for key in state if key.startswith(f"{part}.")]:
            theirs = _renamed(key.removeprefix(f"{part}."), back)
            if theirs is None:
                raise WeightsError(f"published code has no '{key}'.")
            theirs = re.sub(r"(\.\d+)\.main\.", rf"\1.{names.inside}.", theirs)
            out.setdefault(file, {})[theirs] = state[key]
    return out


def _network(file: str, theirs: Mapping[str, Any], name: str, names: Names) -> tuple[str, State]:
    """Which part of ours a state dict is, and its tensors under our names."""
    state = {key.removeprefix(WRAPPER): value for key, value in theirs.items()}
    root = next(iter(names.generator))
    entry = state.get(f"{root}0.weight")
    side = entry.shape[-1] if isinstance(entry, Tensor) and entry.dim() == 4 else 0
    part = next((part for part, known in ENTRY.items() if known == side), None)
    if part is None:
        raise WeightsError(f"'{file}' is no network of {name} (its keys: {list(state)[:4]} …).")
    ours: State = {}
    for key, value in state.items():
        if names.aliases is not None and re.match(names.aliases, key):
            continue
        renamed = _renamed(key.replace(f".{names.inside}.", ".main."), getattr(names, part))
        if renamed is None:
            raise WeightsError(f"a {part} of {name} has no '{key}'.")
        ours[renamed] = value
    return part, ours


def _renamed(key: str, table: Mapping[str, str]) -> str | None:
    for start, other in table.items():
        if key.startswith(start):
            return other + key.removeprefix(start)
    return None


def _values(ours: State) -> dict[str, Any]:
    """Fields of the configuration, from names and shapes."""
    values: dict[str, Any] = {}
    units = set()
    if (entry := ours.get("generator.main.0.weight")) is not None:
        blocks = {key.split(".")[2] for key in ours if re.match(r"generator\.main\.\d+\.main\.", key)}
        values |= {"generator_width": entry.shape[0], "blocks": len(blocks)}
        units.add(entry.shape[1] - 3)
    if (entry := ours.get("critic.main.0.weight")) is not None:
        head = ours["critic.units.weight"]
        halvings = len({key for key in ours if re.fullmatch(r"critic\.main\.\d+\.weight", key)})
        if head.shape[-1] != 2:
            raise WeightsError(
                f"its critic ends in maps of {head.shape[-1]}x{head.shape[-1]}: only sizes whose critic ends "
                "in 2x2, as at 128x128, are read."
            )
        values |= {"critic_width": entry.shape[0], "size": 2 << halvings}
        units.add(head.shape[0])
    if len(units) != 1:
        raise WeightsError(f"its networks have {' and '.join(map(str, sorted(units)))} units.")
    count = units.pop()
    names = UNITS if count == len(UNITS) else tuple(map(str, range(count)))
    return {"units": names, **values}
