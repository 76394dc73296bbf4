"""GANimation and StarGAN: losses and variants against slow float64 references, the mask, use, errors."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.core.config import RunSettings
from kinema.core.errors import DataError, UsageError
from kinema.core.system import Progress
from kinema.data import open_faces
from kinema.data.action_units import UNITS
from kinema.engine import train
from kinema.systems import load_class, load_presets
from kinema.systems.ganimation.losses import magnitude, saturated, smoothness
from kinema.systems.ganimation.networks import composed
from kinema.systems.shared import face_config
from kinema.systems.shared.faces import FaceSystem

ROOMS = ("ganimation", "stargan")
DATA = open_faces("heads:16", size=32)
BATCH = DATA.batch(range(4))


def build(name: str = "ganimation", **changes: Any) -> FaceSystem:
    """The tiny preset with changes, and weights that answer to what they see."""
    torch.manual_seed(0)
    kind = load_class(name)
    system: FaceSystem = kind(kind.adapt(replace(load_presets(name)["tiny"]().config, **changes), DATA))
    for parameter in system.parameters():
        if parameter.dim() == 4:
            torch.nn.init.normal_(parameter, 0, 1.5 / math.sqrt(parameter[0].numel()))
    return system


def at(step: int = 0, rows: slice = slice(0, 4), batch: int = 4) -> Progress:
    chance = torch.Generator().manual_seed(step)
    return Progress(step, 100, batch, rows, chance, torch.device("cpu"))


def double(batch: dict[str, Any]) -> dict[str, Any]:
    return {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def updates(system: FaceSystem, batch: dict[str, Any] = BATCH) -> list[dict[str, dict[str, float]]]:
    """All terms of a step in which nothing moves."""
    found = system.step(batch, at(batch=len(batch["image"]), rows=slice(0, len(batch["image"]))))
    return [{p: {k: v.item() for k, v in terms.items()} for p, terms in losses.items()} for losses in found]


def fixed(system: FaceSystem) -> tuple[Tensor, Tensor, Tensor]:
    """Two faces, their units, and targets; they and the system in float64."""
    system.double()
    batch = double(BATCH)
    own = system.chosen(batch["action_units"])
    return batch["image"][:2], own[:2], own[2:]


def test_units_have_one_list() -> None:
    assert face_config.UNITS == UNITS


# ---- the mask ----


def test_a_mask_of_one_keeps_and_of_nothing_paints() -> None:
    face, colour = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    one = torch.ones(2, 1, 4, 4)
    assert torch.equal(composed(face, one, colour), face)
    assert torch.equal(composed(face, 0 * one, colour), colour)
    torch.testing.assert_close(composed(face, 0.25 * one, colour), 0.25 * face + 0.75 * colour)


@pytest.mark.parametrize("bias", [-40.0, 40.0])
def test_the_whole_generator_keeps_or_paints(bias: float) -> None:
    """With a mask head that says so everywhere, the edited face is the colour image, or the face itself."""
    system = build()
    system.generator.main[-1] = torch.nn.Softplus()
    with torch.no_grad():
        system.generator.attention.weight.fill_(bias)
    face, _, wanted = fixed(system)
    edit = system.paint(face, wanted)
    torch.testing.assert_close(edit.edited, face if bias > 0 else edit.colour)


def test_mask_terms_are_sums_over_pixels() -> None:
    mask = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    mean, norm, absolute, squared = 0.0, 0.0, 0.0, 0.0
    for a in mask[:, 0].tolist():
        mean += sum(map(sum, a)) / 64 / 2
        norm += math.sqrt(sum(v * v for row in a for v in row)) / 8 / 2
        steps = [a[y][x] - a[y][x + 1] for y in range(8) for x in range(7)]
        steps += [a[y][x] - a[y + 1][x] for y in range(7) for x in range(8)]
        absolute += sum(map(abs, steps)) / 2 * 128 / 8
        squared += sum(s * s for s in steps) / 2
    found = [magnitude(mask, "l1"), magnitude(mask, "l2"), smoothness(mask, "absolute")]
    found.append(smoothness(mask, "squared"))
    np.testing.assert_allclose([f.item() for f in found], [mean, norm, absolute, squared])


@pytest.mark.parametrize("form", ["absolute", "squared"])
def test_neither_size_nor_batch_changes_smoothness(form: str) -> None:
    def wave(side: int, n: int) -> Tensor:
        x = torch.arange(side, dtype=torch.float64) / side
        return (0.5 + 0.4 * torch.sin(5 * x[:, None] + 3 * x))[None, None].repeat(n, 1, 1, 1)

    wanted = smoothness(wave(128, 1), form)
    for side, n in ((64, 1), (256, 1), (128, 5)):
        torch.testing.assert_close(smoothness(wave(side, n), form), wanted, rtol=0.03, atol=0)


def test_a_hardened_mask_is_nearer_to_both_ends() -> None:
    mask = torch.linspace(0, 1, 11, dtype=torch.float64)
    wanted = [min(1.0, max(0.0, 0.55 * math.tanh(3 * (a - 0.5)) + 0.5)) for a in mask.tolist()]
    np.testing.assert_allclose(saturated(mask), wanted)
    assert wanted[2] < 0.11  # of 0.2
    soft, hard = build(), build(saturate=True)
    face, _, wanted_units = fixed(soft)
    torch.testing.assert_close(
        hard.double().paint(face, wanted_units).mask, saturated(soft.paint(face, wanted_units).mask)
    )


def test_no_gradient_is_lost_at_an_empty_mask() -> None:
    mask = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(magnitude(mask, "l2"), mask)
    assert torch.isfinite(gradient).all()


# ---- the objective ----

PATCHES = {
    "wgan-gp": (lambda v: -v, lambda v: v, lambda v: -v),
    "lsgan": (lambda v: (v - 1) ** 2, lambda v: v**2, lambda v: (v - 1) ** 2),
}


def mean(values: Any) -> float:
    return float(np.mean([float(v.detach() if isinstance(v, Tensor) else v) for v in values]))


@pytest.mark.parametrize("name", ROOMS)
@pytest.mark.parametrize("loss", ["wgan-gp", "lsgan"])
def test_critic_terms_are_means_over_single_faces(name: str, loss: Any) -> None:
    system = build(name, loss=loss, lambda_au=7.0, lambda_gp=3.0)
    real, own, wanted = fixed(system)
    made, chance = system.paint(real, wanted).edited.detach(), torch.tensor([0.3, 0.8], dtype=torch.float64)
    found = system.critic_terms(real, own, made) | system.slope(real, made, chance)
    true, false, squares, errors, slopes = [], [], [], [], []
    for i in range(2):
        judged, other = (system.critic(x[i : i + 1]) for x in (real, made))
        true += judged.patches.flatten().tolist()
        false += other.patches.flatten().tolist()
        difference = (judged.units[0] - own[i]).tolist()
        squares += [d * d for d in difference]
        errors += [abs(d) for d in difference]
        between = ((1 - chance[i]) * real[i] + chance[i] * made[i])[None].requires_grad_()
        (gradient,) = torch.autograd.grad(system.critic(between).patches.sum(), between)
        slopes.append((math.sqrt(gradient.square().sum().item()) - 1) ** 2)
    for_true, for_false, _ = PATCHES[loss]
    wanted_terms = {
        "units": 7 * mean(squares),
        "real": mean(map(for_true, true)),
        "fake": mean(map(for_false, false)),
        "error": mean(errors),
    }
    if loss == "wgan-gp":
        wanted_terms["slope"] = 3 * mean(slopes)
    # penalties of slopes are in float32
    assert {k: v.item() for k, v in found.items()} == pytest.approx(wanted_terms, rel=1e-6)


def test_the_slope_is_that_of_the_sum_and_trains_the_critic() -> None:
    system = build()
    real, _, wanted = fixed(system)
    made = system.paint(real, wanted).edited.detach()
    term = system.slope(real, made, torch.tensor([0.5, 0.5], dtype=torch.float64))["slope"]
    gradients = torch.autograd.grad(term, list(system.critic.main.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)
    one = real[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(system.critic.realness(one).sum(), one)
    parts = [torch.autograd.grad(system.critic(one).patches.flatten()[k], one)[0] for k in range(4)]
    torch.testing.assert_close(gradient, sum(parts), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("magnitude_form", ["l1", "l2"])
@pytest.mark.parametrize("smoothness_form", ["absolute", "squared"])
def test_generator_terms_are_means_over_single_faces(magnitude_form: Any, smoothness_form: Any) -> None:
    changes: dict[str, Any] = {"magnitude": magnitude_form, "smoothness": smoothness_form}
    system = build(lambda_au=7.0, lambda_cycle=3.0, lambda_mask=2.0, lambda_smooth=0.5, **changes)
    real, own, wanted = fixed(system)
    found = {k: v.item() for k, v in system.generator_terms(real, own, wanted, None).items()}
    squares, cycle, patches, size, rough, errors = [], [], [], [], [], []
    for i in range(2):
        there = system.paint(real[i : i + 1], wanted[i : i + 1])
        back = system.paint(there.edited, own[i : i + 1])
        judged = system.critic(there.edited)
        difference = (judged.units[0] - wanted[i]).tolist()
        squares += [d * d for d in difference]
        errors += [abs(d) for d in difference]
        cycle += (back.edited[0] - real[i]).abs().flatten().tolist()
        patches += judged.patches.flatten().tolist()
        size.append(sum(magnitude(e.mask, magnitude_form).item() for e in (there, back)))
        rough.append(sum(smoothness(e.mask, smoothness_form).item() for e in (there, back)))
    masks = system.paint(real, wanted).mask
    wanted_terms = {
        "units": 7 * mean(squares),
        "cycle": 3 * mean(cycle),
        "fool": -mean(patches),
        "mask": 2 * mean(size),
        "smooth": 0.5 * mean(rough),
        "mask_mean": mean(masks.flatten()),
        "mask_spread": float(np.std(masks.detach().flatten().numpy())),
        "error": mean(errors),
    }
    assert found == pytest.approx(wanted_terms, rel=1e-9)


def test_a_virtual_cycle_returns_from_a_second_target() -> None:
    system = build(lambda_cycle=3.0, virtual_cycle=True)
    real, own, wanted = fixed(system)
    second = wanted.flip(0)
    found = system.generator_terms(real, own, wanted, second)["virtual"].item()
    way = system.paint(system.paint(system.paint(real, wanted).edited, second).edited, own).edited
    assert found == pytest.approx(3 * mean((way - real).abs().flatten()), rel=1e-6)
    assert "virtual" in updates(system.float())[-1]["generator"]


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"lambda_au": 0.0}, {"critic/units", "generator/units"}),
        ({"lambda_cycle": 0.0}, {"generator/cycle"}),
        ({"lambda_mask": 0.0}, {"generator/mask"}),
        ({"lambda_smooth": 0.0}, {"generator/smooth"}),
        ({"lambda_gp": 0.0}, {"critic/slope"}),
        ({"loss": "lsgan"}, {"critic/slope"}),
        (
            {"mask": False},
            {f"generator/{n}" for n in ("mask", "smooth", "mask_mean", "mask_spread")},
        ),
    ],
)
def test_ablations_leave_terms_out(changes: dict[str, Any], gone: set[str]) -> None:
    def names(system: FaceSystem) -> set[str]:
        return {f"{p}/{k}" for u in updates(system) for p, terms in u.items() for k in terms}

    assert names(build()) - names(build(**changes)) == gone


def test_without_a_mask_the_colour_is_the_face() -> None:
    system = build(mask=False)
    face, _, wanted = fixed(system)
    edit = system.paint(face, wanted)
    assert torch.equal(edit.edited, edit.colour)
    assert not edit.mask.any()


# ---- the update ----


def test_order_of_updates() -> None:
    assert [[*u] for u in updates(build())] == [["critic"], ["critic"], ["generator"]]
    apart = updates(build(penalty="apart"))
    assert [[*u] for u in apart] == [["critic"]] * 4 + [["generator"]]
    assert [[*u["critic"]] for u in apart[:2]] == [["units", "error", "real", "fake"], ["slope"]]
    together = updates(build())
    assert together[0]["critic"] == apart[0]["critic"] | apart[1]["critic"]


def test_targets_are_those_of_others_with_noise() -> None:
    system, batch = build(units=("AU12", "AU26"), target_noise=0.05), DATA.batch(range(16))
    places = [UNITS.index("AU12"), UNITS.index("AU26")]
    assert system.chosen(batch["action_units"]).shape == (16, 2)
    wanted = system.targets(batch, at(3, slice(0, 16), 16))
    choices = batch["others"][:, :, places]  # (B, 8, K)
    nearest = (choices - wanted[:, None]).abs().amax(2).min(1)
    assert (nearest.values <= 0.05).all()
    assert nearest.values.max() > 0.03
    assert len(set(nearest.indices.tolist())) > 3
    exact = build(units=("AU12", "AU26"), target_noise=0.0).targets(batch, at(3, slice(0, 16), 16))
    assert ((choices - exact[:, None]).abs().amax(2).min(1).values == 0).all()
    far = {c: build(target_noise=3.0, clip_targets=c).targets(BATCH, at(3)) for c in (False, True)}
    assert far[False].min() < 0
    assert torch.equal(far[True], far[False].clamp(0, 1))


def test_half_of_the_faces_are_mirrored() -> None:
    images = DATA.batch(range(16))["image"]
    turned = build().mirrored(images, at(1, slice(0, 16), 16))
    same = (turned == images).flatten(1).all(1)
    assert torch.equal(turned[~same], images[~same].flip(3))
    assert 3 < same.sum() < 13
    assert torch.equal(build(flip=False).mirrored(images, at()), images)


@pytest.mark.parametrize("name", ROOMS)
def test_four_micro_batches_equal_one_batch(name: str) -> None:
    system, whole = build(name), DATA.batch(range(16))

    def gradients(pieces: int) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for i in range(pieces):
            rows = slice(i * 16 // pieces, (i + 1) * 16 // pieces)
            piece = {key: value[rows] for key, value in whole.items()}
            for turn, losses in enumerate(system.step(piece, at(5, rows, 16))):
                for player, terms in losses.items():
                    own = system.players()[player].parameters()
                    found = torch.autograd.grad(sum(terms.values()) / pieces, own, allow_unused=True)
                    for k, gradient in enumerate(found):
                        if gradient is not None:
                            key = f"{turn}/{player}/{k}"
                            total[key] = total.get(key, 0.0) + gradient
        return total

    once, parts = gradients(1), gradients(4)
    assert once.keys() == parts.keys()
    for key, value in once.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-3, atol=1e-5 * value.abs().max().item())


@pytest.mark.parametrize("name", ROOMS)
def test_a_batch_of_one_trains_and_is_edited(name: str) -> None:
    one = DATA.batch([3])
    found = updates(build(name, critic_steps=1), one)
    assert all(math.isfinite(v) for u in found for terms in u.values() for v in terms.values())
    edit = build(name).edit(one["image"], torch.zeros(1, 17))
    assert [part.shape for part in edit] == [(1, 3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 32)]


@pytest.mark.parametrize("size", [32, 64, 256])
def test_other_sizes(size: int) -> None:
    system = build(size=size, critic_steps=1)
    images = torch.rand(1, 3, size, size)
    edit = system.edit(images, torch.rand(1, 17))
    assert edit.edited.shape == images.shape
    assert system.critic(images).patches.shape == (1, 2, 2)


# ---- health ----


def test_a_collapsed_mask_is_told_once_in_the_order_in_which_to_look() -> None:
    system = build()
    means = {"generator/mask_mean": 0.99, "critic/error": 0.31, "generator/error": 0.4}
    (text,) = system.worries(means).values()
    assert "keeps every pixel" in text
    assert "0.31 on real faces" in text
    assert text.index("labels") < text.index("lambda_au") < text.index("lambda_mask, in small steps: more")
    (text,) = system.worries({**means, "generator/mask_mean": 0.01}).values()
    assert "keeps no pixel" in text
    assert "in small steps: less" in text
    for mean_ in (0.05, 0.5, 0.98):
        assert system.worries({"generator/mask_mean": mean_}) == {}
    assert system.worries({}) == {}


def test_a_run_writes_the_warning(tmp_path: Path) -> None:
    system = build()
    system.generator.main[-1] = torch.nn.Softplus()  # positive maps
    with torch.no_grad():
        system.generator.attention.weight.fill_(1)
    settings = RunSettings(steps=3, batch=8, log_every_steps=1, save_every_steps=9, device="cpu")
    train(system, DATA, settings, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text().count("mask collapse") == 1


# ---- use ----


def test_only_units_that_vary_are_learnt() -> None:
    kind, data = load_class("ganimation"), open_faces("heads:200", size=32)
    config = load_presets("ganimation")["tiny"]().config
    data.units = data.units.copy()
    data.units[:, UNITS.index("AU06")] = 0.4
    assert kind.adapt(config, data).units == tuple(unit for unit in config.units if unit != "AU06")
    assert kind.adapt(replace(config, units=("AU06", "AU12")), data).units == ("AU12",)
    with pytest.raises(DataError, match="none of AU06 varies in heads:200"):
        kind.adapt(replace(config, units=("AU06",)), data)
    with pytest.raises(UsageError, match="'smile' is no action unit"):
        kind.adapt(replace(config, units=("smile",)), data)


def test_use_leaves_training_as_it_was() -> None:
    system = build("stargan").train()
    before = {key: value.clone() for key, value in system.state_dict().items()}
    system.edit(BATCH["image"], BATCH["action_units"])
    assert system.training
    assert all(torch.equal(value, before[key]) for key, value in system.state_dict().items())


def test_previews_show_what_was_painted_where() -> None:
    masked, plain = (build(name).preview(BATCH) for name in ROOMS)
    assert (masked[0].frames.shape, plain[0].frames.shape) == ((1, 32, 128, 3), (1, 32, 64, 3))
    assert np.array_equal(masked[0].frames[0, :, :32], DATA.pixels([0])[0, 0])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 96}, "size is a power of two from 32 to 512, such as 64 or 128, not 96"),
        ({"size": 16}, "not 16"),
        ({"units": ("AU12", "AU12")}, "each once, not AU12, AU12"),
        ({"blocks": 0}, "blocks is at least 1, not 0"),
        ({"critic_noise": (0.1, -0.1)}, "critic_noise is two numbers from 0 on"),
        ({"first_steps": -1}, "first_steps is a number from 0 on"),
        ({"lambda_au": -1.0}, "lambda_au is a number from 0 on"),
        ({"lambda_mask": float("nan")}, "lambda_mask is a number from 0 on"),
    ],
)
def test_configurations_that_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(**changes)


def test_a_batch_that_cannot_be_shared() -> None:
    with pytest.raises(UsageError, match="4 faces cannot be shared by critic_steps=3 updates"):
        updates(build(critic_steps=3))
