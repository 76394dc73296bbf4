"""G3AN: losses and order of updates against slow references, variants, jobs, and wrong requests."""

import copy
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kinema.core.config import RunSettings, apply
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.core.system import Progress
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.nn.norm import BatchNorm3d, spectral_layers
from kinema.systems.g3an import attention, bench
from kinema.systems.g3an.config import PRESETS, Config, Request
from kinema.systems.g3an.networks import TimeConv, ToRGB, TransposedConv, joined
from kinema.systems.g3an.sampling import code
from kinema.systems.g3an.system import G3AN, look

TINY = PRESETS["tiny"]().config
DATA = MovingShapes(40, size=32)


def build(**changes: Any) -> G3AN:
    torch.manual_seed(0)
    return G3AN(G3AN.adapt(replace(TINY, **changes), DATA))


def noise() -> list[dict[str, Any]]:
    """Four batches whose indices are seeds of noise."""
    return [{"index": torch.arange(k, k + 32)} for k in range(0, 128, 32)]


def at(step: int, batch: int = 4) -> Progress:
    g = torch.Generator().manual_seed(step)
    return Progress(step, 100, batch, slice(0, batch), g, torch.device("cpu"))


# ---- losses ----


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("loss", "of_real", "of_fake", "fool"),
    [
        (
            "log",
            lambda r, f: -math.log(sigmoid(r)),
            lambda r, f: -math.log(1 - sigmoid(f)),
            lambda r, f: -math.log(sigmoid(f)),
        ),
        ("hinge", lambda r, f: max(0, 1 - r), lambda r, f: max(0, 1 + f), lambda r, f: -f),
        (
            "relativistic",
            None,
            lambda r, f: -math.log(sigmoid(r - f)),
            lambda r, f: -math.log(sigmoid(f - r)),
        ),
    ],
)
def test_losses_are_the_papers_and_the_shared_ones(loss: str, of_real: Any, of_fake: Any, fool: Any) -> None:
    system, batch, progress = build(loss=loss, critic_norm="none"), DATA.batch(range(4)), at(3)
    codes = progress.randn(128), progress.randn(10, 1)
    chance = [torch.rand(2, generator=progress.generator).tolist() for _ in range(2)]
    real, fake = look(batch["video"], chance[0]), look(system.generator(*codes), chance[1])
    losses = next(system.step(batch, at(3)))
    for name, critic in system.critics.items():
        pairs = list(zip(critic(real[name]).tolist(), critic(fake[name]).tolist(), strict=True))
        wanted = {"real": of_real, "fake": of_fake} if of_real else {"fake": of_fake}
        terms = losses[f"{name}_critic"]
        assert terms.keys() == wanted.keys()
        for term, of in wanted.items():
            assert terms[term].item() == pytest.approx(np.mean([of(r, f) for r, f in pairs]), abs=1e-5)
        found = losses["generator"][name].item()
        assert found == pytest.approx(np.mean([fool(r, f) for r, f in pairs]), abs=1e-5)


