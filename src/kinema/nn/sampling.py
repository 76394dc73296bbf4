"""What generators of clips need where they are used: seeds, the noise that follows from them, and bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from kinema.core.errors import UsageError, check_seed, nearest
from kinema.core.results import Pixels

LONGEST = 1000
"""frames of a clip that may be asked for"""


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip `index` of a request: far apart for neighbouring request seeds."""
    return seed * 1_000_003 + index


def check_clips(n: int, seed: int) -> None:
    """Refuse a number of clips or a seed that cannot be."""
    if n < 1:
        raise UsageError(f"n is the number of clips, at least 1, not {n}.")
    check_seed(seed)


def codes(draw: Callable[..., Tensor], seeds: Iterable[int], width: int) -> Tensor:
    """Noise (N, width) from `torch.randn` or `torch.rand`; a row depends on its own seed alone.

    Example:
        >>> codes(torch.randn, [3, 4], 100).shape
        torch.Size([2, 100])
    """
    return torch.stack([draw(width, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def one_hot(
    labels: Sequence[str], classes: Sequence[str], device: torch.device, kind: str = "class"
) -> Tensor:
    """Names of classes -> (B, K); `kind` is what a class is called where one is not known."""
    for label in labels:
        if label not in classes:
            raise UsageError(f"no {kind} is called '{label}'; {nearest(label, classes)}.")
    which = torch.tensor([classes.index(label) for label in labels], device=device)
    return torch.nn.functional.one_hot(which, len(classes)).float()


@contextmanager
def in_use(system: nn.Module) -> Iterator[None]:
    """Inside, `system` is in eval mode and makes no graph; afterwards it is in the mode it was in."""
    was_training = system.training
    system.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        system.train(was_training)


def in_parts(system: nn.Module, make: Callable[[slice], Tensor], n: int, batch: int = 16) -> Pixels:
    """Make n items with `system` in use, some at a time.

    Args:
        system: what is used, see `in_use`.
        make: which of the n items -> their videos (B, ..., C, T, H, W) in [-1, 1].
        n: items in all, at least 1.
        batch: items at a time.

    Returns:
        uint8 (N, ..., T, H, W, 3).
    """
    with in_use(system):
        parts = [to_uint8(make(slice(start, start + batch))) for start in range(0, n, batch)]
    return np.concatenate(parts)


def to_uint8(video: Tensor) -> Pixels:
    """Video (..., C, T, H, W) in [-1, 1] -> uint8 (..., T, H, W, 3), rounded; grey is repeated."""
    pixels = video.float().clamp(-1, 1).add(1).mul(127.5).round().byte().movedim(-4, -1).cpu()
    return np.ascontiguousarray(pixels.expand(*pixels.shape[:-1], 3).numpy())
