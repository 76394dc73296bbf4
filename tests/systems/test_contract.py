"""Every room keeps the contract: the same checks for each system in the registry, on its `tiny` preset."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kinema
from kinema.apps.demo import command, with_files
from kinema.apps.run import read_flags
from kinema.apps.train import open_data
from kinema.core.config import from_dict, to_dict
from kinema.core.results import Batch, Image, Video
from kinema.core.system import Progress, System
from kinema.data import Clips, open_clips
from kinema.engine import train
from kinema.systems import SYSTEMS, load_class, load_presets

ROOMS = Path(kinema.__file__).parent / "systems"


def prepared(name: str, **changes: object) -> tuple[System, dict[str, object], int]:
    """The tiny preset of a system, one batch of its data, and the first step at which all players move."""
    preset = load_presets(name)["tiny"]()
    config = preset.config
    data = open_data({"where": preset.data}, config, "train", load_class(name).reads)
    kind = load_class(name)
    torch.manual_seed(0)
    config = replace(kind.adapt(config, data), **changes)
    return kind(config), data.batch(range(8)), getattr(config, "text_steps", 0)


def progress(step: int, rows: slice = slice(0, 8)) -> Progress:
    return Progress(step, 100, 8, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


@pytest.fixture(params=SYSTEMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_losses_are_finite_and_reach_their_player(name: str) -> None:
    system, batch, main = prepared(name)
    owned = {p: {id(x) for x in player.parameters()} for p, player in system.players().items()}
    assert all(owned.values())
    seen = set()
    for step in (0, main):
        for losses in system.step(batch, progress(step)):
            for player, terms in losses.items():
                seen.add(player)
                total = sum(terms.values())
                assert torch.isfinite(total)
                mine = [p for p in system.parameters() if id(p) in owned[player]]
                grads = torch.autograd.grad(total, mine, retain_graph=True, allow_unused=True)
                assert any(g is not None and g.abs().sum() > 0 for g in grads)
    assert seen == set(owned)


def trained(name: str, folder: Path, *steps: int) -> tuple[System, dict[str, torch.Tensor]]:
    """The tiny preset trained to each number of steps in turn in one folder, and its first weights."""
    preset = load_presets(name)["tiny"]()
    config = preset.config
    data = open_data({"where": preset.data}, config, "train", load_class(name).reads)
    kind = load_class(name)
    config = kind.adapt(config, data)
    if hasattr(config, "decay_from"):
        config = replace(config, decay_from=None)  # a schedule over all steps knows how many there will be
    for number in steps:
        torch.manual_seed(0)
        system = kind(config)
        before = {key: value.clone() for key, value in system.state_dict().items()}
        settings = replace(preset.settings, steps=number, device="cpu", save_every_steps=2)
        train(system, data, settings, folder, write_config={"system": name, "config": to_dict(config)})
    return system, before


def test_the_engine_moves_only_the_player_of_a_yield(name: str, tmp_path: Path) -> None:
    first_stage = getattr(load_presets(name)["tiny"]().config, "text_steps", 0)
    for steps in {1, first_stage + 1}:
        system, before = trained(name, tmp_path / str(steps), steps)
        owner = {id(p): player for player, of in system.players().items() for p in of.parameters()}
        moved = {owner[id(p)] for key, p in system.named_parameters() if not torch.equal(p, before[key])}
        assert moved == ({"text"} if steps <= first_stage else set(system.players()))


def test_resuming_equals_not_having_stopped(name: str, tmp_path: Path) -> None:
    main = getattr(load_presets(name)["tiny"]().config, "text_steps", 0)
    trained(name, tmp_path / "at once", main + 3)
    trained(name, tmp_path / "in two parts", main + 1, main + 3)
    at_once, parts = (load_file(tmp_path / n / "weights.safetensors") for n in ("at once", "in two parts"))
    assert at_once.keys() == parts.keys()
    assert all(torch.equal(at_once[key], parts[key]) for key in at_once)


def test_onnx_equals_torch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from kinema.apps.onnx import compare, session, write_onnx

    system, _, _ = prepared(name)
    module, examples, inputs, outputs = system.eval().export_module()
    write_onnx(module, examples, inputs, outputs, tmp_path / "model.onnx")
    assert compare(module, examples, inputs, session(tmp_path)) < 1e-4


def test_parameter_count_is_the_one_in_the_readme(name: str) -> None:
    system, _, _ = prepared(name)
    text = (ROOMS / name.replace("-", "_") / "README.md").read_text()
    stated = re.search(r"`tiny`[^\n]*?([\d,]+) parameters", text)
    assert stated, "the room's README states the parameter count of `tiny`"
    assert int(stated[1].replace(",", "")) == sum(p.numel() for p in system.parameters())


def test_weights_survive_a_file(name: str, tmp_path: Path) -> None:
    system, _, _ = prepared(name)
    save_file(system.state_dict(), tmp_path / "w.safetensors")
    other, _, _ = prepared(name)
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(system.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_config_survives_json(name: str) -> None:
    for preset in load_presets(name).values():
        config = preset().config
        assert from_dict(type(config), to_dict(config)) == config


@pytest.mark.parametrize("name", ["g3an", "mocogan", "vgan", "tgan"])
def test_clips_without_captions_are_learnt_and_shown(name: str) -> None:
    preset = load_presets(name)["tiny"]().config
    changes = {"conditional": False} if name != "tgan" else {}  # which knows no classes
    config = replace(preset, **changes)
    batch = open_clips("skies", frames=config.frames, size=config.size, channels=3).batch(range(4))
    system = load_class(name)(config)
    assert all(
        torch.isfinite(v)
        for losses in system.step(batch, progress(0, slice(0, 4)))
        for terms in losses.values()
        for v in terms.values()
    )
    system.settle([batch])
    assert len(system.preview(batch).items) > 0


def test_every_preset_promises_a_result(name: str) -> None:
    presets = load_presets(name)
    assert {"tiny", "small", "paper"} <= presets.keys()
    assert all(preset.__doc__ for preset in presets.values())


def test_preview_is_a_result_and_always_the_same(name: str) -> None:
    system, batch, _ = prepared(name)
    first, second = system.preview(batch), system.preview(batch)
    assert isinstance(first, Image | Video | Batch)
    if isinstance(first, Batch):
        assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first, second, strict=True))


def test_examples_are_requests_that_run(name: str, tmp_path: Path) -> None:
    system, _, _ = prepared(name)
    config, data = system.config, load_presets(name)["tiny"]().data

    def clips() -> Clips:
        return open_data({"where": data}, config, "val", load_class(name).reads)

    found = system.examples(clips().captions[:1], clips)
    assert found
    for i, wanted in enumerate(found.values()):
        fields = with_files(wanted, tmp_path / str(i))
        request = system.Request(**fields)
        line = command(name, system.Request, fields)  # as the demo prints it
        assert read_flags(name, shlex.split(line)[3:])[1] == request
        made = system.run(request)
        assert isinstance(made, Video | Batch)
        batch = made if isinstance(made, Batch) else Batch([made])
        assert system.extent(request) == (*batch.even().shape[:4], batch.columns)  # known beforehand
