"""Imported weights give the reference's numbers, and the networks have the sizes of the published tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.nn.norm import advance_spectral
from kinema.systems.g3an import convert
from kinema.systems.g3an.attention import FactorisedSelfAttention
from kinema.systems.g3an.config import PRESETS, Config
from kinema.systems.g3an.networks import Critic, Generator
from kinema.systems.g3an.system import G3AN

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "g3an.json").read_text())["nets"]
STORED = np.load(GOLDEN / "g3an.npz")
THEIRS = {
    "generator": rule.weights(FACTS["G-1p2d-T16"]["models"]["G"]),
    "video": rule.weights(FACTS["D-video"]["models"]["D"]),
    "image": rule.weights(FACTS["D-image"]["models"]["D"]),
}


def imported() -> G3AN:
    config, state = convert.read(THEIRS)
    system = G3AN(config)
    system.load_state_dict(state)
    return system


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(flat[:: about["stride"]], STORED[f"{net}/{name}"], rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(correction=0).item() - about["std"]) < about["atol"]


def states_agree(net: str, model: str, module: nn.Module) -> None:
    """The reference moves its power iteration in a training forward pass, ours is moved before it."""
    start, state = f"train.after.{model}.", module.state_dict()
    names = [name for name in FACTS[net]["outputs"] if name.startswith(start)]
    assert names
    for name in names:
        agree(net, name, state[convert.new_name(name.removeprefix(start))])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_generator_equals_the_reference(mode: str) -> None:
    system = imported()
    assert system.config.attention_layout == "official"
    za, zm = rule.inputs(FACTS["G-1p2d-T16"])
    generator = system.generator.train(mode == "train")
    if mode == "train":
        advance_spectral(generator)
    agree("G-1p2d-T16", f"{mode}.clip", generator(za[..., 0, 0, 0], zm[..., 0, 0]))
    if mode == "train":
        states_agree("G-1p2d-T16", "G", generator)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("part", ["video", "image"])
def test_critics_equal_the_reference(part: str, mode: str) -> None:
    critic: Critic = imported().critics[part].train(mode == "train")
    (x,) = rule.inputs(FACTS[f"D-{part}"])
    if mode == "train":
        advance_spectral(critic)
    agree(f"D-{part}", f"{mode}.logits", critic(x))
    if mode == "train":
        states_agree(f"D-{part}", "D", critic)


def test_attention_equals_the_reference_in_its_own_layout_only() -> None:
    facts = FACTS["fsa"]
    state = {convert.new_name(k): v for k, v in rule.weights(facts["models"]["fsa"]).items()}
    (x,) = rule.inputs(facts)
    layers = {layout: FactorisedSelfAttention(16, layout) for layout in ("official", "correct")}
    for layer in layers.values():
        layer.load_state_dict(state)
    agree("fsa", "after_temporal", layers["official"].tsa(x))
    agree("fsa", "out", layers["official"](x))
    assert (layers["correct"](x) - layers["official"](x)).abs().max() > 1


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_import_and_export_are_each_others_reverse(older: bool, wrapped: bool) -> None:
    config, ours = convert.read(THEIRS)
    written = convert.write(ours, older=older, wrapped=wrapped)
    assert all(key.startswith("module.") == wrapped for state in written.values() for key in state)
    assert any(key.endswith("weight_orig") for key in written["image"]) == older
    again, back = convert.read(written)
    assert again == config
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)
    if older and not wrapped:
        for part, state in THEIRS.items():
            assert written[part].keys() == state.keys()


@pytest.mark.parametrize("changes", [
    {"mode": "2p1d", "attention": None, "video_critic": "3d"},
    {"mode": "3d", "spatial_stream": False, "attention": 3},
    {"temporal_stream": False, "attention": None, "critics": "image"},
    {"spatial_stream": False, "temporal_stream": False, "attention": None, "critics": "video"},
    {"size": 64, "attention": 5, "motion": 7, "appearance": 33, "channels": 1},
    {"size": 256, "width": 8, "attention": None},
])  # fmt: skip
def test_the_configuration_is_read_from_the_weights(changes: dict[str, object]) -> None:
    wanted = replace(PRESETS["tiny"]().config, **{"width": 8, **changes})
    found, state = convert.read(convert.write(G3AN(wanted).state_dict()))
    G3AN(found).load_state_dict(state)
    kept = (
        "mode",
        "spatial_stream",
        "temporal_stream",
        "attention",
        "width",
        "critic_width",
        "size",
        "channels",
    )
    kept = (*kept, "critics", *(("video_critic",) if wanted.critics != "image" else ()))
    assert {name: getattr(found, name) for name in kept} == {name: getattr(wanted, name) for name in kept}


def test_one_network_alone_may_be_a_bare_state_dict() -> None:
    config, state = convert.read({f"module.{key}": value for key, value in THEIRS["video"].items()})
    assert (config.critics, config.critic_width, config.size) == ("video", 16, 64)
    assert all(key.startswith("critics.video.") for key in state)


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        ({"a": {"nothing.weight": torch.zeros(1)}}, "'a' is not a further network.*nothing.weight"),
        ({"a": THEIRS["image"], "b": THEIRS["image"]}, "'b' is not a further network"),
        ({"block1.conv_v.0.bias": torch.zeros(8)}, "block1.conv_v.0.parametrizations.weight.original"),
    ],
)
def test_foreign_checkpoints_are_named(checkpoint: dict[str, object], says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        convert.read(checkpoint)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("mode", "with_attention", "without"),
    [
        ("1p2d", 23_090_437, 22_925_955),
        ("2p1d", 27_219_205, 27_054_723),
        ("3d", 65_975_237, 65_810_755),
    ],
)
def test_generators_have_the_published_sizes(mode: str, with_attention: int, without: int) -> None:
    with torch.device("meta"):
        generators = [Generator(Config(mode=mode, attention=a)) for a in (4, None)]  # type: ignore[arg-type]
    assert [count(g) for g in generators] == [with_attention, without]
    if mode == "1p2d":
        assert [len(g.state_dict()) for g in generators] == [208, 182]
        blocks = [count(generators[0].get_submodule(f"block{k}")) for k in range(1, 6)]
        assert blocks == [5_552_128, 11_540_480, 4_721_664, 886_272, 221_952]
        assert (count(generators[0].fsa), count(generators[0].to_rgb)) == (164_482, 3_459)


def test_critics_have_the_published_sizes() -> None:
    system = G3AN(Config(width=1, attention=None))
    assert {name: count(critic) for name, critic in system.critics.items()} == {
        "video": 8_347_009,
        "image": 2_764_737,
    }
