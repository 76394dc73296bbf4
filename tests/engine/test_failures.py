"""NaN, Inf, exhausted memory and wrong settings: what is done, and what is said."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toys import Counted, Dull, Game, Points, largest_difference, numbers, run, settings

from kinema.core.errors import Diverged, KinemaError, UsageError
from kinema.core.system import System
from kinema.engine import devices, train
from kinema.engine.devices import choose_device, out_of_memory, ran_out_of_memory
from kinema.engine.distributed import World


class Spoilt(Counted):
    """Gives NaN in the steps of `times` the first time they are done, and always from `rotten` on."""

    times: tuple[int, ...] = ()
    rotten = 10**9

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        first = progress.step not in self.done
        if (first and progress.step in self.times) or progress.step >= self.rotten:
            batch["video"] = batch["video"] * float("nan")
        yield from super().step(batch, progress)


def notes(folder: Path) -> list[str]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["note"] for line in lines if "note" in line]


def test_a_single_bad_step_is_skipped_and_counted(tmp_path: Path) -> None:
    kind = type("Once", (Spoilt,), {"times": (2,)})
    system, outcome = run(tmp_path / "run", kind, steps=6)
    assert outcome.steps == 6
    assert system.done == [0, 1, 2, 3, 4, 5]
    assert all(bool(v.isfinite().all()) for v in numbers(system).values())
    assert len(notes(tmp_path / "run")) == 1
    assert "step 3: critic/hinge" in notes(tmp_path / "run")[0]


def test_three_in_a_row_go_back_with_half_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("Thrice", (Spoilt,), {"times": (5, 6, 7)})
    rates: list[float] = []
    original = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), original(self))[1]
    )
    system, _ = run(tmp_path / "run", kind, steps=9, save_every_steps=2)
    assert system.done == [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 8]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[-1] == pytest.approx(5e-3)
    assert "3 steps in a row were not finite: back to step 4, learning rates times 0.5" in notes(
        tmp_path / "run"
    )
    steps = [json.loads(x)["step"] for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_bad_again_is_the_end_with_the_last_good_state_kept(tmp_path: Path) -> None:
    kind = type("Rotten", (Spoilt,), {"rotten": 4})
    with pytest.raises(Diverged, match="again at step 7, after going back once"):
        run(tmp_path / "run", kind, steps=20, save_every_steps=2)
    run(tmp_path / "good", type("Fine", (Spoilt,), {}), steps=4)
    cured = type("Cured", (Spoilt,), {})
    system, outcome = run(tmp_path / "run", cured, steps=5)
    assert system.done == [4]
    assert outcome.steps == 5
    again, _ = run(tmp_path / "good", type("Fine", (Spoilt,), {}), steps=5)
    assert largest_difference(numbers(system), numbers(again)) == 0


class Greedy(Game):
    """Has memory for `room` items."""

    room = 3
    error: type[Exception] = MemoryError
    text = ""

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        for losses in super().step(batch, progress):
            if len(batch["video"]) > self.room:
                raise self.error(self.text)
            yield losses


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError, ""),
        (torch.OutOfMemoryError, "CUDA out of memory."),
        (
            RuntimeError,
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
        ),
    ],
)
def test_out_of_memory_names_the_micro_batch_that_fits(
    tmp_path: Path, error: type[Exception], text: str
) -> None:
    kind = type("Hungry", (Greedy,), {"error": error, "text": text})
    with pytest.raises(
        KinemaError, match=r"8 items at a time \(batch=8\); 2 at a time fit: add --set micro_batch=2"
    ):
        run(tmp_path / "run", kind)
    system, _ = run(tmp_path / "run", kind, micro_batch=2)
    whole, _ = run(tmp_path / "whole")
    assert largest_difference(numbers(system), numbers(whole)) <= 1e-6


class Hoarder(Game):
    """Really takes 100 MB an item."""

    def step(self, batch: dict[str, Any], progress: Any) -> Any:
        for losses in super().step(batch, progress):
            hoard = torch.ones(len(batch["video"]), 25_000_000).mean()
            for terms in losses.values():
                terms["hoard"] = 0 * hoard
            yield losses


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux promises memory that it does not have")
def test_memory_that_is_not_there_fails_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(devices, "free_memory", lambda: 500_000_000)
    with pytest.raises(KinemaError, match=r"8 items at a time .*; [24] at a time fit"):
        run(tmp_path / "run", Hoarder)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    run(tmp_path / "run", Hoarder, micro_batch=2)


def test_free_memory_is_the_least_of_machine_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "CONTROL_GROUPS", ())
    machine = devices.free_memory()
    assert machine is None or machine > 100_000_000
    (tmp_path / "max").write_text("900\n")
    (tmp_path / "now").write_text("200\n")
    monkeypatch.setattr(devices, "CONTROL_GROUPS", ((tmp_path, "max", "now"), (tmp_path / "gone", "a", "b")))
    assert devices.free_memory() in (None, 700)
    (tmp_path / "max").write_text("max\n")
    assert devices.free_memory() in (None, pytest.approx(machine, rel=0.5))


def test_out_of_memory_with_one_item_says_so(tmp_path: Path) -> None:
    with pytest.raises(KinemaError, match="one item alone does not fit"):
        run(tmp_path / "run", type("Starved", (Greedy,), {"room": 0}))
    assert "try --set micro_batch=4" in str(out_of_memory(settings(), 8, None))


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    kind = type("Broken", (Greedy,), {"room": 0, "error": RuntimeError, "text": "shapes do not match"})
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(tmp_path / "run", kind)
    assert not ran_out_of_memory(ValueError("out of memory"))


def test_errors_of_the_data_surface(tmp_path: Path) -> None:
    class Torn(Points):
        def batch(self, indices: Any) -> dict[str, Any]:
            raise KinemaError("clip 7 is broken.")

    with pytest.raises(KinemaError, match="clip 7 is broken"):
        run(tmp_path / "run", data=Torn())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 0}, "batch is at least 1, not 0"),
        ({"micro_batch": 0}, "micro_batch is at least 1"),
        ({"seed": -1}, r"seed is a number from 0 to 2\^40, not -1"),
        ({"minutes": 0.0}, "minutes is more than 0, not 0"),
        ({"minutes": float("nan")}, "minutes is more than 0, not nan"),
        ({"precision": "fp8"}, "precision is auto, bf16 or fp32, not 'fp8'"),
        ({"device": "tpu"}, "device is auto, cpu, cuda or cuda:N, not 'tpu'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    tmp_path: Path, changes: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_setting_that_the_optimiser_refuses_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"game cannot be optimised .* learning rate: nan"):
        run(tmp_path / "run", type("Lost", (Game,), {"lr": float("nan")}))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(UsageError, match=r"device=cuda:1 needs GPU 1; there are 0"):
        choose_device("cuda:1", World())


def test_empty_data_and_a_system_without_players_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data set is empty"):
        run(tmp_path / "run", data=Points(items=0))

    class Fixed(System):
        name = "fixed"

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(1, 1)

    with pytest.raises(UsageError, match="fixed is not trained: it has no players"):
        train(Fixed(), Points(), settings(), tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(KinemaError, match=r"cannot be written"):
        run(tmp_path / "file" / "run")


def test_a_collapse_goes_back_to_the_last_state_that_was_well(tmp_path: Path) -> None:
    system, outcome = run(tmp_path / "run", Dull, steps=10, save_every_steps=1, preview_every_steps=2)
    assert system.done == [*range(8), *range(3, 10)]
    assert outcome.steps == 10
    assert notes(tmp_path / "run") == [
        "training collapsed before step 8: back to step 3, learning rates times 0.5"
    ]


def test_a_collapse_in_the_last_preview_is_undone_too(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", Dull, steps=8, save_every_steps=2, preview_every_steps=2)
    assert system.done == [*range(8), *range(2, 8)]


def test_a_second_collapse_ends_the_run_with_the_weights_from_before(tmp_path: Path) -> None:
    kind = type("Twice", (Dull,), {"stubborn": True})
    with pytest.raises(Diverged, match=r"collapsed again after step 8; .* of step 2, which was well"):
        run(tmp_path / "run", kind, steps=20, save_every_steps=2, preview_every_steps=2)
    well, _ = run(tmp_path / "well", type("Well", (Dull,), {"dull": ()}), steps=2, preview_every_steps=2)
    found = load_file(tmp_path / "run" / "weights.safetensors")
    wanted = load_file(tmp_path / "well" / "weights.safetensors")
    assert largest_difference(found, wanted) == 0
    assert numbers(well)


def test_a_run_that_never_was_well_is_warned_and_goes_on(tmp_path: Path) -> None:
    kind = type("Always", (Dull,), {"dull": (2, 4, 6, 8), "stubborn": True})
    _, outcome = run(tmp_path / "run", kind, steps=8, preview_every_steps=2)
    assert outcome.steps == 8
    assert [note[:8] for note in notes(tmp_path / "run")] == ["collapse"]
    assert not (tmp_path / "run" / "state.healthy.safetensors").exists()


def test_one_dull_preview_makes_no_collapse(tmp_path: Path) -> None:
    system, _ = run(tmp_path / "run", type("Wink", (Dull,), {"dull": (6,)}), steps=8, preview_every_steps=2)
    assert system.done == [*range(8)]


def test_a_run_that_was_stopped_between_dull_previews_still_sees_the_collapse(tmp_path: Path) -> None:
    shown = {"save_every_steps": 1, "preview_every_steps": 2}
    run(tmp_path / "run", Dull, steps=6, **shown)
    system, _ = run(tmp_path / "run", Dull, steps=8, **shown)
    assert system.done == [6, 7, 3, 4, 5, 6, 7]
    whole, _ = run(tmp_path / "whole", Dull, steps=8, **shown)
    assert largest_difference(numbers(system), numbers(whole)) == 0
