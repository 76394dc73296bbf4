"""TGAN: objectives and bounds against slow references, order of updates, variants, and wrong requests."""

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
from kinema.core.system import Losses, Progress, Update
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.systems.tgan import bounds
from kinema.systems.tgan.config import PRESETS, Config, Request
from kinema.systems.tgan.losses import OBJECTIVES
from kinema.systems.tgan.networks import Critic, ImageGenerator, TemporalGenerator
from kinema.systems.tgan.system import TGAN

TINY = PRESETS["tiny"]().config
DATA = MovingShapes(16, size=32)
R3GAN = {"loss": "r3gan", "bound": "none", "critic_norm": "none"}


def build(**changes: Any) -> TGAN:
    torch.manual_seed(0)
    return TGAN(replace(TINY, **changes))


def lively(**changes: Any) -> TGAN:
    """With weights as large as trained ones, so that no layer's output is nearly zero in eval mode."""
    system = build(**changes)
    for parameter in system.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 0.2)
    return system


def at(step: int, rows: slice = slice(0, 4)) -> Progress:
    return Progress(step, 100, 4, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


def test_a_piece_of_one_clip_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 clips"):
        next(TGAN(PRESETS["tiny"]().config).step(DATA.batch([0]), at(0, slice(0, 1))))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ---- networks ----


def test_networks_have_the_papers_parameters() -> None:
    assert count(TemporalGenerator(Config())) == 825_444
    assert count(ImageGenerator(Config())) == 3_622_691
    assert count(Critic(Config())) == 11_032_449 - 64  # but for a norm that the authors' critic never uses


def test_a_code_becomes_a_code_for_every_frame() -> None:
    generator = build().generator
    lengths: list[int] = []
    for layer in generator.temporal.net:
        if isinstance(layer, nn.ConvTranspose1d):
            layer.register_forward_hook(lambda m, i, o: lengths.append(o.shape[2]))
    z0 = torch.rand(3, 16, requires_grad=True)
    z1 = generator.temporal(z0)
    assert lengths == [1, 2, 4, 8, 16]
    assert z1.shape == (3, 16, 16)
    video = generator.image(z0, z1)
    assert video.shape == (3, 3, 16, 32, 32)
    (gradient,) = torch.autograd.grad((video * torch.randn_like(video)).sum(), z0)
    assert (gradient.abs() > 0).all()


def test_a_picture_is_made_of_the_codes_of_its_clip_and_its_frame() -> None:
    """The part of the clip's code is computed once and repeated; frame by frame it gives the same."""
    image = lively().generator.image.eval()
    z0, z1 = torch.rand(2, 16), torch.rand(2, 16, 16)
    video = image(z0, z1)
    for b, t in ((0, 0), (1, 7)):
        maps = torch.cat([image.of_clip(z0[[b]]), image.of_frame(z1[[b], :, t])], 1)
        torch.testing.assert_close(image.net(maps).tanh()[0], video[b, :, t], atol=1e-5, rtol=1e-4)


# ---- objectives ----


@pytest.mark.parametrize(
    ("loss", "of_true", "of_false", "fool"),
    [
        ("wasserstein", lambda s: -s, lambda s: s, lambda s: -s),
        ("least_squares", lambda s: (s - 1) ** 2 / 2, lambda s: s**2 / 2, lambda s: (s - 1) ** 2 / 2),
        (
            "log",
            lambda s: -np.log(1 / (1 + np.exp(-s))),
            lambda s: -np.log(1 - 1 / (1 + np.exp(-s))),
            lambda s: -np.log(1 / (1 + np.exp(-s))),
        ),
    ],
)
def test_objectives_equal_slow_references(loss: str, of_true: Any, of_false: Any, fool: Any) -> None:
    true, false = torch.randn(2, 5, dtype=torch.float64)

    def slow(scores: Tensor, term: Any) -> float:
        return sum(float(term(s)) for s in scores.tolist()) / len(scores)

    objective = OBJECTIVES[loss]
    assert objective.true(true).item() == pytest.approx(slow(true, of_true), abs=1e-12)
    assert objective.false(false, true).item() == pytest.approx(slow(false, of_false), abs=1e-12)
    assert objective.fool(false, true).item() == pytest.approx(slow(false, fool), abs=1e-12)


def test_r1_is_half_the_squared_slope_and_comes_in_its_turn() -> None:
    system, batch = build(r1=2.0, r1_every=4, critic_norm="none"), DATA.batch(range(4))
    terms = next(system.step(batch, at(0)))["critic"]
    slopes = []
    for clip in batch["video"]:
        x = clip[None].requires_grad_()
        slopes.append(torch.autograd.grad(system.critic(x).sum(), x)[0].square().sum().item())
    assert terms["r1"].item() == pytest.approx(2.0 * 4 * 0.5 * sum(slopes) / 4, rel=1e-4)
    turns = ["r1" in next(system.step(batch, at(step)))["critic"] for step in range(5)]
    assert turns == [True, False, False, False, True]


def test_critic_first_then_the_generator_before_the_critic_that_has_learned() -> None:
    """The critic learns from clips of the generator as it is, real and generated ones in separate batches."""
    system, batch, progress = build(), DATA.batch(range(4)), at(3)
    z, new = (2 * progress.rand(16) - 1 for _ in range(2))
    step = system.step(batch, at(3))
    critic = next(step)["critic"]
    fake = system.critic(system.generator(z).detach())
    assert critic["fake"].item() == pytest.approx(fake.mean().item(), abs=1e-6)
    assert critic["real"].item() == pytest.approx(-system.critic(batch["video"]).mean().item(), abs=1e-6)
    assert not set(map(id, graph_leaves(critic["fake"]))) & set(map(id, system.generator.parameters()))
    with torch.no_grad():
        for p in system.critic.parameters():
            p.mul_(1.5)
    fool = next(step)["generator"]["fool"]
    assert fool.item() == pytest.approx(-system.critic(system.generator(new)).mean().item(), abs=1e-6)


def graph_leaves(loss: Tensor) -> list[Tensor]:
    """The parameters that a loss could be differentiated by."""
    found, seen, todo = [], set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [following for following, _ in node.next_functions]
    return found


# ---- bounds ----


def test_singular_values_are_clipped_as_a_decomposition_would() -> None:
    for shape, scale in (((5, 3, 4, 4, 4), 0.3), ((6, 4), 1.0), ((4, 9), 0.01)):
        weight = (torch.randn(shape) * scale).flatten(1)
        u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
        wanted = u @ torch.diag(s.clamp(max=1)) @ v
        torch.testing.assert_close(bounds.clipped(weight).double(), wanted, atol=1e-6, rtol=1e-5)
    small = torch.randn(4, 9) * 0.01
    assert bounds.clipped(small) is small  # nothing to do


def test_scales_of_batch_norm_stay_within_what_they_meet() -> None:
    critic = build().critic
    norm = next(m for m in critic.modules() if isinstance(m, nn.BatchNorm3d))
    norm.running_var.copy_(torch.linspace(0.5, 4, len(norm.running_var)))
    deviation = norm.running_var.sqrt()
    for given, wanted in (
        (10.0, deviation),
        (-3.0, 0.01 * deviation),
        (0.5, torch.full_like(deviation, 0.5)),
    ):
        nn.init.constant_(norm.weight, given)
        bounds.clip_singular_values(critic)
        torch.testing.assert_close(norm.weight.detach(), wanted)


def largest(critic: nn.Module) -> float:
    weights = [p.detach().double().flatten(1) for p in critic.parameters() if p.dim() > 1]
    assert len(weights) == 5
    return max(float(torch.linalg.svdvals(w)[0]) for w in weights)


def run_steps(system: TGAN, folder: Path, steps: int, **settings: Any) -> None:
    shape = {"steps": steps, "batch": 4, "device": "cpu", "precision": "fp32"}
    train(system, DATA, RunSettings(**{**shape, **settings}), folder)


def test_training_holds_the_critic_below_slope_one_after_each_clip(tmp_path: Path) -> None:
    """A fast learning rate leaves the bound between two clips, and every fifth step returns to it."""
    found: list[float] = []

    class Watched(TGAN):
        def after_update(self, player: str, update: Update) -> None:
            before = largest(self.critic)
            super().after_update(player, update)
            if player == "critic" and update.step % 5 == 0:
                assert largest(self.critic) <= 1 + 1e-4
            if player == "critic":
                found.append(before)

    torch.manual_seed(0)
    run_steps(Watched(replace(TINY, lr=0.02)), tmp_path, 7)
    assert len(found) == 7
    assert found[5] > 1 + 1e-2


def test_weight_clipping_bounds_every_number_of_the_critic_alone(tmp_path: Path) -> None:
    system = build(bound="weights", lr=0.02)
    run_steps(system, tmp_path, 2, micro_batch=2)
    most = [
        max(float(p.detach().abs().max()) for p in m.parameters()) for m in (system.critic, system.generator)
    ]
    assert most[0] == pytest.approx(0.01)
    assert most[1] > 0.02


def test_adam_without_momentum_is_rmsprop_but_for_its_start() -> None:
    x, y = (nn.Parameter(torch.zeros(6, dtype=torch.float64)) for _ in range(2))
    ours = torch.optim.Adam([x], 0.1, betas=Config().betas, eps=0)
    theirs = torch.optim.RMSprop([y], 0.1, alpha=0.99, eps=0)
    for t in range(1, 40):
        g, before = torch.randn(6, dtype=torch.float64), (x.detach().clone(), y.detach().clone())
        x.grad, y.grad = g, g.clone()
        ours.step()
        theirs.step()
        moved = [(p.detach() - b) for p, b in zip((x, y), before, strict=True)]
        torch.testing.assert_close(moved[0], moved[1] * (1 - 0.99**t) ** 0.5)


# ---- variants, micro-batches, statistics ----


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "log", "bound": "none", "r1": 1.0, "critic_norm": "none"},
        {"loss": "least_squares", "bound": "weights"},
        {"updates": "simultaneous", "channels": 1},
        {**R3GAN, "augment": ("translation",)},
        {**R3GAN, "updates": "simultaneous"},
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
            seen.add(player)
    assert seen == {"critic", "generator"}


