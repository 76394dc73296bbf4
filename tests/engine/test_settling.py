"""Weights for use carry buffers that were settled on them; training goes on as if nobody had looked."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toys import Game, NormGame, Points, largest_difference, numbers, run

from kinema.engine.loop import SETTLING
from kinema.engine.state import STATE, WEIGHTS
from kinema.nn.norm import BatchNorm2d, cumulative_statistics


def test_cumulative_statistics_count_every_batch_the_same() -> None:
    norm = BatchNorm2d(3).eval()
    batches = [torch.randn(2, 3, 4, 4) * k for k in (1, 2, 3)]
    with cumulative_statistics(norm):
        for batch in batches:
            norm(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    variances = [b.transpose(0, 1).flatten(1).var(1) for b in batches]
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))
    assert (norm.momentum, norm.training) == (0.1, False)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_weights_are_settled_on_the_first_batches(tmp_path: Path, micro_batch: int | None) -> None:
    data = Points()
    system, _ = run(tmp_path, NormGame, data, steps=2, micro_batch=micro_batch)
    shown = data.asked[-SETTLING:]
    assert {len(rows) for rows in shown} == {micro_batch or 8}
    weights = load_file(tmp_path / WEIGHTS)
    system.load_state_dict(weights)
    system.critic.eval()
    with cumulative_statistics(system.critic), torch.no_grad():
        for rows in shown:
            system.critic(data.batch(rows)["video"])
    assert largest_difference(numbers(system), weights) <= 1e-6


def test_training_does_not_notice(tmp_path: Path) -> None:
    often, _ = run(tmp_path / "often", NormGame, steps=4, save_every_steps=1, preview_every_steps=1)
    seldom, _ = run(tmp_path / "seldom", NormGame, steps=4)
    assert often.training
    assert largest_difference(numbers(often), numbers(seldom)) == 0
    states = [load_file(tmp_path / name / STATE) for name in ("often", "seldom")]
    assert largest_difference(*states) == 0
    settled = "critic.1.running_mean"
    assert not torch.equal(load_file(tmp_path / "often" / WEIGHTS)[settled], states[0][f"model/{settled}"])


def test_systems_that_need_none_are_shown_none(tmp_path: Path) -> None:
    data = Points()
    run(tmp_path, Game, data, steps=2)
    assert len(data.asked) == 2 + 1  # and the items of the preview
