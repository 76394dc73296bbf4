"""Exports: onnxruntime gives what PyTorch gives, half precision nearly the same, and both can be loaded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import kinema as package

SIX = "digit 6 is moving up and down ."


def difference(one: str | Path, two: str | Path) -> float:
    """Between the clips of two weights, in levels of 255."""
    made = [package.load(x).run(caption=SIX, seed=2, n=3) for x in (one, two)]
    pixels = [np.stack([v.frames for v in batch]).astype(float) for batch in made]
    return float(np.abs(pixels[0] - pixels[1]).max())


@pytest.fixture
def onnx(trained: Path, kinema, tmp_path: Path) -> Path:
    """An exported folder; exporting takes seconds, so it is done once."""
    pytest.importorskip("onnxscript")
    kept = trained.parent / "onnx"
    if not kept.exists():
        said = kinema("export", trained, "--to", "onnx", "--out", kept, "--json")
        assert said.code == 0, said.err
        assert json.loads(said.out)["max_abs_diff"] < 1e-4
    return Path(shutil.copytree(kept, tmp_path / "onnx"))


def test_onnx_runs_without_the_networks_and_gives_the_same(onnx: Path, trained: Path) -> None:
    assert difference(onnx, trained) <= 1
    names = {p.name for p in onnx.iterdir()}
    assert names == {"model.onnx", "weights.safetensors", "config.json", "card.md"}
    loaded = package.load(onnx)
    with torch.no_grad():
        loaded.system.painter.to_pixels.weight.fill_(torch.nan)  # not what computes
    assert loaded.run(caption=SIX).frames.max() > 0


def test_a_damaged_onnx_model_is_refused(kinema, onnx: Path) -> None:
    path = onnx / "model.onnx"
    path.write_bytes(path.read_bytes()[:100])
    said = kinema("run", onnx, "--caption", SIX)
    assert said.code == 1
    assert "not an ONNX model" in said.err


def test_onnx_that_differs_is_not_kept_quiet(kinema, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.apps.export.compare", lambda *_: 0.5)
    monkeypatch.setattr("kinema.apps.export.write_onnx", lambda *_: None)
    monkeypatch.setattr("kinema.apps.export.session", lambda *_: None)
    said = kinema("export", trained, "--out", "x")
    assert said.code == 1
    assert "differs from PyTorch by 5.0e-01" in said.err
    assert list(Path().iterdir()) == []


def test_half_precision_holds_only_what_runs(kinema, trained: Path) -> None:
    said = kinema("export", trained, "--to", "weights", "--out", "small", "--licence", "CC0-1.0", "--default")
    assert said.code == 0
    about = json.loads(Path("small/config.json").read_text())
    assert about["modules"] == ["colour", "painter"]
    assert (about["licence"], about["default"]) == ("CC0-1.0", True)
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (Path("small"), trained)]
    assert sizes[0] < 0.6 * sizes[1]
    assert difference("small", trained) <= 1
    card = Path("small/card.md").read_text()
    assert "| data | 10000 procedural clips" in card
    assert "CC0-1.0" in card
    assert Path("small/weights.safetensors").stat().st_mode & 0o444 == 0o444
    assert about["weights_sha256"] == package.load("small").weights_hash


def test_a_second_export_keeps_how_the_weights_came_to_be(kinema, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    assert kinema("evaluate", run, "--n", 12, "--device", "cpu").code == 0
    assert kinema("export", run, "--to", "weights", "--out", "one", "--licence", "CC0-1.0").code == 0
    assert kinema("export", "one", "--to", "weights", "--out", "two").code == 0
    first, second = (json.loads(Path(out, "config.json").read_text()) for out in ("one", "two"))
    assert second == first
    assert first["steps"] == 6
    assert "FD-pixels" in first["scores"]["FD-pixels"]
    cards = [Path(out, "card.md").read_text().splitlines() for out in ("one", "two")]
    told, again = ([line for line in card if line.startswith("|")] for card in cards)
    assert again == told
    score = f"- fake-gan: FD-pixels {first['scores']['FD-pixels']['FD-pixels']:.4g}"
    assert all(any(line.startswith(score) for line in card) for card in cards)


def test_a_card_says_what_is_not_known(kinema, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "environment.json").unlink()
    assert kinema("export", run, "--to", "weights", "--out", "small").code == 0
    card = Path("small/card.md").read_text()
    for key in ("command | `not recorded`", "machine | not recorded", "minutes | not recorded"):
        assert f"| {key} |" in card
    assert "Not evaluated." in card


def test_numbers_that_half_precision_cannot_hold(kinema, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = Path(shutil.copytree(trained, tmp_path / "run"))
    state = load_file(run / "weights.safetensors")
    state["painter.to_pixels.bias"][0] = 1e6
    save_file(state, run / "weights.safetensors")
    said = kinema("export", run, "--to", "weights", "--out", "x")
    assert said.code == 1
    assert "painter.to_pixels.bias" in said.err


def test_a_folder_in_use_is_not_overwritten(kinema, trained: Path) -> None:
    Path("full").mkdir()
    Path("full/precious").write_text("")
    said = kinema("export", trained, "--to", "weights", "--out", "full")
    assert said.code == 1
    assert "not empty" in said.err


def test_networks_under_their_authors_names_come_back_the_same(kinema, tmp_path: Path) -> None:
    said = kinema(
        "train", "g3an", "--preset", "tiny", "--out", "run", "--set", "steps=2", "--set", "attention=2",
        "--set", "attention_layout=official", "--set", "ema_halflife_images=none",
    )  # fmt: skip
    assert said.code == 0, said.err
    said = kinema("export", "run", "--to", "authors", "--out", "theirs", "--json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert facts["networks"] == ["generator", "image", "video"]
    files = sorted((tmp_path / "theirs").iterdir())
    assert [file.name for file in files] == ["generator.pth", "image.pth", "video.pth"]
    names = torch.load(files[0], weights_only=True)
    assert any(name.startswith("module.") and name.endswith("weight_orig") for name in names)
    assert kinema("convert", "g3an", *files, "--out", "back").code == 0
    one, two = (package.load(tmp_path / name).run(seed=3, n=2) for name in ("run", "back"))
    for ours, theirs in zip(one, two, strict=True):
        assert np.abs(ours.frames.astype(int) - theirs.frames).max() <= 1


@pytest.mark.parametrize(
    ("system", "settings", "says"),
    [
        ("g3an", ["attention_layout=correct"], "not its own settings: "),
        ("md-gan", ["critic_norm=none"], "their code has no 'critic.slice2.0.bias'"),
        ("mocogan", ["norm=generator"], "their code has no 'critics."),
        ("tgans-c", ["text_steps=0"], "their video part has no '"),
        ("sagan", ["spectral=critic"], "their code has no 'generator.blocks.0.0.conv1."),
        ("sagan", ["attention_form=residual"], "their code has no 'critic.blocks.0.1.conv1."),
        ("biggan", ["norm=gn:groups=2"], "norm=gn:groups=2"),
    ],
)
def test_what_published_code_cannot_compute_is_not_given_its_names(
    kinema, tmp_path: Path, system: str, settings: list[str], says: str
) -> None:
    chosen = [word for setting in [*settings, "steps=2"] for word in ("--set", setting)]
    assert kinema("train", system, "--preset", "tiny", "--out", "run", *chosen).code == 0
    said = kinema("export", "run", "--to", "authors", "--out", "theirs")
    assert said.code == 1
    assert says in said.err
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize(
    ("system", "settings", "left_out"),
    [
        ("md-gan", ["augment=cutout", "augment_target=0.6"], ["strengths"]),
        ("mocogan", ["norm=batch"], []),
        ("g3an", ["attention=none", "apart=true"], ["critics.look", "critics.motion"]),
        ("sagan", ["lecam=0.01"], ["anchors"]),
        ("biggan", ["deep=true", "shared=12", "noise=20"], []),
    ],
)
def test_what_published_code_has_no_place_for_is_named(
    kinema, tmp_path: Path, system: str, settings: list[str], left_out: list[str]
) -> None:
    chosen = [word for setting in [*settings, "steps=2"] for word in ("--set", setting)]
    assert kinema("train", system, "--preset", "tiny", "--out", "run", *chosen).code == 0
    said = kinema("export", "run", "--to", "authors", "--out", "theirs", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["left_out"] == left_out
    files = sorted((tmp_path / "theirs").iterdir())
    assert kinema("convert", system, *files, "--out", "back").code == 0


def test_authors_names_where_there_are_none(kinema, trained: Path) -> None:
    said = kinema("export", trained, "--to", "authors", "--out", "x")
    assert said.code == 2
    assert "no published checkpoint of fake-gan is known" in said.err
    said = kinema("export", trained, "--to", "authors", "--out", "x", "--default")
    assert said.code == 2
    assert "belong to a weights folder" in said.err
