"""G3AN's codes kept apart: which clips share what, what is seen of them, and the contrastive loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.config import RunSettings
from kinema.core.errors import UsageError
from kinema.core.system import Progress
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.systems.g3an.apart import DRAWS, STEPS, WEIGHTS, LookCritic, looks, motions, partner, shared
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


def test_a_partner_shares_the_code_and_a_clip_without_one_is_its_own() -> None:
    for n in (2, 3, 5, 8):
        for code in shared(n, torch.device("cpu")):
            other = partner(code)
            assert torch.equal(code[other], code)
            alone = torch.tensor([(code == c).sum() == 1 for c in code])
            assert torch.equal(other == torch.arange(n), alone)


def test_a_pair_of_looks_is_a_frame_of_each_clip() -> None:
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1) + torch.arange(16.0).view(1, 1, 16, 1, 1) / 100
    video = clips.expand(-1, 3, -1, 8, 8)  # clip i shows i + t / 100
    seen = looks(video, torch.tensor([1, 0, 3, 2]), torch.tensor([[0.0, 0.999]] * 4))
    assert seen.shape == (4, 6, 8, 8)
    torch.testing.assert_close(seen[:, 0, 0, 0], torch.arange(4.0))
    torch.testing.assert_close(seen[:, 3, 0, 0], torch.tensor([1.15, 0.15, 3.15, 2.15]))


def test_looks_are_judged_by_what_differs_wherever_it_is() -> None:
    torch.manual_seed(0)
    critic = LookCritic(replace(CONFIG, critic_width=16))
    frame = torch.ones(1, 3, 32, 32)
    frame[:, 0, 8:16, 8:16] = -1
    same = critic(torch.cat([frame, frame], 1))
    torch.testing.assert_close(critic(torch.cat([frame, frame.roll((8, 8), (2, 3))], 1)), same)
    assert not torch.allclose(critic(torch.cat([frame, frame[:, [1, 0, 2]]], 1)), same, atol=1e-2)


def test_motions_show_what_changes_and_neither_colour_nor_what_stands_still() -> None:
    video, itself = DATA.batch([0, 1])["video"], torch.arange(2)
    draws = chance(2, 2)
    seen = motions(video, itself, draws)
    assert seen.shape == (2, 2, 15, 4, 4)
    torch.testing.assert_close(motions(video[:, [1, 2, 0]], itself, draws), seen)
    assert not torch.allclose(motions(video.flip(2), itself, draws), seen, atol=1e-2)
    assert motions(video[:, :, :1].expand_as(video), itself, draws).abs().max() == 0
    middle = torch.full((2, 2, DRAWS), 0.5)  # neither moved nor stretched
    torch.testing.assert_close(
        motions(video, itself, middle)[:, 0].mean((1, 2, 3)), torch.ones(2), atol=0.15, rtol=0
    )
    torch.testing.assert_close(
        motions(video, itself.flip(0), middle)[:, 1], motions(video, itself, middle)[[1, 0], 1]
    )


def test_what_pairs_cost_the_generator_grows_with_the_steps() -> None:
    torch.manual_seed(0)
    system = G3AN(CONFIG)
    terms = {"video": torch.ones(()), "look": torch.ones(()), "motion": torch.ones(())}
    for step, share in ((0, 0), (STEPS // 2, 0.5), (3 * STEPS, 1)):
        g = torch.Generator()
        found = system.weighted(terms, Progress(step, 10**4, 4, slice(0, 4), g, torch.device("cpu")))
        assert {k: v.item() for k, v in found.items()} == pytest.approx(
            {"video": 1} | {k: share * weight for k, weight in WEIGHTS.items()}
        )


def test_all_critics_teach_the_generator_which_makes_pairs_of_one_code() -> None:
    torch.manual_seed(0)
    system = G3AN(CONFIG)
    g = torch.Generator().manual_seed(0)
    progress = Progress(STEPS, 10**4, 4, slice(0, 4), g, torch.device("cpu"))
    given: list[tuple[Tensor, ...]] = []
    system.generator.register_forward_pre_hook(lambda m, inputs: given.append(inputs))
    (losses,) = system.step(DATA.batch(range(4)), progress)
    assert losses.keys() == system.players().keys()
    za, zm, _ = given[0]
    assert torch.equal(za[0], za[1])
    assert torch.equal(zm[1], zm[2])
    assert not torch.equal(za[1], za[2])
    made = list(system.generator.parameters())
    for name in ("video", "image", "look", "motion"):
        assert _reaches(losses["generator"][name], made)


@pytest.mark.parametrize("clips", [1, 3])
def test_pieces_too_small_for_pairs_are_refused(clips: int) -> None:
    progress = Progress(0, 100, clips, slice(0, clips), torch.Generator(), torch.device("cpu"))
    with pytest.raises(UsageError, match=f"at least 4 clips, not of {clips}"):
        next(G3AN(CONFIG).step(DATA.batch(range(clips)), progress))


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
