"""VGAN: composition, losses against slow references, variants, classes, and wrong requests."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinema.core.config import RunSettings
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.core.system import Progress
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.losses.game import Game
from kinema.systems.vgan.config import PRESETS, Config, Request
from kinema.systems.vgan.networks import Critic, Generator
from kinema.systems.vgan.system import VGAN

TINY = PRESETS["tiny"]().config
DATA = MovingShapes(16, size=32)
R3GAN = {"loss": "r3gan", "r1": 0.0}


def build(**changes: Any) -> VGAN:
    torch.manual_seed(0)
    return VGAN(VGAN.adapt(replace(TINY, **changes), DATA))


def lively(**changes: Any) -> VGAN:
    """With weights as large as trained ones, so that no layer's output is nearly zero in eval mode."""
    system = build(**changes)
    for parameter in system.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 0.2)
    return system


def at(step: int, rows: slice = slice(0, 4)) -> Progress:
    return Progress(step, 100, 4, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ---- networks ----


def test_networks_have_the_papers_parameters() -> None:
    assert count(Generator(Config())) == 16_245_383
    assert count(Generator(Config(streams="one"))) == 12_663_619
    assert count(Critic(Config())) == 11_057_858


@pytest.mark.parametrize(("frames", "size"), [(16, 32), (32, 64), (48, 16)])
def test_clips_have_the_length_and_size_that_were_asked_for(frames: int, size: int) -> None:
    system = build(frames=frames, size=size, width=1)
    clip = system.make(torch.randn(2, 16), None)
    assert clip.video.shape == clip.foreground.shape == (2, 3, frames, size, size)
    assert clip.mask.shape == (2, 1, frames, size, size)
    assert clip.background.shape == (2, 3, 1, size, size)
    assert system.critic(clip.video).shape == (2,)


def test_a_clip_is_foreground_where_the_mask_is_open_and_background_elsewhere() -> None:
    clip = lively().make(torch.randn(2, 16), None)
    f, m, b = (x.detach().double() for x in clip[1:])
    for n, c, t, y, x in ((0, 0, 0, 0, 0), (1, 2, 15, 31, 4), (0, 1, 7, 12, 30)):
        open_ = m[n, 0, t, y, x]
        wanted = open_ * f[n, c, t, y, x] + (1 - open_) * b[n, c, 0, y, x]
        assert clip.video[n, c, t, y, x].item() == pytest.approx(wanted.item(), abs=1e-6)
    assert 0.05 < m.std() < 0.6  # neither open nor closed everywhere


def test_a_closed_mask_leaves_a_still() -> None:
    system = lively().eval()
    nn.init.zeros_(system.generator.mask.weight)
    nn.init.constant_(system.generator.mask.bias, -30)
    frames = system.generate([""], [0])[0]
    assert (frames == frames[0]).all()
    assert frames.std() > 10


def test_one_stream_is_the_foreground_alone() -> None:
    two, one = lively(), lively(streams="one")
    one.generator.load_state_dict(two.generator.state_dict(), strict=False)
    z = torch.randn(2, 16)
    clip = one.make(z, None)
    assert (clip.foreground, clip.mask, clip.background) == (None, None, None)
    torch.testing.assert_close(clip.video, two.make(z, None).foreground)
    assert one.mask_term(clip) == {}


# ---- losses ----


def test_the_difference_of_two_logits_under_the_logarithmic_loss_is_cross_entropy() -> None:
    """Both players' terms, against log-softmax written out in float64."""
    system = build().double()
    video, fake = (DATA.batch(rows)["video"].double() for rows in ([0, 1, 2], [3, 4, 5]))
    pairs = [system.critic.logits(system.critic.maps(v)).flatten(1).tolist() for v in (video, fake)]

    def cross_entropy(rows: list[list[float]], k: int) -> float:
        return sum(math.log(sum(math.exp(x) for x in row)) - row[k] for row in rows) / len(rows)

    game = Game(system.config, at(1))
    terms = game.critic_terms(system.critic, video, fake)
    assert terms["real"].item() == pytest.approx(cross_entropy(pairs[0], 1), abs=1e-6)
    assert terms["fake"].item() == pytest.approx(cross_entropy(pairs[1], 0), abs=1e-6)
    fool = game.generator_term(system.critic, fake, video)
    assert fool.item() == pytest.approx(cross_entropy(pairs[1], 1), abs=1e-6)


def test_the_mask_costs_its_mean_size() -> None:
    system, clip = build(mask=0.3), lively().make(torch.randn(2, 16), None)
    terms = system.mask_term(clip)
    wanted = 0.3 * sum(clip.mask.detach().double().flatten().tolist()) / clip.mask.numel()
    assert terms["mask"].item() == pytest.approx(wanted, rel=1e-5)


def test_r1_is_half_the_squared_slope_and_comes_in_its_turn() -> None:
    system, batch = build(r1=2.0, r1_every=4), DATA.batch(range(4))
    terms = next(system.step(batch, at(0)))["critic"]
    slopes = []
    for clip in batch["video"]:
        x = clip[None].requires_grad_()
        slopes.append(torch.autograd.grad(system.critic(x).sum(), x)[0].square().sum().item())
    assert terms["r1"].item() == pytest.approx(2.0 * 4 * 0.5 * sum(slopes) / 4, rel=1e-4)
    turns = ["r1" in next(system.step(batch, at(step)))["critic"] for step in range(5)]
    assert turns == [True, False, False, False, True]


def test_in_turn_the_generator_meets_the_critic_that_has_learned() -> None:
    """Real and generated clips go through the critic's batch norm in separate batches."""
    system = build(updates="alternating", critic_norm="batch", r1=0.0)
    batch, progress = DATA.batch(range(4)), at(3)
    z, new = progress.randn(16), progress.randn(16)
    step = system.step(batch, at(3))
    critic = next(step)["critic"]
    softplus = nn.functional.softplus
    false, true = system.critic(system.make(z, None).video), system.critic(batch["video"])
    assert critic["fake"].item() == pytest.approx(softplus(false).mean().item(), abs=1e-6)
    assert critic["real"].item() == pytest.approx(softplus(-true).mean().item(), abs=1e-6)
    with torch.no_grad():
        for parameter in system.critic.parameters():
            parameter.mul_(1.5)
    fool = next(step)["generator"]["fool"]
    judged = system.critic(system.make(new, None).video)
    assert fool.item() == pytest.approx(softplus(-judged).mean().item(), abs=1e-6)


# ---- variants, micro-batches, statistics ----


@pytest.mark.parametrize(
    "changes",
    [
        {"updates": "alternating", "loss": "hinge"},
        {"streams": "one", "critic_norm": "batch", "channels": 1},
        {"conditional": True},
        {**R3GAN, "augment": ("translation",)},
        {**R3GAN, "updates": "alternating", "conditional": True},
    ],
    ids=str,
)
def test_every_variant_learns_from_one_step(changes: dict[str, Any]) -> None:
    system, seen = build(**changes), set()
    batch = MovingShapes(4, size=32, channels=system.config.channels).batch(range(4))
    for losses in system.step(batch, at(0)):
        for player, terms in losses.items():
            parameters = system.players()[player].parameters()
            gradients = torch.autograd.grad(sum(terms.values()), parameters, retain_graph=True)
            assert all(g.isfinite().all() for g in gradients)
            assert sum(bool(g.abs().sum() > 0) for g in gradients) > len(parameters) / 2
            seen.add(player)
    assert seen == {"critic", "generator"}


def losses_of(system: VGAN, rows: slice, batch: dict[str, Any]) -> dict[str, float]:
    part = {k: v[rows] for k, v in batch.items()}
    (losses,) = system.step(part, at(0, rows))
    return {f"{p}/{k}": v.item() for p, terms in losses.items() for k, v in terms.items()}


@pytest.mark.parametrize("changes", [{}, {**R3GAN, "augment": ("colour", "cutout")}], ids=str)
def test_micro_batches_see_their_rows_of_the_same_noise(changes: dict[str, Any]) -> None:
    """In eval mode, so that batch statistics, which are of a piece, stay out of it."""
    system, batch = lively(conditional=True, **changes).eval(), DATA.batch(range(4))
    whole = losses_of(system, slice(0, 4), batch)
    halves = [losses_of(system, slice(i, i + 2), batch) for i in (0, 2)]
    assert whole == pytest.approx({k: (halves[0][k] + halves[1][k]) / 2 for k in whole}, rel=1e-4)
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)


