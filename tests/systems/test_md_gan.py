"""MD-GAN: its losses against slow references, its variants, its networks, its traps."""

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kinema.core.errors import UsageError
from kinema.core.system import Progress
from kinema.data import open_clips
from kinema.losses.gram import gram
from kinema.ops.augment import DRAWS, augment
from kinema.systems.md_gan.bench import default_run, faithful_run, step
from kinema.systems.md_gan.config import PRESETS, Config
from kinema.systems.md_gan.losses import content, distance, ranking
from kinema.systems.md_gan.networks import Judged, Stage, repeat
from kinema.systems.md_gan.system import MDGAN

TINY = PRESETS["tiny"]().config


@pytest.fixture(scope="module")
def data() -> Any:
    return open_clips("skies", frames=TINY.frames, size=TINY.size, channels=3)


def build(**changes: Any) -> MDGAN:
    torch.manual_seed(0)
    return MDGAN(replace(TINY, **changes))


def lively(system: MDGAN) -> MDGAN:
    """With statistics and weights as training leaves them: every layer's output is of order one."""
    generator = torch.Generator().manual_seed(1)
    for module in system.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) * 0.1 + 0.01)
    return system.eval()


def at(steps: int = 0, batch: int = 2) -> Progress:
    return Progress(steps, 100, batch, slice(0, batch), torch.Generator().manual_seed(0), torch.device("cpu"))


# ---- losses ----


def maps(seed: int) -> Judged:
    g = torch.Generator().manual_seed(seed)
    return Judged(
        torch.randn(2, 1, generator=g, dtype=torch.float64),
        torch.randn(2, 2, 3, 4, 4, generator=g),
        torch.randn(2, 3, 2, 2, 2, generator=g),
    )


def slow_gram(features: Tensor) -> list[list[float]]:
    """Of one clip (C, T, H, W): every pair of (channel, time), summed over places, in float64."""
    rows = [
        features[c, t].double().flatten().tolist()
        for c in range(len(features))
        for t in range(features.shape[1])
    ]
    size = len(rows) * len(rows[0])
    return [[sum(x * y for x, y in zip(a, b, strict=True)) / size for b in rows] for a in rows]


def slow_distance(x: Tensor, y: Tensor) -> float:
    pairs = zip(slow_gram(x), slow_gram(y), strict=True)
    return sum(abs(a - b) for left, right in pairs for a, b in zip(left, right, strict=True))


def test_gram_matrix_correlates_channels_and_times() -> None:
    features = maps(0).first
    found = gram(features)
    assert found.shape == (2, 6, 6)
    assert found[1].flatten().tolist() == pytest.approx(np.ravel(slow_gram(features[1])), abs=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gram(features), found)


def test_ranking_is_the_papers() -> None:
    refined, real, base = maps(0), maps(1), maps(2)
    got = ranking("gram", "softplus", refined, real, base)
    for layer in ("first", "third"):
        y2, y, y1 = (getattr(m, layer) for m in (refined, real, base))
        a = [slow_distance(y2[i], y[i]) for i in range(2)]
        b = [slow_distance(y2[i], y1[i]) for i in range(2)]
        want = [-math.log(math.exp(-p) / (math.exp(-p) + math.exp(-q))) for p, q in zip(a, b, strict=True)]
        assert got[layer].loss.item() == pytest.approx(sum(want) / 2, rel=1e-5)
        assert got[layer].near.item() == pytest.approx(sum(a) / 2, rel=1e-5)
        assert got[layer].far.item() == pytest.approx(sum(b) / 2, rel=1e-5)


def test_ranking_does_not_overflow_and_wants_to_be_near() -> None:
    refined = maps(0).first.requires_grad_()
    judged = maps(0)._replace(first=1e3 * refined)
    loss = ranking("gram", "softplus", judged, maps(1), maps(2))["first"].loss
    assert torch.isfinite(loss)
    (pull,) = torch.autograd.grad(loss, refined)
    assert torch.isfinite(pull).all()
    real = maps(1)
    assert ranking("gram", "softplus", real, real, maps(2))["first"].loss < math.log(2)
    assert ranking("gram", "softplus", maps(2), real, maps(2))["first"].loss > math.log(2)


