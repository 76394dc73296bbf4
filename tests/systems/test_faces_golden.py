"""GANimation and StarGAN: imported weights give the reference's numbers; sizes are the published ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.systems.ganimation import convert
from kinema.systems.ganimation.config import Config
from kinema.systems.ganimation.networks import Generator
from kinema.systems.ganimation.system import GANimation
from kinema.systems.shared.face_config import UNITS
from kinema.systems.shared.face_networks import Critic
from kinema.systems.stargan import config as stargan_config
from kinema.systems.stargan import convert as stargan_convert
from kinema.systems.stargan import networks as stargan_networks
from kinema.systems.stargan.system import StarGAN

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = {
    name: json.loads((GOLDEN / f"{name}.json").read_text())["nets"] for name in ("ganimation", "stargan")
}
STORED = {name: np.load(GOLDEN / f"{name}.npz") for name in FACTS}
FIVE = tuple("01234")
SMALL = Config(size=32, generator_width=4, blocks=2, critic_width=4, units=("AU12", "AU26", "AU45"))


def agree(system: str, net: str, name: str, value: Tensor) -> None:
    about = FACTS[system][net]["outputs"][name]
    flat = value.detach().contiguous().reshape(-1)
    stored = STORED[system][f"{net}/{name}"]
    np.testing.assert_allclose(flat[:: about["stride"]], stored, rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(correction=0).item() - about["std"]) < about["atol"]


def theirs(system: str, net: str, model: str = "G") -> dict[str, Tensor]:
    return rule.weights(FACTS[system][net]["models"][model])


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


@pytest.mark.parametrize(("net", "norm"), [("G", "affine"), ("G-donydchen", "plain")])
def test_generator_equals_the_reference(net: str, norm: str) -> None:
    read = convert.read if norm == "affine" else convert.read_replicate
    config, state = read(theirs("ganimation", net))
    assert (config.generator_width, config.blocks, config.units, config.norm) == (16, 6, UNITS, norm)
    generator = Generator(config)
    generator.load_state_dict(part(state, "generator"))
    x, y = rule.inputs(FACTS["ganimation"][net])
    with torch.no_grad():
        edited, mask, colour = generator(x, y)
    for name, value in {"color": colour, "attention": mask, "composite": edited}.items():
        agree("ganimation", net, name, value)


def test_critic_equals_the_reference() -> None:
    config, state = convert.read(theirs("ganimation", "D", "D"))
    assert (config.critic_width, config.size, config.units) == (16, 128, UNITS)
    critic = Critic(config)
    critic.load_state_dict(part(state, "critic"))
    (x,) = rule.inputs(FACTS["ganimation"]["D"])
    judged = critic(x)
    agree("ganimation", "D", "patch_scores", judged.patches)
    agree("ganimation", "D", "aus", judged.units)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_stargan_equals_the_reference(mode: str) -> None:
    config, state = stargan_convert.read(theirs("stargan", "G"))
    assert (config.generator_width, config.units) == (16, FIVE)
    generator = stargan_networks.Generator(config).train(mode == "train")
    generator.load_state_dict(part(state, "generator"))
    x, c = rule.inputs(FACTS["stargan"]["G"])
    with torch.no_grad():
        agree("stargan", "G", f"{mode}.image", generator(x, c.float()))
    if mode == "train":
        for key in ("main.1.running_mean", "main.16.running_var"):
            agree("stargan", "G", f"train.after.G.{key}", generator.state_dict()[key])


def sizes(module: nn.Module) -> tuple[int, int]:
    """Parameters and tensors."""
    return sum(p.numel() for p in module.parameters()), len(list(module.parameters()))


def test_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        assert sizes(Generator(Config())) == (8_471_296, 53)
        assert sizes(Generator(Config(norm="running"))) == (8_471_296, 53)
        assert sizes(Generator(Config(norm="plain"))) == (8_467_584, 36)
        assert sizes(Critic(Config())) == (44_860_352, 14)
        assert sizes(Critic(Config(size=64)))[0] == 11_225_024
        assert sizes(stargan_networks.Generator(stargan_config.Config(units=FIVE)))[0] == 8_430_528
        assert sizes(stargan_networks.Generator(stargan_config.Config()))[0] == 8_468_160
        assert sizes(Critic(stargan_config.Config(units=FIVE)))[0] == 44_762_048


@pytest.mark.parametrize(
    ("norm", "layout", "keys"),
    [
        ("affine", "official", {"main.9.main.4.weight", "img_reg.0.weight", "attetion_reg.0.weight"}),
        ("plain", "replicate", {"model.9.conv_block.3.bias", "color_top.0.weight", "au_top.0.weight"}),
        ("running", "stargan-like", {"main.9.main.4.running_var", "im_reg.0.weight", "im_att.0.weight"}),
    ],
)
def test_import_and_export_are_each_others_reverse(norm: Any, layout: str, keys: set[str]) -> None:
    config = Config(size=32, generator_width=4, blocks=2, critic_width=4, norm=norm)
    state = GANimation(config).state_dict()
    files = convert.write(state)
    assert keys <= files["G"].keys()
    for given in (files, {"a": {f"module.{k}": v for k, v in files["G"].items()}, "b": files["D"]}):
        found, back = convert.LAYOUTS[layout](given)
        assert found == config
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)
    for other, read in convert.LAYOUTS.items():
        if other != layout:
            with pytest.raises(WeightsError):
                read(files)


def test_aliases_of_layers_are_left_out() -> None:
    files = convert.write(GANimation(Config(size=32, generator_width=4, norm="running")).state_dict())
    more = {f"debug{i}.{k[5:]}": v for i in (1, 2) for k, v in files["G"].items() if k.startswith("main.")}
    _, state = convert.read_stargan_like({"G": {**files["G"], **more}})
    assert convert.write(state)["G"].keys() == files["G"].keys()


def test_stargan_is_written_back() -> None:
    given = theirs("stargan", "G")
    config, state = stargan_convert.read(given)
    back = stargan_convert.write(state)["G"]
    assert back.keys() == given.keys()
    assert all(torch.equal(back[key], given[key]) for key in given)
    StarGAN(config).generator.load_state_dict(part(state, "generator"))


def test_a_generator_without_a_mask_is_read() -> None:
    state = GANimation(Config(size=32, generator_width=4, critic_width=4, mask=False)).state_dict()
    assert convert.read(convert.write(state))[0].mask is False


def broken(**changes: Any) -> dict[str, Any]:
    files = convert.write(GANimation(SMALL).state_dict())
    return {name: {**files.get(name, {}), **more} for name, more in changes.items()}


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        ({"weight": torch.zeros(1)}, r"'the file' is no network of official \(its keys: \['weight'\]"),
        (broken(G={"more.weight": torch.zeros(1)}), "a generator of official has no 'more.weight'"),
        (broken(D={"conv2.weight": torch.zeros(3, 8, 1, 1)}), "its critic ends in maps of 1x1"),
        (broken(G={}, D={"conv2.weight": torch.zeros(4, 8, 2, 2)}), "its networks have 3 and 4 units"),
        ({"a": broken(G={})["G"], "b": broken(G={})["G"]}, "'b' is a second generator"),
    ],
)
def test_foreign_files_are_named(checkpoint: dict[str, Any], says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        convert.read(checkpoint)
