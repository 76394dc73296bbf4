"""`kinema data make` and `kinema data check`, and training on what they made and examined."""

import json
from pathlib import Path

import pytest

MAKE = ("data", "make", "sbmg", "--n", "12", "--size", "16", "--frames", "4", "--out")


def test_what_was_made_passes_the_check_and_trains(kinema) -> None:
    assert kinema(*MAKE, "clips").code == 0
    said = kinema("data", "check", "clips", "--for", "fake-gan", "--preset", "tiny", "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["ok"], facts["clips"], facts["problems"]) == (0, True, 12, [])
    assert (facts["preset"], facts["set"]) == ("tiny", [])
    said = kinema("train", "fake-gan", "--preset", "tiny", "--data", "clips", "--out", "run")
    assert said.code == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["where"] == str(Path("clips").resolve())


def test_a_broken_clip_is_named_and_stops(kinema) -> None:
    kinema(*MAKE, "clips")
    broken = sorted(Path("clips").glob("*.npz"))[0]
    broken.write_bytes(b"nothing")
    said = kinema("data", "check", "clips", "--for", "fake-gan", "--preset", "tiny")
    assert said.code == 1
    assert "not usable for fake-gan" in said.out
    assert f"skipped {broken.name}" in said.out
    assert kinema("train", "fake-gan", "--preset", "tiny", "--data", "clips", "--out", "run").code == 1
    assert not Path("run").exists()


def test_videos_are_cut_and_the_clips_pass_the_check(kinema) -> None:
    shape = ("--n", 1, "--size", 32, "--frames", 9, "--split", "val")
    assert kinema("data", "make", "skies", *shape, "--out", "film").code == 0
    film = "film/val-000000.npz"
    said = kinema("data", "cut", film, "--frames", 4, "--size", 16, "--out", "clips", "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["clips"], facts["lost"], facts["problems"]) == (0, 2, 1, [])
    said = kinema("data", "cut", film, "--out", "none")
    assert said.code == 1
    assert "its longest shot has 9 frames; 32 are needed" in said.err
    said = kinema("data", "check", "clips", "--for", "md-gan", "--preset", "tiny")
    assert said.code == 1
    assert "has 4 frames; 16 are needed" in said.out


def test_the_check_takes_the_settings_of_the_training(kinema) -> None:
    kinema(*MAKE, "clips")
    check = ("data", "check", "clips", "--for", "g3an", "--preset", "tiny")
    said = kinema(*check)
    assert said.code == 1
    assert "4 frames; 16 are needed" in said.out
    long = ("data", "make", "sbmg", "--n", "12", "--size", "16", "--frames", "16", "--out", "long")
    assert kinema(*long).code == 0
    check = ("data", "check", "long", "--for", "g3an", "--preset", "tiny")
    assert kinema(*check).code == 0
    said = kinema(*check, "--set", "frames=20", "channels=1")
    assert said.code == 1
    assert "not usable for g3an, preset tiny frames=20 channels=1" in said.out
    assert "16 frames; 20 are needed" in said.out
    assert kinema(*check, "--set", "frame=20").code == 2
    said = kinema(
        "train", "g3an", "--preset", "tiny", "--data", "long", "--out", "run", "--set", "channels=7"
    )
    assert (said.code, Path("run").exists()) == (2, False)
    assert "with 1 or 3 channels, not 7" in said.err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("frames=0",), "frames is at least 1, not 0"),
        (("channels=-1",), "channels is at least 1, not -1"),
        (("steps=-3",), "steps is at least 1, not -3"),
        (("size=48",), "size is one of 32, 64, 128"),
        (("loss=r3gan",), "critic_norm=none"),
        (("channels=7",), "with 1 or 3 channels, not"),
    ],
)
def test_settings_that_training_refuses_are_refused(kinema, settings: tuple[str, ...], says: str) -> None:
    long = ("data", "make", "sbmg", "--n", "12", "--size", "16", "--frames", "16", "--out", "long")
    assert kinema(*long).code == 0
    said = kinema("data", "check", "long", "--for", "g3an", "--preset", "tiny", "--set", *settings)
    assert said.code == 2
    assert says in said.err


def test_captions_that_are_missing(kinema) -> None:
    kinema(*MAKE, "clips")
    Path("clips/metadata.jsonl").unlink()
    said = kinema("data", "check", "clips", "--for", "fake-gan", "--preset", "tiny")
    assert said.code == 1
    assert "caption" in said.out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("data", "check", "nowhere", "--for", "fake-gan", "--preset", "tiny"), 1, "nowhere"),
        (("data", "check", ".", "--for", "fake-gun"), 2, "nearest: fake-gan"),
        (("data", "check", ".", "--for", "fake-gan", "--preset", "x"), 2, "no preset 'x'"),
        (("data", "make", "smbg", "--out", "x"), 2, "nearest: sbmg"),
        (("data", "chacke", "x"), 2, "nearest: check"),
        (("data",), 2, "comes first"),
    ],
)
def test_bad_calls_get_one_clear_line(kinema, args: tuple[str, ...], code: int, words: str) -> None:
    said = kinema(*args)
    assert said.code == code
    assert words in said.err
    assert said.err.count("\n") == 1
