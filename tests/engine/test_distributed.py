"""Two processes under torchrun are one process with both halves of the batch."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from toys import Dull, NormGame, largest_difference, numbers, run

from kinema.engine.state import STATE, WEIGHTS


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The toy run on two gloo processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command.append(f"--master-port={free_port()}")
    command += [str(Path(__file__).with_name("toys.py")), str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.distributed
def test_two_processes_equal_one_with_spectral_norm_and_batch_statistics(tmp_path: Path) -> None:
    done = torchrun(tmp_path / "two", "NormGame", "0", "steps=5", "batch=8")
    assert done.returncode == 0, done.stderr
    one, _ = run(tmp_path / "one", NormGame, steps=5, batch=8)
    state = load_file(tmp_path / "two" / STATE)
    two = {k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")}
    assert largest_difference(numbers(one), two) <= 1e-6
    settled = [load_file(tmp_path / name / WEIGHTS) for name in ("one", "two")]
    assert largest_difference(*settled) <= 1e-6
    assert done.stderr.count("step 5/5") == 1
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1]) == 6  # five steps, and the spectra


@pytest.mark.distributed
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    done = torchrun(tmp_path / "two", "NormGame", "0", "steps=5", "batch=7")
    assert done.returncode != 0
    assert "batch=7 cannot be shared evenly by 2 processes" in done.stdout


@pytest.mark.distributed
def test_both_processes_go_back_when_the_first_sees_a_collapse(tmp_path: Path) -> None:
    shown = ("save_every_steps=2", "preview_every_steps=2")
    done = torchrun(tmp_path / "two", "Dull", "0", "steps=10", "batch=8", *shown)
    assert done.returncode == 0, done.stderr
    assert "training collapsed before step 8: back to step 2" in done.stderr
    one, _ = run(tmp_path / "one", Dull, steps=10, batch=8, save_every_steps=2, preview_every_steps=2)
    state = load_file(tmp_path / "two" / STATE)
    two = {k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")}
    assert largest_difference(numbers(one), two) <= 1e-6
