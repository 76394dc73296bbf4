"""`kinema data` on pictures: made, checked, packed and fetched, and training on what they gave."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kinema.data import cifar
from kinema.media import read_image

MAKE = ("data", "make", "mirrored", "--n", 120, "--size", 32, "--out", "set")
TINY = ("--preset", "tiny")


def train(kinema, data: str, *settings: str):
    return kinema("train", "biggan", *TINY, "--data", data, "--out", "run", "--set", "steps=2", *settings)


def test_made_pictures_pass_the_check_are_packed_and_train(kinema) -> None:
    said = kinema(*MAKE)
    assert (said.code, said.out) == (0, "set: 120 pictures of mirrored\n")
    said = kinema("data", "check", "set", "--for", "biggan", *TINY, "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["ok"], facts["pictures"], facts["problems"]) == (0, True, 120, [])
    assert sum(n["train"] for n in facts["classes"].values()) == 100
    said = kinema("data", "pack", "set", "--size", 32, "--out", "new/set.npz")
    assert said.code == 0
    words = "100 pictures to train on and 20 for validation, 32x32, 10 classes, 0 skipped"
    assert said.out == f"new/set.npz: {words}\n"
    said = kinema("data", "check", "new/set.npz", "--for", "sagan", *TINY)
    assert said.code == 0
    assert "new/set.npz: ready for sagan, preset tiny\n  120 usable pictures of 10 classes" in said.out
    said = kinema("data", "check", "set", "--for", "group-norm", *TINY, "--set", "channels=3")
    assert said.code == 0, said.err
    assert "set: ready for group-norm, preset tiny channels=3" in said.out
    said = train(kinema, "new/set.npz")
    assert said.code == 0
    assert "2 steps, 16 pictures" in said.out
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["where"] == str(Path("new/set.npz").resolve())
    assert config["config"]["classes"] == list(facts["classes"])


def test_few_digits_train_in_grey(kinema) -> None:
    assert train(kinema, "digits:100", "channels=1").code == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["where"] == "digits:100"
    said = kinema("run", "biggan", "--weights", "run", "--label", "3", "--n", 2, "--out", "sheet.png")
    assert said.out.startswith("sheet.png  (2 pictures, ")
    assert read_image("sheet.png").pixels.shape == (32, 66, 3)
    assert kinema("run", "biggan", "--weights", "run", "--label", "3", "--out", "one.png").out.startswith(
        "one.png  (1 picture, "
    )


def test_drawings_are_checked_by_name_and_train(kinema) -> None:
    said = kinema("data", "check", "drawings", "--for", "biggan", *TINY)
    assert said.code == 0, said.err
    assert said.out.startswith("drawings: ready for biggan, preset tiny")
    assert train(kinema, "drawings").code == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["where"] == "drawings"


def test_problems_are_named_and_counts_shown(kinema) -> None:
    kinema(*MAKE)
    Path("set/train/bar/000000.png").write_bytes(b"nothing")
    Path("set/train/bar/new.png").write_bytes(b"")
    said = kinema("data", "check", "set", "--for", "biggan", *TINY)
    assert said.code == 1
    assert "set: not usable for biggan, preset tiny" in said.out
    assert "skipped train/bar/new.png: " in said.out
    assert "pictures for training cannot be used" in said.out
    assert train(kinema, "set").code == 1
    assert kinema("data", "pack", "set", "--out", "set.npz").code == 1
    assert not Path("run").exists()
    assert not Path("set.npz").exists()


def test_the_check_refuses_settings_that_training_refuses(kinema) -> None:
    kinema(*MAKE)
    check = ("data", "check", "set", "--for", "biggan", *TINY, "--set")
    for setting, says in (
        ("size=48", "size is one of 32, 64"),
        ("noise=17", "multiple of 4"),
        ("size=0", "size"),
    ):
        said = kinema(*check, setting)
        assert said.code == 2
        assert says in said.err
        assert train(kinema, "set", setting).code == 2
    assert not Path("run").exists()


def test_one_class_is_not_enough(kinema) -> None:
    Path("set/cat").mkdir(parents=True)
    for k in range(12):
        Pillow.new("RGB", (32, 32), (k, k, k)).save(f"set/cat/{k}.png")
    said = kinema("data", "check", "set", "--for", "biggan", *TINY)
    assert said.code == 1
    assert "one class only" in said.out
    said = train(kinema, "set")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "two classes" in said.err
    assert not Path("run").exists()
    assert train(kinema, "set", "conditional=false").code == 0


def test_a_set_is_fetched_from_a_file(kinema, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (6, 2, 3073), dtype=np.uint8)
    rows[:, :, 0] = [0, 1]
    pixels = rows[:, :, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    digest = hashlib.sha256(pixels.tobytes() + rows[:, :, 0].tobytes()).hexdigest()
    with tarfile.open("a.tgz", "w:gz") as out:
        for name, part in zip(cifar.BATCHES, rows, strict=True):
            info = tarfile.TarInfo(f"{name}.bin")
            info.size = part.nbytes
            out.addfile(info, io.BytesIO(part.tobytes()))
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    said = kinema("data", "fetch", "cifar10", "--source", "a.tgz")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "not the pictures of CIFAR-10" in said.err
    monkeypatch.setattr(cifar, "SHA256", digest)
    monkeypatch.setattr("kinema.data.pictures.TRAIN", 10)
    said = kinema("data", "fetch", "cifar10", "--source", "a.tgz")
    assert (said.code, said.out.count("\n"), said.err) == (0, 1, "")
    assert "cifar10.npz: 12 pictures of cifar10, whole" in said.out
    assert train(kinema, "cifar10:8").code == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("data", "fetch", "cifar100"), 2, "nearest: cifar10"),
        (("data", "fetch", "cifar10", "--source", "none.tgz"), 1, "'none.tgz'"),
        (("data", "fetch", "face-landmarker", "--source", "none.task"), 1, "'none.task' cannot be read"),
        (("data", "check", "nowhere", "--for", "sagan"), 1, "no folder 'nowhere'"),
        (("data", "check", ".", "--for", "biggan"), 1, "no pictures in folders of their classes"),
        (("data", "pack", "nowhere", "--out", "a.npz"), 1, "no folder 'nowhere'"),
        (("data", "pack", ".", "--out", "a.zip"), 2, "it ends in .npz"),
        (("data", "pack", ".", "--out", "a.npz", "--size", 0), 2, "a side of 1 or more"),
        (("data", "make", "mirrored", "--out", "x", "--frames", 4), 2, "belong to clips"),
        (("data", "make", "mirrored", "--out", "x", "--size", 31), 2, "even side"),
        (
            ("train", "biggan", *TINY, "--data", "nowhere"),
            2,
            "cifar10, digits, drawings, mirrored",
        ),
        (("train", "biggan", *TINY, "--data", "no/where"), 1, "no folder 'no/where'"),
    ],
)
def test_bad_calls_get_one_clear_line_and_leave_nothing(
    kinema, tmp_path: Path, args: tuple[object, ...], code: int, words: str
) -> None:
    said = kinema(*args)
    assert said.code == code
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
