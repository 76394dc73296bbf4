"""Faces are read in four layouts, and what is wrong with a folder is said by name."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Image
from kinema.data import open_faces
from kinema.data.action_units import UNITS
from kinema.data.face_checking import check_faces
from kinema.data.face_folder import listed
from kinema.media import save

N = 20
Numbers = dict[str, list[float]]


@pytest.fixture
def crops(tmp_path: Path) -> Callable[..., tuple[Path, Numbers]]:
    """Pictures of level 10·k, and 17 numbers of 0 to `most` for each."""

    def write(folder: str = "imgs", n: int = N, most: float = 5.0) -> tuple[Path, Numbers]:
        rng = np.random.default_rng(0)
        for k in range(n):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            save(Image(np.full((24, 24, 3), 10 * k, np.uint8)), tmp_path / folder / f"p{k:02}.png")
        return tmp_path, {f"p{k:02}": [float(v) for v in rng.uniform(0, most, 17)] for k in range(n)}

    return write


def lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def line(name: str, units: object) -> dict[str, object]:
    return {"file_name": f"crops/{name}.png", "action_units": units}


def as_expected(faces: object, numbers: Numbers, scale: float) -> None:
    """Every picture has its own units, scaled once."""
    pixels, units = faces.pixels(range(len(faces))), faces.units  # type: ignore[attr-defined]
    assert len(units)
    for picture, own in zip(pixels, units, strict=True):
        k = int(picture[0, 0, 0, 0]) // 10
        np.testing.assert_allclose(own, np.array(numbers[f"p{k:02}"]) / scale, atol=1e-6)


def test_our_own_layout_by_names_and_by_order(crops) -> None:
    folder, numbers = crops("crops", most=1.0)
    rows: list[dict[str, object]] = [
        {
            "file_name": f"crops/{name}.png",
            "action_units": dict(zip(UNITS, values, strict=True)) if k % 2 else values,
        }
        for k, (name, values) in enumerate(numbers.items())
    ]
    lines(folder / "metadata.jsonl", rows)
    train, val = (open_faces(folder, size=16, split=part) for part in ("train", "val"))
    assert (len(train), len(val)) == (18, 2)
    for faces in (train, val):
        as_expected(faces, numbers, 1)
    assert train.describe.endswith("as 16×16, split train, units of metadata.jsonl.")
    lines(
        folder / "metadata.jsonl",
        [row | {"split": "test" if k < 5 else "train"} for k, row in enumerate(rows)],
    )
    assert len(open_faces(folder, size=16, split="val")) == 5
    as_expected(open_faces(folder, size=16, split="all"), numbers, 1)


def test_units_that_are_not_named_are_zero(crops) -> None:
    folder, _ = crops(n=2)
    lines(
        folder / "metadata.jsonl",
        [{"file_name": f"imgs/p0{k}.png", "action_units": {"au12": 0.5}} for k in (0, 1)],
    )
    assert open_faces(folder, split="all").units.sum(0)[UNITS.index("AU12")] == 1.0
    assert open_faces(folder, split="all").units.sum() == 1.0


def test_the_papers_layout(crops) -> None:
    folder, numbers = crops()
    (folder / "aus_openface.pkl").write_bytes(pickle.dumps({k: np.array(v) for k, v in numbers.items()}, 2))
    as_expected(open_faces(folder, size=24, split="all"), numbers, 5)
    assert len(open_faces(folder, split="val")) == 2
    (folder / "train_ids.csv").write_text("".join(f"p{k:02}.png\n" for k in range(12)))
    (folder / "test_ids.csv").write_text("".join(f"p{k:02}.png\n" for k in range(12, 15)))
    train, val = (open_faces(folder, size=24, split=part) for part in ("train", "val"))
    assert (len(train), len(val)) == (12, 3)
    as_expected(train, numbers, 5)
    assert len(listed(folder).unnamed) == 5
    (folder / "train_ids.csv").write_text("gone.jpg\n" + (folder / "train_ids.csv").read_text())
    with pytest.raises(DataError, match=r"1 of 16 faces in .* \(gone: is named in train_ids"):
        open_faces(folder)


def test_a_text_list(crops) -> None:
    folder, numbers = crops()
    text = "".join(f"{name}.jpg {' '.join(map(str, values))}\n" for name, values in numbers.items())
    (folder / "units.txt").write_text(text)
    (folder / "notes.txt").write_text("these are faces\n")
    as_expected(open_faces(folder, size=24, split="all"), numbers, 5)


def csv_of(rows: list[list[object]], *names: str) -> str:
    head = [*names, *(f" {unit}_r" for unit in UNITS)]
    return "\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n"


def test_openface_beside_each_picture(crops) -> None:
    folder, numbers = crops(".")
    for k, (name, values) in enumerate(numbers.items()):
        sure = 0.5 if k == 3 else 0.95
        rows: list[list[object]] = [[1, sure, *values]] * (2 if k == 4 else 1)
        (folder / f"{name}.csv").write_text(csv_of(rows, "face", " confidence"))
    faces = open_faces(folder, size=24, split="all")
    assert len(faces) == N - 2
    as_expected(faces, numbers, 5)
    assert [(p.file, p.reason) for p in listed(folder).left_out] == [
        ("p03.png", "OpenFace is unsure of it (0.50 of 0.88)"),
        ("p04.png", "has 2 faces"),
    ]
    (folder / "p05.csv").write_text("frame, AU01_r\n1,2\n")
    with pytest.raises(DataError, match="has no column AU02_r, AU04_r, AU05_r, AU06_r, …"):
        open_faces(folder)


def test_openface_of_a_video(crops) -> None:
    folder, numbers = crops("clip_aligned")
    for path in sorted((folder / "clip_aligned").iterdir()):
        path.rename(path.with_name(f"frame_det_00_{int(path.stem[1:]) + 1:06}.png"))
    rows = [[k + 1, 0.97, 1, *values] for k, values in enumerate(numbers.values())]
    (folder / "clip.csv").write_text(csv_of(rows, "frame", " confidence", " success"))
    as_expected(open_faces(folder, size=24, split="all"), numbers, 5)


def test_a_batch(crops) -> None:
    folder, numbers = crops("crops", most=1.0)
    lines(
        folder / "metadata.jsonl",
        [{"file_name": f"crops/{k}.png", "action_units": v} for k, v in numbers.items()],
    )
    faces = open_faces(folder, size=16, split="all")
    batch = faces.batch([3, 0])
    assert {k: (tuple(v.shape), str(v.dtype)) for k, v in batch.items()} == {
        "image": ((2, 3, 16, 16), "torch.float32"),
        "action_units": ((2, 17), "torch.float32"),
        "others": ((2, 8, 17), "torch.float32"),
        "index": ((2,), "torch.int64"),
    }
    assert batch["index"].tolist() == [3, 0]
    np.testing.assert_allclose(batch["image"][0, 0, 0, 0], 30 / 127.5 - 1)
    np.testing.assert_array_equal(batch["action_units"], faces.units[[3, 0]])
    every = faces.batch(range(N))["others"].numpy()
    for k, own in enumerate(every):
        assert not (own == faces.units[k]).all(1).any()
        assert all((faces.units == other).all(1).any() for other in own)
    np.testing.assert_array_equal(batch["others"], every[[3, 0]])
    assert len(np.unique(every.reshape(-1, 17), axis=0)) > N // 2
    assert (faces.captions, faces.vocabulary, faces.where) == ([], [], str(folder))
    assert faces.hash != open_faces(folder, size=16).hash


def test_one_face_has_itself_for_others(crops) -> None:
    folder, numbers = crops("crops", n=1, most=1.0)
    lines(folder / "metadata.jsonl", [{"file_name": "crops/p00.png", "action_units": numbers["p00"]}])
    faces = open_faces(folder)
    np.testing.assert_array_equal(faces.batch([0])["others"][0], np.tile(faces.units, (8, 1)))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"file_name": "gone.png", "action_units": [0] * 17}, "is named in metadata.jsonl line 2 but is not"),
        ({"file_name": "imgs/p01.png"}, "needs action_units: 17 numbers"),
        ({"file_name": "imgs/p01.png", "action_units": [0] * 16}, "needs action_units: 17 numbers"),
        ({"file_name": "imgs/p01.png", "action_units": {"AU99": 1}}, "no action unit is called 'AU99'"),
        (
            {"file_name": "imgs/p01.png", "action_units": {"AU12": 3.5}},
            "0 to 3.5; in metadata.jsonl they",
        ),
        ({"file_name": "imgs/p01.png", "action_units": ["x"] * 17}, "an intensity that is no number"),
        ({"file_name": "imgs/p01.png", "action_units": [0] * 17, "split": "blue"}, "has the split 'blue'"),
        ({"action_units": [0] * 17}, "is no JSON object with file_name and action_units"),
    ],
)
def test_a_bad_line_is_named(row: dict[str, object], reason: str, crops) -> None:
    folder, _ = crops(n=2)
    lines(folder / "metadata.jsonl", [{"file_name": "imgs/p00.png", "action_units": [0.5] * 17}, row])
    (problem,) = listed(folder).problems
    assert reason in problem.reason
    with pytest.raises(DataError, match="1 of 2 faces"):
        open_faces(folder)


def test_broken_pictures_are_counted_and_many_stop(crops) -> None:
    folder, numbers = crops("crops", most=1.0)
    lines(
        folder / "metadata.jsonl",
        [{"file_name": f"crops/{k}.png", "action_units": v} for k, v in numbers.items()],
    )
    (folder / "crops/p07.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataError, match=r"1 of 20 faces in .* cannot be used \(crops/p07.png"):
        open_faces(folder, split="all")
    report = check_faces(folder, size=24)
    assert not report.ok
    assert report.problems[0].file == "crops/p07.png"
    assert report.advice[0] == "1 of 20 faces cannot be used: mend or remove them."


def test_the_check_counts_and_advises(crops) -> None:
    folder, numbers = crops("crops", most=1.0)
    for values in numbers.values():
        values[UNITS.index("AU06")] = 0.25
    rows = [line(name, values) for name, values in numbers.items()]
    lines(folder / "metadata.jsonl", rows[:-1])
    report = check_faces(folder, size=32)
    assert report.ok
    assert (report.faces, report.source) == ({"train": 17, "val": 2}, "metadata.jsonl")
    assert (report.sizes, report.still) == ({"24x24": 19}, ["AU06"])
    assert report.units["AU06"] == {"mean": 0.25, "spread": 0.0, "largest": 0.25}
    words = " ".join(report.advice)
    for part in (
        "17 faces are few",
        "AU06 do not vary",
        "1 pictures have no action units (crops/p19.png)",
        "enlarged",
    ):
        assert part in words


def test_shares_in_a_list_of_openface_are_noticed(crops) -> None:
    folder, numbers = crops(most=0.9)
    (folder / "u.txt").write_text("".join(f"{k} {' '.join(map(str, v))}\n" for k, v in numbers.items()))
    assert any("if they are 0 to 1, write metadata.jsonl" in advice for advice in check_faces(folder).advice)


def test_folders_that_are_none(tmp_path: Path, crops) -> None:
    with pytest.raises(UsageError, match="no set of faces or folder is called 'nowhere'; the set is heads"):
        open_faces("nowhere")
    with pytest.raises(DataError, match="there is no folder"):
        open_faces(tmp_path / "a" / "b")
    folder, _ = crops()
    with pytest.raises(DataError, match="has no action units: no metadata"):
        open_faces(folder)
    (folder / "metadata.jsonl").write_text("\n")
    with pytest.raises(DataError, match="has no faces with action units in metadata"):
        open_faces(folder)
    with pytest.raises(UsageError, match="how many heads"):
        open_faces("heads:many")
