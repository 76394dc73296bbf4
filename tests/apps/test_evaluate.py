"""`kinema evaluate`: rows with samples and protocol, kept in the run; and the duel of two runs."""

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import kinema as package
from kinema.apps.evaluate import error_on_real, error_on_samples
from kinema.data import make

SMALL = ("--n", 12, "--device", "cpu")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_rows_are_printed_and_kept_in_the_run(kinema, run: Path) -> None:
    said = kinema("evaluate", run, *SMALL, "--json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    row = facts["rows"][0]
    assert set(row) == {"name", "metrics", "samples", "protocol"}
    assert (row["name"], row["samples"]) == ("fake-gan", 12)
    assert "FD-pixels" in row["metrics"]
    assert json.loads((run / "scores.json").read_text()) == {"step": 6, **facts}
    assert "FD-pixels" in (run / "report.html").read_text()


def test_scores_reach_the_card_and_the_list(kinema, run: Path) -> None:
    two = ("--metrics", "fd_pixels", "--metrics", "fd_random")
    rows = json.loads(kinema("evaluate", run, *SMALL, *two, "--json").out)["rows"]
    pixels, random = (row["metrics"] for row in rows if row["name"] == "fake-gan")
    assert kinema("export", run, "--to", "weights", "--out", "small").code == 0
    scores = json.loads(Path("small/config.json").read_text())["scores"]
    assert scores == {"FD-pixels": pixels, "FD-random": random}
    assert f"fake-gan: FD-pixels {pixels['FD-pixels']:.4g}" in Path("small/card.md").read_text()


def test_bundled_weights_are_scored_and_left_alone(kinema, trained: Path) -> None:
    from kinema.apps import weights

    folder = Path(shutil.copytree(trained, weights.BUNDLED / "fake-gan-a"))
    assert kinema("evaluate", "fake-gan-a", *SMALL, "--metrics", "fd_pixels").code == 0
    assert not (folder / "scores.json").exists()


def test_a_duel_of_equal_runs_is_a_tie(kinema, run: Path, trained: Path) -> None:
    said = kinema("evaluate", run, "--against", trained, *SMALL, "--json")
    assert said.code == 0, said.err
    metrics = json.loads(said.out)["rows"][0]["metrics"]
    assert (metrics["winner"], metrics["r_test"], metrics["r_samples"]) == (0, 1.0, 1.0)
    assert kinema("evaluate", run, "--against", trained, *SMALL).out.endswith(": a tie\n")
    assert not (run / "scores.json").exists()


@pytest.fixture
def other(kinema) -> Path:
    """A run with other weights."""
    command = ("train", "fake-gan", "--preset", "tiny", "--out", "b", "--set", "seed=3", "steps=2")
    assert kinema(*command).code == 0
    return Path("b")


def test_several_runs_stand_in_one_table_on_the_same_clips(kinema, run: Path, other: Path) -> None:
    said = kinema("evaluate", run, other, *SMALL, "--json", "--out", "deep/both.json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    rows = {row["name"]: row for row in facts["rows"]}
    assert list(rows) == [str(run), "b", "real, held out", "real, frozen", "noise"]
    assert {row["samples"] for row in rows.values()} == {12}
    assert rows[str(run)]["metrics"] != rows["b"]["metrics"]
    assert rows["b"]["protocol"]["run"] == "b"
    single = json.loads(kinema("evaluate", other, *SMALL, "--json").out)["rows"]
    assert [row["metrics"] for row in single] == [rows[k]["metrics"] for k in list(rows)[1:]]
    assert json.loads(Path("deep/both.json").read_text()) == facts
    pictures = {path.name: path.read_text() for path in Path("deep").glob("*.svg")}
    assert set(pictures) == {"both-fd-pixels.svg", "both-fd-pixels-by-samples.svg"}
    for text in pictures.values():
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert ">b" in text
    assert not (run / "scores.json").exists()


def test_a_single_run_is_drawn_too(kinema, run: Path) -> None:
    assert kinema("evaluate", run, *SMALL, "--out", "one.json").code == 0
    assert "fake-gan (12)" in Path("one-fd-pixels.svg").read_text()
    assert (run / "scores.json").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("{run}", "{run}"), "named twice"),
        (("{run}", "small"), "different shapes (frames, size, channels)"),
        (("{run}", "{trained}", "--against", "{run}"), "take one RUN"),
        (("{run}", "--against", "{trained}", "--out", "x.json"), "--out keeps scores"),
        ((), "name a run"),
    ],
)
def test_comparisons_that_cannot_be(kinema, run: Path, trained: Path, args, words: str) -> None:
    if "small" in args:
        kinema("train", "fake-gan", "--preset", "tiny", "--out", "small", "--set", "steps=1", "size=8")
    said = kinema("evaluate", *(arg.format(run=run, trained=trained) for arg in args))
    assert said.code == 2
    assert words in said.err


