"""A real system, trained by the command on two processes, is the one trained on one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kinema.engine.state import STATE

ALONE = [sys.executable, "-m", "kinema"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "kinema"]


@pytest.mark.distributed
def test_tgans_c_on_two_processes_is_the_same(tmp_path: Path) -> None:
    """Nearly: Adam divides by the size of a gradient, so rounding shows where that is almost zero.

    Captions compete within one process (contrast), so that term is left out.
    """
    options = ["contrast=0", "text_steps=0", "steps=2", "precision=fp32", "device=cpu"]
    states = []
    for name, command in (("one", ALONE), ("two", TWO)):
        train = ["train", "tgans-c", "--preset", "tiny", "--out", str(tmp_path / name)]
        settings = [word for option in options for word in ("--set", option)]
        done = subprocess.run([*command, *train, *settings], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        states.append(load_file(tmp_path / name / STATE))
    one, two = states
    assert one.keys() == two.keys()
    apart = [(one[k].double() - two[k].double()).abs().flatten() for k in one if k.startswith("model/")]
    difference = torch.cat(apart)
    assert difference.max() <= 5e-5  # a full step of Adam is 4e-4
    assert difference.quantile(0.999) <= 1e-6
