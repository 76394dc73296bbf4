"""GAM, ranking, tables, and the rows that `evaluate` prints."""

import csv
import importlib
import json

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.data import MovingDigits
from kinema.media import read_provenance, read_video
from kinema.metrics import METRICS, measures
from kinema.metrics.gam import gam
from kinema.metrics.ranking import CRITERIA, score_answers, write_sheet
from kinema.metrics.report import Row, table, to_json


@pytest.mark.parametrize(
    ("samples_1", "samples_2", "test_2", "winner"),
    [(0.2, 0.4, 0.2, 1), (0.4, 0.2, 0.2, 2), (0.2, 0.4, 0.3, 0), (0.3, 0.3, 0.2, 0), (0.0, 0.1, 0.21, 1)],
)
def test_gam_needs_fooling_samples_and_equal_tests(samples_1, samples_2, test_2, winner):
    verdict = gam(test_1=0.2, test_2=test_2, samples_1=samples_1, samples_2=samples_2, n=100)
    assert verdict["winner"] == winner


def test_gam_floors_rates_and_refuses_what_is_none():
    verdict = gam(test_1=0, test_2=0, samples_1=0, samples_2=0.5, n=50)
    assert verdict["r_test"] == 1
    assert verdict["r_samples"] == pytest.approx(0.01 / 0.5)
    assert verdict["samples_2"] == 0.5
    with pytest.raises(UsageError, match="samples_1 is an error rate"):
        gam(test_1=0, test_2=0, samples_1=1.5, samples_2=0, n=5)
    with pytest.raises(UsageError, match="n is at least 1"):
        gam(test_1=0, test_2=0, samples_1=0, samples_2=0, n=0)


def test_rows_become_a_table_and_json():
    rows = [
        Row(
            "ours", {"FD-random": -2e-4, "recall": float("nan")}, 10, {"metric": "FD", "seed": 1, "note": "a"}
        ),
        Row("real", {"FD-random": 12345.6}, 10, {"metric": "FD", "seed": 1}),
        Row("other", {"digit": 0.5}, 7, {"metric": "fidelity"}),
    ]
    facts = json.loads(json.dumps(to_json(rows), allow_nan=False))
    assert facts["rows"][0]["metrics"] == {"FD-random": -2e-4, "recall": None}
    assert set(facts["rows"][2]) == {"name", "metrics", "samples", "protocol"}
    first, second = table(rows).split("\n\n")
    assert "0.000" in first
    assert "1.235e+04" in first
    assert "-0.000" not in first
    assert first.splitlines()[-1] == "metric FD, seed 1"
    assert "0.500" in second


def sheet(tmp_path):
    clips = {
        name: np.full((3, 2, 16, 16, 1), 40 * i, np.uint8)
        for i, name in enumerate(["gan-c", "vgan", "gan-a"])
    }
    return write_sheet(clips, ["digit 1 <b>", "two", "three"], tmp_path / "sheet", seed=3)


def answer(path, key, ranks_of):
    items = json.loads(key.read_text())["items"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "criterion", "a", "b", "c"])
        for item in items:
            for criterion in CRITERIA:
                writer.writerow([item["item"], criterion, *ranks_of(item["order"], criterion)])
    return path


def test_ranking_is_blind_shuffled_and_scored(tmp_path):
    key = sheet(tmp_path)
    page = (tmp_path / "sheet" / "index.html").read_text()
    assert not any(name in page for name in ("gan-c", "vgan", "gan-a"))
    assert "digit 1 &lt;b&gt;" in page
    facts = json.loads(key.read_text())
    assert key.parent == tmp_path
    assert len({tuple(item["order"]) for item in facts["items"]}) > 1
    for item in facts["items"]:
        for letter, method in zip("abc", item["order"], strict=True):
            clip = tmp_path / "sheet" / "clips" / f"{item['item']:03d}{letter}.gif"
            frames = read_video(clip).frames
            assert read_provenance(clip) == {"synthetic": True}
            assert abs(int(frames.mean()) - 40 * ["gan-c", "vgan", "gan-a"].index(method)) < 8
    quality = {"gan-a": 1, "vgan": 2, "gan-c": 3}
    honest = answer(tmp_path / "1.csv", key, lambda order, _: [quality[m] for m in order])
    contrary = answer(
        tmp_path / "2.csv",
        key,
        lambda order, c: [quality[m] if c != "reality" else 4 - quality[m] for m in order],
    )
    rows = score_answers(key, [honest, contrary])
    assert [row.name for row in rows] == ["gan-a", "vgan", "gan-c"]
    assert rows[0].metrics == {"reality": 2, "relevance": 1, "coherence": 1}
    assert rows[0].samples == 2 * 3 * 3


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1,reality,1,1,2", "each once"),
        ("1,reality,1,x,2", "whole numbers"),
        ("1,reality,1,2", "whole numbers"),
        ("9,reality,1,2,3", "not in the key"),
        ("1,beauty,1,2,3", "not in the key"),
        ("1,reality,1,2,3\n1,reality,1,2,3", "line 3: item 1 was ranked"),
        ("", "no answers"),
    ],
)
def test_answers_that_cannot_be_counted_are_named(tmp_path, line, text):
    key = sheet(tmp_path)
    (tmp_path / "bad.csv").write_text(f"item,criterion,a,b,c\n{line}\n")
    with pytest.raises(DataError, match=text):
        score_answers(key, [tmp_path / "bad.csv"])


