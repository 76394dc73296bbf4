"""Norms by name, so that every network can be built with any of them.

Wu & He, "Group Normalization", ECCV 2018, arXiv:1803.08494: statistics over each item and each group of
channels do not depend on the batch.
"""

import logging
import math
from typing import Any

from torch import nn

from kinema.core.errors import UsageError, nearest
from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

BATCH = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
SETTINGS: dict[str, dict[str, type]] = {
    "bn": {"eps": float, "momentum": float},
    "gn": {"groups": int, "channels": int, "eps": float},
    "ln": {"eps": float},
    "in": {"eps": float},
    "none": {},
}
"""kind -> its settings"""
GROUPS = 32

log = logging.getLogger("kinema")


def make_norm(spec: str, channels: int, *, dim: int = 2, affine: bool = True) -> nn.Module:
    """The norm of a name, for maps (B, C, …) with `dim` axes of space and time.

    Args:
        spec: "bn" (over the batch of all processes), "gn" (32 groups), "ln" (one group), "in" (a group for
            each channel) or "none"; settings follow a colon: "bn:eps=1e-4,momentum=0.01", "gn:groups=8",
            "gn:channels=16" (channels in a group). Statistics of clips are over time, too.
        channels: of the maps.
        dim: 1, 2 or 3.
        affine: scale and shift every channel afterwards.

    Raises:
        UsageError: the name or a setting is not known.
    """
    kind, settings = parsed(spec)
    eps = settings.get("eps", 1e-5)
    if kind == "none":
        return nn.Identity()
    if kind == "bn":
        return BATCH[dim](channels, eps=eps, momentum=settings.get("momentum", 0.1), affine=affine)
    if kind == "in":
        return nn.GroupNorm(channels, channels, eps=eps, affine=affine)
    groups = 1 if kind == "ln" else groups_for(channels, settings)
    return nn.GroupNorm(groups, channels, eps=eps, affine=affine)


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
    kind, colon, rest = spec.partition(":")
    if kind not in SETTINGS:
        raise UsageError(f"no norm is called '{kind}'; {nearest(kind, SETTINGS)}.")
    settings: dict[str, Any] = {}
    for text in rest.split(",") if colon else []:
        key, _, value = text.partition("=")
        if key not in SETTINGS[kind]:
            known = ", ".join(SETTINGS[kind]) or "no settings"
            raise UsageError(f"norm '{spec}': '{kind}' has {known}, not '{key}'.")
        try:
            settings[key] = SETTINGS[kind][key](value)
        except ValueError:
            raise UsageError(f"norm '{spec}': {key} is a number, not '{value}'.") from None
        most = 1 if key == "momentum" else math.inf
        if not 0 < settings[key] <= most or settings[key] == math.inf:
            bound = " and at most 1" if key == "momentum" else ""
            raise UsageError(f"norm '{spec}': {key} is more than 0{bound}, not {value}.")
    return kind, settings
