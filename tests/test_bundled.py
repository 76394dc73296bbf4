"""The weights that ship: whole, of a recorded clean commit, and for the networks of this version."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kinema
from kinema.apps import weights
from kinema.systems.shared import pictures


@pytest.mark.parametrize("name", weights.bundled())
def test_bundled_weights_are_what_they_say(name: str) -> None:
    folder = weights.bundled()[name]
    about = weights.read_about(folder)
    assert weights.hash_of(folder) == about["weights_sha256"]
    assert "-dirty" not in about["commit"]
    assert about["commit"] in (folder / "card.md").read_text("utf-8")
    assert about["scores"]
    assert folder.joinpath(weights.FILE).stat().st_size < 8_000_000
    held = weights.read_tensors(folder / weights.FILE)
    state = kinema.load(name).system.state_dict()
    assert {key: tuple(held[key].shape) for key in held} == {key: tuple(state[key].shape) for key in held}


def test_every_system_has_one_first_choice() -> None:
    found = [weights.read_about(folder) for folder in weights.bundled().values()]
    chosen = sorted(about["system"] for about in found if about["default"])
    assert chosen == sorted({about["system"] for about in found})


@pytest.mark.parametrize("n", ["0", "-2"])
def test_no_clips_at_all_get_the_sentence_of_the_system(n: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kinema", "run", "g3an", "--n", n, "--out", str(tmp_path / "x.mp4")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "n is at least 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_truncated_pictures_come_in_parts_and_leave_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "STANDING", 1)
    loaded = kinema.load("biggan-mirrored", precision="bf16")
    parts = []
    for part in loaded.truncated(["disc"] * 70, list(range(70)), 0.5):
        assert not torch.is_autocast_enabled("cpu")
        parts.append(len(part))
    assert parts == [64, 6]