def test_networks_that_cannot_be_shipped_are_asked_for(kinema, run: Path) -> None:
    said = kinema("evaluate", run, *SMALL, "--metrics", "fvd")
    assert (said.code, "name its file with --i3d" in said.err) == (2, True)
    assert "there is no file" in kinema("evaluate", run, "--metrics", "fvd", "--i3d", "none.pt").err


def test_nothing_in_a_hostile_network_is_run(kinema, run: Path, tmp_path: Path) -> None:
    hostile = sys.modules["fake_room"].Hostile(tmp_path / "made")
    torch.save({"state_dict": hostile}, "hostile.pth")
    for metric, flag in (("fvd", "--i3d"), ("video_fid", "--resnext"), ("fid", "--inception")):
        said = kinema("evaluate", run, *SMALL, "--metrics", metric, flag, "hostile.pth")
        assert said.code == 1
        assert "nothing in it was run" in said.err
    assert not (tmp_path / "made").exists()


def test_a_dict_that_is_no_i3d_is_named(kinema, run: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, "other.pth")
    said = kinema("evaluate", run, *SMALL, "--metrics", "fvd", "--i3d", "other.pth")
    assert said.code == 1
    assert "lacks 'Conv3d_1a_7x7.conv3d.weight'" in said.err
    assert "not an I3D of Kinetics-400" in said.err


def test_training_clips_are_opened_for_those_who_ask(kinema, run: Path) -> None:
    said = kinema("evaluate", run, *SMALL, "--metrics", "nearest_training", "--metrics", "acd", "--json")
    assert said.code == 0, said.err
    rows = {(row["protocol"]["metric"], row["name"]): row for row in json.loads(said.out)["rows"]}
    memory = rows["nearest training clip", "training clips"]
    assert memory["metrics"] == {"nearest ratio": 0, "copies": 1}
    assert "split train" in memory["protocol"]["trained_on"]
    assert rows["ACD-C", "real, frozen"]["metrics"] == {"ACD-C": 0, "motion": 0, "motion to real": 0}


@pytest.fixture
def dogs(kinema) -> Path:
    """A run of `tiny`, one step old, on a folder of clips whose captions are no captions of digits."""
    assert kinema("data", "make", "sbmg", "--n", 24, "--size", 32, "--out", "clips").code == 0
    rows = [json.loads(line) for line in Path("clips/metadata.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"text": f"A dog runs {k} times!"}) for k, row in enumerate(rows)]
    Path("clips/metadata.jsonl").write_text("\n".join(lines))
    quick = ("steps=1", "batch=2", "device=cpu")
    command = ("train", "tgans-c", "--preset", "tiny", "--data", "clips", "--out", "dogs", "--set", *quick)
    assert kinema(*command).code == 0
    return Path("dogs")


def test_own_captions_are_scored_by_what_can_be_measured(kinema, dogs: Path) -> None:
    said = kinema("evaluate", dogs, "--n", 2, "--device", "cpu", "--json")
    assert said.code == 0, said.err
    assert {row["protocol"]["metric"] for row in json.loads(said.out)["rows"]} == {"FD-random"}
    left_out = [line for line in said.err.splitlines() if "is left out: " in line]
    assert [line.split()[0] for line in left_out] == ["caption_fidelity", "fd_judge"]
    assert "'A dog runs" in left_out[0]


def test_metrics_asked_for_are_not_left_out(kinema, run: Path) -> None:
    said = kinema("evaluate", run, *SMALL, "--data", few(run), "--metrics", "fd_pixels")
    assert (said.code, "is left out" in said.err) == (1, False)
    assert "at least 4 of them" in said.err


def test_when_nothing_can_be_measured_that_is_an_error(kinema, run: Path) -> None:
    said = kinema("evaluate", run, *SMALL, "--data", few(run))
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("kinema: no metric of fake-gan can be measured")


def few(run: Path) -> Path:
    """A folder with three clips for validation."""
    make("sbmg", 3, run / "few", size=16, frames=4, split="val")
    return run / "few"


@pytest.mark.parametrize(
    ("samples", "words"), [((0.1, 0.4), "the first wins, {run}"), ((0.4, 0.1), "the second wins, {trained}")]
)
def test_a_duel_says_in_words_who_wins(kinema, run: Path, trained: Path, monkeypatch, samples, words) -> None:
    rates = iter(samples)
    monkeypatch.setattr("kinema.apps.evaluate.error_on_real", lambda *_: 0.2)
    monkeypatch.setattr("kinema.apps.evaluate.error_on_samples", lambda *_: next(rates))
    said = kinema("evaluate", run, "--against", trained, *SMALL)
    line = f"{run} against {trained}: {words.format(run=run, trained=trained)}"
    assert said.out.splitlines()[-1] == line
    assert "winner" not in said.out


def test_the_errors_of_a_critic_are_counted_on_the_right_clips(trained: Path, monkeypatch) -> None:
    """The fake critic calls bright clips real: black real clips are its errors, white samples too."""
    loaded = package.load(trained)

    class Black:
        def batch(self, indices: range) -> dict[str, object]:
            return {"video": -torch.ones(len(indices), 1, 4, 16, 16), "caption": ["digit"] * len(indices)}

    assert error_on_real(loaded, Black(), 60) == 1.0

    def white_then_black(_: object, captions: list[str], seeds: list[int]) -> np.ndarray:
        level = np.where(np.array(seeds) < 45, 255, 0).astype(np.uint8)
        return np.broadcast_to(level[:, None, None, None, None], (len(seeds), 4, 16, 16, 3)).copy()

    monkeypatch.setattr(sys.modules["fake_room"].Fake, "generate", white_then_black)
    assert error_on_samples(loaded, loaded, Black(), 60, 0) == 45 / 60


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--metrics", "fd_pixel"), "nearest: fd_pixels"),
        (("--n", "1"), "n is at least 2"),
        (("--against", "small"), "has no critic"),
        (("--against", "other"), "different shapes"),
    ],
)
def test_wrong_questions(kinema, run: Path, args: tuple[str, str], words: str) -> None:
    if "small" in args:
        kinema("export", run, "--to", "weights", "--out", "small")
    if "other" in args:
        kinema("train", "fake-gan", "--preset", "tiny", "--out", "other", "--set", "steps=1", "size=8")
    said = kinema("evaluate", run, *args)
    assert said.code == 2
    assert words in said.err


