"""What can be asked of G3AN: codes from seeds, and the jobs that are made of them.

A code of appearance or of motion depends on (seed, index) alone, so clip (i, j) of a grid shows the
appearance of clip i and the motion of clip j of the same seed, and a longer clip begins with the noise of a
shorter one.
"""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from kinema.core.errors import UsageError, check_seed, nearest
from kinema.nn.sampling import LONGEST, clip_seed
from kinema.systems.g3an.config import Config, Request


class Code(NamedTuple):
    """What one clip is made of."""

    za: Tensor
    """appearance (A,)"""
    zm: Tensor
    """motion (M, t)"""
    name: str = ""

    @property
    def frames(self) -> int:
        """T = 4 (t + 3)."""
        return 4 * (self.zm.shape[1] + 3)


class Plan(NamedTuple):
    """The clips of a request, and how many stand in a row of their sheet."""

    clips: list[Code]
    columns: int | None


def plan(request: Request, config: Config) -> Plan:
    """The codes that a request means.

    Raises:
        UsageError: a number is out of range, or two jobs were asked for at once.
    """
    _check(request, config)
    frames, wanted = request.frames or config.frames, request.n

    def make(i: int, j: int, t: int, name: str) -> Code:
        found = code(config, clip_seed(request.seed, i), clip_seed(request.seed, j), t, request.smooth)
        return found._replace(name=name)

    if request.grid is not None:
        rows, columns = request.grid
        pairs = product(range(rows), range(columns))
        return Plan([make(i, j, frames, f"appearance {i}, motion {j}") for i, j in pairs], columns)
    if request.lengths:
        return Plan([make(0, 0, t, f"{t} frames") for t in request.lengths], len(request.lengths))
    if request.walk is not None:
        first, last = (make(i, i, frames, "") for i in (0, 1))
        za = path(first.za, last.za if request.walk == "appearance" else None, wanted)
        zm = path(first.zm, last.zm if request.walk == "motion" else None, wanted)
        return Plan([Code(za[i], zm[i], f"{request.walk}, step {i}") for i in range(wanted)], wanted)
    return Plan([make(i, i, frames, f"clip {i}") for i in range(wanted)], None)


def code(config: Config, appearance: int, motion: int, frames: int, smooth: float = 0.0) -> Code:
    """The code of an appearance's and a motion's seed.

    With `smooth` = ρ the noise of neighbouring time steps is correlated, an AR(1) process with unit variance:
    zm_k = ρ zm_(k-1) + √(1 - ρ²) ε_k. The paper's steps are independent, which shows as seams in long clips.
    """
    za = torch.randn(config.appearance, generator=torch.Generator().manual_seed(2 * appearance))
    chance = torch.Generator().manual_seed(2 * motion + 1)
    zm = [torch.randn(config.motion, generator=chance)]
    for _ in range(1, time_steps(frames)):
        new = torch.randn(config.motion, generator=chance)
        zm.append(smooth * zm[-1] + (1 - smooth**2) ** 0.5 * new)
    return Code(za, torch.stack(zm, 1))


def path(start: Tensor, end: Tensor | None, steps: int) -> Tensor:
    """`steps` points (steps, ...) from one normal draw to another, or staying; all are normal draws."""
    if end is None:
        return start.expand(steps, *start.shape)
    angle = torch.linspace(0, torch.pi / 2, steps).view(-1, *(1,) * start.dim())
    return angle.cos() * start + angle.sin() * end


def time_steps(frames: int) -> int:
    """Time steps t of the motion noise: frames = 4 (t + 3)."""
    return frames // 4 - 3


def check_frames(frames: int) -> None:
    """Refuse a number of frames that the generator cannot make."""
    if not 16 <= frames <= LONGEST or frames % 4:
        raise UsageError(
            f"a clip has 16, 20, 24, 28, 32, … frames (4 (t + 3)) up to {LONGEST}, not {frames}."
        )


def _check(request: Request, config: Config) -> None:
    """Refuse in one sentence what cannot be made."""
    jobs = [name for name in ("grid", "lengths", "walk") if getattr(request, name)]
    if len(jobs) > 1:
        raise UsageError(f"{' and '.join(jobs)} are different jobs; ask for one of them at a time.")
    if request.n < 1 or (request.walk and request.n < 2):
        raise UsageError(f"n is at least 1, and 2 for a walk, not {request.n}.")
    if request.n > 1 and (request.grid or request.lengths):
        raise UsageError(f"n={request.n} does not go with {jobs[0]}, which says by itself how many clips.")
    if request.grid and min(request.grid) < 1:
        raise UsageError(f"a grid has at least 1 appearance and 1 motion, not {request.grid}.")
    if request.lengths and request.frames is not None:
        raise UsageError("lengths says how many frames each clip has; leave frames out.")
    for frames in (*request.lengths, *([] if request.frames is None else [request.frames])):
        check_frames(frames)
    if not 0 <= request.smooth < 1:
        raise UsageError(f"smooth is at least 0 and less than 1, not {request.smooth:g}.")
    check_seed(request.seed)
    if config.conditional and request.label not in config.classes:
        given = "none was given" if request.label is None else f"not '{request.label}'"
        raise UsageError(f"label is a class, {given}; {nearest(request.label or '', config.classes)}.")
    if request.label is not None and not config.conditional:
        raise UsageError("these weights were trained without classes, so label cannot be chosen.")
