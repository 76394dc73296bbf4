"""MoCoGAN: losses and order of updates against slow references, variants, jobs, and wrong requests."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinema.core.config import RunSettings, apply
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.core.system import Progress
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.engine.distributed import World
from kinema.engine.step import Stepper
from kinema.systems.mocogan.config import PRESETS, Config, Request
from kinema.systems.mocogan.networks import Generator, Noise
from kinema.systems.mocogan.sampling import code
from kinema.systems.mocogan.system import MoCoGAN

TINY = replace(PRESETS["tiny"]().config, width=2, critic_width=2)
DATA = MovingShapes(40, size=32)
MODERN = {"loss": "r3gan", "norm": "none", "gamma": (2.0, 1.0)}


def build(**changes: Any) -> MoCoGAN:
    torch.manual_seed(0)
    return MoCoGAN(MoCoGAN.adapt(replace(TINY, **changes), DATA))


def ready() -> MoCoGAN:
    """Its statistics fit its weights, so that its pictures have contrast."""
    system = build()
    with torch.no_grad():
        system.settle([{"index": torch.arange(64)}])
    return system


def alike(a: Any, b: Any) -> bool:
    """Equal but for rounding: a batch of another size is added up in another order."""
    return a.shape == b.shape and np.abs(a.astype(int) - b.astype(int)).max() <= 1


def at(step: int, rows: slice = slice(0, 4)) -> Progress:
    return Progress(step, 100, 4, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


def some(batch: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {name: value[rows] for name, value in batch.items()}


# ---- losses ----


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_losses_are_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    system, g = build(), torch.Generator().manual_seed(1)
    real, fake = (torch.randn(4, 4, 4, generator=g, dtype=torch.float64) for _ in range(2))
    classes = torch.randn(4, 96, generator=g, dtype=torch.float64)
    label = system.one_hot(DATA.batch(range(4))["caption"])
    answers = [(real, classes), (fake, classes * 0)]
    monkeypatch.setattr(system.critics["video"], "forward", lambda items, noise: answers.pop(0))
    x = torch.zeros(4, 3, 16, 32, 32)
    terms = system.critic_terms("video", x, x, label, at(1))
    assert terms["real"].item() == pytest.approx(np.mean([softplus(-v) for v in real.flatten().tolist()]))
    assert terms["fake"].item() == pytest.approx(np.mean([softplus(v) for v in fake.flatten().tolist()]))
    chosen = label.argmax(1).tolist()
    wanted = [
        math.log(sum(math.exp(v) for v in row)) - row[k]
        for row, k in zip(classes.tolist(), chosen, strict=True)
    ]
    assert terms["category"].item() == pytest.approx(np.mean(wanted))
    answers = [(fake, classes)]
    terms = system.generator_terms("video", x, x, label, at(1))
    assert terms["video"].item() == pytest.approx(np.mean([softplus(-v) for v in fake.flatten().tolist()]))
    assert terms["category"].item() == pytest.approx(np.mean(wanted))


def test_motion_codes_are_those_of_the_recurrent_net() -> None:
    """r, u = σ(W e + b + V h + c), n = tanh(W e + b + r (V h + c)), h' = (1 - u) n + u h."""
    generator = build().generator.double()
    content, start, noise = (
        torch.randn(shape, dtype=torch.float64) for shape in [(2, 50), (2, 10), (2, 5, 10)]
    )
    category = torch.eye(96, dtype=torch.float64)[[3, 7]]
    codes = generator.codes(content, start, noise, category)
    w, v, b, c = (x.detach() for x in generator.recurrent.parameters())
    h = start
    for t in range(5):
        of_e, of_h = (noise[:, t] @ w.T + b).chunk(3, 1), (h @ v.T + c).chunk(3, 1)
        r, u = (torch.sigmoid(x + y) for x, y in zip(of_e[:2], of_h[:2], strict=True))
        h = (1 - u) * torch.tanh(of_e[2] + r * of_h[2]) + u * h
        torch.testing.assert_close(codes[:, t], torch.cat([content, category, h], 1))


