"""Norms by name, so that every network can be built with any of them.

Wu & He, "Group Normalization", ECCV 2018, arXiv:1803.08494: statistics over each item and each group of
channels do not depend on the batch.
"""

import logging
import math
from typing import Any

from torch import nn

from kinema.core.errors import UsageError, nearest
from kinema.nn.more_norms import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d, FrozenBatchNorm, RMSNorm
from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

BATCH = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
RENORM = {1: BatchRenorm1d, 2: BatchRenorm2d, 3: BatchRenorm3d}
SETTINGS: dict[str, dict[str, type]] = {
    "bn": {"eps": float, "momentum": float},
    "brn": {"eps": float, "momentum": float, "r": float, "d": float, "warmup": int},
    "frozenbn": {"eps": float},
    "gn": {"groups": int, "channels": int, "eps": float},
    "ln": {"eps": float},
    "in": {"affine": bool, "eps": float},
    "rms": {"eps": float},
    "none": {},
}
"""kind -> its settings; a bool stands alone"""
ALIASES = {"syncbn": "bn"}
"""our batch norm is synchronised"""
GROUPS = 32

log = logging.getLogger("kinema")


def make_norm(spec: str, channels: int, *, dim: int = 2, affine: bool = True) -> nn.Module:
    """The norm of a name, for maps (B, C, …) with `dim` axes of space and time.

    Args:
        spec: "bn" or "syncbn" (over the batch of all processes), "brn" (batch renormalisation), "frozenbn" (a
            batch norm whose running statistics stay as they are), "gn" (32 groups), "ln" (one group), "rms"
            (as "ln", but the mean is not subtracted), "in" (a group for each channel, no scale and shift),
            "in:affine" (with both) or "none". Settings follow a colon: "bn:eps=1e-4,momentum=0.01",
            "brn:r=1.5,d=0.5,warmup=100", "gn:groups=8", "gn:channels=16" (channels in a group). Statistics
            of clips are over time, too.
        channels: of the maps.
        dim: 1, 2 or 3.
        affine: scale and shift every channel afterwards.

    Raises:
        UsageError: the name or a setting is not known.
    """
    kind, settings = parsed(spec)
    match kind:
        case "none":
            return nn.Identity()
        case "bn":
            return BATCH[dim](channels, affine=affine, **settings)
        case "brn":
            return RENORM[dim](channels, affine=affine, **settings)
        case "frozenbn":
            return FrozenBatchNorm(channels, affine=affine, **settings)
        case "rms":
            return RMSNorm(channels, affine=affine, **settings)
        case "in":
            groups, affine = channels, affine and settings.get("affine", False)
        case "ln":
            groups = 1
        case _:
            groups = groups_for(channels, settings)
    return nn.GroupNorm(groups, channels, eps=settings.get("eps", 1e-5), affine=affine)


def groups_for(channels: int, settings: dict[str, Any]) -> int:
    """How many groups; where they do not divide the channels, the largest number below that does."""
    wanted = channels // settings["channels"] if "channels" in settings else settings.get("groups", GROUPS)
    groups = max(g for g in range(1, max(1, min(wanted, channels)) + 1) if channels % g == 0)
    if groups == channels > 1:  # a channel in a group is instance norm, which was not asked for
        groups = max(g for g in range(1, channels) if channels % g == 0)
    if groups != wanted:
        log.info("group norm of %d channels takes %d groups, not %d", channels, groups, wanted)
    return groups


def parsed(spec: str) -> tuple[str, dict[str, Any]]:
    """The parts of a name: "gn:groups=8" -> ("gn", {"groups": 8}).

    Raises:
        UsageError: the name or a setting is not known.
    """
    name, colon, rest = spec.partition(":")
    kind = ALIASES.get(name, name)
    if kind not in SETTINGS:
        raise UsageError(f"no norm is called '{kind}'; {nearest(kind, [*SETTINGS, *ALIASES])}.")
    settings: dict[str, Any] = {}
    for text in rest.split(",") if colon else []:
        key, equals, value = text.partition("=")
        if key not in SETTINGS[kind]:
            known = ", ".join(SETTINGS[kind]) or "no settings"
            raise UsageError(f"norm '{spec}': '{name}' has {known}, not '{key}'.")
        if SETTINGS[kind][key] is bool:
            if equals:
                raise UsageError(f"norm '{spec}': {key} stands alone, without '={value}'.")
            settings[key] = True
        else:
            settings[key] = number(spec, key, value, SETTINGS[kind][key])
    return kind, settings


def number(spec: str, key: str, value: str, kind: type) -> Any:
    """The number that a setting of a name is.

    Raises:
        UsageError: it is none, or beyond the setting's range.
    """
    try:
        found = kind(value)
    except ValueError:
        raise UsageError(f"norm '{spec}': {key} is a number, not '{value}'.") from None
    if key == "r" and not 1 <= found < math.inf:
        raise UsageError(f"norm '{spec}': r is 1 or more, not {value}.")
    most = 1 if key == "momentum" else math.inf
    if not 0 < found <= most or found == math.inf:
        bound = " and at most 1" if key == "momentum" else ""
        raise UsageError(f"norm '{spec}': {key} is more than 0{bound}, not {value}.")
    return found