def test_sheets_that_cannot_be_made_are_named(tmp_path):
    key = sheet(tmp_path)
    clip = np.zeros((1, 2, 16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match="not empty"):
        write_sheet({"a": clip, "b": clip}, ["x"], tmp_path / "sheet")
    with pytest.raises(UsageError, match="2 to 26"):
        write_sheet({"a": clip}, ["x"], tmp_path / "new")
    with pytest.raises(UsageError, match="1 clips for 2"):
        write_sheet({"a": clip, "b": clip}, ["x", "y"], tmp_path / "new")
    with pytest.raises(UsageError, match="no answers were given"):
        score_answers(key, [])


class Oracle:
    """A system that renders exactly what the caption says, or ignores it."""

    name = "oracle"

    def __init__(self, obedient):
        self.clips = MovingDigits(400, size=16, frames=4, seed=9)
        self.obedient = obedient
        said = self.clips.batch(range(400))["caption"]
        self.by_caption = {c: [i for i, s in enumerate(said) if s == c] for c in set(said)}

    def generate(self, captions, seeds):
        of = self.by_caption
        rows = [
            of[c][s % len(of[c])] if self.obedient else s % 400 for c, s in zip(captions, seeds, strict=True)
        ]
        return self.clips.pixels(rows).repeat(3, -1)


@pytest.fixture
def held_out(tmp_path, monkeypatch):
    """Held-out clips, and judges trained on little, for this test alone."""
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures, "TRAINING_CLIPS", 64)
    monkeypatch.setattr("kinema.metrics.digits.fit_windows", fewer_images)
    return MovingDigits(80, size=16, frames=4, split="val")


@pytest.mark.parametrize("name", ["caption_fidelity", "fd_judge", "fd_pixels", "fd_random"])
def test_every_metric_of_caption_systems_gives_rows_with_real_clips_beside(name, held_out):
    module, _, function = METRICS[name].partition(":")
    measure = getattr(importlib.import_module(module), function)
    said = []
    rows = measure(Oracle(True), held_out, n=40, seed=0, log=said.append)
    assert rows[0].name == "oracle"
    assert rows[1].name == "real, held out"
    assert len(rows) >= 3
    assert all(row.samples == 40 and row.protocol["data"] == held_out.describe for row in rows)
    assert to_json(rows)
    headline = next(iter(rows[0].metrics))
    if name != "caption_fidelity":
        assert headline == name.replace("fd_", "FD-")
        assert rows[1].metrics[headline] < min(row.metrics[headline] for row in rows[2:])
        assert ("warning" in rows[0].protocol) == (name != "fd_pixels")


def fewer_images(images, labels, size, seed):
    from kinema.metrics.digit_nets import fit_windows

    return fit_windows(images[::8], labels[::8], size, seed)


def test_fidelity_tells_an_obedient_system_from_one_that_ignores_captions(held_out):
    options = {"n": 40, "seed": 0, "log": lambda text: None}
    good, bad = (measures.caption_fidelity(Oracle(o), held_out, **options)[0].metrics for o in (True, False))
    assert good["direction"] == 1
    assert good["digit"] > bad["digit"] + 0.4


def test_what_cannot_be_measured_is_named(held_out):
    options = {"n": 40, "seed": 0, "log": lambda text: None}
    other = MovingDigits(80, size=24, frames=4, split="val")
    with pytest.raises(UsageError, match="open data like it"):
        measures.fd_random(Oracle(True), other, **options)
    with pytest.raises(DataError, match="at least 4"):
        measures.fd_random(Oracle(True), MovingDigits(3, size=16, frames=4), **options)

    class Cooking:
        captions = ("a man cooks .",)
        describe = "cooking"

        def __len__(self):
            return 80

        def batch(self, rows):
            return {"caption": ["a man cooks ."] * len(rows)}

    with pytest.raises(UsageError, match="moving digits, not 'a man cooks"):
        measures.caption_fidelity(Oracle(True), Cooking(), **options)
    with pytest.raises(DataError, match="few classes"):
        measures.fd_judge(Oracle(True), Cooking(), **options)


def test_fewer_real_clips_than_asked_for_are_said(held_out):
    said = []
    rows = measures.fd_pixels(Oracle(True), held_out, n=100, seed=0, log=said.append)
    assert rows[0].samples == 40
    assert "two halves of 40" in said[0]