@pytest.mark.parametrize(
    "changes", [{"input_noise": 0.0}, {**MODERN, "input_noise": 0.0}], ids=["log", "r3gan"]
)
def test_a_step_is_image_critic_then_video_critic_then_generator(changes: dict[str, Any]) -> None:
    """Each on new samples, and judged by critics that have moved."""
    system, batch = build(**changes), DATA.batch(range(4))
    slow, progress, rows = copy.deepcopy(system), at(30), torch.arange(4)
    label = slow.one_hot(batch["caption"])
    frame = (progress.rand() * 16).long()
    real = {"image": batch["video"][rows, :, frame], "video": batch["video"]}

    def sample(name: str) -> tuple[Tensor, Tensor]:
        noise = [progress.randn(50), progress.randn(10), progress.randn(16, 10)]
        drawn = torch.eye(96)[(progress.rand() * 96).long()]
        codes = slow.generator.codes(*noise, drawn)
        if name == "image":
            return slow.generator.pictures(codes[rows, (progress.rand() * 16).long()]), drawn
        return slow.generator(*noise, drawn), drawn

    bce = nn.functional.binary_cross_entropy_with_logits
    pairs = system.config.loss == "r3gan"
    for name, critic in slow.critics.items():
        x, y = real[name].clone().requires_grad_(), sample(name)[0].detach().requires_grad_()
        (true, classes), (false, _) = critic(x), critic(y)
        if pairs:
            loss = nn.functional.softplus(false - true).mean()
            for logits, given in ((true, x), (false, y)):
                (slope,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), given, create_graph=True)
                gamma = 1 + (1 + math.cos(0.3 * math.pi)) / 2
                loss = loss + gamma / 2 * slope.square().sum() / 4
        else:
            loss = bce(true, torch.ones_like(true)) + bce(false, torch.zeros_like(false))
        if name == "video":
            loss = loss + nn.functional.cross_entropy(classes, label.argmax(1))
        move(critic, loss)
    loss = 0
    for name, critic in slow.critics.items():
        y, drawn = sample(name)
        false, classes = critic(y)
        if pairs:
            loss = loss + nn.functional.softplus(critic(real[name])[0] - false).mean()
        else:
            loss = loss + bce(false, torch.ones_like(false))
        loss = loss + (nn.functional.cross_entropy(classes, drawn.argmax(1)) if name == "video" else 0)
    move(slow.generator, loss)

    order = []
    for losses in system.step(batch, at(30)):
        for player, terms in losses.items():
            order.append(player)
            move(system.players()[player].modules[0], sum(terms.values()))
    assert order == ["image_critic", "video_critic", "generator"]
    for (name, ours), theirs in zip(system.state_dict().items(), slow.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def move(module: nn.Module, loss: Any) -> None:
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    with torch.no_grad():
        for p, g in zip(parameters, gradients, strict=True):
            p -= 0.1 * (0 if g is None else g)


@pytest.mark.parametrize(
    "changes",
    [{**MODERN, "augment": ("colour", "translation", "cutout")}, {"norm": "none", "r1": 1.0}],
    ids=["r3gan", "log"],
)
def test_micro_batches_see_the_chance_of_the_whole_batch(changes: dict[str, Any]) -> None:
    system, batch = build(input_noise=0.5, **changes), DATA.batch(range(4))
    halves = [slice(0, 1), slice(1, 4)]
    parts = zip(*(list(system.step(some(batch, rows), at(0, rows))) for rows in halves), strict=True)
    for whole, (first, second) in zip(system.step(batch, at(0)), parts, strict=True):
        for player, terms in whole.items():
            for name, value in terms.items():
                mean = first[player][name].item() / 4 + second[player][name].item() * 3 / 4
                assert value.item() == pytest.approx(mean, rel=1e-4), name


def test_the_penalty_at_real_clips_is_taken_every_few_steps_and_weighs_more_then() -> None:
    batch, found = DATA.batch(range(4)), {}
    for every in (1, 8):
        system = build(norm="none", r1=2.0, r1_every=every)
        found[every] = next(system.step(batch, at(8)))["image_critic"]
    assert found[8]["r1"].item() == pytest.approx(8 * found[1]["r1"].item(), rel=1e-5)
    assert found[8]["r1"] > 0
    assert "r1" not in next(system.step(batch, at(9)))["image_critic"]


# ---- variants ----


@pytest.mark.parametrize(
    "changes",
    [
        {"conditional": False},
        {"conditional": False, "video_critic": "patch", "image_critic": "plain", "augment": ("cutout",)},
        {"conditional": False, "video_critic": "plain", "infogan": False},
        {"infogan": False},
        {"size": 64, "channels": 1, "frames": 17, "norm": "none", "r1": 1.0},
        {"norm": "generator", "r1": 1.0},
        {**MODERN, "conditional": False, "video_critic": "patch", "input_noise": 0.0},
    ],
    ids=str,
)
def test_every_variant_builds_and_learns_from_one_step(changes: dict[str, Any]) -> None:
    system = build(**changes)
    c = system.config
    batch = MovingShapes(4, size=c.size, frames=c.frames, channels=c.channels).batch(range(4))
    seen: dict[str, set[str]] = {}
    for losses in system.step(batch, at(0)):
        for player, terms in losses.items():
            parameters = system.players()[player].parameters()
            loss = sum(terms.values())
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            assert all(g is not None and g.isfinite().all() for g in gradients)
            assert sum(bool(g.abs().sum() > 0) for g in gradients) > len(parameters) / 2
            seen[player] = set(terms)
    assert set(seen) == {"image_critic", "video_critic", "generator"}
    assert ("category" in seen["video_critic"]) == c.conditional
    assert ("category" in seen["generator"]) == (c.conditional and c.infogan)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_networks_without_norm_keep_the_size_of_signals(size: int) -> None:
    torch.manual_seed(0)
    generator = Generator(replace(TINY, size=size, width=16, norm="none", conditional=False))
    x, sizes = torch.randn(64, 60, 1, 1), []
    for layer in generator.main[:-1]:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            sizes.append(x[..., 1:-1, 1:-1].square().mean().sqrt().item())
    assert all(0.6 < value < 2.2 for value in sizes), sizes  # √2 before each rectifier, 1 at the end


def test_noise_is_of_the_item_and_of_the_given_size() -> None:
    noise, x = Noise(0.5), torch.zeros(3, 4, 50, 50)

    def chance(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    made = noise(x, chance(1, 2, 1))
    assert made.std().item() == pytest.approx(0.5, rel=0.03)
    assert torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[1])
    assert torch.equal(noise(x), x)
    assert torch.equal(noise(x[:1], chance(2))[0], made[1])


def test_weight_decay_reaches_every_optimiser() -> None:
    system = build(weight_decay=0.25)
    stepper = Stepper(system, system.players(), RunSettings(batch=4), torch.device("cpu"), World())
    found = {name: o.param_groups[0]["weight_decay"] for name, o in stepper.optimisers().items()}
    assert found == dict.fromkeys(("image_critic", "video_critic", "generator"), 0.25)


def test_settings_of_several_words() -> None:
    assert apply(["augment=colour,cutout", "gamma=1,0.1"], Config())[0].augment == ("colour", "cutout")
    assert apply(["augment="], Config())[0].augment == ()


# ---- categories and statistics ----


def test_categories_come_from_the_captions_and_are_drawn_evenly() -> None:
    system = ready()
    assert system.config.classes == tuple(DATA.captions)
    drawn = system.categories(torch.rand(9600))
    assert drawn.shape == (9600, 96)
    assert (drawn.sum(1) == 1).all()
    assert drawn.sum(0).min() > 50
    one, other = DATA.captions[:2]
    clips = system.generate([one, one, other], [3, 3, 3])
    assert np.array_equal(clips[0], clips[1])
    assert not alike(clips[0], clips[2])
    assert np.array_equal(system.run(Request(seed=0, label=one)).frames, system.generate([one], [0])[0])
    with pytest.raises(UsageError, match="no category is called 'the red disk moves"):
        system.generate(["the red disk moves up and down ."], [0])


def test_settled_statistics_make_use_look_like_training() -> None:
    system = build(settled=True)
    codes = system.stacked([code(system.config, s, s, 16) for s in range(1000, 1128)], None)
    with torch.no_grad():
        trained = system.train().generator(*codes)
        before = system.eval().generator(*codes)
        system.settle({"index": torch.arange(k, k + 128)} for k in range(0, 512, 128))
        after = system.generator(*codes)
    assert (after - trained).abs().mean() < 0.2 * (before - trained).abs().mean()
    unsettled = build(settled=False)
    unsettled.settle([{"index": torch.arange(4)}])
    assert all(torch.equal(a, b) for a, b in zip(unsettled.buffers(), build().buffers(), strict=True))


def test_thirty_steps_learn_the_look_of_eight_clips(tmp_path: Path) -> None:
    clips, system = MovingShapes(8, size=32), build(conditional=False, width=4, critic_width=4, lr=3e-3)
    raw = system.generate([""] * 8, range(8)) / 127.5 - 1
    train(system, clips, RunSettings(steps=30, batch=8, device="cpu", precision="fp32"), tmp_path)
    with torch.no_grad():
        system.settle({"index": torch.arange(k, k + 32)} for k in range(0, 128, 32))
    made = system.generate([""] * 8, range(8)) / 127.5 - 1
    corners = (slice(None), slice(None), slice(4), slice(4))  # always white
    assert made.std() > 0.1
    assert made[corners].mean() > raw[corners].mean() + 0.1


# ---- use ----


def test_run_gives_clips_of_their_own_codes() -> None:
    system = ready()
    one, many = system.run(Request(seed=3)), system.run(Request(n=3, seed=3))
    assert isinstance(one, Video)
    assert isinstance(many, Batch)
    assert one.frames.shape == (16, 32, 32, 3)
    assert one.frames.std() > 10
    assert alike(many[0].frames, one.frames)
    assert not alike(many[0].frames, many[1].frames)
    assert not alike(one.frames, system.run(Request(seed=4)).frames)
    assert system.training  # as it was


def test_a_grid_crosses_the_contents_and_motions_of_the_clips() -> None:
    system = ready()
    grid, clips = system.run(Request(grid=(2, 3), seed=5)), system.run(Request(n=3, seed=5))
    assert (len(grid), grid.columns, grid.labels[5]) == (6, 3, "content 1, motion 2")
    assert alike(grid[0].frames, clips[0].frames)
    assert alike(grid[4].frames, clips[1].frames)
    assert not alike(grid[1].frames, clips[0].frames)
    assert not alike(grid[3].frames, clips[0].frames)
    assert len(system.run(Request(grid=(1, 1)))) == 1
    (a, b), c = (code(TINY, 7, motion, 4) for motion in (1, 2)), code(TINY, 8, 1, 4)
    assert torch.equal(a.content, b.content)
    assert not torch.equal(a.noise, b.noise)
    assert torch.equal(a.noise, c.noise)
    assert not torch.equal(a.content, c.content)


def test_a_longer_clip_begins_with_the_shorter_one() -> None:
    system = ready()
    clips = {frames: system.run(Request(frames=frames)).frames for frames in (1, 16, 40)}
    assert {frames: len(clip) for frames, clip in clips.items()} == {1: 1, 16: 16, 40: 40}
    for frames in (1, 16):
        assert alike(clips[40][:frames], clips[frames])
    assert not alike(clips[40][16:32], clips[40][:16])


def test_a_clip_does_not_depend_on_its_company() -> None:
    system = ready()
    said = [DATA.captions[i % 5] for i in range(20)]
    together = system.generate(said, list(range(20)), batch=7)
    alone = np.concatenate([system.generate([s], [i]) for i, s in enumerate(said)])
    assert alike(together, alone)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(n=0), "n is at least 1"),
        (Request(n=2, grid=(2, 2)), "n=2 does not go with grid"),
        (Request(grid=(0, 2)), "at least 1 content"),
        (Request(frames=0), "has 1 to 1000 frames, not 0"),
        (Request(frames=10**9), "not 1000000000"),
        (Request(seed=-1), "from 0 to"),
        (Request(label="the red disk"), "label is a category, not 'the red disk'; nearest: the red disc"),
    ],
)
def test_wrong_requests_are_refused_in_words(request_: Request, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build().run(request_)


def test_labels_need_categories() -> None:
    with pytest.raises(UsageError, match="trained without categories"):
        build(conditional=False).run(Request(label=DATA.captions[0]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 48}, "size is one of 32, 64, 128"),
        ({"channels": 2}, "2 channels"),
        ({"frames": 12}, "frames is at least 13 with video_critic=categorical at size 32, not 12"),
        ({"size": 64, "frames": 15}, "at least 16"),
        ({"size": 64, "frames": 12, "video_critic": "patch", "conditional": False}, "at least 13"),
        ({"video_critic": "patch"}, "conditional=true needs video_critic=categorical: patch hears no"),
        ({"motion": 0}, "motion is at least 1"),
        ({"input_noise": -0.1}, "input_noise is a number from 0 on"),
        ({"gamma": (-1.0, 0.0)}, "gamma is two numbers from 0 on"),
        ({"weight_decay": float("nan")}, "weight_decay is a number from 0 on, but nan"),
        ({"augment": ("color",)}, "augment is some of colour, translation, cutout, not 'color'"),
        ({"loss": "r3gan"}, "r3gan needs networks without batch norm: norm=none, not batch"),
        ({**MODERN, "r1": 1.0}, "penalties of its own"),
    ],
)
def test_wrong_settings_are_refused_in_words(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(**changes)


def test_categories_need_captions() -> None:
    with pytest.raises(UsageError, match="there are none: conditional=false"):
        MoCoGAN(TINY)