def test_the_papers_step_reuses_its_clips_for_the_generator_after_the_critics_moved() -> None:
    """There, one graph of the generator outlives the critics' update."""
    system = build(updates="alternating", attention=2)
    nn.init.constant_(system.generator.fsa.ssa.gamma, 0.5)
    slow, batch = copy.deepcopy(system), DATA.batch(range(4))

    progress = at(3)
    za, zm = progress.randn(128), progress.randn(10, 1)
    (_, u), (_, v) = (torch.rand(2, generator=progress.generator).tolist() for _ in range(2))
    fake = slow.generator(za, zm)
    views = {
        "video": (batch["video"], fake),
        "image": (batch["video"][:, :, int(16 * u)], fake[:, :, int(16 * v)]),
    }
    bce = nn.functional.binary_cross_entropy_with_logits
    for name, critic in slow.critics.items():
        true, false = critic(views[name][0]), critic(views[name][1].detach())
        loss = bce(true, torch.ones(4)) + bce(false, torch.zeros(4))
        move(critic, loss)
    loss = sum(bce(critic(views[name][1]), torch.ones(4)) for name, critic in slow.critics.items())
    move(slow.generator, loss)

    for losses in system.step(batch, at(3)):
        players = system.players()
        for player, terms in losses.items():
            move(players[player].modules[0], sum(terms.values()))
    for (name, ours), theirs in zip(system.state_dict().items(), slow.state_dict().values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def move(module: nn.Module, loss: Any) -> None:
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    with torch.no_grad():
        for p, g in zip(parameters, gradients, strict=True):
            p -= 0.1 * g


def test_both_orders_of_updates_see_the_same_clips_at_first() -> None:
    batch = DATA.batch(range(4))
    terms = []
    for updates in ("alternating", "simultaneous"):
        system, found = build(updates=updates), {}
        for losses in system.step(batch, at(0)):
            found |= {f"{p}/{k}": v.item() for p, t in losses.items() for k, v in t.items()}
        terms.append(found)
    assert terms[0] == pytest.approx(terms[1], rel=1e-5)  # nothing was moved between the yields


def test_the_gradient_penalty_is_that_of_each_clip_and_comes_every_so_many_steps() -> None:
    system, batch = build(critic_norm="none", r1=0.5, r1_every=4), DATA.batch(range(3))
    losses = next(system.step(batch, at(8, 3)))
    chance = at(8, 3)
    chance.randn(128), chance.randn(10, 1)
    views = look(batch["video"], torch.rand(2, generator=chance.generator).tolist())
    for name, critic in system.critics.items():
        squares = []
        for clip in views[name]:
            x = clip[None].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(critic(x).sum(), x)
            squares.append(gradient.square().sum().item())
        wanted = 4 * 0.5 / 2 * sum(squares) / 3
        assert losses[f"{name}_critic"]["r1"].item() == pytest.approx(wanted, rel=1e-4)
    assert all("r1" not in terms for terms in next(system.step(batch, at(9, 3))).values())


def test_critics_without_spectral_norm_pass_on_what_they_are_given() -> None:
    plain, held = (build(critic_norm=norm, size=64) for norm in ("none", "spectral"))
    assert not spectral_layers(plain.critics)
    assert spectral_layers(held.critics)
    clips = MovingShapes(8).batch(range(8))["video"]
    spread = [system.critics["video"](clips).std().item() for system in (plain, held)]
    assert spread[0] > 10 * spread[1]


# ---- variants ----


@pytest.mark.parametrize(
    "changes",
    [
        {"spatial_stream": False},
        {"video_code": "motion", "temporal_mean": False},
        {"temporal_stream": False},
        {"spatial_stream": False, "temporal_stream": False, "attention": None},
        {"mode": "2p1d"},
        {"mode": "3d", "video_critic": "3d"},
        {"attention": None, "critics": "video"},
        {"attention": 1, "critics": "image"},
        {"attention": 3, "attention_layout": "official"},
        {"attention": 4, "loss": "hinge"},
        {"size": 128, "frames": 20, "attention": None},
        {"loss": "relativistic", "updates": "alternating"},
        {"conditional": True, "updates": "alternating"},
        {"channels": 1},
        {"critic_norm": "none", "r1": 1.0, "conditional": True},
        {"critic_norm": "none", "loss": "r3gan", "augment": ("translation",)},
        {"image_frames": 3, "conditional": True, "augment": ("cutout",)},
        {"critic_norm": "none", "loss": "r3gan", "updates": "alternating", "conditional": True},
    ],
    ids=str,
)
def test_every_variant_builds_and_learns_from_one_step(changes: dict[str, Any]) -> None:
    system = build(**changes)
    c = system.config
    data = MovingShapes(2, size=c.size, frames=c.frames, channels=c.channels)
    batch, seen = data.batch(range(2)), set()
    for losses in system.step(batch, at(0, 2)):
        for player, terms in losses.items():
            parameters = system.players()[player].parameters()
            loss = sum(terms.values())
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            # A bias before batch norm, and F-SA's inside while γ is 0, get rounding noise or nothing.
            assert all(g is not None and g.isfinite().all() for g in gradients)
            assert sum(bool(g.abs().sum() > 0) for g in gradients) > len(parameters) / 2
            seen.add(player)
    critics = {"both": {"video_critic", "image_critic"}, "video": {"video_critic"}, "image": {"image_critic"}}
    assert seen == {"generator"} | critics[c.critics]


def test_the_image_critic_sees_as_many_frames_of_every_clip_as_are_wanted() -> None:
    video = DATA.batch(range(2))["video"]
    image = look(video, [0.0, 0.0, 0.5, 0.999])["image"]
    torch.testing.assert_close(image.unflatten(0, (3, 2)), video[:, :, [0, 8, 15]].permute(2, 0, 1, 3, 4))


def test_streams_that_are_left_out_are_not_there() -> None:
    names = {
        k.split(".")[2] for k in build(spatial_stream=False).state_dict() if k.startswith("generator.block")
    }
    assert names == {"conv_v", "conv_t"}
    names = {
        k.split(".")[2] for k in build(temporal_stream=False).state_dict() if k.startswith("generator.block")
    }
    assert names == {"conv_v", "conv_s"}


@pytest.mark.parametrize("t", [1, 2, 5])
def test_gradients_reach_both_codes_at_every_length(t: int) -> None:
    za, zm = torch.randn(2, 128, requires_grad=True), torch.randn(2, 10, t, requires_grad=True)
    video = build().generator(za, zm)
    assert video.shape == (2, 3, 4 * (t + 3), 32, 32)
    weights = torch.randn_like(video)
    for gradient in torch.autograd.grad((video * weights).sum(), (za, zm)):
        assert (gradient.abs() > 0).all()


def test_appearance_alone_gives_a_still_and_motion_alone_no_place() -> None:
    """The streams keep apart what they are named after: F_S has one frame, F_T one pixel."""
    seen: dict[str, tuple[int, ...]] = {}
    generator = build().generator
    for stream in ("conv_s", "conv_v", "conv_t"):
        part = generator.get_submodule(f"block3.{stream}")
        part.register_forward_hook(lambda m, i, o, stream=stream: seen.update({stream: tuple(o.shape[2:])}))
    generator(torch.randn(1, 128), torch.randn(1, 10, 1))
    assert seen == {"conv_s": (1, 16, 16), "conv_v": (16, 16, 16), "conv_t": (16, 1, 1)}


def test_critics_look_at_one_window_and_one_frame() -> None:
    video = torch.arange(20.0).view(1, 1, 20, 1, 1).expand(2, 3, -1, 4, 4)
    for chance, first, frame in (([0.0, 0.0], 0, 0), ([0.999, 0.999], 4, 19), ([0.5, 0.5], 2, 10)):
        views = look(video, chance)
        assert views["video"].shape == (2, 3, 16, 4, 4)
        assert (views["video"][:, :, 0] == first).all()
        assert views["image"].shape == (2, 3, 4, 4)
        assert (views["image"] == frame).all()


def test_generated_statistics_move_once_a_step_also_where_clips_are_made_twice() -> None:
    found = []
    for updates in ("alternating", "simultaneous"):
        system = build(updates=updates)
        for _ in system.step(DATA.batch(range(4)), at(0)):
            pass
        norm = next(m for m in system.generator.modules() if isinstance(m, BatchNorm3d))
        found.append(norm.running_var.clone())
        assert norm.momentum == 0.1
    torch.testing.assert_close(*found)


# ---- attention and kernels ----


@pytest.mark.parametrize("along", ["time", "space"])
def test_attention_equals_a_slow_reference(along: str) -> None:
    layer = attention.SelfAttention(16, along, "correct").double()
    nn.init.constant_(layer.gamma, 0.5)
    x = torch.randn(2, 16, 3, 2, 4, dtype=torch.float64) * 3
    q, k, v = (conv(x) for conv in (layer.q_conv, layer.k_conv, layer.v_conv))
    want = x.clone()
    for b, t, i, j in np.ndindex(2, 3, 2, 4):
        keys = (
            [(s, i, j) for s in range(3)]
            if along == "time"
            else [(t, m, n) for m in range(2) for n in range(4)]
        )
        scores = [math.exp((q[b, :, t, i, j] @ k[b, :, *key]).item()) for key in keys]
        for score, key in zip(scores, keys, strict=True):
            want[b, :, t, i, j] += 0.5 * score / sum(scores) * v[b, :, *key]
    torch.testing.assert_close(layer(x), want, rtol=1e-9, atol=1e-9)


def test_attention_in_pieces_has_the_gradients_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [torch.randn(5, 6, d, dtype=torch.float64, requires_grad=True) for d in (3, 3, 4)]
    for numbers in (1, 80, 2**20):  # one sequence at a time, two, all
        monkeypatch.setitem(attention.TABLE, "cpu", numbers)
        assert torch.autograd.gradcheck(attention.attend, given)
        q, k, v = given
        torch.testing.assert_close(attention.attend(q, k, v), (q @ k.mT).softmax(-1) @ v)


def test_fast_kernels_are_the_convolutions_they_stand_for() -> None:
    x = torch.randn(2, 6, 7, 4, 5)
    for layer, plain in (
        (TransposedConv(6, 3, 1), nn.ConvTranspose3d),
        (TransposedConv(6, 3, (4, 1, 1), (2, 1, 1), (1, 0, 0)), nn.ConvTranspose3d),
        (TimeConv(6, 3, (4, 1, 1)), nn.Conv3d),
    ):
        torch.testing.assert_close(layer(x), plain.forward(layer, x))
    still, moving = torch.randn(2, 4, 1, 4, 5), x[:, :2]
    whole = torch.cat([still.expand(-1, -1, 7, -1, -1), moving], 1)
    assert torch.equal(joined((still, moving)), whole)
    for layer in (
        TransposedConv(6, 3, 1),
        TransposedConv(6, 3, (4, 1, 1), (2, 1, 1), (1, 0, 0)),
        ToRGB(6, 3, (1, 3, 3), padding=(0, 1, 1)),
    ):
        torch.testing.assert_close(layer((still, moving)), layer((whole,)))


def test_both_paths_of_the_benchmark_compute_the_same() -> None:
    slow, fast = bench.pair(replace(TINY, attention=3), "cpu")
    batch = {"video": DATA.batch(range(4))["video"]}
    wanted, found = bench.faithful_step(slow, batch), bench.default_step(fast, batch, nullcontext)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        assert value.item() == pytest.approx(found[name].item(), abs=1e-5)


# ---- settings, classes and statistics ----


def test_frame_steps_may_be_several_or_none() -> None:
    assert apply(["frame_steps=1,4"], Config())[0].frame_steps == (1, 4)
    assert apply(["frame_steps="], Config())[0].frame_steps == ()


def test_classes_come_from_the_captions_and_are_heard() -> None:
    system = build(conditional=True).eval()
    assert system.config.classes == tuple(DATA.captions)
    one, other = DATA.captions[:2]
    clips = system.generate([one, one, other], [3, 3, 3])
    assert np.array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])
    views = look(DATA.batch(range(2))["video"], [0, 0])
    for name, critic in system.critics.items():
        right, wrong = (critic(views[name], system.one_hot(said)) for said in ([one, one], [one, other]))
        assert right[0] == wrong[0]
        assert right[1] != wrong[1]
    assert isinstance(system.run(Request(n=2, label=one)), Batch)
    with pytest.raises(UsageError, match="no class is called 'the red disk moves"):
        system.generate(["the red disk moves up and down ."], [0])