def losses_of(system: TGAN, rows: slice, batch: dict[str, Any]) -> dict[str, float]:
    part = {k: v[rows] for k, v in batch.items()}
    found: dict[str, float] = {}
    losses: Losses
    for losses in system.step(part, at(0, rows)):
        found |= {f"{p}/{k}": v.item() for p, t in losses.items() for k, v in t.items()}
    return found


@pytest.mark.parametrize("changes", [{"r1": 1.0}, {**R3GAN, "augment": ("colour", "cutout")}], ids=str)
def test_micro_batches_see_their_rows_of_the_same_noise(changes: dict[str, Any]) -> None:
    """In eval mode, so that batch statistics, which are of a piece, stay out of it."""
    system = lively(**changes).eval()
    batch = DATA.batch(range(4))
    whole = losses_of(system, slice(0, 4), batch)
    halves = [losses_of(system, slice(i, i + 2), batch) for i in (0, 2)]
    assert whole == pytest.approx({k: (halves[0][k] + halves[1][k]) / 2 for k in whole}, rel=1e-4, abs=1e-6)
    assert halves[0] != pytest.approx(halves[1], rel=1e-4, abs=1e-6)


def test_settled_statistics_make_use_look_like_training() -> None:
    system = build()
    z0 = system.codes(range(1000, 1064))
    with torch.no_grad():
        trained = system.generator(z0)
        before = system.eval().generator(z0)
        system.settle([{"index": torch.arange(k, k + 64)} for k in (0, 64)])
        after = system.generator(z0)
    assert (after - trained).abs().mean() < 0.5 * (before - trained).abs().mean()


