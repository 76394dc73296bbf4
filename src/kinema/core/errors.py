"""Errors that teach: what was given, what was expected, and what helps.

Every error that a user can cause is a `KinemaError`. Its text is one clear sentence (or two); the command
line prints it without a traceback and ends with its `exit_code`.
"""

import difflib
from collections.abc import Iterable

SOME = 8
"""known words that an error names where none is near"""


class KinemaError(Exception):
    """Something that the user can mend; the text says how."""

    exit_code = 1


class UsageError(KinemaError):
    """The request itself is wrong: an unknown name, a value out of range, a missing argument."""

    exit_code = 2


class MediaError(KinemaError):
    """A picture or video cannot be read or written: truncated, empty, too large, hostile, not writable."""


class DataError(KinemaError):
    """A data set cannot be used as it is: missing, empty, without captions, too many broken files."""


class WeightsError(KinemaError):
    """Weights cannot be loaded: truncated, of another system, not safetensors, hostile."""


class Diverged(KinemaError):
    """Training met NaN or Inf again after a rollback; the last good state is on disk."""


class Stopped(KinemaError):
    """Training was stopped by a signal; its state is saved and the same command goes on."""

    exit_code = 3


def nearest(given: str, known: Iterable[str]) -> str:
    """Name the known words nearest to `given`, or some of all, for the end of an error message.

    Example:
        >>> nearest("tgan-c", ["tgans-c", "g3an"])
        'nearest: tgans-c'
        >>> nearest("frame", ["one", "two"])
        'known: one, two'
    """
    choices = sorted(known)
    if close := difflib.get_close_matches(given, choices, n=3, cutoff=0.5):
        return f"nearest: {', '.join(close)}"
    more = len(choices) - SOME
    return f"known: {', '.join(choices[:SOME])}{f' and {more} more' if more > 0 else ''}"


def check_seed(seed: int) -> None:
    """Refuse a seed that generators of random numbers cannot take after it was spread over many clips."""
    if not 0 <= seed < 2**40:
        raise UsageError(f"seed is a number from 0 to 2^40, not {seed}.")