def noise() -> list[dict[str, Any]]:
    """Two batches whose indices are seeds of noise."""
    return [{"index": torch.arange(k, k + 64), "caption": [""] * 64} for k in (0, 64)]


def test_settled_statistics_make_use_look_like_training() -> None:
    system, seeds = build(), list(range(1000, 1064))
    with torch.no_grad():
        trained = system.clips(seeds, []).video
        before = system.eval().clips(seeds, []).video
        system.settle(noise())
        after = system.clips(seeds, []).video
    assert (after - trained).abs().mean() < 0.5 * (before - trained).abs().mean()
    unsettled = build(settled=False)
    unsettled.settle(noise())
    assert all(torch.equal(a, b) for a, b in zip(unsettled.buffers(), build().buffers(), strict=True))


def test_twenty_steps_learn_the_look_of_eight_clips(tmp_path: Path) -> None:
    system = build(lr=2e-3)
    settings = RunSettings(steps=20, batch=8, device="cpu", precision="fp32")
    train(system, MovingShapes(8, size=32), settings, tmp_path)
    corners = (slice(None), slice(None), slice(4), slice(4))  # always white
    found = []
    for of in (build(), system):
        with torch.no_grad():
            of.settle(noise())
        found.append((of.generate([""] * 8, range(8)) / 127.5 - 1)[corners].mean())
    assert found[1] > found[0] + 0.04