# ---- use ----


def test_run_gives_clips_of_their_own_codes_and_walks_between_them() -> None:
    system = lively()
    one, many = system.run(Request(seed=3)), system.run(Request(n=2, seed=3))
    assert isinstance(one, Video)
    assert isinstance(many, Batch)
    assert one.frames.shape == (16, 32, 32, 3)
    assert np.abs(many[0].frames.astype(int) - one.frames).max() <= 1
    assert not np.array_equal(many[0].frames, many[1].frames)
    walk = system.run(Request(n=3, walk=True, seed=3))
    assert walk.columns == 3
    for end, clip in ((0, many[0]), (2, many[1])):
        assert np.abs(walk[end].frames.astype(int) - clip.frames).max() <= 1
    assert not np.array_equal(walk[1].frames, walk[0].frames)
    assert system.training  # as it was


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(n=0), "n is the number of clips, at least 1, not 0"),
        (Request(n=1, walk=True), "at least 2 steps, not n=1"),
        (Request(seed=-1), "seed is a number from 0"),
        (Request(seed=10**22), "seed is a number from 0"),
    ],
)
def test_wrong_requests_get_one_clear_sentence(request_: Request, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build().run(request_)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"frames": 32}, "clips of 16 frames, not 32"),
        ({"size": 40}, "size is a multiple of 16, not 40"),
        ({"channels": 2}, "1 or 3 channels, not 2"),
        ({"width": 0}, "width is at least 1, not 0"),
        ({"lr": float("nan")}, "lr is a number from 0 on"),
        ({"bound": "none"}, "set bound or r1"),
        ({**R3GAN, "critic_norm": "batch"}, "without batch norm: critic_norm=none, not batch"),
        ({**R3GAN, "bound": "singular_values"}, "penalties alone: bound=none, not singular_values"),
        ({**R3GAN, "r1": 1.0}, "penalties of its own"),
        ({"augment": ("color",)}, "augment is some of"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TGAN(replace(TINY, **setting))
