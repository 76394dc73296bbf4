"""What a yield amounts to: the right players, the mean over micro-batches, clipping, skipped parameters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toys import Game, Points, largest_difference, numbers, run, settings

from kinema.core.system import Player, System
from kinema.engine import train
from kinema.engine.devices import choose_precision
from kinema.nn.norm import advance_spectral


@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_micro_batches_equal_one_batch_with_penalty_and_spectral_norm(
    tmp_path: Path, micro_batch: int
) -> None:
    whole, _ = run(tmp_path / "whole")
    parts, _ = run(tmp_path / "parts", micro_batch=micro_batch)
    assert largest_difference(numbers(whole), numbers(parts)) <= 1e-6


class Watched(Game):
    """Notes the networks at every yield."""

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        self.history: list[tuple[str, dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
        for losses in super().step(batch, progress):
            before = numbers(self)
            yield losses
            self.history.append((next(iter(losses)), before, numbers(self)))


def test_a_yield_moves_only_the_weights_of_its_player(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", Watched, steps=1)
    assert [player for player, _, _ in system.history] == ["critic", "critic", "generator"]
    for player, before, after in system.history:
        moved = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
        assert moved == {player}


def test_spectral_vectors_move_once_a_step(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", Watched, steps=1)
    vectors = [k for k in numbers(system) if k.endswith("_u")]
    assert vectors
    for key in vectors:
        values = [before[key] for _, before, _ in system.history] + [numbers(system)[key]]
        assert all(torch.equal(values[0], v) for v in values)


def test_every_step_moves_the_spectral_vectors_by_one_iteration(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "one", steps=1)
    advance_spectral(first)
    second, _ = run(tmp_path / "two", steps=2)
    for key, value in numbers(second).items():
        if key.endswith(("_u", "_v")):
            assert torch.equal(value, numbers(first)[key])


class Solid(Game):
    """With a 3-D convolution as well."""

    def __init__(self) -> None:
        super().__init__()
        self.critic.append(
            nn.Sequential(nn.Unflatten(1, (1, 1, 1, 1)), nn.Conv3d(1, 2, 2, padding=1), nn.Flatten())
        )


def test_convolutions_are_laid_out_channels_last(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", Solid, steps=1)
    weights = {w.dim(): w for w in system.critic.parameters()}
    assert weights[4].is_contiguous(memory_format=torch.channels_last)
    assert weights[5].is_contiguous(memory_format=torch.channels_last_3d)
    assert system.critic[0](torch.randn(2, 2, 4, 4)).is_contiguous(memory_format=torch.channels_last)


class Two(System):
    """One yield with two players whose losses share a graph: minimise and maximise a·b."""

    name = "two"

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.unused = nn.Linear(1, 1)
        with torch.no_grad():
            self.a.weight.fill_(2.0)
            self.b.weight.fill_(3.0)

    def players(self) -> dict[str, Player]:
        return {"a": Player([self.a, self.unused], 0.1), "b": Player([self.b], 0.1, clip_norm=0.5)}

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        product = (self.a.weight * self.b.weight).sum()
        yield {"a": {"product": product, "constant": torch.tensor(7.0)}, "b": {"product": -product}}


def test_simultaneous_players_are_differentiated_before_either_moves(tmp_path: Path) -> None:
    two, grads = Two(), {}
    torch.optim.Adam.step, kept = _recording(grads), torch.optim.Adam.step  # type: ignore[method-assign]
    try:
        train(two, Points(), settings(steps=1), tmp_path / "run")
    finally:
        torch.optim.Adam.step = kept  # type: ignore[method-assign]
    assert grads[id(two.a.weight)] == pytest.approx(3.0)  # d(ab)/da with the b from before
    assert grads[id(two.b.weight)] == pytest.approx(-0.5)  # -a = -2, clipped to norm 0.5
    assert id(two.unused.weight) not in grads


def _recording(grads: dict[int, float]) -> Any:
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                grads[id(p)] = float(p.grad.sum())
        return original(self, closure)

    return step


class Stranger(Two):
    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        yield {"c": {"product": self.a.weight.sum()}}


class Constant(Two):
    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        yield {"a": {"product": torch.ones(())}}


@pytest.mark.parametrize(
    ("kind", "words"), [(Stranger, "yields player 'c'"), (Constant, "depends on no parameter")]
)
def test_a_wrong_step_is_told_what_is_wrong(tmp_path: Path, kind: type[System], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        train(kind(), Points(), settings(steps=1), tmp_path / "run")


class Halves(System):
    """Uses its weight without and then with gradients inside one advance."""

    name = "halves"

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 4)

    def players(self) -> dict[str, Player]:
        return {"net": Player([self.net], 0.1)}

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        x = progress.randn(4)
        with torch.no_grad():
            self.net(x)
        self.kinds = [self.net(x).dtype]
        loss = self.net(x).float().square().mean()
        yield {"net": {"loss": loss}}
        self.kinds.append(self.net(x).dtype)
        self.outside = torch.is_autocast_enabled("cpu")


def test_bf16_holds_during_the_step_and_nowhere_else(tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = Halves()
    before = numbers(system)
    train(system, Points(), settings(steps=1, precision="bf16"), tmp_path / "run")
    assert system.kinds == [torch.bfloat16, torch.bfloat16]
    assert not torch.is_autocast_enabled("cpu")
    assert all(v.dtype == torch.float32 for v in numbers(system).values())
    assert not torch.equal(before["net.weight"], numbers(system)["net.weight"])
    assert choose_precision("fp32", torch.device("cpu"))().__class__.__name__ == "nullcontext"


def test_noise_of_a_row_does_not_depend_on_micro_batches_but_on_the_step(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Listening(Halves):
        def step(self, batch: dict[str, Any], progress: Any) -> Any:
            seen.append(progress.randn(2))
            yield {"net": {"loss": self.net.weight.sum()}}

    train(Listening(), Points(), settings(steps=1), tmp_path / "a")
    train(Listening(), Points(), settings(steps=2, micro_batch=2), tmp_path / "b")
    assert torch.equal(seen[0], torch.cat(seen[1:5]))
    assert not torch.equal(seen[0], torch.cat(seen[5:9]))
