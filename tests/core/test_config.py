"""Numbers of configurations that cannot be are refused, each in the same words."""

import math
from dataclasses import dataclass

import pytest

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError


@dataclass(frozen=True)
class Some:
    width: float | None = 1
    lr: float | None = 0.0


def test_bounds_and_none_pass() -> None:
    for some in (Some(), Some(width=None, lr=None)):
        at_least_one(some, "width")
        not_negative(some, "lr", "width")


@pytest.mark.parametrize("value", [0, -3, 0.5, math.nan, math.inf])
def test_less_than_one_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=f"^width is at least 1, not {value}.$"):
        at_least_one(Some(width=value), "width")


@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf])
def test_less_than_zero_is_refused_in_any_field(value: float) -> None:
    with pytest.raises(UsageError, match=f"^lr is a number from 0 on, but {value} was given.$"):
        not_negative(Some(lr=value), "width", "lr")
