"""BigGAN: parameter counts, the paper's ablation, BigGAN-deep, orthogonal regularisation, and settings."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from picture_rooms import BATCH, at, build, count, lively, terms_of
from torch import nn

from kinema.core.errors import UsageError
from kinema.nn.attention import SelfAttention
from kinema.nn.conditional import Table
from kinema.nn.norm import spectral_layers
from kinema.systems.biggan.config import Config
from kinema.systems.biggan.deep import DeepCritic, DeepGenerator
from kinema.systems.biggan.networks import Critic, Generator

CLASSES = tuple(map(str, range(1000)))
PLAIN = Config(width=64, classes=CLASSES, shared=None, hierarchical=False, orthogonal=0.0, noise=128)
WIDE = replace(PLAIN, width=96)
SHARED = replace(WIDE, shared=128)
WHOLE = replace(SHARED, hierarchical=True, noise=120)


@pytest.mark.parametrize(
    ("config", "generator", "critic"),
    [
        (PLAIN, 42_017_412, 39_448_258),  # rows 1 to 4: batches of 256, 512, 1024, 2048
        (WIDE, None, 87_982_370),
        (SHARED, None, 87_982_370),
        (WHOLE, 70_433_988, 87_982_370),  # rows 7 and 8: without and with orthogonal regularisation
        (replace(WHOLE, width=64), 31_978_628, 39_448_258),
        (replace(WHOLE, size=256, noise=140), 82_235_844, 99_225_890),
        (replace(WHOLE, size=512, noise=160), 82_468_068, None),
        (replace(WHOLE, size=64, width=64, noise=120), 31_908_100, 20_566_721),
        (
            replace(PLAIN, size=32, attention=(), classes=CLASSES[:10]),
            4_304_387,
            4_207_361,
        ),
    ],
    ids=lambda value: f"{value.size} {value.width}" if isinstance(value, Config) else "",
)
def test_networks_have_the_papers_parameters(
    config: Config, generator: int | None, critic: int | None
) -> None:
    with torch.device("meta"):
        made, judged = count(Generator(config)), count(Critic(config))
    assert generator in (None, made)
    assert critic in (None, judged)


def test_each_step_of_the_ablation_changes_what_it_names() -> None:
    with torch.device("meta"):
        plain, wide, shared, whole = (Generator(c) for c in (PLAIN, WIDE, SHARED, WHOLE))
    tables = [sum(isinstance(m, Table) for m in g.modules()) for g in (plain, wide, shared, whole)]
    assert tables == [20, 20, 1, 1]  # two for each of ten norms; then one that all share
    assert count(wide) > count(plain)
    assert count(shared) < count(wide)
    assert shared.linear.in_features == 128
    assert whole.linear.in_features == 20
    assert whole.blocks[0][0].bn1.gain.in_features == 148


@pytest.mark.parametrize(
    ("size", "generator", "critic"), [(128, 50_244_484, 34_590_210), (256, 55_736_708, 38_247_426)]
)
def test_deep_networks_have_the_papers_parameters(size: int, generator: int, critic: int) -> None:
    config = Config(size=size, width=128, noise=128, deep=True, classes=CLASSES)
    with torch.device("meta"):
        assert count(DeepGenerator(config)) == generator
        assert count(DeepCritic(config)) == critic


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize(
    "changes",
    [
        {"shared": None},
        {"hierarchical": False},
        {"shared": None, "hierarchical": False},
        {"hierarchical": False, "conditional": False},
        {"deep": True},
        {"deep": True, "shared": None},
        {"deep": True, "shared": None, "hierarchical": False},
        {"deep": True, "conditional": False},
        {"deep": True, "noise_first": True, "noise": 17},
        {"deep": True, "attention": (8, 16), "r1": 1.0},
        {"deep": True, "norm": "gn", "spectral": "none", "loss": "r3gan"},
        {"spectral": "critic", "orthogonal": 0.0},
        {"attention": ()},
        {"initial": "normal"},
    ],
    ids=str,
)
def test_every_variant_builds_and_moves_every_weight(changes: dict[str, Any], updates: str) -> None:
    system = build("biggan", updates=updates, **changes)
    for losses in system.step(BATCH, at(0)):
        for player, terms in losses.items():
            parameters = system.players()[player].parameters()
            gradients = torch.autograd.grad(
                sum(terms.values()), parameters, retain_graph=True, allow_unused=True
            )
            assert all(g is None or g.isfinite().all() for g in gradients)
            assert sum(g is not None and bool(g.abs().sum() > 0) for g in gradients) > 0.9 * len(gradients)


@pytest.mark.parametrize("size", [64, 128])
def test_larger_pictures_are_made_and_judged(size: int) -> None:
    for deep in (False, True):
        config = Config(size=size, width=4, noise=30, shared=8, attention=(), classes=("a", "b"), deep=deep)
        generator, critic = (DeepGenerator, DeepCritic) if deep else (Generator, Critic)
        classes = torch.eye(2)
        pictures = generator(config)(torch.randn(2, 30), classes)
        assert pictures.shape == (2, 3, size, size)
        assert critic(config)(pictures, classes).shape == (2,)


def test_deep_attention_stands_once_behind_each_side() -> None:
    system, seen = build("biggan", deep=True, attention=(8, 16)), {"generator": [], "critic": []}
    for name, sides in seen.items():
        for layer in getattr(system, name).modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_pre_hook(lambda _, x, sides=sides: sides.append(x[0].shape[-1]))
    list(system.step(BATCH, at(0)))
    assert seen == {"generator": [8, 16], "critic": [16, 8]}


def test_spectral_says_whose_weights_are_held() -> None:
    for deep in (False, True):
        held = {}
        for choice in ("both", "critic", "none"):
            system = build("biggan", spectral=choice, deep=deep)
            held[choice] = [len(spectral_layers(network)) for network in (system.generator, system.critic)]
        weights = [
            sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules())
            for network in (system.generator, system.critic)
        ]
        assert held["both"] == [weights[0], weights[1] + 1]  # not the shared table, but the critic's
        assert held["critic"] == [0, weights[1] + 1]
        assert held["none"] == [0, 0]


def test_every_chunk_of_the_noise_reaches_the_picture() -> None:
    generator = lively("biggan").generator.eval()
    z = torch.randn(1, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(z, torch.eye(10)[:1]).square().sum(), z)
    assert (gradient.abs() > 0).all()


def test_the_order_of_noise_and_class_is_a_choice_of_the_deep_generator() -> None:
    one, other = (build("biggan", deep=True, noise_first=first).generator.eval() for first in (False, True))
    with torch.no_grad():
        other.load_state_dict(one.state_dict())
        for network, width in ((one, 32), (other, 16)):
            seen: list[torch.Tensor] = []
            hook = network.linear.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
            z = torch.randn(2, 16)
            network(z, torch.eye(10)[:2])
            hook.remove()
            code = network.shared(torch.eye(10)[:2])
            assert torch.equal(seen[0][:, :width], code if width == 32 else z)


def test_orthogonal_regularisation_leaves_out_the_shared_table() -> None:
    system = build("biggan", orthogonal=0.1)
    wanted = 0.0
    for name, parameter in system.generator.named_parameters():
        if parameter.dim() > 1 and not name.startswith("shared"):
            rows = parameter.detach().flatten(1).double()
            alike = rows @ rows.T
            wanted += 0.1 * (alike - alike.diag().diag()).square().sum().item()
    assert terms_of(system)["generator/orthogonal"] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert "generator/orthogonal" not in terms_of(build("biggan", orthogonal=0.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise": 17}, "noise is a multiple of 4 at size 32"),
        ({"noise": 16, "size": 64}, "noise is a multiple of 5 at size 64"),
        ({"shared": 0}, "shared is at least 1"),
        ({"orthogonal": -1.0}, "orthogonal is a number from 0"),
        ({"noise_first": True}, "BigGAN-deep alone: deep=true"),
        ({"deep": True, "width": 6}, "a multiple of 4, not 6"),
        ({"deep": True, "size": 512}, "size is one of 32, 64, 128, 256 with"),
    ],
    ids=str,
)
def test_wrong_settings_end_in_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build("biggan", **changes)
