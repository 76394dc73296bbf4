"""`kinema data` on faces: measured, checked, and opened for training."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from kinema.apps import train
from kinema.core.results import Image
from kinema.data import Faces
from kinema.data.action_units import UNITS
from kinema.media import save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty faces, each of its own grey, and units that vary."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(30):
        save(Image(np.full((20, 20, 3), 8 * k, np.uint8)), tmp_path / f"faces/{k:02}.png")
        rows.append({"file_name": f"{k:02}.png", "action_units": rng.random(17).round(3).tolist()})
    (tmp_path / "faces/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "faces"


@pytest.fixture
def face_room(monkeypatch: pytest.MonkeyPatch, fake_system: None) -> None:
    """The fake system asks for faces."""
    import sys

    monkeypatch.setattr(sys.modules["fake_room"].Fake, "reads", "faces")  # type: ignore[attr-defined]


def test_check_routes_to_faces(kinema, folder: Path, face_room: None) -> None:
    said = kinema("data", "check", folder, "--for", "fake-gan", "--preset", "tiny", "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["ok"], facts["faces"]) == (0, True, {"train": 27, "val": 3})
    assert list(facts["units"]) == list(UNITS)
    said = kinema("data", "check", folder, "--for", "fake-gan", "--preset", "tiny")
    assert said.code == 0
    assert f"{folder}: ready for fake-gan, preset tiny\n  27 faces to train on, 3 for validation" in said.out
    assert "AU12  lip corner puller" in said.out
    (folder / "07.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    said = kinema("data", "check", folder, "--for", "fake-gan", "--preset", "tiny")
    assert said.code == 1
    assert "not usable for fake-gan" in said.out
    assert "skipped 07.png: " in said.out


def test_training_opens_faces(folder: Path) -> None:
    class Config:
        size = 16

    faces = train.open_data({"where": folder}, Config(), "train", "faces")
    assert isinstance(faces, Faces)
    assert faces.batch([0])["image"].shape == (1, 3, 16, 16)
    assert train.about_data({"where": "heads:40"}, faces)["where"] == "heads:40"


def test_a_face_is_measured(kinema, face_task: Path) -> None:
    save(Image(astronaut()), Path("in/astronaut.png"))
    save(Image(np.zeros((64, 64, 3), np.uint8)), Path("in/black.png"))
    said = kinema("data", "action-units", "in", "--out", "faces", "--size", 64, "--task", face_task)
    assert said.code == 0, said.err
    assert "faces: 1 faces of 2 pictures and frames\n  no face in 1, several in 0" in said.out
    assert "no face: in/black.png" in said.out
    row = json.loads(Path("faces/metadata.jsonl").read_text())
    assert row["action_units"]["AU12"] > 0.7
    assert row["source"] == "in/astronaut.png"
    said = kinema(
        "data", "action-units", "in", "--out", "more", "--min-confidence", 0.99, "--task", face_task
    )
    assert said.code == 1
    assert "1 left out (in/astronaut.png: its confidence is 0.9" in said.err
    said = kinema("data", "action-units", "in", "--out", "json", "--json", "--task", face_task)
    facts = json.loads(said.out)
    assert facts["reliability"]["AU12"] == "reliable"
    assert facts["faceless"] == ["in/black.png"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("gone.mp4", "--out", "x"), "there is no file or folder 'gone.mp4'"),
        ((".", "--out", "x", "--task", "gone.task"), "there is no task file 'gone.task'"),
        ((".", "--out", "x", "--csv", "a.csv", "--faces", "all"), "--csv goes with --faces largest"),
        ((".", "--out", "x", "--csv", "gone.csv"), "there is no CSV file or folder 'gone.csv'"),
        (("--out", "x"), "no picture, folder or video was given"),
    ],
)
def test_wrong_requests_are_one_sentence(kinema, flags: tuple[str, ...], words: str) -> None:
    said = kinema("data", "action-units", *flags)
    assert said.code in (1, 2)
    assert words in said.err
