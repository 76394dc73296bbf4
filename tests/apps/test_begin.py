"""`init_from`: a run begins with the weights of another, says so, and needs them no more afterwards."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.apps.weights import begin_with
from kinema.core.errors import WeightsError

TINY = ("train", "fake-gan", "--preset", "tiny")


def fresh(**changes: Any) -> Any:
    room = sys.modules["fake_room"]
    torch.manual_seed(5)
    return room.Fake(room.Config(**changes))


def edit(folder: Path, **changes: Any) -> None:
    """Change tensors of a run's weights; None takes one away."""
    tensors = load_file(folder / "weights.safetensors") | changes
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / "weights.safetensors")


@pytest.fixture
def first(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "first"))


def test_tensors_of_the_same_name_are_taken_and_others_left(first: Path) -> None:
    edit(first, **{"colour.bias": None, "other.weight": torch.ones(2)})
    system, untouched = fresh(), fresh()
    record = begin_with(system, str(first)).record
    given = load_file(first / "weights.safetensors")
    assert torch.equal(system.painter.to_pixels.weight, given["painter.to_pixels.weight"])
    assert torch.equal(system.colour.bias, untouched.colour.bias)
    assert record["weights"] == str(first)
    assert record["tensors"] == len(system.state_dict()) - 1
    assert len(record["sha256"]) == 64


def test_half_precision_is_enough(first: Path) -> None:
    edit(first, **{k: v.half() for k, v in load_file(first / "weights.safetensors").items()})
    system = fresh()
    begin_with(system, str(first))
    assert system.painter.to_pixels.weight.dtype == torch.float32


def test_what_does_not_fit_is_named(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"'painter\.to_pixels\.weight' of shape \(1024, 8\), here it has"):
        begin_with(fresh(frames=8), str(first))
    monkeypatch.setattr(sys.modules["fake_room"].Fake, "inherits", ("critic",))
    edit(first, **{"critic.weight": None})
    with pytest.raises(WeightsError, match=r"holds no critic\.weight; give the run that trained it"):
        begin_with(fresh(), str(first))
    system = fresh()
    system.name = "other"
    with pytest.raises(WeightsError, match="holds weights of fake-gan, not of other"):
        begin_with(system, str(first))


def test_a_run_records_what_it_began_with_and_goes_on_without_it(kinema, first: Path) -> None:
    command = (*TINY, "--out", "second", "--set", f"init_from={first}")
    assert kinema(*command, "--set", "steps=1").code == 0
    record = json.loads(Path("second/config.json").read_text())["init_from"]
    assert record["weights"] == str(first)
    shutil.rmtree(first)
    assert kinema(*command, "--set", "steps=3").code == 0
    assert json.loads(Path("second/config.json").read_text())["init_from"] == record
    said = kinema(*TINY, "--out", "second", "--set", "steps=3")
    assert said.code == 2
    assert "was trained with init_from=" in said.err


def test_the_weights_are_where_the_run_begins(kinema, first: Path) -> None:
    before = load_file(first / "weights.safetensors")["painter.to_pixels.weight"]
    for name, extra in (("joined", [f"init_from={first}"]), ("alone", [])):
        assert kinema(*TINY, "--out", name, "--set", "steps=1", *extra).code == 0
    moved = {
        name: (load_file(Path(name) / "weights.safetensors")["painter.to_pixels.weight"] - before).abs().max()
        for name in ("joined", "alone")
    }
    assert moved["joined"] <= 0.011  # one step of Adam at 0.01
    assert moved["alone"] > 0.03  # the six steps of the first run


@pytest.mark.parametrize(
    ("setting", "words"),
    [("nowhere", "there is no such folder"), ("fake-gan", "no weights of fake-gan are bundled")],
)
def test_weights_that_are_not_there(kinema, setting: str, words: str) -> None:
    said = kinema(*TINY, "--out", "second", "--set", f"init_from={setting}")
    assert said.code in (1, 2)
    assert words in said.err
    assert not Path("second").exists()


def test_a_stage_that_needs_another_says_so(kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["fake_room"].Fake, "inherits", ("painter",))
    said = kinema(*TINY, "--out", "second")
    assert said.code == 2
    assert "painter has to be trained already: add --set init_from=RUN" in said.err
    assert not Path("second").exists()


def test_a_card_names_the_command_behind_the_weights_that_a_run_began_with(kinema, first: Path) -> None:
    told, about = "kinema train fake-gan --preset tiny --out first", first / "environment.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"command": told.split()}))
    assert kinema("export", first, "--to", "weights", "--out", "bundle").code == 0
    assert "| begun with | nothing |" in Path("bundle/card.md").read_text()
    for name, source in (("second", str(first)), ("third", "bundle")):
        assert kinema(*TINY, "--out", name, "--set", f"init_from={source}", "steps=1").code == 0
        assert kinema("export", name, "--to", "weights", "--out", f"{name}-small").code == 0
        assert f"| begun with | `{source}`, made by `{told}` |" in Path(f"{name}-small/card.md").read_text()
    assert kinema("export", "second-small", "--to", "weights", "--out", "again").code == 0
    assert f"| begun with | `{first}`, made by `{told}` |" in Path("again/card.md").read_text()
    about.unlink()
    assert kinema(*TINY, "--out", "fourth", "--set", f"init_from={first}", "steps=1").code == 0
    assert kinema("export", "fourth", "--to", "weights", "--out", "fourth-small").code == 0
    assert "made by `a command not recorded`" in Path("fourth-small/card.md").read_text()
