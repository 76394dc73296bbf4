"""The rooms, one per paper: a literal dict from name to where it lives, imported when asked for."""

import importlib
from typing import Any, NamedTuple

from kinema.core.errors import UsageError, nearest


class Room(NamedTuple):
    """Where a system lives, as "module:attribute"; `presets` imports no torch, so `--help` is fast."""

    system: str
    presets: str
    does: str
    layouts: str | None = None
    """published checkpoints that can be imported: name -> reader, see `kinema convert`"""
    bench: str | None = None
    """function of a device that gives the jobs of `kinema bench`"""


SYSTEMS = {
    "tgans-c": Room(
        system="kinema.systems.tgans_c.system:TGANsC",
        presets="kinema.systems.tgans_c.config:PRESETS",
        does="caption → video",
        layouts="kinema.systems.tgans_c.convert:LAYOUTS",
        bench="kinema.systems.tgans_c.bench:jobs",
    ),
    "md-gan": Room(
        system="kinema.systems.md_gan.system:MDGAN",
        presets="kinema.systems.md_gan.config:PRESETS",
        does="photo → time-lapse",
        layouts="kinema.systems.md_gan.convert:LAYOUTS",
        bench="kinema.systems.md_gan.bench:jobs",
    ),
    "g3an": Room(
        system="kinema.systems.g3an.system:G3AN",
        presets="kinema.systems.g3an.config:PRESETS",
        does="noise → video, appearance and motion apart",
        layouts="kinema.systems.g3an.convert:LAYOUTS",
        bench="kinema.systems.g3an.bench:jobs",
    ),
    "vgan": Room(
        system="kinema.systems.vgan.system:VGAN",
        presets="kinema.systems.vgan.config:PRESETS",
        does="noise → video, a moving foreground before a still background",
    ),
    "tgan": Room(
        system="kinema.systems.tgan.system:TGAN",
        presets="kinema.systems.tgan.config:PRESETS",
        does="noise → video, one code for every frame",
    ),
    "mocogan": Room(
        system="kinema.systems.mocogan.system:MoCoGAN",
        presets="kinema.systems.mocogan.config:PRESETS",
        does="noise → video, content and motion apart",
        layouts="kinema.systems.mocogan.convert:LAYOUTS",
    ),
    "biggan": Room(
        system="kinema.systems.biggan.system:BigGAN",
        presets="kinema.systems.biggan.config:PRESETS",
        does="class → picture, at scale",
        bench="kinema.systems.biggan.bench:jobs",
        layouts="kinema.systems.biggan.convert:LAYOUTS",
    ),
    "sagan": Room(
        system="kinema.systems.sagan.system:SAGAN",
        presets="kinema.systems.sagan.config:PRESETS",
        does="class → picture, by self-attention",
        layouts="kinema.systems.sagan.convert:LAYOUTS",
    ),
    "ganimation": Room(
        system="kinema.systems.ganimation.system:GANimation",
        presets="kinema.systems.ganimation.config:PRESETS",
        does="face and action units → face",
        layouts="kinema.systems.ganimation.convert:LAYOUTS",
        bench="kinema.systems.ganimation.bench:jobs",
    ),
    "stargan": Room(
        system="kinema.systems.stargan.system:StarGAN",
        presets="kinema.systems.stargan.config:PRESETS",
        does="face and action units → face, painted anew",
        layouts="kinema.systems.stargan.convert:LAYOUTS",
    ),
    "group-norm": Room(
        system="kinema.systems.group_norm.system:GroupNorm",
        presets="kinema.systems.group_norm.config:PRESETS",
        does="picture → class, with any norm",
        bench="kinema.systems.group_norm.bench:jobs",
    ),
}


def load_class(name: str) -> Any:
    """The class of system `name` (imports torch)."""
    return _load(_room(name).system)


def load_presets(name: str) -> dict[str, Any]:
    """Preset name -> function that makes the `Preset` (imports no torch)."""
    presets: dict[str, Any] = _load(_room(name).presets)
    return presets


def load_request(name: str) -> Any:
    """The dataclass of what a user asks of system `name` (imports no torch): it stands beside the presets."""
    return _load(_room(name).presets.partition(":")[0] + ":Request")


def load_layouts(name: str) -> dict[str, Any]:
    """Layout name -> function from a foreign checkpoint to (config, state dict)."""
    where = _room(name).layouts
    if where is None:
        raise UsageError(f"no published checkpoint of {name} is known, so there is nothing to convert.")
    layouts: dict[str, Any] = _load(where)
    return layouts


def load_writer(name: str) -> Any:
    """The function from a state dict to the authors' networks by name: it stands beside the layouts."""
    where = _room(name).layouts
    if where is None:
        raise UsageError(f"no published checkpoint of {name} is known, so there are no names to write.")
    return _load(where.partition(":")[0] + ":write")


def load_bench(name: str) -> Any:
    """The function that gives the benchmark's jobs on a device."""
    where = _room(name).bench
    if where is None:
        others = ", ".join(system for system in SYSTEMS if _room(system).bench)
        raise UsageError(f"{name} has no benchmark; these have: {others}.")
    return _load(where)


def _room(name: str) -> Room:
    if name not in SYSTEMS:
        raise UsageError(f"no system is called '{name}'; {nearest(name, SYSTEMS)}. See `kinema list`.")
    return SYSTEMS[name]


def _load(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
