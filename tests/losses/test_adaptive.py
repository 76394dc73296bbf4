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
from kinema.losses.adaptive import IMAGES, Strength, surety
from kinema.losses.game import Game, check
from kinema.ops.augment import DRAWS, KINDS, augment
from kinema.systems.vgan.config import PRESETS
from kinema.systems.vgan.system import VGAN


def adapting(target: float | None) -> Strength:
    return Strength(SimpleNamespace(augment_target=target))


def told(sure: float, player: str = "critic", batch: int = 1000) -> Update:
    return Update(0, batch, {f"{player}/sure": sure, f"{player}/real": 9.0})


def test_surety_counts_real_above_zero_or_above_generated() -> None:
    true, false = torch.tensor([[3.0, -1.0], [2.0, 0.5]]), torch.tensor([[4.0, -2.0], [1.0, 0.0]])
    assert surety(true, None).item() == 0.5
    assert surety(true, false).item() == 0.5
    assert surety(true.requires_grad_(), true + 1).item() == -1.0
    assert not surety(true, None).requires_grad


def test_the_strength_rises_falls_and_stays_within_bounds() -> None:
    strength = adapting(0.6)
    assert strength.p is not None
    for sure, wanted in ((0.9, 0.01), (0.61, 0.02), (0.6, 0.02), (0.2, 0.01), (-1.0, 0.0), (0.0, 0.0)):
        strength.after_update("critic", told(sure))
        assert strength.p.item() == pytest.approx(wanted)
    strength.after_update("generator", told(0.9))  # these are the critic's terms
    assert strength.p.item() == 0.0
    strength.after_update("critic", told(0.9, batch=2 * IMAGES))
    assert strength.p.item() == 1.0


def test_without_a_target_there_is_nothing_to_keep() -> None:
    strength = adapting(None)
    assert not strength.state_dict()
    strength.after_update("critic", told(0.9))


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


@pytest.mark.parametrize("loss", ["log", "relativistic", "r3gan"])
def test_critics_say_how_sure_they_are(loss: str) -> None:
    rules: Any = SimpleNamespace(
        loss=loss, r1=0.0, r1_every=16, gamma=(2.0, 1.0), augment=KINDS, augment_target=0.6
    )
    progress = Progress(0, 10, 4, slice(0, 4), torch.Generator().manual_seed(0), torch.device("cpu"))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 64, 1))
    real, fake = torch.randn(4, 3, 2, 8, 8), torch.randn(4, 3, 2, 8, 8)
    still = torch.zeros(())  # nothing is changed, so that it can be computed apart
    terms = Game(rules, progress, strength=still).critic_terms(net, real, fake)
    logits = net(real) if loss == "log" else net(real) - net(fake)
    assert terms["sure"].item() == logits.sign().mean().item()
    both, _ = Game(rules, progress, strength=still).both(net, real, fake.requires_grad_())
    assert both["sure"].item() == terms["sure"].item()
    assert "sure" not in Game(rules, progress).critic_terms(net, real, fake)


def test_a_run_adapts_keeps_its_strength_and_goes_on_with_it(tmp_path: Path) -> None:
    preset = PRESETS["tiny"]()
    config = replace(preset.config, augment=("translation",), augment_target=-0.9)

    def run(folder: Path, steps: int, micro_batch: int | None = None) -> VGAN:
        torch.manual_seed(0)
        data = MovingShapes(frames=config.frames, size=config.size)
        settings = RunSettings(
            steps=steps, batch=4, micro_batch=micro_batch, device="cpu", precision="fp32", save_every_steps=2
        )
        system = VGAN(config)
        train(system, data, settings, folder)
        return system

    whole = run(tmp_path / "whole", 4)
    assert whole.strength.p is not None
    assert whole.strength.p.item() == pytest.approx(4 * 4 / IMAGES)
    parts = run(tmp_path / "parts", 4, micro_batch=2)
    assert parts.strength.p is not None
    assert parts.strength.p.item() == whole.strength.p.item()
    run(tmp_path / "two", 2)
    gone_on = run(tmp_path / "two", 4)
    assert gone_on.strength.p is not None
    assert gone_on.strength.p.item() == whole.strength.p.item()


@pytest.mark.parametrize(("augment", "target"), [((), 0.6), (KINDS, 1.5), (KINDS, float("nan"))])
def test_targets_without_sense_are_refused(augment: tuple[str, ...], target: float) -> None:
    rules: Any = SimpleNamespace(
        loss="log", r1=0.0, r1_every=16, gamma=(2.0, 1.0), augment=augment, augment_target=target
    )
    with pytest.raises(UsageError, match="augment_target is between -1 and 1 and needs augment"):
        check(rules)
