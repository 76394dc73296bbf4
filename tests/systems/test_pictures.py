"""What SAGAN and BigGAN share, on both: losses against slow references, order, micro-batches, use, errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_rooms import (
    BATCH,
    DATA,
    FORMULAS,
    at,
    build,
    count,
    lively,
    logits,
    mean,
    squared_slope,
    terms_of,
)
from torch import nn

from kinema.apps.loading import Loaded, make_request
from kinema.apps.report import read_lines, write_report
from kinema.core.config import to_dict
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Image, Video
from kinema.core.system import Update
from kinema.data.pictures import open_pictures
from kinema.engine import train
from kinema.metrics.pictures import _recognised
from kinema.nn.attention import SelfAttention
from kinema.nn.norm import BatchNorm2d
from kinema.nn.sampling import clip_seed
from kinema.systems import load_presets
from kinema.systems.shared import pictures
from kinema.systems.shared.config import PictureRequest
from kinema.systems.shared.looking import laid_over, where_it_looks
from kinema.systems.shared.pictures import PictureSystem, noise

ROOMS = ("sagan", "biggan")
EXTRA = {
    "wasserstein": {"gradient_penalty": 10.0},
    "r3gan": {"spectral": "none"},
}
"""what a loss cannot do without"""


@pytest.fixture(params=ROOMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def request(**fields: Any) -> PictureRequest:
    made: PictureRequest = make_request(PictureRequest, fields)
    return made


# ---- losses ----


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize("loss", FORMULAS)
def test_losses_are_those_of_the_logits(name: str, loss: str, updates: str) -> None:
    system = build(name, loss=loss, updates=updates, **EXTRA.get(loss, {}))
    pairs, found = logits(system), terms_of(system)
    of_real, of_fake, _ = FORMULAS[loss]
    if of_real:
        assert found["critic/real"] == pytest.approx(mean(of_real, pairs), abs=1e-4)
    assert ("critic/real" in found) == (of_real is not None)
    assert found["critic/fake"] == pytest.approx(mean(of_fake, pairs), abs=1e-4)


@pytest.mark.parametrize("loss", FORMULAS)
def test_both_players_of_a_simultaneous_update_pay_for_the_same_logits(name: str, loss: str) -> None:
    system = build(name, loss=loss, updates="simultaneous", **EXTRA.get(loss, {}))
    found = terms_of(system)["generator/fool"]
    assert found == pytest.approx(mean(FORMULAS[loss][2], logits(system)), abs=1e-4)


def test_an_alternating_generator_pays_for_new_pictures(name: str) -> None:
    system = build(name, updates="alternating")
    progress, k = at(0), len(DATA.captions)
    for _ in range(2):  # the critic's draw, then the generator's
        z, chance = progress.randn(system.config.noise), progress.rand()
    drawn = nn.functional.one_hot((chance * k).long(), k).float()
    with torch.no_grad():
        wanted = -system.critic(system.generator(z, drawn), drawn).mean().item()
    assert terms_of(system)["generator/fool"] == pytest.approx(wanted, abs=1e-4)


def test_both_orders_of_updates_begin_with_the_same_critic(name: str) -> None:
    one, other = (
        next(build(name, updates=order).step(BATCH, at(0)))["critic"]
        for order in ("alternating", "simultaneous")
    )
    assert one.keys() == other.keys()
    for term in one:
        assert one[term].item() == pytest.approx(other[term].item(), rel=1e-4)


def test_penalties_are_those_of_single_pictures(name: str) -> None:
    system = build(name, r1=0.5, r1_every=4)
    said = system.one_hot(BATCH["caption"])
    wanted = 4 * 0.5 * squared_slope(system.critic, BATCH["image"], said) / 2
    assert terms_of(system, 8)["critic/r1"] == pytest.approx(wanted, rel=1e-3)
    assert "critic/r1" not in terms_of(system, 9)

    paired = build(name, loss="r3gan", spectral="none", gamma=(0.3, 0.3))
    wanted = 0.3 * squared_slope(paired.critic, BATCH["image"], said) / 2
    assert terms_of(paired)["critic/r1"] == pytest.approx(wanted, rel=1e-3)
    assert terms_of(paired)["critic/r2"] > 0


def test_the_slope_between_real_and_generated_pictures_is_held_at_one(name: str) -> None:
    system = build(name, loss="wasserstein", gradient_penalty=10.0, updates="simultaneous")
    progress, k = at(0), len(DATA.captions)
    z, chance = progress.randn(system.config.noise), progress.rand()
    drawn = nn.functional.one_hot((chance * k).long(), k).float()
    with torch.no_grad():
        fake = system.generator(z, drawn)
    said, found = system.one_hot(BATCH["caption"]), []
    for real, made, share, y in zip(BATCH["image"], fake, progress.rand(), said, strict=True):
        x = (real + share * (made - real))[None].requires_grad_()
        (slope,) = torch.autograd.grad(system.critic(x, y[None]).sum(), x)
        found.append((slope.norm().item() - 1) ** 2)
    assert terms_of(system)["critic/slope"] == pytest.approx(10 * np.mean(found), rel=1e-3)


def test_lecam_pulls_logits_to_anchors_that_follow(name: str) -> None:
    system = build(name, lecam=0.1)
    pairs = np.array(logits(system))
    found = terms_of(system)
    wanted = 0.1 * (np.maximum(pairs[:, 0], 0) ** 2 + np.maximum(-pairs[:, 1], 0) ** 2).mean()
    assert found["critic/lecam"] == pytest.approx(wanted, abs=1e-5)
    system.after_update("critic", Update(0, 100, found))
    assert system.anchors is not None
    assert system.anchors.real.item() == pytest.approx(0.01 * pairs[:, 0].mean(), abs=1e-5)
    assert system.anchors.fake.item() == pytest.approx(0.01 * pairs[:, 1].mean(), abs=1e-5)


def test_changes_reach_the_critic_and_adapt(name: str) -> None:
    plain = terms_of(build(name))["critic/real"]
    changed = terms_of(build(name, augment=("colour", "translation", "cutout")))
    assert changed["critic/real"] != pytest.approx(plain, abs=1e-6)
    adaptive = build(name, augment=("colour",), augment_target=-0.9)
    found = terms_of(adaptive)
    assert found["critic/real"] == pytest.approx(plain, abs=1e-6)  # the strength begins at zero
    assert {"critic/sure", "critic/strength"} <= found.keys()
    adaptive.after_update("critic", Update(0, 100, {"critic/sure": 1.0}))
    strength = adaptive.strengths.of("critic")
    assert strength is not None
    assert strength.item() == pytest.approx(0.1)


@pytest.mark.parametrize("changes", [{"r1": 1.0}, {"loss": "wasserstein", "gradient_penalty": 10.0}], ids=str)
def test_gradients_are_penalised_without_fused_kernels(name: str, changes: dict[str, Any]) -> None:
    """Those of GPUs cannot be differentiated twice."""
    system, fused = build(name, **changes), []
    layer = next(m for m in system.critic.modules() if isinstance(m, SelfAttention))
    layer.register_forward_pre_hook(lambda *_: fused.append(torch.backends.cuda.mem_efficient_sdp_enabled()))
    next(system.step(BATCH, at(0)))
    assert False in fused
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


# ---- order ----


@pytest.mark.parametrize(
    ("changes", "players"),
    [
        ({"updates": "alternating"}, [["critic"], ["generator"]]),
        ({"updates": "simultaneous"}, [["critic", "generator"]]),
        ({"updates": "alternating", "critic_steps": 2}, [["critic"], ["critic"], ["generator"]]),
        ({"updates": "simultaneous", "critic_steps": 2}, [["critic"], ["critic", "generator"]]),
        ({"updates": "alternating", "conditional": False}, [["critic"], ["generator"]]),
    ],
    ids=str,
)
def test_players_take_turns(name: str, changes: dict[str, Any], players: list[list[str]]) -> None:
    assert [[*losses] for losses in build(name, **changes).step(BATCH, at(0))] == players


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_every_critic_step_sees_pictures_of_its_own(name: str, updates: str) -> None:
    """Two steps on two pictures each are two steps of half a batch; nothing moves in between."""
    system = build(name, critic_steps=2, updates=updates)
    for turn, losses in enumerate(system.step(BATCH, at(0))):
        if "critic" not in losses:
            continue
        said = system.one_hot(BATCH["caption"][turn::2])
        with torch.no_grad():
            wanted = (1 - system.critic(BATCH["image"][turn::2], said)).relu().mean().item()
        assert losses["critic"]["real"].item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "hinge", "r1": 1.0, "lecam": 0.1, "augment": ("translation",)},
        {"loss": "relativistic", "critic_steps": 2, "updates": "alternating"},
        {"loss": "wasserstein", "gradient_penalty": 10.0},
        {"loss": "r3gan", "spectral": "none", "updates": "alternating"},
    ],
    ids=lambda changes: changes["loss"],
)
def test_micro_batches_equal_one_batch(name: str, changes: dict[str, Any]) -> None:
    """With a norm that knows no batch; LeCam and R1 are means over pictures like the losses."""
    system = build(name, norm="gn", **changes)
    whole, batch = at(0), BATCH
    at_once = list(system.step(batch, whole))
    halves = []
    for rows in (slice(0, 2), slice(2, 4)):
        part = {key: value[rows] for key, value in batch.items()}
        halves.append(list(system.step(part, at(0, 4, rows))))
    for all_rows, first, second in zip(at_once, *halves, strict=True):
        for player, terms in all_rows.items():
            for term, value in terms.items():
                wanted = (first[player][term] + second[player][term]).item() / 2
                near = 1e-2 if term == "slope" else 1e-3  # a ReLU at its kink may round to the other side
                assert value.item() == pytest.approx(wanted, rel=near, abs=1e-5), f"{player}/{term}"


@pytest.mark.parametrize(
    "norm", ["bn", "brn", "frozenbn", "gn", "ln", "rms", "in", "in:affine", "none", "gn:groups=4"]
)
@pytest.mark.parametrize("conditional", [True, False])
def test_every_norm_builds_and_moves_every_weight(name: str, norm: str, conditional: bool) -> None:
    system = build(name, norm=norm, conditional=conditional, updates="simultaneous")
    (losses,) = system.step(BATCH, at(0))
    for player, terms in losses.items():
        parameters = system.players()[player].parameters()
        gradients = torch.autograd.grad(sum(terms.values()), parameters, retain_graph=True)
        assert all(g.isfinite().all() for g in gradients)
        assert sum(bool(g.abs().sum() > 0) for g in gradients) > 0.9 * len(gradients)
    assert any(isinstance(m, BatchNorm2d) for m in system.modules()) == norm.startswith("bn")


def test_the_log_has_gamma_and_it_pulls_at_nothing(name: str) -> None:
    system = build(name, attention=(8, 16), updates="simultaneous")
    (losses,) = system.step(BATCH, at(0))
    terms = losses["generator"]
    assert terms["gamma"].item() == terms["gamma1"].item() == 0.5
    assert not terms["gamma"].requires_grad
    assert (
        "gamma" not in next(build(name, attention=(), updates="simultaneous").step(BATCH, at(0)))["generator"]
    )


# ---- use ----


def test_a_picture_depends_on_its_class_and_seed_alone(name: str) -> None:
    system = lively(name).eval()
    one, other = DATA.captions[:2]
    alone = system.generate([one], [7])
    company = system.generate([other, one, one, other], [1, 7, 8, 7])
    assert np.abs(alone[0].astype(int) - company[1]).max() <= 1  # sums round otherwise in larger batches
    assert np.abs(alone[0].astype(int) - company[2]).max() > 1
    assert np.abs(alone[0].astype(int) - company[3]).max() > 1


def test_rows_are_classes_and_columns_noises(name: str) -> None:
    system = lively(name).eval()
    made = system.run(request(label=("disc", "ring"), n=3, seed=2))
    assert isinstance(made, Batch)
    assert made.labels == ["disc"] * 3 + ["ring"] * 3
    assert made.columns == 3
    seeds = [clip_seed(2, i) for i in range(3)]
    wanted = system.generate(made.labels, seeds * 2)
    assert np.array_equal(np.stack([clip.frames for clip in made]), wanted)
    assert system.extent(request(label=("disc", "ring"), n=3)) == (6, 1, 32, 32, 3)
    assert len(system.run(request())) == len(DATA.captions)  # type: ignore[arg-type]
    single = system.run(request(label="disc"))
    assert isinstance(single, Image)
    assert single.pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("truncation", [0.05, 0.5, 1.0])
def test_truncated_noise_stays_within_its_bound_and_keeps_what_was(truncation: float) -> None:
    z, whole = noise(3, 2000, truncation), noise(3, 2000, None)
    assert z.abs().max() <= truncation
    inside = whole.abs() <= truncation
    assert torch.equal(z[inside], whole[inside])  # only what was outside is drawn again
    if truncation == 1:
        assert z.std().item() == pytest.approx(0.54, abs=0.03)  # of a normal cut at 1


def test_standing_statistics_are_means_over_truncated_batches(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "STANDING", 3)
    monkeypatch.setattr(pictures, "STANDING_BATCH", 20)
    system = lively(name).eval()
    norm = next(m for m in system.generator.modules() if isinstance(m, BatchNorm2d))
    before = {key: value.clone() for key, value in system.generator.named_buffers()}
    seen: list[torch.Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    with system.standing(0.5, system.Request()):
        hook.remove()
        found = norm.running_mean.clone(), norm.running_var.clone()
    assert [len(batch) for batch in seen] == [20] * 3
    torch.testing.assert_close(found[0], torch.stack([b.mean((0, 2, 3)) for b in seen]).mean(0))
    torch.testing.assert_close(found[1], torch.stack([b.var((0, 2, 3)) for b in seen]).mean(0))
    after = dict(system.generator.named_buffers())
    assert all(torch.equal(after[key], value) for key, value in before.items())
    z, _ = system.codes([pictures.STANDING_SEED + k for k in range(20)], ["disc"] * 20, 0.5)
    maps = system.generator.linear(z[:, : system.generator.linear.in_features])  # type: ignore[operator, index]
    torch.testing.assert_close(seen[0].flatten(1), maps)
    assert not torch.equal(z[0], system.codes([0], ["disc"], 0.5)[0][0])  # which a user may ask for


def test_several_truncations_are_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "STANDING", 1)
    monkeypatch.setattr(pictures, "STANDING_BATCH", 8)
    system = lively(name).eval()
    asked = request(label="disc", n=2, truncation=(0.1, 1.0))
    strip = system.run(asked)
    assert isinstance(strip, Batch)
    assert strip.columns == 2
    alone = system.run(request(label="disc", n=2, truncation=1.0))
    assert isinstance(alone, Batch)
    assert all(np.array_equal(strip[2 + i].frames, alone[i].frames) for i in range(2))
    assert not np.array_equal(strip[0].frames, strip[2].frames)
    assert system.extent(asked) == (4, 1, 32, 32, 2)
    seeds = [clip_seed(0, i) for i in range(2)]
    scored = np.concatenate(list(system.truncated(["disc"] * 2, seeds, 1.0, batch=1)))
    assert all(np.array_equal(scored[i], alone[i].frames) for i in range(2))


def test_group_norm_needs_no_standing_statistics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = build(name, norm="gn").eval()
    calls: list[int] = []
    system.generator.register_forward_hook(lambda *_: calls.append(1))
    system.run(request(label="disc", truncation=0.5))
    assert calls == [1]


def test_walks_begin_and_end_at_pictures_of_the_seed(name: str) -> None:
    system = lively(name).eval()
    walk = system.run(request(label="disc", walk="noise", n=5, seed=1))
    assert isinstance(walk, Video)
    ends = system.run(request(label="disc", n=2, seed=1))
    assert isinstance(ends, Batch)
    for found, wanted in ((walk.frames[0], ends[0].frames[0]), (walk.frames[-1], ends[1].frames[0])):
        assert np.abs(found.astype(int) - wanted).max() <= 1
    walk = system.run(request(label=("disc", "ring"), walk="class", n=5, seed=1))
    ends = system.run(request(label=("disc", "ring"), seed=1))
    assert isinstance(walk, Video)
    assert isinstance(ends, Batch)
    assert len(walk.frames) == 5
    for found, wanted in ((walk.frames[0], ends[0].frames[0]), (walk.frames[-1], ends[1].frames[0])):
        assert np.abs(found.astype(int) - wanted).max() <= 1


def test_unconditional_systems_make_pictures_without_classes(name: str) -> None:
    system = build(name, conditional=False).eval()
    assert len(system.run(request(n=3))) == 3  # type: ignore[arg-type]
    assert isinstance(system.run(request(walk="noise", n=2)), Video)
    assert count(system.critic) < count(build(name).critic)


def test_how_many_real_pictures_the_critic_recognises(name: str) -> None:
    system = build(name)
    wanted = np.mean([true > 0 for true, _ in logits(system)])
    assert system.recognised(BATCH) == wanted
    assert build(name, conditional=False).recognised(BATCH) in (0, 0.25, 0.5, 0.75, 1)
    assert build(name, loss="relativistic").recognised(BATCH) is None


def test_the_score_tells_what_the_critic_remembers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, chance = build(name), np.random.default_rng(0)
    monkeypatch.setattr(type(system), "recognised", lambda self, batch: float(batch["index"].max() < 32))
    few, all_ = open_pictures("mirrored:32", size=32), DATA
    found = _recognised(system, {"training": few, "held-out": all_}, 32, chance)
    assert found == {"critic accepts training": 1.0, "critic accepts held-out": 0.0}
    served = Loaded(system, name, "w", "", {"modules": ["generator"]})
    assert _recognised(served, {"training": few}, 32, chance) == {}


# ---- attention ----


def test_the_map_beside_a_picture_is_the_row_of_its_place(name: str) -> None:
    system = lively(name).eval()
    asked = request(label=("disc", "ring"), n=2, look=(0.0, 0.99))
    made, plain = system.run(asked), system.run(request(label=("disc", "ring"), n=2))
    assert isinstance(made, Batch)
    assert isinstance(plain, Batch)
    assert system.extent(asked) == (4, 1, 32, 64, 2)
    assert made.even().shape == (4, 1, 32, 64, 3)
    for both, picture in zip(made, plain, strict=True):
        assert np.array_equal(both.frames[:, :, :32], picture.frames)
        lit = both.frames[0, :, 32:].astype(int)
        assert (lit[30:, :2] == [255, 0, 0]).all()  # the place, 2 pixels wide at 16x16
        rest = np.ones((32, 32), bool)
        rest[30:, :2] = False
        assert (lit[rest] <= picture.frames[0][rest].astype(int)).all()


def test_maps_are_shown_in_half_precision_too(name: str) -> None:
    system = lively(name).eval()
    with torch.autocast("cpu", torch.bfloat16):
        made = system.run(request(label="disc", n=2, look=(0.5, 0.5), truncation=0.5))
    assert isinstance(made, Batch)
    assert made.even().shape == (2, 1, 32, 64, 3)


@pytest.mark.parametrize("pooled", [True, False])
def test_where_a_place_looks_is_what_attention_says(pooled: bool) -> None:
    layer = SelfAttention(8, pooled=pooled, normed=False)
    maps = torch.randn(2, 8, 4, 4) * 3
    weights, corner = where_it_looks(layer, maps, (0.6, 0.3), 16)
    row = layer.explicit(maps)[1][:, 1 * 4 + 2]
    keys = 2 if pooled else 4
    step = 16 // keys
    middles = weights[:, step // 2 :: step, step // 2 :: step].flatten(1)  # near the middle of each key
    assert torch.equal(middles.argmax(1), row.argmax(1))
    assert corner == (4, 8)
    assert weights.amax((1, 2)).tolist() == [1.0, 1.0]


def test_what_is_not_looked_at_is_dark() -> None:
    grey = np.full((1, 1, 4, 4, 3), 200, np.uint8)
    weights = torch.zeros(1, 4, 4)
    weights[0, 0, 3] = 1
    both = laid_over(grey, weights, (2, 0), 2)[0, 0]
    assert (both[:, :4] == 200).all()
    assert (both[0, 7] == 200).all()
    assert (both[0, 4] == 30).all()
    assert (both[2:, 4:6] == [255, 0, 0]).all()


def test_a_run_logs_gamma_and_spectra_and_its_report_draws_them(name: str, tmp_path: Path) -> None:
    system = build(name)
    settings = replace(load_presets(name)["tiny"]().settings, steps=2, preview_every_steps=2, device="cpu")
    train(system, DATA, settings, tmp_path, write_config={"system": name, "config": to_dict(system.config)})
    write_report(tmp_path)
    lines = read_lines(tmp_path)
    (found,) = [line for line in lines if "spectra" in line]
    layers = found["spectra"]
    assert {layer.partition(".")[0] for layer in layers} == {"generator", "critic"}
    largest = max(values[0] for layer, values in layers.items() if layer.startswith("critic"))
    assert found["critic spectrum/σ0"] == largest
    assert any("generator/gamma" in line for line in lines)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "generator spectrum" in page
    assert "gamma" in page


# ---- what is wrong ----


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"label": "disk"}, "no class is called 'disk'; nearest: disc"),
        ({"n": 0}, "n is at least 1"),
        ({"n": 1, "walk": "noise", "label": "disc"}, "2 for a walk"),
        ({"truncation": 0.0}, "truncation is from 0.02 to 8"),
        ({"truncation": (0.5, float("nan"))}, "truncation is from 0.02 to 8"),
        ({"walk": "class", "n": 3, "label": "disc"}, "needs two: --label cat --label dog"),
        ({"walk": "class", "n": 3}, "needs two"),
        ({"walk": "noise", "n": 3, "label": ("disc", "ring")}, "a single --label"),
        ({"walk": "noise", "n": 3, "truncation": (0.5, 1.0)}, "a walk has one truncation"),
        ({"walk": "noise", "n": 3, "look": (0.5, 0.5)}, "and no look"),
        ({"look": (1.5, 0.5)}, "each from 0 to 1"),
        ({"seed": -1}, "seed is a number from 0"),
        ({"walk": "classes"}, "walk is one of noise, class"),
    ],
    ids=str,
)
def test_wrong_requests_end_in_a_sentence(name: str, fields: dict[str, Any], words: str) -> None:
    system = build(name).eval()
    with pytest.raises(UsageError, match=words):
        system.run(request(**fields))


@pytest.mark.parametrize(
    ("changes", "fields", "words"),
    [
        ({"attention": ()}, {"look": (0.5, 0.5)}, "no attention"),
        ({"conditional": False}, {"label": "disc"}, "trained without classes"),
        ({"conditional": False}, {"walk": "class", "n": 3}, "a walk is through noise"),
    ],
    ids=str,
)
def test_weights_that_cannot_do_it_say_so(
    name: str, changes: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        build(name, **changes).eval().run(request(**fields))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 48}, "size is one of 32, 64"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"loss": "wasserstein"}, "gradient_penalty=10"),
        ({"loss": "r3gan"}, "spectral=none, not both"),
        ({"loss": "r3gan", "spectral": "none", "r1": 1.0}, "r1=0"),
        ({"norm": "gm"}, "no norm is called 'gm'; nearest: gn"),
        ({"norm": "gn:group=8"}, "not 'group'"),
        ({"attention": (7,)}, "attention is some of 8, 16 at size 32, not 7"),
        ({"attention": (32,)}, "attention is some of 8, 16"),
        ({"width": 1}, "attention needs maps of 8 channels, and these have 4"),
        ({"width": 0}, "width is at least 1"),
        ({"noise": 0}, "noise is at least 1"),
        ({"critic_steps": 0}, "critic_steps is at least 1"),
        ({"augment": ("color",)}, "not 'color'"),
        ({"augment_target": 0.6}, "needs augment"),
        ({"lecam": -1.0}, "lecam is a number from 0"),
        ({"lr": float("nan")}, "lr is a number from 0"),
    ],
    ids=str,
)
def test_wrong_settings_end_in_a_sentence(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(name, **changes)


def test_a_batch_that_critic_steps_cannot_share_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="4 pictures cannot be shared by critic_steps=3"):
        next(build(name, critic_steps=3).step(BATCH, at(0)))


def test_a_single_class_is_refused(name: str) -> None:
    system = build(name)
    kind: type[PictureSystem] = type(system)
    with pytest.raises(UsageError, match="needs two classes or more, and the data has 1"):
        kind(replace(system.config, classes=("cat",)))
