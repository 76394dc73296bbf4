"""Stochastic gradient descent in Adam's place: its values, its schedule, and going on with it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toys import Game, largest_difference, numbers, run

from kinema.core.errors import UsageError
from kinema.core.system import Player
from kinema.engine.state import STATE
from kinema.engine.step import learning_rate, optimiser


class Descending(Game):
    """Both players by gradient descent with momentum and weight decay."""

    def players(self) -> dict[str, Player]:
        return {
            "critic": Player([self.critic], 1e-2, momentum=0.9, weight_decay=1e-3),
            "generator": Player([self.generator], 1e-2, momentum=0.5, ema_halflife_images=200),
        }


def test_updates_are_those_of_the_formula() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    wanted, speed = w.detach().clone(), torch.zeros(2, dtype=torch.float64)
    sgd = optimiser([w], Player([], 0.1, momentum=0.9, weight_decay=0.01))
    for step in range(4):
        w.grad = torch.tensor([float(step), 1.0], dtype=torch.float64)
        speed = 0.9 * speed + w.grad + 0.01 * wanted
        wanted = wanted - 0.1 * speed
        sgd.step()
    torch.testing.assert_close(w.detach(), wanted, rtol=0, atol=1e-15)


def test_going_on_equals_not_having_stopped(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", Descending, steps=7)
    run(tmp_path / "parts", Descending, steps=3)
    parts, _ = run(tmp_path / "parts", Descending, steps=7)
    assert largest_difference(numbers(whole), numbers(parts)) == 0
    saved = [load_file(tmp_path / name / STATE) for name in ("whole", "parts")]
    assert any(key.endswith("momentum_buffer") for key in saved[0])
    assert largest_difference(*saved) == 0


def test_learning_rates_fall_at_their_drops() -> None:
    player = Player([], 1.0, drops=(0.3, 0.6))
    rates = [learning_rate(player, step, 10) for step in range(10)]
    assert rates == pytest.approx([1.0] * 3 + [0.1] * 3 + [0.01] * 4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"momentum": 1.0}, "momentum is from 0 to below 1"), ({"drops": (0.5, 2.0)}, "drops are fractions")],
)
def test_what_cannot_be_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Player([], 0.1, **settings)
