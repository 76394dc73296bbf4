"""ADA: how sure critics are, what the strength makes of it, and that it is part of a run."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kinema.core.config import RunSettings
from kinema.core.errors import UsageError
from kinema.core.system import Progress, Update
from kinema.data import MovingShapes
from kinema.engine import train
from kinema.losses.adaptive import RAMP, Strengths, surety
from kinema.losses.adversarial import ADVERSARIAL
from kinema.losses.game import Game, check
from kinema.ops.augment import DRAWS, KINDS, augment
from kinema.systems.vgan.config import PRESETS
from kinema.systems.vgan.system import VGAN


def adapting(target: float | None) -> Strengths:
    return Strengths(SimpleNamespace(augment_target=target), ["critic", "other"])


def told(sure: float, player: str = "critic", steps: int = 1000) -> Update:
    return Update(0, steps, {f"{player}/sure": sure, f"{player}/real": 9.0})


def test_surety_counts_real_above_zero_or_above_generated() -> None:
    true, false = torch.tensor([[3.0, -1.0], [2.0, 0.5]]), torch.tensor([[4.0, -2.0], [1.0, 0.0]])
    assert surety(true, None).item() == 0.5
    assert surety(true, false).item() == 0.5
    assert surety(true.requires_grad_(), true + 1).item() == -1.0
    assert not surety(true, None).requires_grad


def test_a_strength_rises_falls_and_stays_within_bounds() -> None:
    strengths = adapting(0.6)
    mine, other = strengths.of("critic"), strengths.of("other")
    assert mine is not None
    assert other is not None
    step = 1 / (RAMP * 1000)
    for sure, wanted in ((0.9, 1), (0.61, 2), (0.6, 2), (0.2, 1), (-1.0, 0), (0.0, 0)):
        strengths.after_update("critic", told(sure))
        assert mine.item() == pytest.approx(wanted * step)
    strengths.after_update("generator", told(0.9))  # these are the critic's terms
    strengths.after_update("other", told(0.9, "other"))
    assert mine.item() == 0.0
    assert other.item() == pytest.approx(step)  # each critic has its own
    for _ in range(int(RAMP * 1000) + 1):
        strengths.after_update("critic", told(0.9))
    assert mine.item() == 1.0


def test_without_a_target_there_is_nothing_to_keep() -> None:
    strengths = adapting(None)
    assert not strengths.state_dict()
    assert strengths.of("critic") is None
    strengths.after_update("critic", told(0.9))


def test_changes_happen_as_often_as_the_strength_says() -> None:
    items = torch.rand(2000, 1, 2, 8, 8) + 1
    chance = torch.rand(2000, DRAWS, generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        changed = augment(items, chance, (kind,), torch.tensor(0.3))
        always = augment(items, chance, (kind,))
        untouched = (changed == items).flatten(1).all(1)
        assert torch.equal(changed[~untouched], always[~untouched])
        assert untouched.float().mean().item() == pytest.approx(0.7, abs=0.05)
    assert torch.equal(augment(items, chance, KINDS, torch.tensor(0.0)), items)
    assert torch.equal(augment(items, chance, KINDS, torch.tensor(1.0)), augment(items, chance))


@pytest.mark.parametrize("loss", ["log", "minimax", "relativistic", "r3gan"])
def test_critics_say_how_sure_they_are(loss: str) -> None:
    rules: Any = SimpleNamespace(
        loss=loss, r1=0.0, r1_every=16, gamma=(2.0, 1.0), augment=KINDS, augment_target=0.6
    )
    progress = Progress(0, 10, 4, slice(0, 4), torch.Generator().manual_seed(0), torch.device("cpu"))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 64, 1))
    real, fake = torch.randn(4, 3, 2, 8, 8), torch.randn(4, 3, 2, 8, 8)
    still = torch.zeros(())  # nothing is changed, so that it can be computed apart
    objectives = {**ADVERSARIAL, "minimax": ADVERSARIAL["log"]}
    terms = Game(rules, progress, objectives, still).critic_terms(net, real, fake)
    logits = net(real) if loss in ("log", "minimax") else net(real) - net(fake)
    assert terms["strength"].item() == 0.0
    assert terms["sure"].item() == logits.sign().mean().item()
    both, _ = Game(rules, progress, objectives, still).both(net, real, fake.requires_grad_())
    assert both["sure"].item() == terms["sure"].item()
    assert "sure" not in Game(rules, progress, objectives).critic_terms(net, real, fake)


def test_a_run_adapts_keeps_its_strength_and_goes_on_with_it(tmp_path: Path) -> None:
    preset = PRESETS["tiny"]()
    config = replace(preset.config, augment=("translation",), augment_target=-0.5)

    def run(folder: Path, micro_batch: int | None = None, minutes: float | None = None) -> float:
        torch.manual_seed(0)
        data = MovingShapes(frames=config.frames, size=config.size)
        shape: dict[str, Any] = {"batch": 4, "micro_batch": micro_batch, "device": "cpu", "precision": "fp32"}
        system = VGAN(config)
        train(system, data, RunSettings(steps=40, minutes=minutes, **shape), folder)
        found = system.strengths.of("critic")
        assert found is not None
        return found.item()

    whole = run(tmp_path / "whole")
    assert 0 < whole <= 1
    assert run(tmp_path / "parts", micro_batch=2) == whole
    assert run(tmp_path / "two", minutes=1e-4) < whole  # it stops after a step
    assert run(tmp_path / "two") == whole


@pytest.mark.parametrize(("augment", "target"), [((), 0.6), (KINDS, 1.5), (KINDS, float("nan"))])
def test_targets_without_sense_are_refused(augment: tuple[str, ...], target: float) -> None:
    rules: Any = SimpleNamespace(
        loss="log", r1=0.0, r1_every=16, gamma=(2.0, 1.0), augment=augment, augment_target=target
    )
    with pytest.raises(UsageError, match="augment_target is between -1 and 1 and needs augment"):
        check(rules)
