"""The rooms, one per paper: a literal dict from name to where it lives, imported when asked for."""

import importlib
from typing import Any, NamedTuple

from kinema.core.errors import UsageError, nearest


class Room(NamedTuple):
    """Where a system lives, as "module:attribute"; `presets` imports no torch, so `--help` is fast."""

    system: str
    presets: str
    does: str


SYSTEMS = {
    "tgans-c": Room(
        "kinema.systems.tgans_c.system:TGANsC", "kinema.systems.tgans_c.config:PRESETS", "caption → video"
    ),
}


def load_class(name: str) -> Any:
    """The class of system `name` (imports torch)."""
    return _load(_room(name).system)


def load_presets(name: str) -> dict[str, Any]:
    """Preset name -> function that makes the `Preset` (imports no torch)."""
    presets: dict[str, Any] = _load(_room(name).presets)
    return presets


def _room(name: str) -> Room:
    if name not in SYSTEMS:
        raise UsageError(
            f"no system is called '{name}'; nearest: {nearest(name, SYSTEMS)}. See `kinema list`."
        )
    return SYSTEMS[name]


def _load(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
