"""`kinema train`: flags reach the run, the same command goes on, other commands are refused, signals save."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kinema as package

TINY = ("train", "fake-gan", "--preset", "tiny")


def test_a_run_folder_is_complete(trained: Path) -> None:
    names = {p.name for p in trained.iterdir()}
    assert {"config.json", "weights.safetensors", "state.safetensors", "metrics.jsonl"} <= names
    assert {"environment.json", "previews", "report.html", "README.md"} <= names
    about = json.loads((trained / "config.json").read_text())
    assert about["system"] == "fake-gan"
    assert about["version"] == package.__version__
    assert about["config"]["words"]
    assert about["settings"]["steps"] == 6
    assert about["data"]["where"] == "sbmg"
    assert len(about["data"]["hash"]) > 8


def test_settings_of_run_and_system_by_set(kinema, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = kinema(*TINY, "--out", out, *["--set", "steps=2", "size=8", "--set", "batch=2", "--json"])
    assert said.code == 0
    assert json.loads(said.out)["steps"] == 2
    about = json.loads((out / "config.json").read_text())
    assert (about["settings"]["batch"], about["config"]["size"]) == (2, 8)


def test_the_same_command_with_more_steps_goes_on(kinema, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(trained, out)
    said = kinema(*TINY, "--out", out, "--set", "steps=8")
    assert said.code == 0
    assert "8 steps" in said.out
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))


@pytest.mark.parametrize("change", [("--set", "size=8"), ("--set", "seed=3"), ("--data", "tbmg")])
def test_another_run_in_the_same_folder_is_refused(kinema, trained: Path, change: tuple[str, str]) -> None:
    before = (trained / "config.json").read_bytes()
    said = kinema(*TINY, "--out", trained, *change)
    assert said.code == 2
    assert "choose another folder" in said.err
    assert (trained / "config.json").read_bytes() == before


def test_a_preset_that_does_not_exist_names_the_nearest(kinema) -> None:
    said = kinema("train", "fake-gan", "--preset", "tinny")
    assert (said.code, said.err) == (2, "kinema: fake-gan has no preset 'tinny'; nearest: tiny.\n")


def test_a_setting_that_does_not_exist_names_the_nearest(kinema) -> None:
    said = kinema(*TINY, "--set", "stepps=3")
    assert said.code == 2
    assert "steps" in said.err


@pytest.mark.parametrize(("data", "code"), [("sbgm", 2), ("clips/mine", 1)])
def test_data_that_is_missing(kinema, data: str, code: int) -> None:
    said = kinema(*TINY, "--data", data)
    assert said.code == code
    assert f"'{data}'" in said.err


def test_an_unwritable_place_is_found_before_the_work(kinema, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = kinema(*TINY, "--data", "nowhere", "--out", tmp_path / "file" / "run")
    assert said.code == 1
    assert "not writable" in said.err


ALONE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from kinema.apps.cli import main
from kinema.systems import SYSTEMS, Room
SYSTEMS["fake-gan"] = Room("fake_room:Fake", "fake_room:PRESETS", "", bench="fake_room:jobs")
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_saves_and_ends_with_three(kinema, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", ALONE, *TINY, "--out", str(out), "--set", "steps=1000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 1/")
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 3
    assert said.splitlines()[-1].startswith("kinema: Stopped by a signal after step")
    done = len((out / "metrics.jsonl").read_text().splitlines())
    again = kinema(*TINY, "--out", out, "--set", f"steps={done + 1}", "--json")
    assert json.loads(again.out)["steps"] == done + 1


def test_when_the_time_is_up_the_same_command_goes_on(kinema, tmp_path: Path) -> None:
    more = ("--out", tmp_path / "run", "--set", "steps=1000000", "minutes=0.001")
    first, second = (json.loads(kinema(*TINY, *more, "--json").out) for _ in range(2))
    assert first["stopped"]
    assert 0 < first["steps"] < second["steps"]