def test_settled_statistics_make_use_look_like_training() -> None:
    system = build(settled=True)
    codes = system.stacked([code(system.config, s, s, 16) for s in range(1000, 1032)])
    with torch.no_grad():
        trained = system.train().generator(*codes)
        before = system.eval().generator(*codes)
        system.settle(noise())
        after = system.generator(*codes)
    assert (after - trained).abs().mean() < 0.2 * (before - trained).abs().mean()
    unsettled = build(settled=False)
    unsettled.settle(noise())
    assert all(torch.equal(a, b) for a, b in zip(unsettled.buffers(), build().buffers(), strict=True))


def test_twenty_steps_learn_the_look_of_eight_clips(tmp_path: Path) -> None:
    clips = MovingShapes(8, size=32)
    system = build()
    train(system, clips, RunSettings(steps=20, batch=8, device="cpu", precision="fp32"), tmp_path)
    with torch.no_grad():
        system.settle(noise())
    losses = next(system.step(clips.batch(range(8)), at(20, 8)))
    assert all(torch.isfinite(term) for terms in losses.values() for term in terms.values())
    raw, made = (made.generate([""] * 8, range(8)) / 127.5 - 1 for made in (build(), system))
    assert made.std() > 0.1
    corners = (slice(None), slice(None), slice(4), slice(4))  # always white
    assert made[corners].mean() > raw[corners].mean() + 0.1


