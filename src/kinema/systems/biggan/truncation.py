"""Statistics of batch norm for every truncation, as the published weights of BigGAN-deep carry them.

Brock et al. 2019 (arXiv:1809.11096), appendix E, "standing statistics": they belong to the truncation that
pictures are made with. The published weights have 51 rows, for truncations 0, 0.02 … 1. Between two rows each
counts the more, the nearer it is. The port that these weights are known by swaps the two; `compat` does, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kinema.core.errors import UsageError

SAME = 1e-6
"""a truncation this near a row is that row's, in steps between rows"""


def with_rows(generator: nn.Module, rows: int) -> None:
    """Give every batch norm `means` and `variances`, (rows, C)."""
    for norm in _norms(generator):
        norm.register_buffer("means", torch.zeros(rows, norm.num_features))
        norm.register_buffer("variances", torch.ones(rows, norm.num_features))


def at(rows: Tensor, truncation: float, compat: bool = False) -> Tensor:
    """The statistics (C) of a truncation from 0 to 1, between rows (R, C) that divide it evenly.

    Example:
        >>> at(torch.tensor([[0.0], [1.0], [5.0]]), 0.75)
        tensor([3.])
    """
    place = truncation * (len(rows) - 1)
    if abs(place - round(place)) < SAME:
        return rows[round(place)]
    below = int(place)
    share = place - below
    return torch.lerp(rows[below], rows[below + 1], 1 - share if compat else share)


@contextmanager
def statistics_of(generator: nn.Module, truncation: float, compat: bool) -> Iterator[None]:
    """Inside, the batch norms of a generator `with_rows` have the statistics of a truncation.

    Raises:
        UsageError: the truncation is more than 1.
    """
    if not 0 <= truncation <= 1:
        raise UsageError(
            f"these weights have statistics for a truncation from 0 to 1 (the widest), not {truncation:g}."
        )
    norms = _norms(generator)
    before = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = at(norm.get_buffer("means"), truncation, compat)
        norm.running_var = at(norm.get_buffer("variances"), truncation, compat)
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, before, strict=True):
            norm.running_mean, norm.running_var = mean, variance


def _norms(generator: nn.Module) -> list[_BatchNorm]:
    return [module for module in generator.modules() if isinstance(module, _BatchNorm)]
