"""Moving shapes show exactly what their labels and sentences say."""

import numpy as np
import pytest
import torch

from kinema.core.errors import UsageError
from kinema.data import MovingShapes, make, open_clips
from kinema.data.shapes import HUES, MOTIONS, SHAPES

CLIPS = MovingShapes(400)
LABELS = CLIPS.labels(range(400))
PIXELS = CLIPS.pixels(range(400))
INK = 255.0 - PIXELS.min(-1)  # (B, T, H, W): white has none, every hue has a dark channel


def centres() -> np.ndarray:
    """Centre of ink (x, y) of every frame (B, T, 2)."""
    total, at = INK.sum((2, 3)), np.arange(64) + 0.5
    return np.stack([(INK.sum(2) * at).sum(-1), (INK.sum(3) * at).sum(-1)], -1) / total[..., None]


def test_each_motion_is_the_one_it_is_called() -> None:
    (dx, dy), area = np.moveaxis(np.ptp(centres(), axis=1), -1, 0), INK.sum((2, 3))
    grows = area.max(1) / area.min(1)
    motion = LABELS[:, 2]
    assert MOTIONS == ("moves left and right", "moves up and down", "moves in a circle", "grows and shrinks")
    assert ((dx > 20) == np.isin(motion, (0, 2))).all()
    assert ((dy > 20) == np.isin(motion, (1, 2))).all()
    assert ((grows > 4) == (motion == 3)).all()
    assert (grows[motion != 3] < 1.03).all()


def test_circles_are_clockwise_and_a_round_takes_sixteen_frames() -> None:
    place = centres()[LABELS[:, 2] == 2] - 32  # (b, T, 2)
    (x, y), (x1, y1) = np.moveaxis(place[:, :-1], -1, 0), np.moveaxis(place[:, 1:], -1, 0)
    turn = x * y1 - y * x1  # positive: clockwise, y points down
    assert (turn > 0).all()
    clips = MovingShapes(20, frames=32).pixels(range(20)).astype(int)
    assert np.abs(clips[:, 16:] - clips[:, :16]).max() <= 1
    assert np.array_equal(clips[:, :16], PIXELS[:20])


def test_shapes_have_their_outline_and_the_same_area() -> None:
    share = []
    for shape in range(len(SHAPES)):
        rows = (LABELS[:, 0] == shape) & (LABELS[:, 2] != 3)
        ink = INK[rows, 0] / INK[rows, 0].max((1, 2), keepdims=True)
        box = (ink.max(1) > 0.5).sum(1) * (ink.max(2) > 0.5).sum(1)
        share.append(np.median(ink.sum((1, 2)) / box))
    assert share == pytest.approx([np.pi / 4, 1, 0.5], abs=0.08)
    area = INK[LABELS[:, 2] != 3, 0].sum((1, 2)) / INK[LABELS[:, 2] != 3, 0].max((1, 2))
    low, high = np.pi * (0.11 * 64) ** 2, np.pi * (0.17 * 64) ** 2
    assert low * 0.97 < area.min() < area.max() < high * 1.03


def test_colours_are_the_hue_on_white_with_soft_edges() -> None:
    assert (PIXELS[:, :, 0, 0] == 255).all()
    for hue in range(len(HUES)):
        seen = PIXELS[LABELS[:, 1] == hue][:, 0].reshape(-1, 3)
        colours, counts = np.unique(seen, axis=0, return_counts=True)
        assert counts[(colours < 255).any(1)].argmax() == colours[(colours < 255).any(1)].sum(1).argmin()
        assert len(colours) > 20  # anti-aliased
    red, green = (PIXELS[LABELS[:, 1] == h][0, 0].reshape(-1, 3).min(0) for h in (0, 3))
    assert red.tolist() == [230, 23, 23]
    assert green.argmax() == 1


def test_everything_is_drawn_evenly_and_independently() -> None:
    labels = MovingShapes(9600).labels(range(9600))
    for column, kinds in enumerate((3, 8, 4)):
        counts = np.bincount(labels[:, column], minlength=kinds)
        assert np.abs(counts / 9600 * kinds - 1).max() < 0.1
    assert np.abs(np.corrcoef(labels.T)[np.triu_indices(3, 1)]).max() < 0.03