def test_nearing_compares_both_clips_with_the_real_one_at_any_scale() -> None:
    refined, real, base = maps(0), maps(1), maps(2)
    got = ranking("gram", "nearing", refined, real, base)
    large = [judged._replace(first=30 * judged.first) for judged in (refined, real, base)]
    for layer in ("first", "third"):
        y2, y, y1 = (getattr(m, layer) for m in (refined, real, base))
        ratios = [slow_distance(y2[i], y[i]) / slow_distance(y1[i], y[i]) for i in range(2)]
        assert got[layer].loss.item() == pytest.approx(sum(map(math.log1p, ratios)) / 2, rel=1e-5)
    assert ranking("gram", "nearing", *large)["first"].loss.item() == pytest.approx(
        got["first"].loss.item(), rel=1e-5
    )
    assert ranking("gram", "nearing", base, real, base)["third"].loss.item() == pytest.approx(math.log(2))
    assert torch.isfinite(ranking("gram", "nearing", refined, real, real)["first"].loss)


def test_only_the_papers_ranking_is_lowered_by_fleeing_from_the_base_clip() -> None:
    """Beyond the base clip, seen from the real one, a and b grow alike: nothing is nearer, all is worse."""
    real, base = maps(1), maps(2)
    worse = base._replace(third=base.third + 3 * (base.third - real.third))
    losses = {
        form: [ranking("features", form, judged, real, base)["third"].loss.item() for judged in (base, worse)]
        for form in ("softplus", "nearing")
    }
    assert losses["softplus"][1] == pytest.approx(losses["softplus"][0])
    assert losses["nearing"][1] > losses["nearing"][0] + 0.5


def test_ranking_on_features_compares_the_maps() -> None:
    x, y = maps(0).third, maps(1).third
    slow = [sum(map(abs, (a - b).double().flatten().tolist())) / a.numel() for a, b in zip(x, y, strict=True)]
    assert distance("features", x, y).tolist() == pytest.approx(slow, rel=1e-5)


def test_content_is_a_mean() -> None:
    x, y = maps(0).first.double(), maps(1).first.double()
    differences = (x - y).flatten().tolist()
    assert content("l1", x, y).item() == pytest.approx(sum(map(abs, differences)) / len(differences))
    assert content("l2", x, y).item() == pytest.approx(sum(d * d for d in differences) / len(differences))


@pytest.mark.parametrize("kind", ["log", "minimax"])
def test_terms_by_hand(data: Any, kind: str) -> None:
    """What the step yields, from logits of the same clips, computed apart."""
    system = build(loss=kind, content_weight=3.0, critic_norm="none")
    batch = data.batch(range(2))
    (losses,) = system.step(batch, at())
    with torch.no_grad():
        made = system.generator.base(system.source(batch["video"]))
        judged, truth = (system.critic(x).logits for x in (made, batch["video"]))
    false, true = (torch.sigmoid(x).flatten().tolist() for x in (judged, truth))
    critic, generator = losses["critic"], losses["generator"]
    assert critic["real"].item() == pytest.approx(-sum(map(math.log, true)) / 2, rel=1e-4)
    assert critic["fake"].item() == pytest.approx(-sum(math.log(1 - p) for p in false) / 2, rel=1e-4)
    want = [math.log(1 - p) if kind == "minimax" else -math.log(p) for p in false]
    assert generator["fool"].item() == pytest.approx(sum(want) / 2, rel=1e-4)
    distance = (made - batch["video"]).abs().mean().item()
    assert generator["content"].item() == pytest.approx(3 * distance, rel=1e-4)


# ---- the step and its variants ----

