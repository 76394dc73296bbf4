"""Procedural clips show exactly what their captions say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kinema.core.errors import UsageError
from kinema.data import (
    Digits,
    MovingDigits,
    bundled_digits,
    meaning,
    open_clips,
    parse_caption,
    write_caption,
)
from kinema.data.captions import contents
from kinema.data.digits import shrink

SBMG = MovingDigits(2000, size=32)
TBMG = MovingDigits(4000, 2, size=32)


def corners(frames: np.ndarray) -> np.ndarray:
    """Upper left corner (x, y) of the inked box of every frame (B, T, H, W)."""
    ink = frames > 0
    return np.stack([ink.any(axis=2).argmax(-1), ink.any(axis=3).argmax(-1)], -1)


def test_left_and_right_is_horizontal_and_up_and_down_vertical() -> None:
    frames, labels = SBMG.pixels(range(200))[..., 0], SBMG.labels(range(200))
    moves = np.ptp(corners(frames), axis=1) > 0  # (B, 2): in x, in y
    np.testing.assert_array_equal(moves[:, 0], labels[:, 0, 1] == 0)
    np.testing.assert_array_equal(moves[:, 1], labels[:, 0, 1] == 1)
    for caption, (horizontal, _) in zip(SBMG.batch(range(200))["caption"], moves, strict=True):
        assert ("left and right" in caption) == horizontal


def test_a_clip_shows_exactly_one_digit_of_the_named_class() -> None:
    bank = bundled_digits()
    small = shrink(bank.images, SBMG.side)
    frames, labels = SBMG.pixels(range(40))[..., 0], SBMG.labels(range(40))
    for clip, ((digit, _),) in zip(frames, labels, strict=True):
        y, x = np.nonzero(clip[0])
        seen = clip[0][y.min() : y.max() + 1, x.min() : x.max() + 1]
        inks = {int(frame.sum()) for frame in clip}
        assert inks == {int(seen.sum())}  # never cut, never changing
        same = [
            k
            for k in np.flatnonzero(small.sum(axis=(1, 2)) == seen.sum())
            if _trim(small[k]).shape == seen.shape
        ]
        assert digit in {bank.labels[k] for k in same if (_trim(small[k]) == seen).all()}


def _trim(image: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(image)
    return image[y.min() : y.max() + 1, x.min() : x.max() + 1]


def test_starts_are_uniform(squares: Digits) -> None:
    clips = MovingDigits(3000, size=128, frames=1, bank=squares)
    start = corners(clips.pixels(range(3000))[..., 0])[:, 0] / (128 - clips.side)  # (B, 2)
    for values in (start[:, 0], start[:, 1]):
        assert stats.kstest(values, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(start.T)[0, 1]) < 0.06


def test_digits_move_evenly_and_are_reflected_at_the_borders(squares: Digits) -> None:
    clips = MovingDigits(300, size=64, bank=squares)
    place = corners(clips.pixels(range(300))[..., 0])  # (B, T, 2)
    assert place.min() == 0
    assert place.max() == 36
    along = np.take_along_axis(place, clips.labels(range(300))[:, :1, 1:], axis=2)[..., 0]  # (B, T)
    ways = np.stack([[_bounce(p[0], way) for p in along] for way in (7.2, -7.2)])  # (2, B, T)
    error = np.abs(ways - along).max(axis=-1)
    assert error.min(axis=0).max() <= 1.0  # half a pixel of the start and half of the place are rounded away
    assert 0.4 < (error[0] < error[1]).mean() < 0.6  # both signs are equally likely


def _bounce(place: float, velocity: float) -> list[float]:
    """The same motion, step by step."""
    out = []
    for _ in range(16):
        out.append(place)
        place += velocity
        if place < 0 or place > 36:
            place, velocity = (-place if place < 0 else 72 - place), -velocity
    return out


def test_two_digits_overlap_by_maximum(squares: Digits) -> None:
    clips = MovingDigits(300, 2, size=32, bank=squares)
    frames, labels = clips.pixels(range(300))[..., 0], clips.labels(range(300))[..., 0]
    overlapping = 0
    for clip, (a, b) in zip(frames, labels, strict=True):
        low, high = sorted((20 * (a + 1), 20 * (b + 1)))
        assert set(np.unique(clip)) <= {0, low, high}
        if low < high:
            assert ((clip == high).sum(axis=(1, 2)) == clips.side**2).all()  # the brighter is never covered
            overlapping += int(((clip == low).sum(axis=(1, 2)) < clips.side**2).any())
    assert overlapping > 100


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3999), min_size=1, max_size=6))
def test_an_item_does_not_depend_on_its_batch(indices: list[int]) -> None:
    together = TBMG.batch(indices)
    for row, index in enumerate(indices):
        alone = MovingDigits(4000, 2, size=32).batch([index]) if row == 0 else TBMG.batch([index])
        assert torch.equal(together["video"][row], alone["video"][0])
        assert (together["caption"][row], together["wrong"][row]) == (alone["caption"][0], alone["wrong"][0])
        assert together["index"][row] == index


def test_size_length_and_wording_do_not_change_what_an_item_shows() -> None:
    other = MovingDigits(2000, size=48, frames=8, template="short")
    np.testing.assert_array_equal(other.labels(range(500)), SBMG.labels(range(500)))
    assert parse_caption(other.caption(3)) == parse_caption(SBMG.caption(3))
    short = MovingDigits(2000, size=32, frames=8)
    np.testing.assert_array_equal(short.pixels(range(50)), SBMG.pixels(range(50))[:, :8])


@pytest.mark.parametrize("change", [{"seed": 1}, {"split": "val"}, {"scheme": "holdout"}])
def test_seed_split_and_scheme_give_other_clips_and_another_hash(change: dict[str, str | int]) -> None:
    other = MovingDigits(2000, size=32, **change)
    assert (other.pixels(range(64)) == SBMG.pixels(range(64))).all(axis=(1, 2, 3, 4)).mean() < 0.05
    assert other.hash != SBMG.hash
    assert MovingDigits(2000, size=32).hash == SBMG.hash


def test_a_batch_is_what_the_contract_says() -> None:
    batch = MovingDigits(100, 2, size=64, channels=3, frames=5).batch([7, 2])
    assert batch["video"].shape == (2, 3, 5, 64, 64)
    assert batch["video"].dtype == torch.float32
    assert batch["video"].min() == -1
    assert batch["video"].max() == 1
    assert torch.equal(batch["video"][:, 0], batch["video"][:, 2])
    assert batch["index"].tolist() == [7, 2]
    assert batch["index"].dtype == torch.int64


def test_bytes_and_floats_are_the_same_clip() -> None:
    floats = TBMG.batch(range(10))["video"][:, 0].numpy()
    np.testing.assert_array_equal(np.rint((floats + 1) * 127.5), TBMG.pixels(range(10))[..., 0])


def test_captions_are_even_and_agree_with_labels() -> None:
    captions = SBMG.batch(range(2000))["caption"]
    assert sorted(set(captions)) == SBMG.captions
    assert stats.chisquare(np.unique(captions, return_counts=True)[1]).pvalue > 0.01
    for caption, label in zip(captions, SBMG.labels(range(2000)).tolist(), strict=True):
        assert [list(part) for part in parse_caption(caption) or []] == label


def test_a_wrong_caption_never_says_the_same_for_any_of_the_400_sentences() -> None:
    sentences = [write_caption(c) for c in contents(2)]
    assert len(sentences) == 400
    for own, others in enumerate(TBMG._others):
        said = {meaning(sentences[k]) for k in others}
        assert meaning(sentences[own]) not in said
        a, b = parse_caption(sentences[own]) or []
        assert len(others) == (399 if a == b else 398)  # all but itself and its swapped equivalent


def test_wrong_captions_as_drawn_differ_and_reach_every_other_sentence() -> None:
    batch = TBMG.batch(range(4000))
    assert all(meaning(c) != meaning(w) for c, w in zip(batch["caption"], batch["wrong"], strict=True))
    batch = SBMG.batch(range(2000))
    pairs = set(zip(batch["caption"], batch["wrong"], strict=True))
    assert len(pairs) > 0.98 * 20 * 19  # 2,000 even draws leave out two or so of the 380
    assert all(own != wrong for own, wrong in pairs)


@pytest.mark.parametrize("name", ["sbmg:holdout", "tbmg:holdout"])
def test_holdout_keeps_sentences_wrong_captions_and_images_apart_but_shares_the_words(name: str) -> None:
    train, val = open_clips(name, size=32), open_clips(name, size=32, split="val")
    assert (len(train), len(val)) == (10_000, 2_000)
    assert not {meaning(c) for c in train.captions} & {meaning(c) for c in val.captions}
    assert set(train.batch(range(500))["wrong"]) <= set(train.captions)
    assert train.vocabulary == val.vocabulary == open_clips(name.partition(":")[0], size=32).vocabulary
    assert {str(d) for d in range(10)} | {"digit", "left", "."} <= set(train.vocabulary)
    assert not {i.tobytes() for i in train._images} & {i.tobytes() for i in val._images}  # type: ignore[attr-defined]


def test_no_seed_mixes_training_and_validation_images() -> None:
    train = MovingDigits(10, size=64, seed=5)
    val = MovingDigits(10, size=64, seed=0, split="val")
    assert not {i.tobytes() for i in train._images} & {i.tobytes() for i in val._images}


def test_bad_requests_name_what_exists() -> None:
    for wrong, reason in (
        ({"split": "test"}, "split is one of train, val, all, not 'test'"),
        ({"scheme": "none"}, "scheme is one of random, holdout"),
        ({"template": "old"}, "template is one of long, short"),
        ({"digits": 3}, "1 or 2 digits"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"size": 4}, "at least 8"),
        ({"frames": 0}, "a frame"),
    ):
        with pytest.raises(UsageError, match=reason):
            MovingDigits(10, **wrong)
    with pytest.raises(UsageError, match="after the colon comes one of random, holdout"):
        open_clips("sbmg:half")
    with pytest.raises(UsageError, match="the data sets are sbmg, tbmg"):
        open_clips("sbmgg")
    for index in (-1, 2000):
        with pytest.raises(IndexError, match="items are 0 to 1999"):
            SBMG.batch([index])