# ---- use ----


def test_run_gives_clips_of_their_own_codes() -> None:
    system = build()
    one = system.run(Request(seed=3))
    assert isinstance(one, Video)
    assert one.frames.shape == (16, 32, 32, 3)
    many = system.run(Request(n=3, seed=3))
    assert isinstance(many, Batch)
    assert np.array_equal(many[0].frames, one.frames)
    assert not np.array_equal(many[0].frames, many[1].frames)
    assert not np.array_equal(one.frames, system.run(Request(seed=4)).frames)
    assert system.training  # as it was


def test_a_grid_crosses_the_appearances_and_motions_of_the_clips() -> None:
    system = build()
    grid, clips = system.run(Request(grid=(2, 3), seed=5)), system.run(Request(n=3, seed=5))
    assert (len(grid), grid.columns, grid.labels[5]) == (6, 3, "appearance 1, motion 2")
    assert grid.sheet().frames.shape == (16, 2 * 32 + 2, 3 * 32 + 4, 3)
    assert np.array_equal(grid[0].frames, clips[0].frames)
    assert np.array_equal(grid[4].frames, clips[1].frames)
    assert len(system.run(Request(grid=(1, 1)))) == 1


def test_one_appearance_at_several_lengths_begins_with_the_same_noise() -> None:
    made = build().run(Request(lengths=(16, 20, 32)))
    assert [len(clip.frames) for clip in made] == [16, 20, 32]
    assert made.sheet().frames.shape[0] == 32
    short, long = (code(TINY, 1, 1, frames) for frames in (16, 32))
    assert torch.equal(short.za, long.za)
    assert torch.equal(short.zm[:, 0], long.zm[:, 0])
    assert len(build().run(Request(frames=24)).frames) == 24


