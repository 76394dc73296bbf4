"""The digit judge and caption fidelity, on real held-out digits."""

import numpy as np
import pytest
import torch

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits
from kinema.data.digits import bundled_digits, split_digits
from kinema.metrics.digits import CaptionJudge, caption_fidelity, centroids, digit_judge, diversity, match

SIZE = 32


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINEMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        images, labels = bundled_digits()
        rows = np.concatenate(split_digits(labels, "train"))[::2]
        yield CaptionJudge.fit(images[rows], labels[rows], size=SIZE)


@pytest.fixture(scope="module")
def real():
    clips = MovingDigits(100, 1, size=SIZE, split="val")
    return clips.pixels(range(100)), clips.labels(range(100))


def test_real_held_out_clips_reach_the_ceiling(judge, real):
    scores = caption_fidelity(*real, judge, real=real)
    assert scores["digit"] >= 0.95
    assert scores["direction"] == 1
    assert scores["diversity"] == scores["coherence"] == 1
    assert 0.02 < scores["ink"] < 0.03


def test_labels_of_other_clips_give_chance(judge, real):
    clips, labels = real
    scores = caption_fidelity(clips, np.random.default_rng(0).permutation(labels), judge)
    assert scores["digit"] < 0.2
    assert 0.35 < scores["direction"] < 0.65


def test_transposed_clips_keep_no_direction(judge, real):
    clips, labels = real
    assert match(judge(clips.transpose(0, 1, 3, 2, 4)), labels)["direction"] == 0


def test_frozen_clips_have_no_direction_and_no_steps(judge, real):
    clips, labels = real
    frozen = np.repeat(clips[:, :1], clips.shape[1], 1)
    scores = caption_fidelity(frozen, labels, judge, real=real)
    assert scores["direction"] == scores["joint"] == scores["coherence"] == 0
    assert scores["digit"] > 0.9


def test_shuffled_frames_are_less_coherent_than_real(judge, real):
    clips, labels = real
    shuffled = clips[:, np.random.default_rng(0).permutation(clips.shape[1])]
    assert caption_fidelity(shuffled, labels, judge, real=real)["coherence"] > 1.4


def test_one_clip_for_each_caption_has_no_diversity(real):
    clips, labels = real
    _, first, which = np.unique(labels[:, 0], axis=0, return_index=True, return_inverse=True)
    assert diversity(clips[first][which], labels) < 1e-6 < diversity(clips, labels)
    assert np.isnan(diversity(clips[first], labels[first]))


def test_black_clips_are_judged_without_numbers_breaking(judge):
    black = np.zeros((2, 4, SIZE, SIZE, 1), np.uint8)
    assert judge(black)[..., 1].tolist() == [[-1], [-1]]
    assert torch.isfinite(centroids(torch.zeros(1, 2, 8, 8))).all()


def test_colour_clips_are_read_as_grey(judge, real):
    clips = real[0][:20]
    assert (judge(clips) == judge(clips.repeat(3, -1))).all()


def test_order_of_two_digits_does_not_matter():
    wanted = np.array([[[3, 0], [5, 1]]] * 4)
    seen = np.array([[[3, 0], [5, 1]], [[5, 1], [3, 0]], [[3, 1], [5, 0]], [[5, 1], [3, 1]]])
    scores = match(seen, wanted)
    assert scores == {"joint": 0.5, "digit": 1.0, "direction": 0.75}


def test_training_is_repeatable_and_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "a"))
    images, labels = (part[::100] for part in bundled_digits())
    first = CaptionJudge.fit(images, labels, size=SIZE)
    (kept,) = (tmp_path / "a" / "judges").iterdir()
    again = CaptionJudge.fit(images, labels, size=SIZE)
    kept.write_bytes(b"broken")
    anew = CaptionJudge.fit(images, labels, size=SIZE)
    assert first.protocol == again.protocol == anew.protocol
    assert (
        first.protocol["trained_on"]
        != CaptionJudge.fit(images[1:], labels[1:], size=SIZE).protocol["trained_on"]
    )


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "file"))
    images, labels = (part[::100] for part in bundled_digits())
    assert CaptionJudge.fit(images, labels, size=SIZE).digits == 1


def test_bad_input_is_named(judge, real):
    clips, labels = real
    with pytest.raises(UsageError, match="32, 32"):
        judge(clips[:, :, :16])
    with pytest.raises(UsageError, match="uint8"):
        judge(clips.astype(np.float32))
    with pytest.raises(UsageError, match="labels must have shape"):
        caption_fidelity(clips, labels[:5], judge)
    with pytest.raises(UsageError, match="1 or 2 digits"):
        CaptionJudge.fit(clips[0, :, :28, :28, 0], labels[:1, 0, 0], size=SIZE, digits=3)
    with pytest.raises(DataError, match="28, 28"):
        CaptionJudge.fit(clips[0, :, :, :, 0], labels[:16, 0, 0], size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("digits", "size", "floor"),
    [(1, 32, 0.97), (1, 48, 0.97), (1, 64, 0.97), (2, 32, 0.88), (2, 48, 0.9), (2, 64, 0.9)],
)
def test_ceiling_on_a_thousand_clips(digits, size, floor):
    clips = MovingDigits(1000, digits, size=size, split="val")
    scores = match(digit_judge(size, digits)(clips.pixels(range(1000))), clips.labels(range(1000)))
    assert scores["digit"] >= floor
    assert scores["direction"] >= (1 if digits == 1 else 0.97)
