"""Imported weights give the reference's numbers, and the networks have the sizes of the published table."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import WeightsError
from kinema.nn.attention import SelfAttention
from kinema.nn.norm import Spectral
from kinema.systems.sagan import convert
from kinema.systems.sagan.config import Config
from kinema.systems.sagan.networks import Critic, Generator
from kinema.systems.sagan.system import SAGAN
from kinema.systems.shared.port import read_network, write_network

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "sagan.json").read_text())["nets"]
STORED = np.load(GOLDEN / "sagan.npz")
GENERATOR = rule.weights(FACTS["G"]["models"]["G"])
TEN = tuple("0123456789")
SMALL = Config(size=32, width=8, noise=12, classes=tuple("012"), attention=(8, 16))


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(flat[:: about["stride"]], STORED[f"{net}/{name}"], rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(correction=0).item() - about["std"]) < about["atol"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_generator_equals_the_reference(mode: str) -> None:
    config, state = convert.read(GENERATOR)
    assert (config.size, config.width, config.noise, config.classes) == (64, 16, 128, TEN)
    assert (config.attention, config.channels) == ((32,), 3)
    generator = SAGAN(config).generator
    generator.load_state_dict({k.removeprefix("generator."): v for k, v in state.items()})
    z, y = rule.inputs(FACTS["G"])
    agree("G", f"{mode}.image", generator.train(mode == "train")(z, F.one_hot(y, 10).float()))
    if mode == "train":
        moved, state = write_network(generator.state_dict()), generator.state_dict()
        for key in [key for key in moved if key.endswith(".u0")]:  # written as it was before a step
            moved[key] = state[key.replace("u0", "parametrizations.weight.0._u")][None]
        names = [name for name in FACTS["G"]["outputs"] if name.startswith("train.after.G.")]
        assert len(names) == 5
        for name in names:
            agree("G", name, moved[name.removeprefix("train.after.G.")])


def test_attention_equals_the_reference() -> None:
    facts = FACTS["attention"]
    layer = SelfAttention(16)
    layer.load_state_dict(read_network(rule.weights(facts["models"]["A"])))
    (x,) = rule.inputs(facts)
    agree("attention", "out", layer(x))
    agree("attention", "out", layer.explicit(x)[0])


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("attention", "generator", "critic"),
    [
        ((), 41_996_931, 39_443_137),
        ((32,), 42_078_852, 39_463_618),
        ((64,), 42_017_412, 39_448_258),
    ],
)
def test_networks_have_the_published_sizes(
    attention: tuple[int, ...], generator: int, critic: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spectral, "advance", lambda *given, **named: None)  # there are no numbers to find
    config = Config(classes=tuple(map(str, range(1000))), attention=attention)
    with torch.device("meta"):
        assert (count(Generator(config)), count(Critic(config))) == (generator, critic)


def test_import_and_export_are_each_others_reverse() -> None:
    back = convert.write(convert.read(GENERATOR)[1])
    assert back.keys() == {"G"}
    assert back["G"].keys() == GENERATOR.keys()
    held = {key for key in GENERATOR if key.endswith((".u0", ".sv0"))}  # theirs moves them at every use
    assert all(torch.equal(back["G"][key], GENERATOR[key]) for key in GENERATOR.keys() - held)
    ours = SAGAN(SMALL)
    with torch.no_grad():  # weights that moved since the vectors of their largest singular values were found
        for p in ours.parameters():
            p += 0.02 * torch.randn_like(p)
    config, state = convert.read(convert.write(ours.state_dict()))
    assert config == SMALL
    theirs = SAGAN(config)
    theirs.load_state_dict(state)
    z, y = torch.randn(3, 12), F.one_hot(torch.tensor([2, 0, 1]), 3).float()
    one, two = (system.eval().generator(z, y) for system in (ours, theirs))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
    # of a product with one row theirs always finds the largest value, ours lags behind
    torch.testing.assert_close(theirs.critic(one, y), ours.critic(one, y), atol=0, rtol=1e-2)


def to_tensorflow(port: dict[str, dict[str, Tensor]], u: Tensor) -> dict[str, Tensor]:
    """The port's networks under the authors' names, written from their table of names."""
    out: dict[str, Tensor] = {}
    layers = {"conv1": 1, "conv2": 2, "conv_sc": 3}
    for key, value in ((f"{side}.{k}", v) for side, state in port.items() for k, v in state.items()):
        side, *path, last = key.split(".")
        name = {"weight": "w", "bias": "biases", "u0": "u"}.get(last, last)
        if last == "sv0":
            continue
        if last == "weight" and value.dim() == 4:
            value = value.permute(2, 3, 1, 0)
        if path[0] == "blocks" and path[2] == "1":
            word = {"theta": "theta", "phi": "phi", "g": "g", "o": "attn"}.get(path[-1])
            start = "generator/g_non_local" if side == "G" else "discriminator/d_non_local"
            if word is None:
                out[f"{start}/sigma_ratio"] = value.reshape(())
            else:
                out[f"{start}/sn_conv_{word}/{name}"] = value
        elif path[0] == "blocks":
            number, layer = int(path[1]) + 1, path[3]
            if side == "D":
                start = "d_optimized_block1" if number == 1 else f"d_block{number}"
                out[f"discriminator/{start}/sn_conv{layers[layer]}/{name}"] = value
            elif layer in layers:
                out[f"generator/g_block{number}/snconv{layers[layer]}/{name}"] = value
            else:
                words = {"gain": "gamma", "bias": "beta", "stored_mean": "mean", "stored_var": "var"}
                word = words[path[4] if len(path) > 4 else last]
                start = f"generator/g_block{number}/cbn_{int(layer[-1]) - 1}"
                out[f"{start}/{word}"] = value + 1 if word == "gamma" else value
        elif path[0] == "output_layer":
            words = {"gain": "gamma", "stored_mean": "moving_mean", "stored_var": "moving_variance"}
            if path[1] == "0":
                out[f"generator/g_bn/{words.get(last, 'beta')}"] = value
            else:
                out[f"generator/g_snconv_last/{name}"] = value
        elif path[0] == "embed":
            out[f"discriminator/d_embedding/{'embedding_map' if last == 'weight' else 'u'}"] = (
                value if last == "weight" else u
            )
        else:
            if side == "G":  # (C, 4, 4) -> (4, 4, C)
                rows = value.flatten() if last == "u0" else value
                rows = rows.unflatten(0, (-1, 4, 4)).movedim(0, 2).flatten(0, 2)
                value = rows[None] if last == "u0" else rows
            start = "generator/g_snh0" if side == "G" else "discriminator/d_sn_linear"
            name = {"weight": "Matrix", "bias": "bias", "u0": "u"}[last]
            out[f"{start}/{name}"] = value.T if last == "weight" else value
    return {f"{key}:0": value.contiguous() for key, value in out.items()}


def test_the_authors_names_give_what_the_ports_give() -> None:
    ours = SAGAN(Config(size=64, width=8, noise=12, classes=tuple("012"), attention=(32,)))
    port = convert.write(ours.state_dict())
    table = port["D"]["embed.weight"]
    u = F.normalize(torch.randn(1, table.shape[1]), dim=1)
    theirs = to_tensorflow(port, u) | {
        "generator/g_snh0/Matrix/Adam": torch.zeros(3),
        "global_step": torch.ones(()),
    }
    config, state = convert.read_tensorflow(theirs)
    wanted_config, wanted = convert.read(port)
    assert config == wanted_config
    assert state.keys() == wanted.keys() == {k for k in ours.state_dict() if not k.startswith("strengths")}
    vectors = {f"critic.embed.parametrizations.weight.0._{side}" for side in "uv"}
    for key in wanted.keys() - vectors:
        torch.testing.assert_close(state[key], wanted[key], atol=1e-6, rtol=0)
    v = F.normalize(u @ table.T)  # as their graph has it: v = uWᵀ, u' = vW, σ = v W u'ᵀ
    sigma = (v @ table @ F.normalize(v @ table).T).item()
    system = SAGAN(config)
    system.load_state_dict(state)
    torch.testing.assert_close(system.critic.embed.weight, table / sigma)


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (
            {"a": {"nothing.weight": torch.zeros(1)}},
            r"'a' is not a further network of SAGAN.*nothing\.weight",
        ),
        ({"a": GENERATOR, "b": GENERATOR}, "'b' is not a further network of SAGAN"),
        ({**GENERATOR, "shared.weight": torch.zeros(10, 4)}, "kinema convert biggan"),
        ({k: v for k, v in GENERATOR.items() if "gain.weight" not in k}, "bn1.gain.weight' is missing"),
        ({k: v for k, v in GENERATOR.items() if "blocks" not in k}, "is missing or misshapen"),
        ({**GENERATOR, "linear.u0": torch.zeros(1, 7)}, r"'linear\.u0' has 7 numbers; its weight has 4096"),
    ],
)
def test_foreign_files_are_named(checkpoint: dict[str, object], says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        convert.read(checkpoint)


def test_networks_that_do_not_belong_together() -> None:
    pair = [
        convert.write(SAGAN(Config(size=32, width=w, classes=TEN, attention=())).state_dict()) for w in (4, 8)
    ]
    with pytest.raises(WeightsError, match="one network has width 4, the other width 8"):
        convert.read({"G": pair[0]["G"], "D": pair[1]["D"]})


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (GENERATOR, "no variable is called g_… or d_…"),
        ({"g_head/w": torch.zeros(1)}, "no layer of SAGAN is called 'g_head'"),
    ],
)
def test_foreign_variables_are_named(checkpoint: dict[str, Tensor], says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        convert.read_tensorflow(checkpoint)
