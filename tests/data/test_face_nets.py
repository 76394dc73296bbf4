"""What goes into the networks that find faces, and what is made of what comes out; no network runs here."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from kinema.core.errors import KinemaError
from kinema.data import face_nets
from kinema.data.face_nets import Networks, anchors, decoded, merged


def test_anchors_go_row_by_row_through_both_grids() -> None:
    found = anchors() * 128
    assert found.shape == (896, 2)
    assert found[:3].tolist() == [[4, 4], [4, 4], [12, 4]]  # 16 x 16 cells of 8 pixels, two anchors each
    assert found[32].tolist() == [4, 12]
    assert found[511].tolist() == [124, 124]
    assert found[512:519].tolist() == [[8, 8]] * 6 + [[24, 8]]  # 8 x 8 cells of 16 pixels, six each
    assert found[-1].tolist() == [120, 120]


def test_boxes_and_points_are_decoded() -> None:
    given = np.random.default_rng(0).normal(0, 20, (896, 16)).astype(np.float32)
    rows = decoded(given)
    for k in (0, 77, 511, 512, 895):
        if k < 512:
            ax, ay = 8 * (k // 2 % 16) + 4, 8 * (k // 32) + 4
        else:
            ax, ay = 16 * ((k - 512) // 6 % 8) + 8, 16 * ((k - 512) // 48) + 8
        x, y, w, h, *points = map(float, given[k])
        box = [ax + x - w / 2, ay + y - h / 2, ax + x + w / 2, ay + y + h / 2]
        rest = [value + (ax, ay)[n % 2] for n, value in enumerate(points)]
        np.testing.assert_allclose(rows[k] * 128, box + rest, atol=1e-4)


def slowly_merged(rows: np.ndarray, scores: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Box by box."""
    left = sorted(zip(scores.tolist(), rows.tolist(), strict=True), reverse=True)
    out, sure = [], []
    while left:
        best, first = left[0]
        group, rest = [left[0]], []
        for score, row in left[1:]:
            width = min(first[2], row[2]) - max(first[0], row[0])
            height = min(first[3], row[3]) - max(first[1], row[1])
            shared = max(width, 0) * max(height, 0)
            own, other = ((r[2] - r[0]) * (r[3] - r[1]) for r in (first, row))
            (group if shared / (own + other - shared) > 0.3 else rest).append((score, row))
        total = sum(score for score, _ in group)
        out.append(sum(score / total * np.array(row) for score, row in group))
        sure.append(best)
        left = rest
    return out, sure


def test_boxes_of_one_face_become_one() -> None:
    rng = np.random.default_rng(0)
    faces = np.array([[0.3, 0.3], [0.7, 0.4], [0.36, 0.62]])
    middles = faces[rng.integers(0, 3, 60)] + rng.normal(0, 0.03, (60, 2))
    half = rng.uniform(0.08, 0.16, (60, 1))
    rows = np.concatenate([middles - half, middles + half, rng.random((60, 12))], 1)
    scores = rng.uniform(0.3, 1, 60)
    got, sure = merged(rows, scores)
    expected, surest = slowly_merged(rows, scores)
    assert 3 <= len(got) < 20
    np.testing.assert_allclose(got, expected)
    np.testing.assert_allclose(sure, surest)
    nothing, none = merged(rows[:0], scores[:0])
    assert (nothing.shape, none.shape) == ((0, 16), (0,))


@pytest.mark.parametrize("shape", [(128, 128), (64, 128), (512, 256), (7, 3)])
def test_a_picture_stands_in_the_middle_of_a_black_square(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (*shape, 3), dtype=np.uint8)
    square = face_nets._letterboxed(pixels)
    side = max(shape)
    assert square.shape == (128, 128, 3)
    for row, column in ((3, 5), (64, 64), (100, 30), (40, 127), (127, 63)):
        y, x = row * side / 128 - (side - shape[0]) / 2, column * side / 128 - (side - shape[1]) / 2
        y0, x0 = int(np.floor(y)), int(np.floor(x))
        if not (-0.5 <= y < shape[0] - 0.5 and -0.5 <= x < shape[1] - 0.5):
            assert not square[row, column].any()
            continue
        if not (0 <= y0 < shape[0] - 1 and 0 <= x0 < shape[1] - 1):
            continue  # the border, which is repeated
        part = pixels[y0 : y0 + 2, x0 : x0 + 2].astype(float)
        upper, lower = part[:, 0] + (x - x0) * (part[:, 1] - part[:, 0])
        np.testing.assert_allclose(square[row, column], upper + (y - y0) * (lower - upper), atol=1.01)


def test_names_and_points_are_whole() -> None:
    assert len(set(face_nets.SCORES)) == 52
    assert sorted(set(face_nets.READ)) == list(face_nets.READ)
    assert (len(face_nets.READ), face_nets.READ[-1]) == (146, 477)


def test_what_is_missing_or_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face_task: Path
) -> None:
    for content in (b"nothing", b""):
        (tmp_path / "other.task").write_bytes(content)
        with pytest.raises(KinemaError, match=r"other.task' is not MediaPipe's face_landmarker.task"):
            Networks(tmp_path / "other.task")
    with zipfile.ZipFile(tmp_path / "other.task", "w") as archive:
        for name in face_nets.NETWORKS:
            archive.writestr(name, b"no network")
    with pytest.raises(KinemaError, match=r"is not MediaPipe's face_landmarker.task"):
        Networks(tmp_path / "other.task")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(KinemaError, match=r"`pip install 'kinema\[face\]'`"):
        Networks(face_task)


def test_what_is_seen_and_read_on_a_face(face_task: Path) -> None:
    from skimage.data import astronaut

    networks, picture = Networks(face_task), astronaut()
    (seen,) = networks.seen(picture, 0.5)  # what is expected, MediaPipe 1.2.2 gave
    assert seen.score == pytest.approx(0.9217, abs=0.001)
    points = networks.points(picture, seen)
    assert points is not None
    expected = [(195.28, 100.58), (255.32, 103.79), (223.45, 133.44), (221.43, 177.42)]
    np.testing.assert_allclose(points[[33, 263, 2, 152]], expected, atol=0.1)
    scores = networks.scores(points)
    for name, value in (("mouthSmileLeft", 0.899), ("eyeBlinkLeft", 0.040), ("browInnerUp", 0.022)):
        assert scores[name] == pytest.approx(value, abs=0.01)
    half = Pillow.fromarray(picture).resize((256, 256), Pillow.Resampling.BOX)
    (again,) = networks.seen(np.asarray(half), 0.5)
    np.testing.assert_allclose(2 * np.array(again.place[:3]), seen.place[:3], atol=3)
