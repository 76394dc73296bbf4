"""What OpenFace wrote is read by the names of its columns; pickles run nothing."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import DataError
from kinema.data.action_units import UNITS
from kinema.data.openface import is_csv, read_csv, read_pickle, scaled

R = [f" {unit}_r" for unit in UNITS]
PRESENCE = [f" {unit}_c" for unit in UNITS]


def write(path: Path, head: list[str], *rows: list[object]) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n")
    return path


def test_columns_are_found_wherever_they_are(tmp_path: Path) -> None:
    values = [k / 4 for k in range(17)]
    video = ["frame", " face_id", " timestamp", " confidence", " success", " gaze_0_x", *R, *PRESENCE]
    file = write(tmp_path / "a.csv", video, [3, 0, 0.1, 0.95, 1, 0.5, *values, *[1] * 17])
    (row,) = read_csv(file)
    assert (row.frame, row.confidence) == (3, 0.95)
    np.testing.assert_allclose(row.units, np.array(values) / 5, rtol=1e-6)
    shuffled = write(tmp_path / "b.csv", [*PRESENCE, *reversed(R), " x_0"], [*[0] * 17, *reversed(values), 7])
    np.testing.assert_array_equal(read_csv(shuffled)[0].units, row.units)
    assert read_csv(shuffled)[0][:2] == (None, 1.0)


def test_two_faces_are_two_rows_and_failures_have_no_confidence(tmp_path: Path) -> None:
    head = ["frame", " confidence", " success", *R]
    rows = read_csv(write(tmp_path / "a.csv", head, [1, 0.9, 1, *[0] * 17], [1, 0.8, 0, *[5] * 17]))
    assert [(r.frame, r.confidence) for r in rows] == [(1, 0.9), (1, 0.0)]
    assert rows[1].units.tolist() == [1.0] * 17


@pytest.mark.parametrize(
    ("head", "row", "words"),
    [
        (["frame", *PRESENCE], [1, *[0] * 17], "has no column AU01_r, AU02_r, AU04_r, AU05_r, …; OpenFace"),
        (R[:-1], [0] * 16, "has no column AU45_r"),
        (R, [0] * 16, "line 2 has too few columns"),
        (R, ["x", *[0] * 16], "line 2 has an intensity that is no number"),
        (R, [5.5, *[0] * 16], "line 2 has intensities from 0 to 5.5; OpenFace's are 0 to 5"),
        (R, ["nan", *[0] * 16], "line 2 has intensities"),
        (["frame", *R], ["inf", *[0] * 17], "line 2 has too few columns or a text"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    head: list[str], row: list[object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_csv(write(tmp_path / "a.csv", head, row))
    assert words in str(caught.value)


def test_other_tables_are_not_openfaces(tmp_path: Path) -> None:
    assert is_csv(write(tmp_path / "a.csv", R))
    assert not is_csv(write(tmp_path / "b.csv", ["a.jpg"]))
    empty = tmp_path / "c.csv"
    empty.write_text("")
    with pytest.raises(DataError, match="cannot be read as OpenFace's CSV"):
        read_csv(empty)


def test_numbers_of_openface_become_shares() -> None:
    assert scaled([5] * 17).tolist() == [1.0] * 17  # type: ignore[union-attr]
    assert scaled([1] * 16) == "has 16 intensities; expected 17"
    assert "no number" in str(scaled(["a"] * 17))
    assert "-1 to 1" in str(scaled([-1, *[1] * 16]))


PYTHON_2 = (
    b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\n"
    b"tp6\nRp7\n(I1\n(I17\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\n"
    b"I-1\nI0\ntp14\nbI00\nS'" + b"\\x00" * 6 + b"\\xf0?" + b"\\x00" * 128 + b"'\np15\ntp16\nbs."
)
"""{"a": array([1.0, 0.0, …])} as Python 2 wrote it"""


def test_pickles_of_all_ages_are_read(tmp_path: Path) -> None:
    file = tmp_path / "aus_openface.pkl"
    file.write_bytes(PYTHON_2)
    assert np.asarray(read_pickle(file)["a"]).tolist() == [1.0] + [0.0] * 16
    values = {"x": np.arange(17) / 4, "y": [1.0] * 17, "z": [np.float32(0.5)] * 17}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file.write_bytes(pickle.dumps(values, protocol))
        found = read_pickle(file)
        for name, numbers in values.items():
            np.testing.assert_array_equal(scaled(found[name]), scaled(numbers))


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    file, mark = tmp_path / "aus_openface.pkl", tmp_path / "mark"
    file.write_bytes(pickle.dumps({"a": Hostile(mark)}))
    with pytest.raises(DataError, match="refused, nothing in it was run"):
        read_pickle(file)
    assert not mark.exists()


class Addresses:
    """Eight bytes as a NumPy record that hides an object: its kind says that there is none."""

    def __reduce__(self) -> tuple[object, ...]:
        hidden = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1,), Kind(hidden), False, b"A" * 8)


class Kind:
    def __init__(self, state: tuple[object, ...]) -> None:
        self.state = state

    def __reduce__(self) -> tuple[object, ...]:
        return np.dtype, ("V8", False, True), self.state


def test_a_hostile_pickle_makes_no_objects_of_bytes(tmp_path: Path) -> None:
    file = tmp_path / "aus_openface.pkl"
    file.write_bytes(pickle.dumps({"a": Addresses()}))
    with pytest.raises(DataError, match="the kind of numbers V8"):
        read_pickle(file)


@pytest.mark.parametrize("data", [b"", b"\x80\x05", PYTHON_2[:150], pickle.dumps([1]), pickle.dumps({1: 2})])
def test_damaged_and_other_pickles_are_named(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "aus_openface.pkl"
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"aus_openface\.pkl' (is truncated or no pickle|holds no dict)"):
        read_pickle(file)
