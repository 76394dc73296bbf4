"""`train --tensorboard` mirrors the log, also of a run that goes on."""

from pathlib import Path

import pytest


def scalars(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_logged_step_is_there_once(kinema, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for steps in (4, 6):
        done = kinema(
            "train",
            "fake-gan",
            "--preset",
            "tiny",
            "--out",
            "run",
            "--tensorboard",
            "--set",
            f"steps={steps}",
        )
        assert done.code == 0, done
    found = scalars(Path("run/tensorboard"))
    assert found
    assert all(steps == [1, 2, 3, 4, 5, 6] for steps in found.values())
