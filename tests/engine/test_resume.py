"""A run that was stopped, killed or starved of disk goes on as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toys import DropGame, Game, Points, largest_difference, numbers, run, settings

import kinema.engine.loop as loop
from kinema.core.errors import KinemaError, Stopped, UsageError, WeightsError
from kinema.engine import train
from kinema.engine.state import PREVIOUS, STATE, WEIGHTS
from kinema.media import read_provenance


def same(a: Path, b: Path, name: str = STATE) -> bool:
    left, right = load_file(a / name), load_file(b / name)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_resuming_equals_not_having_stopped(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", DropGame, steps=7)
    run(tmp_path / "parts", DropGame, steps=3)
    parts, outcome = run(tmp_path / "parts", DropGame, steps=7)
    assert (outcome.steps, outcome.images, outcome.stopped) == (7, 56, False)
    assert largest_difference(numbers(whole), numbers(parts)) == 0
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts", WEIGHTS)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "seconds" in line] == [1, 2, 3, 4, 5, 6, 7]


def test_a_finished_run_does_nothing(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=3)
    before = (tmp_path / "run" / STATE).stat().st_mtime_ns
    _, outcome = run(tmp_path / "run", steps=3)
    assert outcome.steps == 3
    assert (tmp_path / "run" / STATE).stat().st_mtime_ns == before


def start(folder: Path, kind: str, slow: float, **changes: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("toys.py")), str(folder), kind, str(slow)]
    command += [f"{k}={v}" for k, v in changes.items()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toys

whole, broken, early = (Path(p) for p in sys.argv[2:])
chance, steps = random.Random(0), 100

def lines(folder):
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(10) if path.exists() else 0

def killed(folder, done):
    child = os.fork()
    if child == 0:
        toys.run(folder, toys.DropGame, toys.Points(slow=0.003), steps=steps, save_every_steps=1)
        os._exit(0)
    while not done():
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended before it was killed"

toys.run(whole, toys.DropGame, steps=steps, save_every_steps=1)
for _ in range(10):
    goal = lines(broken) + chance.randint(1, 5)
    killed(broken, lambda: lines(broken) >= goal)
for name in ("config.json", "environment.json", "state.safetensors.tmp", "state.safetensors"):
    killed(early, lambda: (early / name).exists())
for folder in (broken, early):
    toys.run(folder, toys.DropGame, steps=steps, save_every_steps=1)
"""


def test_killed_ten_times_the_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    folders = [str(tmp_path / name) for name in ("whole", "broken", "early")]
    command = [sys.executable, "-c", KILLER, str(Path(__file__).parent), *folders]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
    for name in (STATE, PREVIOUS, WEIGHTS):
        assert same(tmp_path / "whole", tmp_path / "broken", name)
        assert same(tmp_path / "whole", tmp_path / "early", name)


def test_a_sigterm_saves_the_state_and_exits_with_3(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = start(folder, "Game", 0.01, steps=100000, save_every_steps=100000)
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
        assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 3
    assert "the same command goes on" in said
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    _, outcome = run(folder, steps=steps[-1] + 1)
    assert outcome.steps == steps[-1] + 1


def test_two_trainings_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = start(folder, "Game", 0.01, steps=100000)
    while not (folder / WEIGHTS).exists():
        time.sleep(0.05)
        assert child.poll() is None
    with pytest.raises(KinemaError, match=r"Another training is at work in .*run; wait until it ends"):
        run(folder, steps=3)
    child.kill()  # a lock that outlives its holder would lock the run out for ever
    child.communicate(timeout=60)
    _, outcome = run(folder, steps=1)
    assert outcome.steps >= 1
    assert not outcome.stopped


def test_an_interrupt_finishes_the_step_and_gives_the_signals_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="after step 2") as caught:
        run(tmp_path / "run", Interrupted, steps=6, save_every_steps=100)
    assert caught.value.exit_code == 3
    assert signal.getsignal(signal.SIGINT) is before
    run(tmp_path / "run", steps=6)
    run(tmp_path / "whole", steps=6)
    assert same(tmp_path / "whole", tmp_path / "run")


class Interrupted(Game):
    """Is interrupted in the middle of the second step."""

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        for losses in super().step(batch, progress):
            if progress.step == 1 and "generator" in losses:
                signal.raise_signal(signal.SIGINT)
            yield losses


def test_the_time_limit_stops_with_the_state_saved(tmp_path: Path) -> None:
    _, outcome = run(
        tmp_path / "run", data=Points(slow=0.02), steps=100000, save_every_steps=100000, minutes=0.005
    )
    assert outcome.stopped
    assert 0 < outcome.steps < 1000
    _, again = run(tmp_path / "run", steps=outcome.steps + 1)
    assert (again.steps, again.stopped) == (outcome.steps + 1, False)
    assert again.seconds > outcome.seconds > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("pages", [0, 1, 2, 3])
