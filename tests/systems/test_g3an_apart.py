"""G3AN's codes kept apart: which clips share what, the contrastive loss, and what each encoder sees."""

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
from kinema.systems.g3an.apart import DRAWS, Apart, alike, frames, shared
from kinema.systems.g3an.config import PRESETS
from kinema.systems.g3an.system import G3AN

CONFIG = replace(PRESETS["tiny"]().config, apart=0.1)
DATA = MovingShapes(64, size=32)


def encoders() -> Apart:
    torch.manual_seed(0)
    return Apart(replace(CONFIG, critic_width=16))


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


def test_outlines_do_not_see_colour_and_motions_do_not_see_place() -> None:
    net = encoders()
    video, draws = DATA.batch([0, 1])["video"], chance(2, 1)[:, 0]
    recoloured = video[:, [1, 2, 0]]
    assert torch.allclose(net.outlines(video, draws), net.outlines(recoloured, draws), atol=1e-5)
    assert not torch.allclose(net.colours(video, draws), net.colours(recoloured, draws), atol=1e-2)
    assert torch.allclose(net.motions(video, draws), net.motions(recoloured, draws), atol=1e-5)
    still = video[:, :, :1].expand_as(video)
    assert not torch.allclose(net.motions(video, draws), net.motions(still, draws), atol=1e-2)


def test_a_frame_without_a_change_of_place_and_scale_is_the_frame() -> None:
    video = DATA.batch([0, 1])["video"]
    draws = torch.full((2, DRAWS), 0.5)
    assert torch.allclose(frames(video, draws), video[:, :, 8], atol=1e-5)


def test_encoders_learn_from_real_clips_alone_and_the_generator_from_made_ones() -> None:
    torch.manual_seed(0)
    system = G3AN(G3AN.adapt(CONFIG, DATA))
    progress = Progress(0, 100, 4, slice(0, 4), torch.Generator().manual_seed(0), torch.device("cpu"))
    (losses,) = system.step(DATA.batch(range(4)), progress)
    made = list(system.generator.parameters())
    assert all(not _reaches(term, made) for term in losses["apart"].values())
    assert {"one_colour", "one_outline", "one_motion"} <= losses["generator"].keys()
    for name in ("one_colour", "one_outline", "one_motion"):
        assert _reaches(losses["generator"][name], made)


def _reaches(term: Tensor, parameters: list[Any]) -> bool:
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return any(g is not None and bool(g.abs().max() > 0) for g in found)


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
def test_a_run_with_codes_kept_apart_begins_stops_and_goes_on(tmp_path: Path, updates: Any) -> None:
    settings = RunSettings(steps=2, batch=4, save_every_steps=2)
    config = replace(CONFIG, updates=updates)
    train(G3AN(config), DATA, settings, tmp_path / "run")
    train(G3AN(config), DATA, replace(settings, steps=3), tmp_path / "run")
    assert (tmp_path / "run" / "weights.safetensors").exists()
