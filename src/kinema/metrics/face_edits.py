"""Edited faces, judged: is the expression there that was asked for, and is everything else still the same?

Pumarola et al., "GANimation" (arXiv:1807.09251), give no numbers; these are ours. Intensities are judged by
the reader that ships with the package (`kinema.data.face_units`), which learnt from rendered persons of its
own; only units count that it reads well. On rendered heads every edit has a truth: the same picture, rendered
with the action units asked for. Of faces whose units the same reader measured, it is no independent judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.data.action_units import UNITS
from kinema.data.face_units import read_units, reliability
from kinema.data.faces import Faces
from kinema.data.heads import Heads
from kinema.metrics.measures import Log, untrained
from kinema.metrics.report import Row

Pixels = NDArray[np.uint8]  # (N, S, S, 3)
Floats = NDArray[np.float32]
Edit = Callable[[Pixels, Floats], tuple[Pixels, Floats]]
"""faces and units asked for (N, 17) -> faces, and how much of each pixel was kept (N, S, S)"""
READABLE = 0.6
"""correlation from which on the reader judges a unit"""
CHANGED = 12
"""levels by which a pixel changes where the truth does"""
SWEPT, STEPS, SWEEPS = ("AU12", "AU26", "AU45"), 11, 32
"""units that are raised step by step, the steps from 0 to 1, and on how many faces"""


def face_edits(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """How well edits do what they should, beside copies of the input, the true renders, and an untrained net.

    `units r` is the correlation of the judged intensities with those asked for, mean over readable units;
    `change r` that of the judged change with the change asked for (erasing a face gives some of it, too);
    `units error` the mean distance of the judged intensities from those asked for; `monotone` Spearman's
    correlation of a judged unit with eleven rising intensities; `return` the mean change, in levels, after
    an edit there and back; `kept` the mean of the mask. On rendered heads also: `to truth`, the distance from
    the true render where it differs from the input, relative to that of the input; `background`, PSNR outside
    the head in dB; `mask ratio`, how much more is edited where the truth changes than outside the head; and
    `elsewhere`, for one unit alone, the mean change where the truth stays, relative to where it changes.
    """
    if not isinstance(data, Faces):
        raise UsageError("this metric reads faces with action units: --data heads, or a folder of faces.")
    chance = np.random.default_rng(seed)
    rows = np.sort(chance.permutation(len(data))[: min(n, len(data))])
    if len(rows) < 8:
        raise DataError(f"edits are judged on 8 faces or more, not {len(rows)}.")
    trial = Trial(data, rows)
    log(f"{len(rows)} faces, judged on {', '.join(UNITS[k] for k in trial.judged)}")
    edits: dict[str, Edit] = {system.name: system.edited, "untrained": untrained(system, data).edited}
    edits["the input, copied"] = copied
    found = {name: trial.scores(edit, full=name == system.name) for name, edit in edits.items()}
    if trial.truth is not None:
        found["the true render"] = trial.judge(trial.truth) | trial.against_truth(trial.truth, None)
    protocol = {
        "metric": "face edits",
        "data": data.describe,
        "face_seed": seed,
        "units judged": " ".join(UNITS[k] for k in trial.judged),
    }
    by = {"by unit": trial.by_unit(system.edited)}
    return [
        Row(name, numbers, len(rows), protocol | (by if name == system.name else {}))
        for name, numbers in found.items()
    ]


def copied(pixels: Pixels, units: Floats) -> tuple[Pixels, Floats]:
    """No edit."""
    del units
    return pixels, np.ones(pixels.shape[:3], np.float32)


@dataclass
class Trial:
    """Faces, what they are to be edited to, and what would be right."""

    data: Faces
    rows: NDArray[np.int64]

    def __post_init__(self) -> None:
        batch = self.data.batch(self.rows)
        self.input = self.data.pixels(self.rows)[:, 0]
        self.source: Floats = batch["action_units"].numpy()
        self.target: Floats = batch["others"][:, 0].numpy()
        self.before = read_units(self.input)
        self.truth: Pixels | None = None
        varied = self.target.std(0) > 0
        known = reliability()
        self.readable = [k for k, name in enumerate(UNITS) if known[name] >= READABLE]
        self.judged = [k for k in self.readable if varied[k]]
        if not self.judged:
            raise DataError("no action unit that can be judged varies among these faces.")
        if isinstance(self.data, Heads):
            render, rows = self.data.rendered, self.rows
            true = [render(i, u) for i, u in zip(rows, self.target, strict=True)]
            now = [render(i, u) for i, u in zip(rows, self.source, strict=True)]
            self.truth = np.stack([one.pixels for one in true])
            head = np.stack([np.maximum(a.cover, b.cover) for a, b in zip(true, now, strict=True)])
            self.ground = head == 0
            self.changing = difference(self.truth, self.input) > CHANGED

    def scores(self, edit: Edit, full: bool) -> dict[str, float]:
        """All numbers of an edit; those that need many edits only where `full`."""
        made, kept = edit(self.input, self.target)
        back = edit(made, self.source)[0]
        found = self.judge(made) | {
            "return": float(difference(back, self.input).mean()),
            "kept": float(kept.mean()),
        }
        if full:
            found["monotone"] = self.monotone(edit)
        if self.truth is not None:
            found |= self.against_truth(made, kept)
            if full:
                found["elsewhere"] = self.elsewhere(edit)
        return found

    def judge(self, made: Pixels) -> dict[str, float]:
        """What the reader says of edited faces."""
        after = read_units(made)
        asked = self.target - self.source
        reached = [correlation(after[:, k], self.target[:, k]) for k in self.judged]
        changed = [correlation((after - self.before)[:, k], asked[:, k]) for k in self.judged]
        error = np.abs(after - self.target)[:, self.judged].mean()
        return {
            "units r": float(np.mean(reached)),
            "change r": float(np.mean(changed)),
            "units error": float(error),
        }

    def by_unit(self, edit: Edit) -> dict[str, Any]:
        """Correlation of each unit, and the reader's own."""
        after, known = read_units(edit(self.input, self.target)[0]), reliability()
        return {
            name: {"r": round(correlation(after[:, k], self.target[:, k]), 3), "reader": known[name]}
            for k, name in enumerate(UNITS)
        }

    def against_truth(self, made: Pixels, kept: Floats | None) -> dict[str, float]:
        """What can be said because the true picture is known."""
        assert self.truth is not None
        wrong, at_first = difference(made, self.truth), difference(self.input, self.truth)
        found = {"to truth": float(wrong[self.changing].mean() / at_first[self.changing].mean())}
        if self.ground.any():
            squared = np.square(made.astype(np.float32) - self.input)[self.ground].mean()
            found["background"] = float(10 * np.log10(255**2 / max(float(squared), 1e-2)))
            if kept is not None:
                outside = float((1 - kept)[self.ground].mean())
                found["mask ratio"] = float((1 - kept)[self.changing].mean()) / max(outside, 1e-6)
        return found

    def monotone(self, edit: Edit) -> float:
        """Mean over units and faces of the rank correlation of judged with asked intensities."""
        found, faces = [], self.input[:SWEEPS]
        steps = np.linspace(0, 1, STEPS, dtype=np.float32)
        for k in (UNITS.index(name) for name in SWEPT):
            if k not in self.readable:
                continue
            judged = [read_units(edit(faces, self.alone(k, step))[0])[:, k] for step in steps]
            found += [correlation(ranks(line), ranks(steps)) for line in np.stack(judged, 1)]
        return float(np.mean(found)) if found else float("nan")

    def alone(self, unit: int, intensity: float) -> Floats:
        """The first faces' own units, but one."""
        units = self.source[:SWEEPS].copy()
        units[:, unit] = intensity
        return units

    def elsewhere(self, edit: Edit) -> float:
        """Mean over units of the change of one alone where the truth stays, relative to where it changes."""
        assert isinstance(self.data, Heads)
        found = []
        for k in self.judged:
            asked = self.alone(k, 1.0)
            faces = self.input[: len(asked)]
            change = difference(edit(faces, asked)[0], faces)
            true = np.stack([self.data.rendered(i, u).pixels for i, u in zip(self.rows, asked, strict=False)])
            moving = difference(true, faces) > CHANGED
            if moving.any():
                found.append(change[~moving].mean() / max(float(change[moving].mean()), 1e-6))
        return float(np.mean(found))


def difference(a: Pixels, b: Pixels) -> Floats:
    """Mean absolute difference of the channels, in levels: (N, S, S, 3) -> (N, S, S)."""
    found: Floats = np.abs(a.astype(np.float32) - b.astype(np.float32)).mean(-1)
    return found


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's; 0 where one of them does not vary."""
    if a.std() < 1e-6 or b.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Places in order, ties sharing the mean of theirs."""
    less = (values[:, None] > values[None]).sum(1)
    same = (values[:, None] == values[None]).sum(1)
    return less + (same - 1) / 2
