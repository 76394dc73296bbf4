"""Pictures and videos become crops with action units; the finder here takes white squares for faces."""

import json
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Image, Video
from kinema.data import open_faces
from kinema.data.action_units import UNITS
from kinema.data.face_crop import Place
from kinema.data.face_finding import Box, Face
from kinema.data.face_gathering import from_openface, gather
from kinema.media import read_image, save

WHITE = 250


class Squares:
    """A white square of 24 pixels is a face; its confidence is the red of the picture's last pixel."""

    def __init__(self) -> None:
        self.followed = 0

    def find(self, pixels: np.ndarray) -> list[Face]:
        corners = [(x, y) for y in range(0, 96, 32) for x in range(0, 96, 32) if pixels[y, x, 0] > WHITE]
        sure = pixels[-1, -1, 0] / 200
        units = np.linspace(0, 1, 17, dtype=np.float32) * sure
        return [
            Face(Place(x + 12.0, y + 12.0, 24.0, 0.0), Box(x, y, 24, 24), np.zeros((478, 2)), sure, units)
            for x, y in corners
        ]

    def follow(self, pixels: np.ndarray, face: Face) -> Face | None:
        self.followed += 1
        return next(iter(self.find(pixels)), None)


def picture(*corners: tuple[int, int], sure: int = 200) -> np.ndarray:
    pixels = np.full((96, 96, 3), 40, np.uint8)
    for x, y in corners:
        pixels[y : y + 24, x : x + 24] = 255
    pixels[-1, -1] = sure
    return pixels


def rows(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """One face, none, two, an unsure one, and a broken file."""
    faces = {"one": [(0, 0)], "none": [], "two": [(32, 0), (64, 64)], "unsure": [(0, 32)]}
    for name, corners in faces.items():
        pixels = picture(*corners, sure=120 if name == "unsure" else 200)
        save(Image(pixels), tmp_path / "album" / f"{name}.png")
    (tmp_path / "album" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return tmp_path / "album"


def test_a_folder_is_counted_in_every_way(album: Path, tmp_path: Path) -> None:
    report = gather([album], tmp_path / "out", Squares(), size=24)  # type: ignore[arg-type]
    assert (report.faces, report.looked_at) == (2, 4)
    assert report.faceless == [str(album / "none.png")]
    assert report.crowded == [str(album / "two.png")]
    assert [Path(p.file).name for p in report.problems] == ["broken.png"]
    assert [tuple(p) for p in report.left_out] == [
        (str(album / "unsure.png"), "its confidence is 0.60 of 0.80")
    ]
    first, second = rows(tmp_path / "out")
    assert (first["source"], second["source"]) == (str(album / "one.png"), str(album / "two.png"))
    assert first["place"] == {"x": 12.0, "y": 12.0, "side": 24.0, "angle": 0.0}
    assert first["confidence"] == 1.0
    for row in (first, second):
        assert (read_image(tmp_path / "out" / str(row["file_name"])).pixels == 255).all()
    assert report.units["AU45"] == {"mean": 1.0, "spread": 0.0, "largest": 1.0}
    assert report.still == list(UNITS)
    faces = open_faces(tmp_path / "out", size=24, split="all")
    np.testing.assert_allclose(faces.units[0], np.linspace(0, 1, 17), atol=1e-4)


def test_all_faces_and_a_lower_bound(album: Path, tmp_path: Path) -> None:
    report = gather([album], tmp_path / "out", Squares(), size=24, everyone=True, least_score=0.5)  # type: ignore[arg-type]
    assert (report.faces, report.left_out) == (4, [])


def test_a_video_is_followed_and_its_end_is_for_validation(tmp_path: Path) -> None:
    frames = np.stack([picture((0, 0)) if k != 8 else picture() for k in range(40)])
    save(Video(frames), tmp_path / "a.npz")
    finder = Squares()
    report = gather([tmp_path / "a.npz"], tmp_path / "out", finder, size=24, every=2)  # type: ignore[arg-type]
    assert (report.faces, report.looked_at) == (19, 20)
    assert report.faceless == [f"{tmp_path / 'a.npz'} frame 9"]
    assert finder.followed == 18  # not in the first, nor after the one without a face
    assert [row["frame"] for row in rows(tmp_path / "out")][:5] == [1, 3, 5, 7, 11]
    assert [row["split"] for row in rows(tmp_path / "out")] == ["train"] * 17 + ["val"] * 2
    assert len(open_faces(tmp_path / "out", split="val")) == 2


def table(path: Path, *lines: list[object]) -> None:
    head = ["frame", " confidence", *(f" {unit}_r" for unit in UNITS)]
    path.write_text("\n".join(",".join(map(str, line)) for line in [head, *lines]) + "\n")


def test_units_of_openface(tmp_path: Path) -> None:
    save(Video(np.stack([picture((0, 0))] * 4)), tmp_path / "a.npz")
    table(tmp_path / "a.csv", [1, 0.9, *[5] * 17], [2, 0.5, *[5] * 17], [4, 0.95, *[2.5] * 17])
    for csv, out in ((tmp_path / "a.csv", "x"), (tmp_path, "y")):
        report = gather([tmp_path / "a.npz"], tmp_path / out, Squares(), measure=from_openface(csv))  # type: ignore[arg-type]
        assert [p.reason for p in report.left_out] == [
            "OpenFace is unsure of it (0.50 of 0.88)",
            "has 0 faces",
        ]
        units = [set(row["action_units"].values()) for row in rows(tmp_path / out)]  # type: ignore[attr-defined]
        assert units == [{1.0}, {0.5}]
    with pytest.raises(DataError, match="there is no CSV"):
        from_openface(tmp_path / "gone.csv")


def test_what_gives_no_face_is_said(album: Path, tmp_path: Path) -> None:
    save(Image(picture()), tmp_path / "none.png")
    with pytest.raises(DataError, match=r"no face came out of .*: 1 pictures and frames, 1 without a face"):
        gather([tmp_path / "none.png"], tmp_path / "out", Squares())  # type: ignore[arg-type]
    assert not any((tmp_path / "out").iterdir())  # the same command can be given again
    with pytest.raises(DataError, match="is not an empty folder"):
        gather([album], album, Squares())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="16 or more pixels"):
        gather([album], tmp_path / "new", Squares(), size=8)  # type: ignore[arg-type]
