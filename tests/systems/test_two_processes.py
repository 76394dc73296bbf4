"""A real system, trained by the command on two processes, is the one trained on one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kinema.engine.state import STATE

ALONE = [sys.executable, "-m", "kinema"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "kinema"]


def train(system: str, options: list[str], folder: Path) -> list[Path]:
    """Run folders of the tiny preset after two steps, on one process and on two."""
    for name, command in (("one", ALONE), ("two", TWO)):
        words = ["train", system, "--preset", "tiny", "--out", str(folder / name)]
        for option in [*options, "steps=2", "precision=fp32", "device=cpu"]:
            words += ["--set", option]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    return [folder / "one", folder / "two"]


@pytest.mark.distributed
def test_tgans_c_on_two_processes_is_the_same(tmp_path: Path) -> None:
    """Nearly: Adam divides by the size of a gradient, so rounding shows where that is almost zero.

    Captions compete within one process (contrast), so that term is left out.
    """
    runs = train("tgans-c", ["contrast=0", "text_steps=0"], tmp_path)
    one, two = (load_file(run / STATE) for run in runs)
    assert one.keys() == two.keys()
    apart = [(one[k].double() - two[k].double()).abs().flatten() for k in one if k.startswith("model/")]
    difference = torch.cat(apart)
    assert difference.max() <= 5e-5  # a full step of Adam is 4e-4
    assert difference.quantile(0.999) <= 1e-6


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("system", "terms", "options"),
    [
        ("g3an", 13, ["augment=translation", "augment_target=0.5"]),
        pytest.param("mocogan", 11, [], marks=pytest.mark.slow),
        pytest.param("vgan", 6, [], marks=pytest.mark.slow),
        pytest.param("tgan", 5, [], marks=pytest.mark.slow),
        pytest.param("md-gan", 6, [], marks=pytest.mark.slow),
    ],
)
def test_two_processes_meet_the_same_losses_and_gradients(
    system: str, terms: int, options: list[str], tmp_path: Path
) -> None:
    """Not the same weights: norms leave many gradients near zero, where Adam follows the rounding."""
    runs = train(system, ["log_every_steps=1", *options], tmp_path)
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs]
    compared = 0
    for one, two in zip(*logs, strict=True):
        numbers = [key for key in one if "/" in key and "spectrum/" not in key]
        if not numbers:
            continue  # a line of singular values
        assert numbers == [key for key in two if "/" in key and "spectrum/" not in key]
        assert len({key for key in numbers if not key.endswith("/r1")}) == terms
        assert [two[key] for key in numbers] == pytest.approx([one[key] for key in numbers], rel=1e-3)
        compared += 1
    assert compared == 2
    one, two = (load_file(run / "weights.safetensors") for run in runs)
    settled = next(key for key in one if key.startswith("generator") and key.endswith("running_var"))
    torch.testing.assert_close(one[settled], two[settled], rtol=1e-2, atol=1e-3)
