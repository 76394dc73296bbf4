"""SAGAN: parameter counts, forms of attention, whose weights are held, and its settings."""

from typing import Any

import pytest
import torch
from picture_rooms import BATCH, at, build, count
from torch import nn

from kinema.nn.attention import SelfAttention
from kinema.nn.norm import spectral_layers
from kinema.systems.sagan.config import Config
from kinema.systems.sagan.networks import Critic, Generator, Residual

CLASSES = tuple(map(str, range(1000)))


@pytest.mark.parametrize(
    ("attention", "generator", "critic"),
    [
        ((), 41_996_931, 39_443_137),
        ((32,), 42_078_852, 39_463_618),
        ((64,), 42_017_412, 39_448_258),
    ],
    ids=str,
)
def test_networks_have_the_papers_parameters(attention: tuple[int, ...], generator: int, critic: int) -> None:
    config = Config(attention=attention, classes=CLASSES)
    with torch.device("meta"):
        assert count(Generator(config)) == generator
        assert count(Critic(config)) == critic


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_the_residual_rival_has_as_many_parameters(side: int) -> None:
    """To four parts in a hundred: a convolution has whole channels."""
    found = []
    for form in ("pooled", "residual"):
        with torch.device("meta"):
            network = Generator(Config(attention=(side,), attention_form=form, classes=CLASSES))
        found.append(sum(count(m) for m in network.modules() if isinstance(m, SelfAttention | Residual)))
    assert found[0] == pytest.approx(found[1], rel=0.04)


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize(
    "changes",
    [
        {"attention": ()},
        {"attention": (8,)},
        {"attention": (8, 16)},
        {"attention_form": "paper"},
        {"attention_form": "residual"},
        {"spectral": "critic"},
        {"spectral": "none"},
        {"initial": "xavier"},
        {"initial": "normal"},
        {"attention_form": "paper", "r1": 1.0},
        {"attention_form": "residual", "conditional": False, "loss": "log"},
    ],
    ids=str,
)
def test_every_variant_builds_and_moves_every_weight(changes: dict[str, Any], updates: str) -> None:
    system = build("sagan", updates=updates, **changes)
    for losses in system.step(BATCH, at(0)):
        for player, terms in losses.items():
            parameters = system.players()[player].parameters()
            gradients = torch.autograd.grad(sum(terms.values()), parameters, retain_graph=True)
            assert all(g.isfinite().all() for g in gradients)
            assert sum(bool(g.abs().sum() > 0) for g in gradients) > 0.9 * len(gradients)


def test_spectral_says_whose_weights_are_held() -> None:
    held = {}
    for choice in ("both", "critic", "none"):
        system = build("sagan", spectral=choice)
        held[choice] = [len(spectral_layers(network)) for network in (system.generator, system.critic)]
    weights = [
        sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules())
        for network in (system.generator, system.critic)
    ]
    assert held["both"] == [weights[0], weights[1] + 1]  # and the critic's table of classes
    assert held["critic"] == [0, weights[1] + 1]
    assert held["none"] == [0, 0]


def test_attention_stands_behind_maps_of_the_sides_that_are_named() -> None:
    system, seen = build("sagan", attention=(8, 16)), {"generator": [], "critic": []}
    for name, sides in seen.items():
        for layer in getattr(system, name).modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_pre_hook(lambda _, x, sides=sides: sides.append(x[0].shape[-1]))
    list(system.step(BATCH, at(0)))
    assert seen == {"generator": [8, 16], "critic": [16, 8]}


def test_classes_begin_as_one() -> None:
    """Tables of norms begin at nothing, so that a class only shows once it was learnt."""
    system = build("sagan").eval()
    one, other = system.config.classes[:2]
    first, second = system.generate([one, other], [5, 5])
    assert (first == second).all()
