"""`kinema replay`: identical pixels from every format, and clear words when that cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinema.media import save

SIX = "digit 6 is moving up and down ."


def make(kinema, trained: Path, name: str, *more: str) -> None:
    assert kinema("run", trained, "--caption", SIX, "--seed", 3, "--out", name, *more).code == 0


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webm", "a.apng", "a.png", "a.npz", "a"])
def test_every_format_can_be_made_again(kinema, trained: Path, name: str) -> None:
    make(kinema, trained, name)
    said = kinema("replay", name, "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["identical"]) == (0, True)
    assert Path(facts["out"]) == Path(name).with_stem("a-replay")
    assert Path(facts["out"]).exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_precision_is_repeated_whatever_the_machine_prefers(
    kinema, trained: Path, precision: str
) -> None:
    make(kinema, trained, "p.mp4", "--precision", precision)
    facts = json.loads(kinema("replay", "p.mp4", "--json").out)
    assert facts["identical"] is True
    assert facts["provenance"]["precision"] == precision


def test_one_clip_of_a_folder_of_several(kinema, trained: Path) -> None:
    make(kinema, trained, "many", "--n", "3")
    said = kinema("replay", "many/001.mp4", "--out", "one.npz", "--json")
    assert json.loads(said.out)["identical"] is True
    from kinema.media import read_video

    make(kinema, trained, "all.npz", "--n", "3")
    assert read_video(Path("one.npz")).frames.shape == (4, 16, 16, 3)


def test_other_pixels_are_told_and_end_with_one(kinema, trained: Path) -> None:
    import kinema as package

    video = package.load(trained).run(caption=SIX)
    video.provenance["pixels_sha256"] = "0" * 64
    save(video, Path("b.mp4"))
    said = kinema("replay", "b.mp4")
    assert said.code == 1
    assert "different pixels" in said.out


def test_weights_that_moved_are_asked_for(kinema, trained: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(trained, tmp_path / "moved")
    make(kinema, moved, "c.mp4")
    there = shutil.move(moved, tmp_path / "there")
    said = kinema("replay", "c.mp4")
    assert said.code == 1
    assert "--weights" in said.err
    assert kinema("replay", "c.mp4", "--weights", there).code == 0


def test_other_weights_under_the_same_name_are_refused(kinema, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = shutil.copytree(trained, tmp_path / "run")
    make(kinema, run, "d.mp4")
    state = load_file(Path(run) / "weights.safetensors")
    save_file({k: v + 1 for k, v in state.items()}, Path(run) / "weights.safetensors")
    said = kinema("replay", "d.mp4")
    assert said.code == 1
    assert "not those that made" in said.err


def test_a_file_without_a_record(kinema) -> None:
    from kinema.core.results import Video

    save(Video(np.zeros((4, 16, 16, 3), np.uint8)), Path("e.mp4"))
    said = kinema("replay", "e.mp4")
    assert said.code == 1
    assert "carries no provenance" in said.err


def test_a_file_that_is_missing(kinema) -> None:
    said = kinema("replay", "none.mp4")
    assert said.code == 1
    assert "none.mp4" in said.err