def test_a_full_disk_leaves_the_last_state_loadable(tmp_path: Path, pages: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting is not permitted")
    try:
        run(disk / "run", steps=2)
        used = shutil.disk_usage(disk)
        (disk / "filler").write_bytes(b"x" * (used.free - pages * 4096))
        with pytest.raises(KinemaError, match=r"is full.*intact") as caught:
            run(disk / "run", steps=4)
        assert caught.value.exit_code == 1
        assert not list(disk.rglob("*.tmp"))
        (disk / "filler").unlink()
        _, outcome = run(disk / "run", steps=4)
        run(tmp_path / "whole", steps=4)
        assert outcome.steps == 4
        assert same(disk / "run", tmp_path / "whole")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path) -> None:
    run(tmp_path / "whole", steps=6)
    run(tmp_path / "run", steps=4)
    state = tmp_path / "run" / STATE
    state.write_bytes(state.read_bytes()[:-100])
    run(tmp_path / "run", steps=6)
    assert same(tmp_path / "whole", tmp_path / "run")
    for name in (STATE, PREVIOUS):
        (tmp_path / "run" / name).write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"no state .* can be read"):
        run(tmp_path / "run", steps=7)


def test_weights_are_the_averaged_ones_and_load_into_a_new_system(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", steps=5)
    fresh = Game()
    fresh.load_state_dict(load_file(tmp_path / "run" / WEIGHTS))
    raw, averaged = numbers(system), numbers(fresh)
    for key in raw:
        assert torch.equal(raw[key], averaged[key]) == (not key.startswith("generator")), key


class Tied(Game):
    """Two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = self.generator[0]


def test_tied_weights_come_back_under_all_their_names(tmp_path: Path) -> None:
    run(tmp_path / "run", Tied, steps=2)
    Tied().load_state_dict(load_file(tmp_path / "run" / WEIGHTS))
    run(tmp_path / "run", Tied, steps=3)


def change(values: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {"system": "game", "config": {"width": 8}, **values, **about}


@pytest.mark.parametrize(
    ("about", "changes", "words"),
    [
        ({"config": {"width": 9}}, {}, r"width=8, not 9"),
        ({}, {"batch": 4}, "batch=8, not 4"),
        ({}, {"seed": 3}, "seed=0, not 3"),
    ],
)
def test_a_folder_of_another_run_is_refused(tmp_path: Path, about: Any, changes: Any, words: str) -> None:
    train(Game(), Points(), settings(steps=1), tmp_path / "run", write_config=change({}))
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(UsageError, match=words):
        train(Game(), Points(), settings(steps=2, **changes), tmp_path / "run", write_config=change(about))
    assert (tmp_path / "run" / "config.json").read_text() == before


def test_other_data_and_another_system_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=1)
    other = Points()
    other.hash = "others"
    with pytest.raises(UsageError, match="data='points', not 'others'"):
        run(tmp_path / "run", data=other, steps=2)

    class Another(Game):
        name = "another"

    with pytest.raises(UsageError, match="system='game', not 'another'"):
        run(tmp_path / "run", Another, steps=2)


@pytest.mark.parametrize("file", ["thesis.txt", WEIGHTS])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("precious")
    with pytest.raises(UsageError, match=r"not a training run.*choose a new or empty folder"):
        run(tmp_path, steps=1)
    assert [p.name for p in tmp_path.iterdir()] == [file]


def test_steps_see_the_order_of_the_seed_and_every_item_once_an_epoch(tmp_path: Path) -> None:
    data = Points(items=20)
    run(tmp_path / "a", data=data, steps=5, batch=8)
    seen = [i for indices in data.asked[:5] for i in indices]
    assert sorted(seen[:20]) == sorted(seen[20:40]) == list(range(20))
    assert seen[:20] != seen[20:40]
    again = Points(items=20)
    run(tmp_path / "b", data=again, steps=3, batch=8)
    assert again.asked[:3] == data.asked[:3]
    other = Points(items=20)
    run(tmp_path / "c", data=other, steps=3, batch=8, seed=1)
    assert other.asked[:3] != data.asked[:3]


def test_previews_use_the_averaged_weights_in_evaluation_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, torch.Tensor, Any]] = []

    class Showing(Game):
        def preview(self, batch: dict[str, Any]) -> Any:
            seen.append((self.training, self.generator[0].weight.detach().clone(), batch["caption"]))
            return super().preview(batch)

    saved: list[Path] = []
    monkeypatch.setattr(loop.results, "writer", lambda result, path: saved.append(path) or path)
    system, _ = run(tmp_path / "run", Showing, steps=4, preview_every_steps=2)
    assert [p.name for p in saved] == ["0000002.gif", "0000004.gif"]
    average = load_file(tmp_path / "run" / WEIGHTS)["generator.0.weight"]
    assert not seen[-1][0]
    assert system.training
    assert torch.equal(seen[-1][1], average)
    assert not torch.equal(system.generator[0].weight, average)
    assert seen[0][2] == seen[1][2]
    assert len(seen[0][2]) == 16


def test_previews_say_where_they_come_from(tmp_path: Path) -> None:
    about = {"system": "game", "version": "1.2"}
    short = settings(steps=2, preview_every_steps=2, seed=5)
    train(Game(), Points(), short, tmp_path / "run", write_config=about)
    said = read_provenance(tmp_path / "run" / "previews" / "0000002.gif")
    assert said == {"synthetic": True, **about, "step": 2, "seed": 5}


def test_previews_without_a_writer_for_pictures_do_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(result: Any, path: Path) -> Path:
        raise ImportError("No module named 'av'")

    monkeypatch.setattr(loop.results, "writer", missing)
    _, outcome = run(tmp_path / "run", steps=2, preview_every_steps=1)
    assert outcome.steps == 2
    assert "no preview: No module named 'av'" in capsys.readouterr().err
