"""A system may put weights back after every update: once each, and not after one that was left out."""

from pathlib import Path
from typing import Any

import torch
from toys import Game, Points, run

from kinema.core.system import Update

BOUND = 0.05


class Bound(Game):
    """A critic whose weights stay within a bound."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.updates: list[Update] = []

    def after_update(self, player: str, update: Update) -> None:
        assert not torch.is_grad_enabled()
        self.calls.append((player, update.step))
        self.updates.append(update)
        if player == "critic":
            for parameter in self.critic.parameters():
                parameter.clamp_(-BOUND, BOUND)


class Broken(Bound):
    """With losses of the critic that are not numbers in step 1."""

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        for losses in super().step(batch, progress):
            if progress.step == 1 and "critic" in losses:
                losses["critic"]["hinge"] = losses["critic"]["hinge"] * float("nan")
            yield losses


ONE_STEP = ["critic", "critic", "generator"]


def test_it_is_called_after_every_update_and_holds_the_bound(tmp_path: Path) -> None:
    for micro_batch in (8, 2):
        system, _ = run(tmp_path / str(micro_batch), Bound, steps=2, micro_batch=micro_batch)
        assert system.calls == [(player, step) for step in (0, 1) for player in ONE_STEP]
        assert {update.steps for update in system.updates} == {2}
        assert {"critic/hinge", "critic/gradient_norm"} <= set(system.updates[0].terms)
        largest = {
            player: max(float(p.detach().abs().max()) for p in getattr(system, player).parameters())
            for player in ("critic", "generator")
        }
        assert largest["critic"] <= BOUND * (1 + 1e-6) < largest["generator"]


def test_an_update_that_was_left_out_is_not_followed_by_it(tmp_path: Path) -> None:
    system, _ = run(tmp_path, Broken, Points(), steps=3)
    assert system.calls == [
        *((player, 0) for player in ONE_STEP),
        ("generator", 1),
        *((player, 2) for player in ONE_STEP),
    ]