@pytest.mark.parametrize("walk", ["appearance", "motion"])
def test_a_walk_goes_from_one_code_to_the_next_of_the_same_kind(walk: str) -> None:
    system = build()
    steps, grid = system.run(Request(n=5, walk=walk, seed=2)), system.run(Request(grid=(2, 2), seed=2))
    end = grid[2] if walk == "appearance" else grid[1]
    assert np.array_equal(steps[0].frames, grid[0].frames)
    assert np.abs(steps[4].frames.astype(int) - end.frames).max() <= 1  # cos 90° is not quite zero
    assert steps.columns == 5


def test_smooth_noise_is_an_autoregressive_process_of_unit_variance() -> None:
    zm = torch.stack([code(TINY, s, s, 80, smooth=0.8).zm for s in range(400)])  # (N, M, 17)
    assert zm.var().item() == pytest.approx(1, abs=0.04)
    for lag in (1, 3):
        assert (zm[..., lag:] * zm[..., :-lag]).mean().item() == pytest.approx(0.8**lag, abs=0.04)
    rough, smooth = (build().run(Request(frames=32, smooth=s)).frames for s in (0.0, 0.9))
    assert not np.array_equal(rough, smooth)


def test_a_clip_does_not_depend_on_its_company() -> None:
    system = build(conditional=True)
    said = [DATA.captions[i % 5] for i in range(20)]
    together = system.generate(said, list(range(20)), batch=7)
    alone = np.concatenate([system.generate([s], [i]) for i, s in enumerate(said)])
    assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1


