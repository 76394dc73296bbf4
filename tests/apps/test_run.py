"""`kinema run` and `kinema.load`: the same pixels from both, provenance, what is said about bad requests."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import kinema as package
from kinema.apps.loading import pixels_hash
from kinema.apps.run import by_ending, read_flags
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.systems import load_request

SEVEN = "digit 7 is moving left and right ."
SIX = "digit 6 is moving up and down ."


def test_python_gives_a_video_that_says_where_it_comes_from(trained: Path) -> None:
    video = package.load(trained).run(caption=SEVEN, seed=1)
    assert isinstance(video, Video)
    assert video.frames.dtype == np.uint8
    said = video.provenance
    assert said["synthetic"] is True
    assert said["system"] == "fake-gan"
    assert said["weights"] == str(trained)
    assert said["request"] == {"caption": [SEVEN], "n": 1, "seed": 1}
    assert said["seed"] == 1
    assert said["version"] == package.__version__
    assert said["precision"] in ("bf16", "fp32")
    assert said["pixels_sha256"] == pixels_hash(video)
    assert len(said["weights_sha256"]) == 64


def test_command_line_and_python_give_the_same_pixels(kinema, trained: Path) -> None:
    texts = ("--caption", SEVEN, "--caption", SIX)
    said = kinema("run", trained, *texts, *["--n", "2", "--seed", "5", "--out", "c.mp4", "--json"])
    made = package.load(trained).run(caption=[SEVEN, SIX], n=2, seed=5)
    assert isinstance(made, Batch)
    facts = json.loads(said.out)
    assert facts["count"] == 4
    assert facts["provenance"]["pixels_sha256"] == made.provenance["pixels_sha256"]
    assert Path("c.mp4").stat().st_size > 500


def test_the_system_with_its_weights_is_the_run_folder(kinema, trained: Path) -> None:
    one = kinema("run", "fake-gan", "--weights", trained, "--caption", SIX, "--out", "a.npz", "--json")
    two = kinema("run", trained, "--caption", SIX, "--out", "b.npz", "--json")
    hashes = [json.loads(said.out)["provenance"]["pixels_sha256"] for said in (one, two)]
    assert hashes[0] == hashes[1]


def test_captions_from_a_file(kinema, trained: Path) -> None:
    Path("captions.txt").write_text(f"{SEVEN}\n\n{SIX}\n")
    said = kinema("run", trained, "--captions", "captions.txt", "--out", "clips", "--json")
    assert json.loads(said.out)["provenance"]["request"]["caption"] == [SEVEN, SIX]
    assert len(list(Path("clips").glob("*.mp4"))) == 2


def test_a_wrong_word_in_a_file_is_found_by_its_line(kinema, trained: Path) -> None:
    Path("captions.txt").write_text(f"{SEVEN}\n\ndigit 7 is mooving .\n{SIX}\n")
    said = kinema("run", trained, "--caption", SIX, "--captions", "captions.txt")
    assert said.code == 2
    assert said.err == "kinema: captions.txt, line 3: the word 'mooving' is not known.\n"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ([], 2, "a caption is needed"),
        (["--captions", "none.txt"], 2, "none.txt cannot be read"),
        (["--captions", "empty.txt"], 2, "no sentence"),
        (["--caption", "a horse"], 2, "the word 'a' is not known"),
        (["--caption", SIX, "--out", "x.avi"], 2, "x.avi"),
        (["--caption", SIX, "--out", "empty.txt/x.mp4"], 1, "not writable"),
        (["--caption", SIX, "--out", "full"], 1, "holds other files ('precious')"),
        (["--caption", SIX, "--precision", "fp8"], 2, "precision is auto, bf16 or fp32"),
        (["--caption", SIX, "--device", "tpu"], 2, "device is auto, cpu, cuda"),
        (["--caption", SIX, "--seeed", "3"], 2, "--seed"),
    ],
)
def test_wrong_requests_get_one_line(kinema, trained: Path, flags: list[str], code: int, words: str) -> None:
    Path("empty.txt").write_text("\n")
    Path("full").mkdir()
    Path("full/precious").write_text("")
    said = kinema("run", trained, *flags)
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err


def test_a_wrong_ending_is_found_before_the_weights_are_read(kinema, trained: Path, monkeypatch) -> None:
    monkeypatch.setattr("kinema.apps.run.load", lambda *_, **__: pytest.fail("weights were read"))
    assert kinema("run", trained, "--caption", SIX, "--out", "x.avi").code == 2


def test_a_sheet_that_is_too_large_is_refused_before_the_work(kinema, trained: Path, monkeypatch) -> None:
    work = lambda *_: pytest.fail("clips were made")  # noqa: E731
    monkeypatch.setattr(sys.modules["fake_room"].Fake, "generate", work)
    many = ("--caption", SIX, "--n", "1000000")
    for out in ((), ("--out", "sheet.gif")):
        said = kinema("run", trained, *many, *out)
        assert said.code == 2
        assert "1000000 clips make a sheet of 17998x17998 pixels" in said.err
        assert "name a folder" in said.err
    assert "a sheet of 64x17999998 pixels" in kinema("run", trained, *many, "--out", "strips.jpg").err


def test_fields_of_a_request_are_checked_by_name(trained: Path) -> None:
    loaded = package.load(trained)
    with pytest.raises(UsageError, match=r"no field 'captoin'; nearest: caption"):
        loaded.run(captoin=SEVEN)
    with pytest.raises(UsageError, match="needs 'caption'"):
        loaded.run(seed=1)
    for wrong in ("many", [2]):
        with pytest.raises(UsageError, match=r"n is a whole number, not '(many|\[2\])'\."):
            loaded.run(caption=SEVEN, n=wrong)


def test_a_comma_does_not_split_a_caption(trained: Path) -> None:
    with pytest.raises(UsageError, match="'6,'"):
        package.load(trained).run(caption="digit 6, is moving up and down .")


def test_out_of_memory_is_one_line(kinema, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9e12 bytes.")

    monkeypatch.setattr(sys.modules["fake_room"].Fake, "generate", greedy)
    said = kinema("run", trained, "--caption", SIX, "--n", "9")
    assert (said.code, said.err) == (
        1,
        "kinema: Out of memory; ask for fewer at a time (n), or take --device cpu.\n",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux promises memory that it does not have")
def test_memory_that_is_not_there_ends_in_one_line(kinema, trained: Path, monkeypatch) -> None:
    taken = []
    monkeypatch.setattr("kinema.engine.devices.free_memory", lambda: 500_000_000)
    monkeypatch.setattr(
        sys.modules["fake_room"].Fake, "generate", lambda *_: taken.append(np.empty(2 * 10**9, np.uint8))
    )
    said = kinema("run", trained, "--device", "cpu", "--caption", SIX)
    assert (said.code, taken) == (1, [])
    assert said.err.startswith("kinema: Out of memory; ask for fewer")


def test_a_long_run_says_how_far_it_is(kinema, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("run", trained, "--caption", SIX, "--caption", SEVEN, "--n", "3", "--json")
    quick = kinema(*command)
    assert (quick.code, quick.err) == (0, "")
    monkeypatch.setattr("kinema.apps.run.EVERY_SECONDS", 0.0)
    slow = kinema(*command)
    assert slow.err == "6 of 6 clips made\n"
    assert json.loads(slow.out)["provenance"] == json.loads(quick.out)["provenance"]


def test_run_needs_a_name_first(kinema) -> None:
    said = kinema("run", "--caption", SIX)
    assert said.code == 2
    assert "comes first" in said.err


def test_weights_of_another_system_are_refused(kinema, trained: Path) -> None:
    said = kinema("run", "tgans-c", "--weights", trained, "--caption", SIX)
    assert said.code == 2
    assert "fake-gan" in said.err


@pytest.mark.parametrize(
    ("given", "out", "frames"),
    [(None, "a.mp4", 24), (None, "a.png", None), (None, None, None), (3, "a.gif", 3), (None, "folder", None)],
)
def test_a_file_for_clips_makes_a_picture_a_clip(given, out, frames) -> None:
    request = load_request("ganimation")(image=("a.png",), frames=given)
    assert by_ending(request, None if out is None else Path(out)).frames == frames
    clip = load_request("g3an")()
    assert by_ending(clip, Path("a.mp4")) is clip


def test_a_face_that_is_named_is_the_only_one() -> None:
    asked = ["--image", "a.png", "--expression", "happy"]
    assert read_flags("ganimation", asked)[1].face == ()
    assert read_flags("ganimation", [*asked, "--face", "2"])[1].face == (2,)
