"""The sentences of the moving-digit sets: how they are written, read back, compared, and held out.

The sets and their sentence patterns are those of "Sync-DRAW" (arXiv 1611.10314) and TGANs-C (arXiv
1804.08264). What a sentence says is a tuple of (digit, axis) pairs, one per digit in the order of the words;
axis 0 is left and right, 1 is up and down.
"""

import itertools
import re
from collections.abc import Hashable
from typing import Literal

import numpy as np

Content = tuple[tuple[int, int], ...]
Template = Literal["long", "short"]
Scheme = Literal["random", "holdout"]
Split = Literal["train", "val", "all"]

AXES = ("left and right", "up and down")
_VERBS = {"long": "is moving", "short": "is"}
_PART = re.compile(
    r"(?:the )?digits? (\d) is (?:moving )?(left and right|up and down)(?: and (?=the|digit)|$)"
)
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")  # noqa: RUF001 - the typographic apostrophe is meant


def words(text: str) -> list[str]:
    """Split a sentence into lower-case words; every punctuation mark is a word of its own.

    Example:
        >>> words("A man's dog runs.")
        ['a', "man's", 'dog', 'runs', '.']
    """
    return _WORD.findall(text.lower())


def write_caption(content: Content, template: Template = "long") -> str:
    """The sentence for `content`.

    Example:
        >>> write_caption(((2, 1), (0, 0)), "short")
        'digit 2 is up and down and digit 0 is left and right .'
    """
    verb = _VERBS[template]
    return " and ".join(f"digit {digit} {verb} {AXES[axis]}" for digit, axis in content) + " ."


def parse_caption(text: str) -> list[tuple[int, int]] | None:
    """What a sentence says, as [(digit, axis), …] in the order of its words; None if it is of another kind.

    Reads the long and the short form and the older "the digits 5 is moving left and right .".

    Example:
        >>> parse_caption("digit 6 is moving up and down .")
        [(6, 1)]
    """
    rest = " ".join(text.lower().replace(".", " ").split())
    found = []
    while rest:
        part = _PART.match(rest)
        if part is None:
            return None
        found.append((int(part[1]), AXES.index(part[2])))
        rest = rest[part.end() :]
    return found or None


def meaning(text: str) -> Hashable:
    """What a sentence says, such that equal meanings describe the same clips.

    The order of the digits says nothing; of a sentence that is not about moving digits, all words count.
    """
    said = parse_caption(text)
    return tuple(sorted(said)) if said else tuple(words(text))


def swap_directions(text: str) -> str:
    """Exchange "left and right" and "up and down".

    Example:
        >>> swap_directions("digit 6 is moving up and down .")
        'digit 6 is moving left and right .'
    """
    return re.sub("|".join(AXES), lambda found: AXES[1 - AXES.index(found[0])], text)


def contents(digits: int, scheme: Scheme = "random", split: Split = "all") -> list[Content]:
    """Every content that a split may show, in a fixed order: 20 for one digit, 400 for two.

    `holdout` halves them. It keeps for each digit one of the two directions for training and the other for
    validation (five digits train horizontally, five vertically). For two digits it keeps, for each pair of
    digits, either both contents with equal directions or both with different ones; so each digit of a pair is
    seen in both directions, and a sentence and its swapped equivalent are always on the same side.
    """
    every = list(itertools.product(itertools.product(range(10), range(2)), repeat=digits))
    if scheme == "random" or split == "all":
        return every
    trained = _trained_parity(digits)
    wanted = split == "train"
    return [c for c in every if ((sum(axis for _, axis in c) % 2) == trained[_pair(c)]) == wanted]


def _pair(content: Content) -> tuple[int, ...]:
    return tuple(sorted(digit for digit, _ in content))


def _trained_parity(digits: int) -> dict[tuple[int, ...], int]:
    """For each unordered group of digits, the parity of its axes that training shows; fixed for ever."""
    groups = list(itertools.combinations_with_replacement(range(10), digits))
    order = np.random.default_rng(1804).permutation(len(groups))
    return {groups[int(k)]: rank % 2 for rank, k in enumerate(order)}
