"""G3AN's codes kept apart: which clips share what, what is seen of them, and the contrastive loss."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.config import RunSettings
from kinema.core.system import Progress
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.systems.g3an.apart import DRAWS, MotionEncoder, PairCritic, alike, pairs, shared
from kinema.systems.g3an.config import PRESETS
from kinema.systems.g3an.system import G3AN

CONFIG = replace(PRESETS["tiny"]().config, apart=True)
DATA = MovingShapes(64, size=32)


def chance(n: int, views: int, seed: int = 0) -> Tensor:
    return torch.rand(n, views, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_every_code_occurs_twice_and_no_two_clips_share_both() -> None:
    look, motion = shared(8, torch.device("cpu"))
    assert look.bincount().tolist() == motion.bincount().tolist() == [2, 2, 2, 2]
    assert len(set(zip(look.tolist(), motion.tolist(), strict=True))) == 8
    assert all(a == b or c == d for a, b, c, d in zip(look, look[1:], motion, motion[1:], strict=False))


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    views = [torch.nn.functional.normalize(torch.randn(3, 5)) for _ in range(2)]
    kind = [0, 1, 0] * 2
    z = torch.cat(views).tolist()
    dots = [[sum(a * b for a, b in zip(x, y, strict=True)) / 0.1 for y in z] for x in z]
    total = 0.0
    for i, row in enumerate(dots):
        mass = sum(math.exp(d) for j, d in enumerate(row) if j != i)
        own = [-math.log(math.exp(d) / mass) for j, d in enumerate(row) if j != i and kind[j] == kind[i]]
        total += sum(own) / len(own)
    assert alike(views, torch.tensor([0, 1, 0])).item() == pytest.approx(total / 6, rel=1e-5)


def test_a_view_without_a_second_of_its_kind_does_not_count() -> None:
    z = torch.nn.functional.normalize(torch.randn(3, 5))
    with_third, without = alike([z], torch.tensor([0, 0, 1])), alike([z[:2]], torch.tensor([0, 0]))
    assert torch.isfinite(with_third)
    assert without.item() == pytest.approx(0, abs=1e-6)


def test_a_pair_is_of_one_real_clip_or_of_two_generated_ones_of_one_appearance() -> None:
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1) + torch.arange(16.0).view(1, 1, 16, 1, 1) / 100
    video = clips.expand(-1, 3, -1, 8, 8)  # clip i shows i + t / 100
    times = torch.tensor([[0.0, 0.999]] * 4)
    for generated, second in ((False, [0, 1, 2, 3]), (True, [1, 0, 3, 2])):
        seen = pairs(video, times, generated)
        assert seen.shape == (4, 6, 8, 8)
        torch.testing.assert_close(seen[:, 0, 0, 0], torch.arange(4.0))
        torch.testing.assert_close(seen[:, 3, 0, 0], torch.tensor(second) + 0.15)
    assert pairs(video[:3], times[:3], True)[:, 3, 0, 0].floor().tolist() == [1, 0, 2]


def test_pairs_are_judged_by_what_differs_wherever_it_is() -> None:
    torch.manual_seed(0)
    critic = PairCritic(replace(CONFIG, critic_width=16))
    frame = torch.ones(1, 3, 32, 32)
    frame[:, 0, 8:16, 8:16] = -1
    same = critic(torch.cat([frame, frame], 1))
    torch.testing.assert_close(critic(torch.cat([frame, frame.roll((8, 8), (2, 3))], 1)), same)
    assert not torch.allclose(critic(torch.cat([frame, frame[:, [1, 0, 2]]], 1)), same, atol=1e-2)


def test_motions_do_not_see_colour_nor_much_of_shape_and_do_see_how_a_clip_moves() -> None:
    torch.manual_seed(0)
    encoder = MotionEncoder(replace(CONFIG, critic_width=16))
    video, draws = DATA.batch([0, 1])["video"], chance(2, 1)[:, 0]
    code = encoder(video, draws)
    torch.testing.assert_close(code.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(encoder(video[:, [1, 2, 0]], draws), code)
    assert not torch.allclose(encoder(video.flip(2), draws), code, atol=1e-2)


def test_critics_and_encoder_learn_from_their_clips_and_the_generator_from_both() -> None:
    torch.manual_seed(0)
    system = G3AN(G3AN.adapt(CONFIG, DATA))
    progress = Progress(0, 100, 4, slice(0, 4), torch.Generator().manual_seed(0), torch.device("cpu"))
    (losses,) = system.step(DATA.batch(range(4)), progress)
    assert losses.keys() == system.players().keys()
    made = list(system.generator.parameters())
    assert not _reaches(losses["motions"]["real"], made)
    for name in ("video", "image", "pair", "motion"):
        assert _reaches(losses["generator"][name], made)


def _reaches(term: Tensor, parameters: list[Any]) -> bool:
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return any(g is not None and bool(g.abs().max() > 0) for g in found)


def test_without_its_mean_over_time_a_still_motion_adds_nothing() -> None:
    torch.manual_seed(0)
    kept, taken = (
        G3AN(replace(CONFIG, temporal_mean=mean)).generator.block1.eval() for mean in (True, False)
    )
    taken.load_state_dict(kept.state_dict())
    s, t = torch.randn(2, 128, 1, 1, 1), torch.randn(2, 10, 1, 1, 1)
    for block, mean in ((kept, True), (taken, False)):
        _, parts, changed = block(s, (s, t), t)
        bare = block.conv_v((s, t))
        added = parts[-1] - bare
        assert (added.mean(2).abs().max() > 1e-3) == mean
        torch.testing.assert_close(added.std(2), changed.std(2).expand_as(added.std(2)))


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
def test_a_run_with_codes_kept_apart_begins_stops_and_goes_on(tmp_path: Path, updates: Any) -> None:
    settings = RunSettings(steps=2, batch=4, save_every_steps=2)
    config = replace(CONFIG, updates=updates)
    train(G3AN(config), DATA, settings, tmp_path / "run")
    train(G3AN(config), DATA, replace(settings, steps=3), tmp_path / "run")
    assert (tmp_path / "run" / "weights.safetensors").exists()
