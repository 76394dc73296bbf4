"""`kinema bench`: both paths take turns, and the table has the agreed names."""

import json
from itertools import count

import numpy as np
import pytest
import torch

from kinema.apps import bench


def test_json_has_the_agreed_names(kinema) -> None:
    said = kinema("bench", "fake-gan", "--repeats", 2, "--device", "cpu", "--json")
    facts = json.loads(said.out)
    assert facts["machine"]
    row = facts["rows"][0]
    assert {"job", "shape", "faithful_s", "default_s", "ratio", "difference", "peak_mb"} <= set(row)
    assert row["difference"] < 1e-5
    assert row["peak_mb"] > 10


def test_the_paths_take_turns_and_the_median_counts(monkeypatch) -> None:
    order: list[str] = []
    costs = {"slow": iter([0.0, 9.0, 3.0, 3.0]), "fast": iter([0.0, 1.0, 1.0, 9.0])}
    clock = [0.0]

    def path(name: str):
        def work() -> float:
            order.append(name)
            clock[0] += next(costs[name])
            return 1.0 if name == "slow" else 1.5

        return work

    monkeypatch.setattr(bench.time, "process_time", lambda: clock[0])
    row = bench.measure(path("slow"), path("fast"), 3, "cpu")
    assert order == ["slow", "fast"] * 4
    assert (row["faithful_s"], row["default_s"], row["ratio"], row["difference"]) == (
        3.0,
        1.0,
        3.0,
        pytest.approx(1 / 3),
    )


def test_differences_of_nested_outputs() -> None:
    a = {"x": torch.ones(2), "y": [np.zeros(3), "text"]}
    b = {"x": torch.tensor([1.0, 1.25]), "y": [np.array([0, 0.1, -0.5]), "text"]}
    assert bench.largest_difference(a, b) == 1  # of y; x is a fifth apart
    assert bench.largest_difference(None, None) is None


def test_the_peak_is_that_of_the_work_alone() -> None:
    bench.reset_peak("cpu")
    before = bench.peak_megabytes("cpu")
    block = np.ones(200_000_000 // 8)  # above what the allocator keeps back
    assert bench.peak_megabytes("cpu") > before + 150
    del block
    assert next(count()) == 0


def test_repeats_of_none_are_refused(kinema) -> None:
    assert kinema("bench", "fake-gan", "--repeats", 0).code == 2
