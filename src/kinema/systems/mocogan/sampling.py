"""What can be asked of MoCoGAN: codes from seeds, and the clips or the grid that are made of them.

A code of content or of motion depends on (seed, index) alone, so clip (i, j) of a grid shows the content of
clip i and the motion of clip j of the same seed, and a longer clip begins with the noise of a shorter one.
A category is an action, so it is drawn with the motion.
"""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from kinema.core.errors import UsageError, check_seed, nearest
from kinema.nn.sampling import LONGEST, clip_seed
from kinema.systems.mocogan.config import Config, Request


class Code(NamedTuple):
    """What one clip is made of."""

    content: Tensor
    """(Z,)"""
    start: Tensor
    """the recurrent net's first state h_0 (M,)"""
    noise: Tensor
    """e_1 to e_T (T, M)"""
    category: float
    """in [0, 1): which of the categories, if there are any and none was asked for"""
    name: str = ""

    @property
    def frames(self) -> int:
        """T."""
        return len(self.noise)


class Plan(NamedTuple):
    """The clips of a request, and how many stand in a row of their sheet."""

    clips: list[Code]
    columns: int | None


def plan(request: Request, config: Config) -> Plan:
    """The codes that a request means.

    Raises:
        UsageError: a number is out of range, or a label is unknown.
    """
    _check(request, config)
    frames = config.frames if request.frames is None else request.frames

    def make(i: int, j: int, name: str) -> Code:
        found = code(config, clip_seed(request.seed, i), clip_seed(request.seed, j), frames)
        return found._replace(name=name)

    if request.grid is not None:
        rows, columns = request.grid
        pairs = product(range(rows), range(columns))
        return Plan([make(i, j, f"content {i}, motion {j}") for i, j in pairs], columns)
    return Plan([make(i, i, f"clip {i}") for i in range(request.n)], None)


def code(config: Config, content: int, motion: int, frames: int) -> Code:
    """The code of a content's and a motion's seed."""
    z = torch.randn(config.content, generator=torch.Generator().manual_seed(2 * content))
    chance = torch.Generator().manual_seed(2 * motion + 1)
    category = torch.rand(1, generator=chance).item()
    start, *noise = (torch.randn(config.motion, generator=chance) for _ in range(1 + frames))
    return Code(z, start, torch.stack(noise), category)


def _check(request: Request, config: Config) -> None:
    """Refuse in one sentence what cannot be made."""
    if request.n < 1:
        raise UsageError(f"n is at least 1, not {request.n}.")
    if request.grid and request.n > 1:
        raise UsageError(f"n={request.n} does not go with grid, which says by itself how many clips.")
    if request.grid and min(request.grid) < 1:
        raise UsageError(f"a grid has at least 1 content and 1 motion, not {request.grid}.")
    if request.frames is not None and not 1 <= request.frames <= LONGEST:
        raise UsageError(f"a clip has 1 to {LONGEST} frames, not {request.frames}.")
    check_seed(request.seed)
    if request.label is None:
        return
    if not config.conditional:
        raise UsageError("these weights were trained without categories, so label cannot be chosen.")
    if request.label not in config.classes:
        known = nearest(request.label, config.classes)
        raise UsageError(f"label is a category, not '{request.label}'; {known}.")
