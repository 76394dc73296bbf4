"""Sentences of moving digits: written, read back, compared, held out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.data import meaning, parse_caption, words, write_caption
from kinema.data.captions import contents, swap_directions

CONTENT = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=2).map(tuple)


@given(CONTENT, st.sampled_from(["long", "short"]))
def test_a_written_caption_is_read_back(content: tuple[tuple[int, int], ...], template: str) -> None:
    assert parse_caption(write_caption(content, template)) == list(content)


def test_the_published_wordings() -> None:
    assert write_caption(((6, 1),)) == "digit 6 is moving up and down ."
    assert (
        write_caption(((2, 1), (0, 0)))
        == "digit 2 is moving up and down and digit 0 is moving left and right ."
    )
    assert (
        write_caption(((2, 1), (0, 0)), "short") == "digit 2 is up and down and digit 0 is left and right ."
    )
    assert parse_caption("The digits 5 is moving left and right.") == [(5, 0)]


@pytest.mark.parametrize(
    "text",
    ["", ".", "a dog runs .", "digit 12 is moving up and down .", "digit 6 is moving up and down and .",
     "digit 6 is moving up and down today .", "digit 6 is moving sideways ."],
)  # fmt: skip
def test_other_sentences_are_not_read(text: str) -> None:
    assert parse_caption(text) is None


def test_meaning_ignores_order_and_wording_of_digits_only() -> None:
    a, b = (2, 1), (0, 0)
    assert meaning(write_caption((a, b))) == meaning(write_caption((b, a), "short"))
    assert meaning(write_caption((a, a))) != meaning(write_caption((a,)))
    assert meaning("a dog sees a man") != meaning("a man sees a dog")


def test_words_keep_punctuation_and_lower_case() -> None:
    assert words("A man's dog, über-fast.") == ["a", "man's", "dog", ",", "über", "-", "fast", "."]


@given(CONTENT)
def test_swapping_directions_twice_changes_nothing(content: tuple[tuple[int, int], ...]) -> None:
    text = write_caption(content)
    assert parse_caption(swap_directions(text)) == [(digit, 1 - axis) for digit, axis in content]
    assert swap_directions(swap_directions(text)) == text


def test_holdout_of_one_digit_splits_its_two_directions() -> None:
    train, val = contents(1, "holdout", "train"), contents(1, "holdout", "val")
    assert sorted(train + val) == sorted(contents(1))
    assert sorted(c[0][0] for c in train) == sorted(c[0][0] for c in val) == list(range(10))
    assert sum(c[0][1] for c in train) == 5  # both directions are learned


def test_holdout_of_two_digits_splits_every_pair_in_half_and_keeps_equivalents_together() -> None:
    train, val = contents(2, "holdout", "train"), contents(2, "holdout", "val")
    assert len(train) == len(val) == 200
    assert not {meaning(write_caption(c)) for c in train} & {meaning(write_caption(c)) for c in val}
    for a, b in itertools.product(range(10), repeat=2):
        seen = [(x[1], y[1]) for x, y in train if (x[0], y[0]) == (a, b)]
        assert len(seen) == 2
        assert {first for first, _ in seen} == {second for _, second in seen} == {0, 1}
