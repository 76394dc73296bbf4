"""What all systems have: where they are, and the players of critics and a generator."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from kinema.core.errors import UsageError
from kinema.core.system import Player, System, adversaries


@dataclass(frozen=True)
class Settings:
    lr: float = 1e-3
    critic_lr: float | None = None
    betas: tuple[float, float] = (0.1, 0.9)
    decay_from: float | None = 0.5
    ema_halflife_images: float | None = 100.0


def test_a_system_is_where_its_parameters_are() -> None:
    system = System()
    system.net = nn.Linear(1, 1)
    assert system.device == torch.device("cpu")
    assert system.to("meta").device == torch.device("meta")


def test_critics_have_a_rate_of_their_own_and_the_generator_an_average() -> None:
    one, two, generator = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)
    critics = {"one": one, "two": two}
    critic = Player([one], 1e-3, (0.1, 0.9), decay_from=0.5)
    made = {
        **{name: replace(critic, modules=[net]) for name, net in critics.items()},
        "generator": replace(critic, modules=[generator], ema_halflife_images=100.0),
    }
    assert adversaries(Settings(), critics, generator) == made
    made |= {name: replace(made[name], lr=2e-3) for name in critics}
    assert adversaries(Settings(critic_lr=2e-3), critics, generator) == made


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"decay_from": -1.0}, "decay_from is a fraction of the run"),
        ({"decay_from": float("nan")}, "not nan"),
        ({"decay_from": 7.0}, "not 7"),
        ({"ema_halflife_images": 0.0}, "ema_halflife_images is more than 0"),
        ({"ema_halflife_images": -5.0}, "not -5"),
    ],
)
def test_a_player_is_not_told_what_would_do_nothing(setting: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Player([nn.Linear(1, 1)], 1e-3, **setting)  # type: ignore[arg-type]