def test_an_exported_network_runs_and_says_which_lengths_it_cannot_make(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from kinema.apps.onnx import attach_onnx, write_onnx

    system, request = build(conditional=True).eval(), Request(n=3, label=DATA.captions[7])
    module, examples, inputs, outputs = system.export_module()
    assert inputs == ["appearance", "motion", "class"]
    wanted = system.run(request)
    write_onnx(module, examples, inputs, outputs, tmp_path / "model.onnx")
    exported = attach_onnx(build(conditional=True).eval(), tmp_path)
    for one, other in zip(exported.run(request), wanted, strict=True):
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1
    with pytest.raises(UsageError, match=r"takes motion of .*, not of .*load the run"):
        exported.run(replace(request, frames=32))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(n=0), "n is at least 1"),
        (Request(n=1, walk="motion"), "2 for a walk, not 1"),
        (Request(grid=(0, 2)), "at least 1 appearance and 1 motion"),
        (Request(grid=(2, 2), walk="motion"), "grid and walk are different jobs"),
        (Request(n=3, grid=(2, 2)), "n=3 does not go with grid"),
        (Request(frames=18), r"16, 20, 24, 28, 32, … frames \(4 \(t \+ 3\)\) up to 1000, not 18"),
        (Request(frames=4 * 10**8), "up to 1000, not 400000000"),
        (Request(frames=0), "not 0"),
        (Request(lengths=(16, 17)), "not 17"),
        (Request(lengths=(16,), frames=20), "leave frames out"),
        (Request(smooth=1.0), "smooth is at least 0 and less than 1"),
        (Request(seed=-1), "seed is a number"),
        (Request(seed=10**22), "seed is a number"),
        (Request(label="smile"), "trained without classes"),
    ],
)
def test_wrong_requests_get_one_clear_sentence(request_: Request, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build().run(request_)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(), "label is a class, none was given; known: "),
        (
            Request(label="the red disc grows"),
            "not 'the red disc grows'; nearest: the red disc grows and shrinks",
        ),
    ],
)
def test_classes_must_be_known_ones(request_: Request, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(conditional=True).run(request_)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"size": 48}, "size is one of 32, 64, 128, 256 with 1 or 3 channels, not size 48 with 3 channels"),
        ({"channels": 2}, "1 or 3 channels, not size 64 with 2"),
        ({"frames": 12}, "not 12"),
        ({"width": 0}, "width is at least 1"),
        ({"image_frames": 0}, "image_frames is at least 1"),
        ({"width": 1, "size": 256, "attention": None}, "too small for size 256"),
        ({"attention": 6}, "after block 1 to 5, or none, not 6"),
        ({"attention": 0}, "not 0"),
        ({"width": 1}, "no channel for keys after block 4"),
        ({"lr": -1.0}, "lr is a number from 0 on, but -1.0"),
        ({"conditional": True}, "needs classes"),
        ({"loss": "r3gan"}, "needs critics without spectral norm: critic_norm=none, not spectral"),
        ({"loss": "r3gan", "critic_norm": "none", "r1": 1.0}, "penalties of its own"),
        ({"augment": ("color",)}, "augment is some of"),
        ({"video_code": "motion", "spatial_stream": False}, "needs the spatial stream"),
        ({"apart": True, "augment": ("cutout",)}, "does not go with augment"),
        ({"apart": True, "conditional": True, "classes": ("a",)}, "classes do not go with codes kept apart"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        G3AN(replace(Config(), **setting))
