"""Typed, frozen, flat configurations: to JSON and back, and `key=value` settings. Torch-free."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kinema.core.errors import UsageError, nearest

C = TypeVar("C")
KINDS = {int: "a whole number", float: "a number", str: "a text"}
"""how errors name a type"""


@dataclass(frozen=True)
class RunSettings:
    """How a training run is carried out; nothing here changes which networks are built."""

    steps: int = 1000
    """optimisation steps in all; the same command with a larger number goes on"""
    minutes: float | None = None
    """stop with the state saved after this many minutes of this call"""
    batch: int = 32
    """items per step over all processes"""
    micro_batch: int | None = None
    """items computed at a time on one process; None: all. Less memory; what compares items sees a piece"""
    seed: int = 0
    """fixes initial weights, data order and noise"""
    init_from: str | None = None
    """weights to begin with, a run folder or a bundled name: what has the same name is taken from there"""
    keep_optimiser: bool = False
    """with init_from=RUN: go on with its optimisers' averages of gradients, for every tensor that is taken"""
    save_every_steps: int = 250
    """steps between saved states"""
    preview_every_steps: int = 250
    """steps between preview pictures"""
    log_every_steps: int = 10
    """steps between lines of metrics.jsonl"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    precision: str = "auto"
    """auto (bf16 where the hardware has it), bf16 or fp32"""


@dataclass(frozen=True)
class Preset(Generic[C]):
    """A named starting point: the system's configuration, how to run it, and the data it was made for."""

    config: C
    settings: RunSettings
    data: str
    """name of a data set that every machine has (`sbmg`, `tbmg`, …); --data replaces it"""


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as plain JSON types (tuples become lists)."""
    return typing.cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(config))))


def from_dict(kind: type[C], values: dict[str, Any]) -> C:
    """Build dataclass `kind` from JSON types; an unknown key names the nearest known ones."""
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UsageError(f"{kind.__name__} has no field '{key}'; {nearest(key, hints)}.")
    return kind(**{key: _coerce(key, hints[key], value) for key, value in values.items()})


def apply(assignments: list[str], *configs: Any) -> tuple[Any, ...]:
    """Apply `key=value` texts to the first of `configs` that has the key; returns new ones in order.

    Example:
        >>> apply(["steps=5"], RunSettings())[0].steps
        5
    """
    out = list(configs)
    for text in assignments:
        key, eq, value = text.partition("=")
        if not eq:
            raise UsageError(f"setting '{text}' is not of the form key=value.")
        for i, config in enumerate(out):
            hints = typing.get_type_hints(type(config))
            if key in hints:
                out[i] = dataclasses.replace(config, **{key: _coerce(key, hints[key], value)})
                break
        else:
            known = [f.name for c in configs for f in dataclasses.fields(c)]
            raise UsageError(f"no setting is called '{key}'; {nearest(key, known)}.")
    return tuple(out)


def at_least_one(config: Any, *names: str) -> None:
    """Refuse fields that are less than 1, NaN or infinite; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 1 <= value < math.inf:
            raise UsageError(f"{name} is at least 1, not {value}.")


def not_negative(config: Any, *names: str) -> None:
    """Refuse fields that are less than 0, NaN or infinite; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < math.inf:
            raise UsageError(f"{name} is a number from 0 on, but {value} was given.")


def _coerce(key: str, hint: Any, value: Any) -> Any:
    """Turn a JSON value or a text into the annotated type, or say why not."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if type(None) in args:
        if value is None or value == "none":
            return None
        return _coerce(key, next(a for a in args if a is not type(None)), value)
    if origin is typing.Literal:
        if value not in args:
            raise UsageError(f"{key} is one of {', '.join(map(str, args))}, not '{value}'.")
        return value
    if origin is tuple:
        parts = [part for part in value.split(",") if part] if isinstance(value, str) else value
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_coerce(key, args[0], p) for p in parts)
        if len(parts) != len(args):
            raise UsageError(f"{key} needs {len(args)} values, {len(parts)} were given.")
        return tuple(_coerce(key, a, p) for a, p in zip(args, parts, strict=True))
    if hint is bool and isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise UsageError(f"{key} is true or false, not '{value}'.")
        return value.lower() == "true"
    if hint in KINDS and not isinstance(value, hint):
        try:
            return hint(value)
        except (ValueError, TypeError):
            raise UsageError(f"{key} is {KINDS[hint]}, not '{value}'.") from None
    return value
