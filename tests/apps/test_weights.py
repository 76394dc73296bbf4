"""Weights: found by name and by folder, refused when they are damaged, hostile or of something else."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kinema as package
from kinema.apps import weights
from kinema.core.errors import UsageError, WeightsError
from kinema.core.results import Image

SIX = "digit 6 is moving up and down ."


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def bundle(trained: Path, name: str, **about: object) -> Path:
    folder = weights.BUNDLED / name
    shutil.copytree(trained, folder)
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | about))
    return folder


def test_bundled_names_and_the_first_of_a_system(trained: Path) -> None:
    bundle(trained, "fake-gan-a")
    bundle(trained, "fake-gan-b", default=True)
    assert package.load("fake-gan-a").weights == "fake-gan-a"
    assert package.load("fake-gan").weights == "fake-gan-b"


def test_a_weights_file_means_its_folder(trained: Path) -> None:
    assert package.load(trained / "weights.safetensors").weights == str(trained)


def test_a_system_without_weights_says_how_to_get_some() -> None:
    with pytest.raises(WeightsError, match="kinema train fake-gan"):
        package.load("fake-gan")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="nearest: fake-gan"):
        package.load("fake-gann")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        package.load(tmp_path)


def test_a_checkpoint_of_another_program_is_pointed_to_convert(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="kinema convert"):
        package.load(tmp_path / "net.pth")


@pytest.mark.parametrize("kept", [0, 4, 200, 2000])
def test_a_truncated_file_is_refused(kinema, run: Path, kept: int) -> None:
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    said = kinema("run", run, "--caption", SIX)
    assert said.code == 1
    assert "truncated" in said.err
    assert said.err.count("\n") == 1


def test_a_pickle_in_place_of_weights_is_refused_and_not_run(kinema, run: Path, tmp_path: Path) -> None:
    (run / "weights.safetensors").write_bytes(
        pickle.dumps(sys.modules["fake_room"].Hostile(tmp_path / "made"))
    )
    said = kinema("run", run, "--caption", SIX)
    assert said.code == 1
    assert "is a pickle, not safetensors" in said.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("first", [b"\x80", b"PK"])
def test_a_header_that_begins_as_a_pickle_does_is_still_safetensors(tmp_path: Path, first: bytes) -> None:
    path, wanted = tmp_path / "weights.safetensors", int.from_bytes(first.ljust(2, b"\1"), "little")
    save_file({"a": torch.ones(2)}, path, {"pad": ""})
    wanted += -(int.from_bytes(path.read_bytes()[:8], "little") - wanted) % 8  # headers are whole words
    save_file({"a": torch.ones(2)}, path, {"pad": "x" * (wanted - 80)})
    assert path.read_bytes().startswith(first)
    assert weights.read_tensors(path)["a"].tolist() == [1, 1]


def test_weights_of_another_system_are_refused(run: Path) -> None:
    save_file(
        {"other.weight": load_file(run / "weights.safetensors")["critic.weight"]}, run / "weights.safetensors"
    )
    with pytest.raises(WeightsError, match="another system or configuration"):
        package.load(run)


def test_weights_of_another_size_are_refused(run: Path) -> None:
    about = json.loads((run / "config.json").read_text())
    about["config"]["size"] = 8
    (run / "config.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=r"has 'painter\.to_pixels\.(bias|weight)' of shape"):
        package.load(run)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "does not name a system"),
        ('{"system": "none", "config": {}}', "of system 'none'"),
        ('{"system": "fake-gan", "config": {"colour": 1}}', "no field 'colour'"),
    ],
)
def test_a_damaged_description_is_refused(run: Path, text: str, words: str) -> None:
    (run / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=words):
        package.load(run)


def test_a_run_without_weights_yet(run: Path) -> None:
    (run / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        package.load(run)


def test_weights_without_a_part_that_runs_say_so(run: Path) -> None:
    about = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(about | {"modules": ["critic", "colour"]}))
    with pytest.raises(WeightsError, match="hold no painter"):
        package.load(run).run(caption=SIX)


def test_the_hash_is_that_of_the_file(trained: Path) -> None:
    import hashlib

    wanted = hashlib.sha256((trained / "weights.safetensors").read_bytes()).hexdigest()
    assert package.load(trained).weights_hash == wanted


def test_list_shows_size_licence_and_score(kinema, trained: Path) -> None:
    scores = {"FD-a": {"FD-a": 1.5, "recall": 0.25}, "FD-b": {"FD-b": 7.0, "recall": 0.75}}
    bundle(trained, "fake-gan-a", licence="CC0-1.0", scores=scores)
    row = json.loads(kinema("list", "--weights", "--json").out)[0]
    assert (row["name"], row["licence"], row["scores"]) == ("fake-gan-a", "CC0-1.0", scores)
    assert 0 < row["megabytes"] < 1
    assert kinema("list", "--weights").out.splitlines()[-1].endswith("FD-a 1.5, FD-b 7")


@pytest.mark.parametrize("name", ["tgans-c-sbmg", "tgans-c-tbmg"])
def test_scores_of_the_weights_that_ship_keep_their_families(name: str) -> None:
    folder = Path(package.__file__).parent / "weights" / name
    about, card = json.loads((folder / "config.json").read_text()), (folder / "card.md").read_text()
    assert set(weights.headlines(about)) == {"digit", "FD-judge", "FD-random"}
    for scores in about["scores"].values():
        assert f"- tgans-c: {', '.join(f'{key} {value:.4g}' for key, value in scores.items())} (" in card


def test_list_without_weights_says_so(kinema) -> None:
    assert "no weights are bundled" in kinema("list", "--weights").out


def test_list_shows_every_setting_with_its_meaning(kinema) -> None:
    row = json.loads(kinema("list", "fake-gan", "--json").out)
    told = {s["name"]: s["means"] for s in row["settings"]}
    assert told["size"] == "side of a frame"
    assert told["steps"].startswith("optimisation steps")
    assert row["presets"][0]["name"] == "tiny"
    assert "side of a frame" in kinema("list", "fake-gan").out


def test_hub_addresses_are_fetched(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    asked: list[str] = []
    hub = types.SimpleNamespace(snapshot_download=lambda name, **_: asked.append(name) or str(trained))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert package.load("hf://someone/fake").weights == "hf://someone/fake"
    assert asked == ["someone/fake"]


def test_other_classes_begin_with_everything_but_their_tables(kinema, tmp_path: Path) -> None:
    shape = ("--preset", "tiny", "--set", "steps=2")
    assert kinema("train", "biggan", *shape, "--out", "ten").code == 0
    classes = ("disc", "ring", "moon")
    for label in classes:
        folder = tmp_path / "three" / label
        folder.mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
            Image(pixels).save(folder / f"{i}.png")
    begin = ("--data", "three", "--set", "init_from=ten", "keep_optimiser=true")
    said = kinema("train", "biggan", *shape, *begin, "--out", "own")
    assert said.code == 0, said.err
    assert "it has other classes, so 2 tables of classes begin anew" in said.err
    first, then = (load_file(tmp_path / run / "state.safetensors") for run in ("ten", "own"))
    steps = {k: int(v) for k, v in then.items() if k.startswith("optimiser/") and k.endswith("/step")}
    fresh = [k.removesuffix("/step") for k, taken in steps.items() if taken == 2]  # two steps, none before
    assert set(steps.values()) == {2, 4}
    assert len(fresh) == 2
    assert all(first[f"{k}/exp_avg"].shape != then[f"{k}/exp_avg"].shape for k in fresh)
    system = package.load(tmp_path / "own").system
    assert system.config.classes == ("disc", "moon", "ring")
    said = kinema("train", "biggan", *shape, "--set", "init_from=ten", "width=8", "--out", "wide")
    assert said.code != 0
    assert "of shape" in said.err
    (tmp_path / "ten" / "state.safetensors").unlink()
    said = kinema("train", "biggan", *shape, *begin, "--out", "late")
    assert "keep_optimiser needs a run folder with its state.safetensors" in said.err
    said = kinema("train", "biggan", *shape, "--set", "keep_optimiser=true", "--out", "late")
    assert "keep_optimiser goes with init_from=RUN" in said.err


def test_as_many_other_classes_are_other_classes(kinema, tmp_path: Path) -> None:
    shape = ("--preset", "tiny", "--set", "steps=2")
    assert kinema("train", "biggan", *shape, "shared=none", "--out", "ten").code == 0
    begin = ("--data", "digits:100", "--set", "init_from=ten", "seed=1")
    said = kinema("train", "biggan", *shape, "shared=none", *begin, "--out", "digits")
    assert said.code == 0, said.err
    assert "it has other classes" in said.err
    first, then = (load_file(tmp_path / run / "weights.safetensors") for run in ("ten", "digits"))
    moved = {k: float((first[k] - then[k]).abs().max()) for k in first if first[k].is_floating_point()}
    assert moved["critic.embed.parametrizations.weight.original"] > 0.1
    assert moved["generator.blocks.0.0.bn1.gain.parametrizations.weight.original"] > 0.1
    assert moved["generator.blocks.0.0.conv1.parametrizations.weight.original"] < 0.1