# ---- use ----


def test_run_gives_clips_and_what_they_are_composed_of() -> None:
    system = lively()
    one, many = system.run(Request(seed=3)), system.run(Request(n=2, seed=3))
    assert isinstance(one, Video)
    assert isinstance(many, Batch)
    assert one.frames.shape == (16, 32, 32, 3)
    assert np.abs(many[0].frames.astype(int) - one.frames).max() <= 1
    assert not np.array_equal(many[0].frames, many[1].frames)
    parts: dict[str, Any] = {
        part: system.run(Request(seed=3, part=part)).frames.astype(float)
        for part in ("foreground", "background", "mask")
    }
    assert (parts["background"] == parts["background"][0]).all()
    assert (parts["mask"] == parts["mask"][..., :1]).all()
    open_ = parts["mask"] / 255
    composed = open_ * parts["foreground"] + (1 - open_) * parts["background"]
    assert np.abs(composed - one.frames).max() < 3  # bytes are rounded
    assert system.training  # as it was


def test_classes_come_from_the_captions_and_are_heard() -> None:
    system = lively(conditional=True).eval()
    assert system.config.classes == tuple(DATA.captions)
    one, other = DATA.captions[:2]
    clips = system.generate([one, one, other], [3, 3, 3])
    assert np.array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])
    video: Tensor = DATA.batch(range(2))["video"]
    right, wrong = (system.critic(video, system.one_hot(said)) for said in ([one, one], [one, other]))
    assert right[0] == wrong[0]
    assert right[1] != wrong[1]
    assert isinstance(system.run(Request(n=2, label=one)), Batch)
    with pytest.raises(UsageError, match="no class is called 'the red disk moves"):
        system.generate(["the red disk moves up and down ."], [0])


def test_an_exported_network_makes_clips_and_their_parts(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from kinema.apps.onnx import attach_onnx, write_onnx

    for streams in ("two", "one"):
        system, folder = lively(streams=streams, width=1).eval(), tmp_path / streams
        folder.mkdir()
        write_onnx(*system.export_module(), folder / "model.onnx")
        exported = attach_onnx(lively(streams=streams, width=1).eval(), folder)
        for part in ("video", "mask") if streams == "two" else ("video",):
            request = Request(n=3, part=part)
            for one, other in zip(exported.run(request), system.run(request), strict=True):
                assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


@pytest.mark.parametrize(
    ("request_", "changes", "says"),
    [
        (Request(n=0), {}, "n is the number of clips, at least 1, not 0"),
        (Request(seed=-1), {}, "seed is a number from 0"),
        (Request(label="smile"), {}, "trained without classes"),
        (Request(part="mask"), {"streams": "one"}, "one stream, so there is no mask"),
        (Request(), {"conditional": True}, "label is a class, none was given; known: "),
        (Request(label="the red disc grows"), {"conditional": True}, "nearest: the red disc grows and"),
    ],
)
def test_wrong_requests_get_one_clear_sentence(request_: Request, changes: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(**changes).run(request_)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"frames": 24}, "size and frames are multiples of 16, not 32 and 24"),
        ({"size": 0}, "multiples of 16, not 0 and 16"),
        ({"channels": 2}, "1 or 3 channels, not 2"),
        ({"width": 0}, "width is at least 1, not 0"),
        ({"mask": -1.0}, "mask is a number from 0 on, but -1.0"),
        ({"conditional": True}, "needs classes"),
        ({**R3GAN, "critic_norm": "batch"}, "without batch norm: critic_norm=none, not batch"),
        ({"loss": "r3gan"}, "penalties of its own"),
        ({"augment": ("color",)}, "augment is some of"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        VGAN(replace(TINY, **setting))
