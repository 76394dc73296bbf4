"""A fake system in the registry, and a command line that returns exit code, output and error."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from kinema.apps import weights
from kinema.apps.cli import main
from kinema.systems import SYSTEMS, Room

HERE = Path(__file__).parent


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def fake_module() -> None:
    spec = importlib.util.spec_from_file_location("fake_room", HERE / "fake_room.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["fake_room"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


@pytest.fixture(autouse=True)
def fake_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(
        SYSTEMS,
        "fake-gan",
        Room("fake_room:Fake", "fake_room:PRESETS", "noise → clip", bench="fake_room:jobs"),
    )
    monkeypatch.setattr(weights, "BUNDLED", tmp_path / "bundled")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kinema(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*args: object) -> Said:
        capfd.readouterr()
        code = main([str(a) for a in args])
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def trained(fake_module: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the fake system; not to be changed by tests."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    SYSTEMS["fake-gan"] = Room("fake_room:Fake", "fake_room:PRESETS", "noise → clip", bench="fake_room:jobs")
    try:
        assert main(["train", "fake-gan", "--preset", "tiny", "--out", str(folder)]) == 0
    finally:
        del SYSTEMS["fake-gan"]
    return folder
