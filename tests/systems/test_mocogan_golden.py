"""Imported weights give the reference's numbers, and the networks have the sizes of the published tables."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn

from kinema.apps.checkpoints import read_checkpoint
from kinema.core.errors import WeightsError
from kinema.systems.mocogan import convert
from kinema.systems.mocogan.config import PRESETS, Config
from kinema.systems.mocogan.networks import Generator, ImageCritic, VideoCritic
from kinema.systems.mocogan.system import MoCoGAN

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "mocogan.json").read_text())["nets"]
STORED = np.load(GOLDEN / "mocogan.npz")
NETS = {"generator": "G-cat6", "image": "D-image-patch", "video": "D-video-categorical"}
SIX = ("a", "b", "c", "d", "e", "f")


@cache
def theirs(part: str) -> dict[str, Tensor]:
    """Weights as the authors' code names them."""
    (model,) = FACTS[NETS[part]]["models"].values()
    return rule.weights(model)


def imported() -> MoCoGAN:
    config, state = convert.read({part: theirs(part) for part in NETS})
    system = MoCoGAN(config)
    system.load_state_dict(state)
    return system


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(flat[:: about["stride"]], STORED[f"{net}/{name}"], rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]
    assert abs(flat.double().std(correction=0).item() - about["std"]) < about["atol"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_networks_equal_the_reference(mode: str) -> None:
    system = imported().train(mode == "train")
    start, noise, content, category = rule.inputs(FACTS["G-cat6"])
    given = (content, start, noise.transpose(0, 1), nn.functional.one_hot(category.long(), 6).float())
    motion = system.generator.codes(*given)[..., -10:]
    agree("G-cat6", f"{mode}.motion_code", motion.flatten(0, 1))
    agree("G-cat6", f"{mode}.clip", system.generator(*given))
    for name in FACTS["G-cat6"]["outputs"] if mode == "train" else ():
        if name.startswith("train.after.G."):
            agree("G-cat6", name, system.generator.state_dict()[name.removeprefix("train.after.G.")])
    (frames,), (clips,) = (rule.inputs(FACTS[NETS[part]]) for part in ("image", "video"))
    agree("D-image-patch", f"{mode}.logits", system.critics["image"](frames)[0])
    real, classes = system.critics["video"](clips)
    agree("D-video-categorical", f"{mode}.logit", real.flatten(1))
    agree("D-video-categorical", f"{mode}.class_logits", classes)


def test_parameters_are_as_many_as_published() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        assert count(Generator(Config(classes=SIX))) == 3_298_836
        assert count(Generator(Config(conditional=False))) == 3_249_684
        assert count(ImageCritic(Config(image_critic="plain"))) == 2_765_568
        assert count(ImageCritic(Config())) == 663_296
        assert count(VideoCritic(Config(video_critic="plain"))) == 11_056_896
        assert count(VideoCritic(Config(video_critic="patch"))) == 2_650_880
        assert count(VideoCritic(Config(classes=SIX))) == 11_253_504


def test_import_and_export_are_each_others_reverse() -> None:
    system = imported()
    assert (system.config.classes, system.config.content) == (tuple("012345"), 50)
    written = convert.write(system.state_dict())
    assert {part: list(state) for part, state in written.items()} == {
        part: list(theirs(part)) for part in NETS
    }
    assert all(torch.equal(value, theirs("video")[key]) for key, value in written["video"].items())


@pytest.mark.parametrize("changes", [
    {"conditional": False, "classes": ()},
    {"video_critic": "patch", "image_critic": "plain"},
    {"video_critic": "plain", "conditional": False, "classes": (), "channels": 1, "width": 8},
    {"motion": 7},
])  # fmt: skip
def test_the_configuration_is_read_from_the_weights(changes: dict[str, object]) -> None:
    wanted = replace(PRESETS["tiny"]().config, **{"size": 64, "classes": ("0", "1"), **changes})
    found, state = convert.read(convert.write(MoCoGAN(wanted).state_dict()))
    MoCoGAN(found).load_state_dict(state)
    kept = ["size", "channels", "width", "critic_width", "content", "motion", "conditional", "classes"]
    for name in [*kept, "image_critic"]:
        assert getattr(found, name) == getattr(wanted, name), name
    plain = {"plain", "categorical"}  # the same network where there are no categories
    assert found.video_critic == wanted.video_critic or {found.video_critic, wanted.video_critic} == plain


def test_one_network_alone_may_be_a_bare_state_dict() -> None:
    config, state = convert.read(theirs("generator"))
    assert (config.classes, config.size, config.width) == (tuple("012345"), 64, 64)
    assert all(key.startswith("generator.") for key in state)


def test_a_video_critic_by_patches_with_noise_before_its_last_layer() -> None:
    state = convert.write(MoCoGAN(Config(conditional=False, video_critic="patch")).state_dict())["video"]
    state["main.12.weight"] = last = state.pop("main.11.weight")
    config, ours = convert.read(state)
    assert config.video_critic == "patch"
    assert ours["critics.video.main.11.weight"] is last


@pytest.mark.parametrize("checkpoint", [
    {"a": torch.zeros(2)},
    {"x": {"main.1.weight": torch.zeros(2, 2, 4, 4)}},
    {"x": theirs("image"), "y": theirs("image")},
], ids=["nothing", "half", "twice"])  # fmt: skip
def test_other_networks_are_refused(checkpoint: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="not a further network of MoCoGAN"):
        convert.read(checkpoint)


def test_a_damaged_network_is_refused() -> None:
    state = dict(theirs("generator"))
    del state["recurrent.weight_hh"]
    with pytest.raises(WeightsError, match=r"recurrent\.weight_hh' is missing"):
        convert.read(state)


def test_a_pickled_module_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(1, 1)), tmp_path / "generator.pytorch")
    with pytest.raises(WeightsError, match="refused, nothing in it was run"):
        read_checkpoint(tmp_path / "generator.pytorch")
