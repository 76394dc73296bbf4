"""Imported weights give the reference's numbers, and the networks have the sizes of the published table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import WeightsError
from kinema.nn.norm import Spectral
from kinema.systems.biggan import convert
from kinema.systems.biggan.config import Config, Request
from kinema.systems.biggan.deep import DeepCritic, DeepGenerator
from kinema.systems.biggan.networks import Critic, Generator
from kinema.systems.biggan.system import BigGAN
from kinema.systems.shared.port import write_network

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "biggan.json").read_text())["nets"]
STORED = np.load(GOLDEN / "biggan.npz")
THEIRS = {net: rule.weights(FACTS[net]["models"][net[-1]]) for net in ("G", "D", "deep-G")}
TEN, THOUSAND = (tuple(map(str, range(k))) for k in (10, 1000))
SMALL = Config(size=32, width=8, noise=20, shared=6, classes=tuple("012"), attention=(16,))


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(
        flat[:: about["stride"]], STORED[f"{net}/{name}"].reshape(-1), rtol=0, atol=about["atol"]
    )
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(correction=0).item() - about["std"]) < about["atol"]


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("net", THEIRS)
def test_networks_equal_the_reference(net: str, mode: str) -> None:
    config, state = convert.read(THEIRS[net])
    part = "critic" if net == "D" else "generator"
    network: nn.Module = getattr(BigGAN(config), part)
    network.load_state_dict({key.removeprefix(f"{part}."): value for key, value in state.items()})
    given, y = rule.inputs(FACTS[net])
    made = network.train(mode == "train")(given, F.one_hot(y, 10).float())
    agree(net, f"{mode}.{'logits' if net == 'D' else 'image'}", made)
    if mode == "train":
        ours = network.state_dict()
        moved = write_network(ours)
        for key in [key for key in moved if key.endswith(".u0")]:  # written as it was before a step
            moved[key] = ours[key.replace("u0", "parametrizations.weight.0._u")][None]
        start = f"train.after.{net[-1]}."
        names = [name for name in FACTS[net]["outputs"] if name.startswith(start)]
        assert len(names) == {"G": 8, "D": 5, "deep-G": 2}[net]
        for name in names:
            agree(net, name, moved[name.removeprefix(start)])


def test_configurations_are_read_from_names_and_shapes() -> None:
    known = Config(size=64, width=16, classes=TEN, attention=(32,), shared=64)
    assert convert.read(THEIRS["G"])[0] == replace(known, noise=100)
    assert convert.read({"G": THEIRS["G"], "D": THEIRS["D"]})[0] == replace(known, noise=100)
    assert convert.read(THEIRS["deep-G"])[0] == replace(known, noise=64, deep=True)
    alone = convert.read(THEIRS["D"])[0]
    assert (alone.size, alone.width, alone.classes, alone.attention) == (64, 16, TEN, (32,))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


DEEP = {"deep": True, "width": 128, "noise": 128}
CIFAR = {
    "size": 32, "width": 64, "noise": 128, "shared": None, "hierarchical": False,
    "attention": (), "classes": TEN,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "generator", "critic"),
    [
        ({}, 70_433_988, 87_982_370),
        ({"width": 64}, 31_978_628, 39_448_258),
        ({"size": 256, "noise": 140}, 82_235_844, 99_225_890),
        ({"size": 512, "noise": 160}, 82_468_068, None),
        ({"size": 64, "width": 64}, 31_908_100, 20_566_721),
        (CIFAR, 4_304_387, 4_207_361),
        (DEEP, 50_244_484, 34_590_210),
        ({**DEEP, "size": 256}, 55_736_708, 38_247_426),
        # the published one has 128 channels in its head, of which three are used
        ({**DEEP, "noise_first": True}, 50_388_609 - 125 * (128 * 9 + 1), 34_590_210),
    ],
)
def test_networks_have_the_published_sizes(
    changes: dict[str, object], generator: int, critic: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spectral, "advance", lambda *given, **named: None)  # there are no numbers to find
    config = Config(**{"classes": THOUSAND, **changes})  # type: ignore[arg-type]
    kinds = (DeepGenerator, DeepCritic) if config.deep else (Generator, Critic)
    with torch.device("meta"):
        assert count(kinds[0](config)) == generator
        if critic:
            assert count(kinds[1](config)) == critic


@pytest.mark.parametrize("changes", [
    {},
    {"attention": (8, 16)},
    {"attention": (), "channels": 1},
    {"hierarchical": False, "noise": 7},
    {"hierarchical": False, "shared": None},
    {"size": 64, "noise": 25, "attention": (32,)},
    {"size": 128, "noise": 12, "attention": (64,)},
    {"deep": True, "attention": (8, 16)},
    {"deep": True, "size": 64, "attention": (32,), "noise": 5},
    {"deep": True, "size": 128, "attention": (64,), "classes": tuple("0123456")},
])  # fmt: skip
def test_import_and_export_are_each_others_reverse(changes: dict[str, object]) -> None:
    wanted = replace(SMALL, **changes)  # type: ignore[arg-type]
    ours = BigGAN(wanted).eval()
    written = convert.write(ours.state_dict())
    found, state = convert.read(written)
    assert found == wanted
    theirs = BigGAN(found).eval()
    theirs.load_state_dict(state)
    z, y = torch.randn(2, wanted.noise), torch.eye(len(wanted.classes))[:2]
    made = ours.generator(z, y)
    torch.testing.assert_close(theirs.generator(z, y), made, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.critic(made, y), ours.critic(made, y), atol=1e-3, rtol=1e-2)
    for file in ("G", "D"):
        wrapped = {f"module.{key}": value for key, value in written[file].items()}
        one = convert.read(wrapped)[1]
        assert one.keys() == {
            key for key in state if key.startswith("generator" if file == "G" else "critic")
        }
        assert all(torch.equal(value, state[key]) for key, value in one.items())


@pytest.mark.parametrize("kind", ["bn.stored_{}", "bn.running_{}"])
def test_every_kind_of_batch_norm_has_its_names(kind: str) -> None:
    port = THEIRS["G"]
    other = {
        key.replace("stored_mean", kind.format("mean")).replace("stored_var", kind.format("var")): value
        for key, value in port.items()
    }
    other |= {f"blocks.{k}.0.bn1.bn.accumulation_counter": torch.zeros(1) for k in range(4)}
    assert not any(key.endswith("bn1.stored_mean") for key in other)
    (_, wanted), (_, found) = convert.read(port), convert.read(other)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


HUGGING = "hf-deep-128"
PUBLISHED = rule.weights(FACTS[HUGGING]["models"]["G"])


@pytest.mark.parametrize("truncation", [0.4, 1.0, 0.405])
def test_the_published_layout_equals_its_reference_at_every_truncation(truncation: float) -> None:
    config, state = convert.read_hugging_face(PUBLISHED)
    known = {"size": 128, "width": 8, "noise": 16, "shared": 16, "classes": TEN, "attention": (64,)}
    assert {name: getattr(config, name) for name in known} == known
    assert (config.deep, config.noise_first) == (True, True)
    assert (config.norm, config.truncations) == ("bn:eps=1e-4", 51)
    system = BigGAN(config).eval()
    assert state.keys() == {key for key in system.state_dict() if key.startswith("generator.")}
    system.load_state_dict(state, strict=False)
    z, y = rule.inputs(FACTS[HUGGING])
    given = z, F.one_hot(y, 10).float()
    before = {key: value.clone() for key, value in system.state_dict().items()}
    with system.standing(truncation, Request(compat=True)):
        made = system.generator(*given)
    agree(HUGGING, f"t{truncation}", made)
    with system.standing(truncation, Request()):
        own = system.generator(*given)
    assert torch.equal(own, made) == (truncation != 0.405)  # theirs swaps the weights of two rows
    assert all(torch.equal(before[key], value) for key, value in system.state_dict().items())
    if truncation == 1.0:
        torch.testing.assert_close(system.generator(*given), made)


def test_the_published_layout_is_named_where_it_is_not_met() -> None:
    with pytest.raises(WeightsError, match=r"no 'generator\.gen_z\.weight_orig' \(its keys: \['shared"):
        convert.read_hugging_face(THEIRS["G"])
    lacking = {key: value for key, value in PUBLISHED.items() if key != "generator.bn.running_means"}
    with pytest.raises(WeightsError, match=r"generator\.bn\.running_means' is missing"):
        convert.read_hugging_face(lacking)


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (
            {"a": {"nothing.weight": torch.zeros(1)}},
            r"'a' is not a further network of BigGAN.*nothing\.weight",
        ),
        ({"state_dict": THEIRS["D"], "epoch": 3}, "'epoch' is not a further network"),
        ({"G": THEIRS["deep-G"], "D": THEIRS["D"]}, "one network has deep True, the other deep False"),
        ({k: v for k, v in THEIRS["G"].items() if "gain.weight" not in k}, "bn1.gain.weight' is missing"),
    ],
)
def test_foreign_files_are_named(checkpoint: dict[str, object], says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        convert.read(checkpoint)