def test_an_item_depends_on_seed_split_and_index_only() -> None:
    assert torch.equal(CLIPS.batch([7, 3])["video"][1], CLIPS.batch([3])["video"][0])
    assert torch.equal(CLIPS.batch([3])["video"], MovingShapes().batch([3])["video"])
    others = (MovingShapes(seed=1), MovingShapes(split="val"), MovingShapes(split="all"))
    assert not any(torch.equal(o.batch([3])["video"], CLIPS.batch([3])["video"]) for o in others)
    assert len({c.hash for c in (CLIPS, *others)}) == 4
    with pytest.raises(IndexError, match="0 to 399"):
        CLIPS.pixels([400])


def test_a_batch_is_what_the_contract_says() -> None:
    batch = CLIPS.batch(range(6))
    assert batch["video"].shape == (6, 3, 16, 64, 64)
    assert batch["video"].dtype == torch.float32
    assert np.array_equal(((batch["video"] + 1) * 127.5).round().numpy().transpose(0, 2, 3, 4, 1), PIXELS[:6])
    assert torch.equal(batch["label"], torch.from_numpy(LABELS[:6]))
    said = [f"the {HUES[h]} {SHAPES[s]} {MOTIONS[m]} ." for s, h, m in LABELS[:6]]
    assert batch["caption"] == said == [CLIPS.caption(i) for i in range(6)]
    everything = CLIPS.batch(range(400))
    assert all(a != b for a, b in zip(everything["caption"], everything["wrong"], strict=True))
    assert set(everything["wrong"]) <= set(CLIPS.captions)
    assert len(CLIPS.captions) == 96
    assert {word for text in CLIPS.captions for word in text.split()} == set(CLIPS.vocabulary)


def test_grey_is_the_luma_of_colour() -> None:
    grey, colour = (MovingShapes(4, size=32, channels=c).pixels(range(4)).astype(float) for c in (1, 3))
    assert np.abs(grey[..., 0] - colour @ [0.299, 0.587, 0.114]).max() <= 1


def test_shapes_are_opened_by_name_and_made_into_a_folder(tmp_path) -> None:
    opened = open_clips("shapes", size=32, channels=3, split="val")
    assert isinstance(opened, MovingShapes)
    assert len(opened) == 4096
    make("shapes", 6, tmp_path / "set", size=32, format="gif")
    read, born = open_clips(tmp_path / "set", size=32, channels=3), MovingShapes(5, size=32)
    assert read.batch(range(5))["caption"] == born.batch(range(5))["caption"]
    assert np.abs(read.pixels(range(5)).astype(int) - born.pixels(range(5))).max() <= 1


def test_wrong_settings_are_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="split is one of train, val, all"):
        MovingShapes(split="test")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="1 or 3 channels, not 4"):
        MovingShapes(channels=4)
    with pytest.raises(UsageError, match="at least 8 and a frame, not 4 and 16"):
        MovingShapes(size=4)
    for name in ("shapes:holdout", "shapes:0", "shapes:-5", "shapes:10000000000"):
        with pytest.raises(UsageError, match=f"'{name}': .* how many clips to train on, as in shapes:500"):
            open_clips(name)
    with pytest.raises(UsageError, match="'shapes:5' and 2 are two numbers of clips; leave ':5' out"):
        make("shapes:5", 2, tmp_path / "a", split="train")
    with pytest.raises(UsageError, match="belong to sets of digits, not to 'shapes'"):
        make("shapes", 2, tmp_path / "a", template="short")


def test_a_number_after_the_name_leaves_that_many_clips_for_training_alone() -> None:
    few, all_ = (open_clips(name, size=16, channels=3) for name in ("shapes:5", "shapes"))
    assert (len(few), len(all_)) == (5, 4_000)
    assert torch.equal(few.batch(range(5))["video"], all_.batch(range(5))["video"])
    assert few.hash != all_.hash
    held_out = [open_clips(name, size=16, channels=3, split="val") for name in ("shapes:5", "shapes")]
    assert held_out[0].hash == held_out[1].hash