def test_the_data_is_found_from_another_folder_and_known_to_be_the_same(
    kinema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("sbmg", 60, "clips", size=16, frames=4)
    command = ("train", "fake-gan", "--preset", "tiny", "--data", "clips", "--out", "mine")
    assert kinema(*command).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = kinema("evaluate", "../mine", *SMALL)
    assert (said.code, "warning" in said.err) == (0, False)
    rows = tmp_path / "clips" / "metadata.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[1:]))
    said = kinema("evaluate", "../mine", *SMALL)
    assert said.code == 0
    assert f"warning: '{tmp_path / 'clips'}' has changed since ../mine was trained on it" in said.err


def test_procedural_data_is_known_to_be_the_same(kinema, run: Path) -> None:
    assert "warning" not in kinema("evaluate", run, *SMALL).err
    about = json.loads((run / "config.json").read_text())
    about["data"]["hash"] = "0" * 64
    (run / "config.json").write_text(json.dumps(about))
    assert "warning: 'sbmg' has changed" in kinema("evaluate", run, *SMALL).err


def test_weights_that_do_not_name_their_data(kinema, run: Path) -> None:
    about = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**about, "data": None}))
    said = kinema("evaluate", run, *SMALL)
    assert said.code == 2
    assert "--data" in said.err
    assert kinema("evaluate", run, *SMALL, "--data", "sbmg").code == 0


@pytest.fixture
def ranked(kinema, run: Path, trained: Path) -> tuple[Path, Path]:
    """A sheet of two runs with four questions, and its key."""
    said = kinema("evaluate", run, "--against", trained, "--ranking", "sheet", "--questions", 4, "--json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert facts["methods"] == [str(run), str(trained)]
    return Path(facts["page"]), Path(facts["key"])


def test_people_rank_blindly_and_the_ranks_come_back(kinema, ranked: tuple[Path, Path], run: Path) -> None:
    page, key = ranked
    assert str(run) not in page.read_text()
    facts = json.loads(key.read_text())
    lines = ["item,criterion,a,b"]
    for item in facts["items"]:
        ranks = ["1" if method == str(run) else "2" for method in item["order"]]
        lines += [",".join([str(item["item"]), criterion, *ranks]) for criterion in facts["criteria"]]
    Path("one.csv").write_text("\n".join(lines) + "\n")
    said = kinema("evaluate", key, "--answers", "one.csv", "--json")
    best = json.loads(said.out)["rows"][0]
    assert best["name"] == str(run)
    assert set(best["metrics"].values()) == {1.0}


def test_rankings_that_cannot_be(kinema, run: Path) -> None:
    assert "name the others" in kinema("evaluate", run, "--ranking", "s").err
    assert "named twice" in kinema("evaluate", run, "--ranking", "s", "--against", run).err
    assert kinema("evaluate", "none.json", "--answers", "none.csv").code == 1