VARIANTS = [
    {"base_skips": "inner"},
    {"content": "l2"},
    {"loss": "minimax"},
    {"updates": "alternating"},
    {"stage": "refine"},
    {"stage": "refine", "updates": "alternating"},
    {"stage": "refine", "refine_skips": "all", "ranking_weight": 0.5},
    {"stage": "refine", "ranking": "features"},
    {"stage": "refine", "ranking": "none"},
    {"stage": "refine", "ranking_critic": False},
    {"stage": "refine", "ranking_form": "nearing"},
    {"stage": "one-stage"},
    {"loss": "hinge"},
    {"augment": ("colour", "cutout")},
    {"augment": ("translation",), "stage": "refine", "ranking": "none", "updates": "alternating"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_variant_makes_its_step(data: Any, changes: dict[str, Any]) -> None:
    system = build(**changes)
    yields = [
        {player: set(terms) for player, terms in losses.items()}
        for losses in system.step(data.batch(range(2)), at())
    ]
    ranked = changes.get("stage", "base") != "base" and changes.get("ranking") != "none"
    layers = {"rank_first", "rank_third"} if ranked else set()
    logged = (
        {f"{side}_{layer}" for side in ("near", "far") for layer in ("first", "third")} if ranked else set()
    )
    critic = {"critic": {"real", "fake"} | (layers if changes.get("ranking_critic", True) else set())}
    generator = {"generator": {"fool", "content"} | layers | logged}
    alternating = changes.get("updates") == "alternating"
    assert yields == ([critic, generator] if alternating else [critic | generator])


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize("stage", ["base", "refine"])
def test_the_r3gan_objective_at_both_stages(data: Any, updates: str, stage: str) -> None:
    system = build(loss="r3gan", critic_norm="none", stage=stage, updates=updates, gamma=(2.0, 2.0))
    batch = data.batch(range(2))
    found: dict[str, Tensor] = {}
    for losses in system.step(batch, at()):
        found |= {f"{p}/{k}": v for p, of in losses.items() for k, v in of.items()}
    with torch.no_grad():
        made = system.trained(system.source(batch["video"]))
        apart = system.critic(batch["video"]).logits - system.critic(made).logits
    assert found["critic/pairs"].item() == pytest.approx(softplus(-apart).mean().item(), rel=1e-3)
    assert found["generator/fool"].item() == pytest.approx(softplus(apart).mean().item(), rel=1e-3)
    assert found["critic/r1"].item() > 0
    assert found["critic/r2"].item() > 0
    assert ("generator/rank_first" in found) == (stage == "refine")


def test_the_critic_sees_changed_clips(data: Any) -> None:
    kinds = ("colour",)
    system = build(augment=kinds, augment_target=0.6, critic_norm="none")
    strength = system.strengths.of("critic")
    assert strength is not None
    strength.fill_(1.0)
    batch = data.batch(range(2))
    (losses,) = system.step(batch, at())
    chance = at().rand(DRAWS)
    with torch.no_grad():
        made = system.generator.base(system.source(batch["video"]))
        true, false = (system.critic(augment(x, chance, kinds)).logits for x in (batch["video"], made))
    assert losses["critic"]["real"].item() == pytest.approx(softplus(-true).mean().item(), rel=1e-3)
    assert losses["critic"]["fake"].item() == pytest.approx(softplus(false).mean().item(), rel=1e-3)
    assert losses["critic"]["sure"].item() == true.sign().mean().item()


def test_alternating_and_simultaneous_steps_agree_before_anything_moves(data: Any) -> None:
    terms = []
    for updates in ("alternating", "simultaneous"):
        system = build(updates=updates, stage="refine")
        found = {}
        for losses in system.step(data.batch(range(2)), at()):
            found |= {f"{p}/{k}": v.item() for p, of in losses.items() for k, v in of.items()}
        terms.append(found)
    assert terms[0] == pytest.approx(terms[1], rel=1e-4)


def test_the_critic_maximises_what_the_generator_minimises(data: Any) -> None:
    system = build(stage="refine", ranking_weight=2.0)
    (losses,) = system.step(data.batch(range(2)), at())
    for layer in ("rank_first", "rank_third"):
        assert losses["critic"][layer].item() == -losses["generator"][layer].item()
        weights = list(system.critic.parameters())
        grads = torch.autograd.grad(losses["critic"][layer], weights, retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().sum() > 0 for g in grads)


def test_fewer_skips_cut_the_outer_connections(data: Any) -> None:
    full, inner = (Stage(replace(TINY), skips) for skips in ("all", "inner"))
    inner.load_state_dict(full.state_dict())
    photo = data.batch([0])["video"][:, :, 0]
    assert not torch.allclose(full.animate(photo), inner.animate(photo))
    for stage, alive in ((full, True), (inner, False)):
        nn.init.zeros_(stage.upConv5.weight)  # all that is left of the picture came by the outermost skip
        assert (stage.animate(photo).abs().max().item() > 0) == alive


def test_the_base_net_stays_as_it_is_behind_the_refine_net(data: Any) -> None:
    system = build(stage="refine")
    system.train()
    before = {key: value.clone() for key, value in system.generator.base.state_dict().items()}
    for losses in system.step(data.batch(range(2)), at()):
        owned = system.players()["generator"].parameters()
        torch.autograd.grad(sum(losses["generator"].values()), owned)
    assert not any(p is q for p in system.generator.base.parameters() for q in owned)
    after = system.generator.base.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


# ---- networks ----


@pytest.mark.parametrize(("frames", "size"), [(16, 32), (32, 64), (48, 32), (80, 96)])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_still_clip_takes_a_short_cut_to_the_same_bits(frames: int, size: int, bf16: bool) -> None:
    system = lively(build(frames=frames, size=size))
    photo = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        long = system.generator.base(repeat(photo, frames))
        short = system.generator.base.animate(photo)
    assert long.shape == (2, 3, frames, size, size)
    assert long.std() > 0.01
    assert torch.equal(long, short)


def test_a_photo_gives_the_same_clip_alone_and_among_48(data: Any) -> None:
    base, system = build(), build(stage="refine")
    with torch.no_grad():  # statistics as training leaves them, first of one stage, then of the other
        base.settle([data.batch(range(8))])
        system.generator.base.load_state_dict(base.generator.base.state_dict())
        system.settle([data.batch(range(8))])
    system.eval()
    photos = data.batch(range(48))["video"][:, :, 0]
    with torch.no_grad():
        together = system.generator(photos)
        alone = torch.cat([system.generator(photos[i : i + 1]) for i in (0, 17, 47)])
    assert together.std() > 0.01
    torch.testing.assert_close(together[[0, 17, 47]], alone, rtol=0, atol=1e-5)
    assert system.generator(photos[:1]).std() > 0.01


def test_settling_is_the_even_mean_over_batches(data: Any) -> None:
    system = build()
    norm, seen = system.generator.base.downBN2, []
    hook = norm.register_forward_hook(lambda module, given, out: seen.append(given[0].detach()))
    with torch.no_grad():
        system.settle([data.batch(range(k, k + 2)) for k in (0, 2, 4)])
    hook.remove()
    means = torch.stack([x.mean((0, 2, 3, 4)) for x in seen]).mean(0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-4, atol=1e-7)
    assert norm.momentum == 0.1


def test_both_ways_of_the_benchmark_agree(data: Any) -> None:
    system = lively(build(stage="refine"))
    photo = data.batch([0])["video"][:, :, 0]
    slow, fast = faithful_run(system, photo), default_run(system, photo, nullcontext)
    assert all((slow[key] - fast[key]).abs().max() < 1e-4 for key in slow)
    terms = step(system, data.batch(range(2)), nullcontext)
    assert set(terms) == {"critic/real", "critic/fake", "generator/fool"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": 20}, r"16, 32, 48, … frames \(multiples of 16\), not 20"),
        ({"frames": 0}, "not 0"),
        ({"size": 48}, "32, 64, 96, … pixels, not 48"),
        ({"generator_width": 0}, "generator_width is at least 1, not 0"),
        ({"loss": "r3gan"}, "loss=r3gan needs a critic without batch norm: critic_norm=none, not batch"),
        ({"stage": "refine", "augment": ("cutout",)}, "augment changes what the ranking compares"),
        ({"augment_target": 0.6}, "augment_target is between -1 and 1 and needs augment"),
        ({"content_weight": -1.0}, "content_weight is a number from 0 on, but -1.0"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        MDGAN(replace(Config(), **changes))
