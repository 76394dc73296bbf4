"""DiffAugment: what each change does, alike in all frames, from given chance, and differentiably."""

import pytest
import torch
from torch import Tensor

from kinema.ops.augment import DRAWS, KINDS, augment, colour, cutout, translation

CLIPS = torch.rand(3, 3, 5, 16, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
SAID = [[0.9, 0.2, 0.7, 0.1, 0.9, 0.4, 0.0, 0.5, 0.5, 0.5], [0.0] * 10, [0.999] * 10]
CHANCE = torch.tensor(SAID, dtype=torch.float64)


def test_colour_equals_a_slow_reference() -> None:
    changed = colour(CLIPS, CHANCE[:, :3])
    for clip, (brightness, saturation, contrast), got in zip(
        CLIPS, CHANCE[:, :3].tolist(), changed, strict=True
    ):
        x = clip + brightness - 0.5
        grey = (x[0] + x[1] + x[2]) / 3
        x = torch.stack([grey + 2 * saturation * (plane - grey) for plane in x])
        middle = x.sum() / x.numel()
        torch.testing.assert_close(got, middle + (0.5 + contrast) * (x - middle))


def test_half_a_chance_changes_no_colour() -> None:
    torch.testing.assert_close(colour(CLIPS, torch.full((3, 3), 0.5)), CLIPS)


def test_translation_equals_a_slow_reference() -> None:
    changed = translation(CLIPS, CHANCE[:, 3:5])
    assert changed.shape == CLIPS.shape
    for clip, (y, x), got in zip(CLIPS, CHANCE[:, 3:5].tolist(), changed, strict=True):
        down, right = int(y * 5) - 2, int(x * 7) - 3  # at most 16/8 and 24/8
        for i in range(16):
            for j in range(24):
                inside = 0 <= i + down < 16 and 0 <= j + right < 24
                want = clip[:, :, i + down, j + right] if inside else torch.zeros(3, 5)
                assert torch.equal(got[:, :, i, j], want.to(got))


def test_cutout_hides_one_square_around_a_place_of_the_frame() -> None:
    ones = torch.ones(3, 1, 5, 16, 24)
    hidden = cutout(ones, CHANCE[:, 5:7]) == 0
    for clip, (y, x) in zip(hidden, CHANCE[:, 5:7].tolist(), strict=True):
        top, left = int(y * 16) - 4, int(x * 24) - 6
        want = torch.zeros(16, 24, dtype=torch.bool)
        want[max(top, 0) : top + 8, max(left, 0) : left + 12] = True
        assert torch.equal(clip, want.expand(1, 5, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_one_draw_for_a_clip_and_another_for_the_next(kind: str) -> None:
    still = CLIPS[:1, :, :1].expand(3, -1, 5, -1, -1)  # three times the same clip of the same frame
    changed = augment(still, CHANCE, (kind,))
    assert torch.equal(changed, changed[:, :, :1].expand_as(changed))
    assert not torch.equal(changed[0], changed[2])
    torch.testing.assert_close(changed[1:2], augment(still[1:2], CHANCE[1:2], (kind,)))  # no company needed
    torch.testing.assert_close(augment(still[:, :, 0], CHANCE, (kind,)), changed[:, :, 0])  # nor time


def test_kinds_are_chosen() -> None:
    assert torch.equal(augment(CLIPS, CHANCE, ()), CLIPS)
    in_turn = cutout(translation(colour(CLIPS, CHANCE[:, :3]), CHANCE[:, 3:5]), CHANCE[:, 5:7])
    assert torch.equal(augment(CLIPS, CHANCE), in_turn)
    assert CHANCE.shape[1] == DRAWS


def test_gradients_of_gradients_reach_the_input() -> None:
    small = CLIPS[:1, :, :2, :8, :8].clone().requires_grad_()

    def judged(x: Tensor) -> Tensor:
        return augment(x, CHANCE[:1]).square()

    assert torch.autograd.gradcheck(judged, small, fast_mode=True)
    assert torch.autograd.gradgradcheck(judged, small, fast_mode=True)
