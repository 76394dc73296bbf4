"""Every room keeps the contract: the same checks for each system in the registry, on its `tiny` preset."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kinema
from kinema.core.config import from_dict, to_dict
from kinema.core.results import Batch, Image, Video
from kinema.core.system import Progress, System
from kinema.data import open_clips
from kinema.systems import SYSTEMS, load_class, load_presets

ROOMS = Path(kinema.__file__).parent / "systems"


def prepared(name: str, **changes: object) -> tuple[System, dict[str, object], int]:
    """The tiny preset of a system, one batch of its data, and the first step at which all players move."""
    preset = load_presets(name)["tiny"]()
    config = preset.config
    data = open_clips(preset.data, frames=config.frames, size=config.size, channels=config.channels)
    kind = load_class(name)
    torch.manual_seed(0)
    config = replace(kind.adapt(config, data), **changes)
    return kind(config), data.batch(range(8)), getattr(config, "text_steps", 0)


def progress(step: int, rows: slice = slice(0, 8)) -> Progress:
    return Progress(step, 100, 8, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


@pytest.fixture(params=SYSTEMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_losses_are_finite_and_move_their_player_only(name: str) -> None:
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
