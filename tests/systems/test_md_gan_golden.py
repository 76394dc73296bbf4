"""Imported weights give the reference's numbers, and the networks have the sizes of the published tables."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.systems.md_gan import convert
from kinema.systems.md_gan.config import Config
from kinema.systems.md_gan.networks import Critic, Stage
from kinema.systems.md_gan.system import MDGAN

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "md-gan.json").read_text())["nets"]
STORED = np.load(GOLDEN / "md-gan.npz")
GENERATOR, CRITIC = (rule.weights(FACTS[net]["models"][net[0]]) for net in ("G1", "D"))


def imported(checkpoint: dict[str, object]) -> MDGAN:
    config, state = convert.read(checkpoint)
    system = MDGAN(config)
    missing, unexpected = system.load_state_dict(state, strict=False)
    assert not unexpected
    held = {key.split(".")[0] for key in state}
    assert not [key for key in missing if key.split(".")[0] in held]
    return system


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(flat[:: about["stride"]], STORED[f"{net}/{name}"], rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(unbiased=False).item() - about["std"]) < about["atol"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_generator_equals_the_reference(mode: str) -> None:
    base = imported({"netG_S1_030": GENERATOR}).generator.base.train(mode == "train")
    with torch.no_grad():
        agree("G1", f"{mode}.y", base(*rule.inputs(FACTS["G1"])))
    if mode == "train":
        agree("G1", "train.after.G.downBN3.running_mean", base.downBN3.running_mean)
        agree("G1", "train.after.G.upBN4.running_var", base.upBN4.running_var)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_critic_equals_the_reference(mode: str) -> None:
    critic = imported(CRITIC).critic.train(mode == "train")
    with torch.no_grad():
        judged = critic(*rule.inputs(FACTS["D"]))
    agree("D", f"{mode}.probability", judged.logits.sigmoid())
    agree("D", f"{mode}.f3", judged.third)
    agree("D", f"{mode}.f1", judged.first)
    if mode == "train":
        agree("D", "train.after.D.slice2.4.running_mean", critic.slice2[4].running_mean)
        agree("D", "train.after.D.slice3.4.running_var", critic.slice3[4].running_var)


def test_import_and_export_are_each_others_reverse() -> None:
    other = {key: value + 1 for key, value in GENERATOR.items()}
    theirs = {"netG_S1": GENERATOR, "netG_S2": other, "netD": CRITIC}
    config, ours = convert.read(theirs)
    assert (config.stage, config.generator_width, config.critic_width) == ("refine", 8, 8)
    assert (config.frames, config.size) == (32, 128)
    assert MDGAN(config).state_dict().keys() == ours.keys()
    back = convert.write(ours)
    assert back.keys() == theirs.keys()
    for part, state in theirs.items():
        assert back[part].keys() == state.keys()
        assert all(torch.equal(back[part][key], state[key]) for key in state)


def test_a_wrapped_state_dict_is_known_too() -> None:
    config, ours = convert.read({f"module.{key}": value for key, value in GENERATOR.items()})
    assert config.stage == "base"
    assert all(torch.equal(ours[f"generator.base.{key}"], value) for key, value in GENERATOR.items())


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ({"a": {"nothing.weight": torch.zeros(1)}}, r"'a' is no part of MD-GAN .*nothing\.weight"),
        ({"netG_one": GENERATOR, "netG_two": GENERATOR}, "'netG_two' holds a part that another file holds"),
        ({"downConv1.weight": torch.zeros(8, 3, 3, 4, 4)}, r"downConv6\.weight' is missing"),
        ({"epoch": 3, "netG_S1": {}}, "'epoch' is no part"),
    ],
)
def test_foreign_files_are_named(checkpoint: dict[str, object], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        convert.read(checkpoint)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        assert count(Stage(Config(), "all")) == count(Stage(Config(), "inner")) == 39_072_576
        assert count(Stage(Config(generator_width=64), "all")) == 156_264_064
        assert count(Critic(Config())) == 11_164_032
        assert count(Critic(Config(critic_width=64))) == 44_610_304
        assert len(Stage(Config(), "all").state_dict()) == 57
        assert len(Critic(Config()).state_dict()) == 26
