"""Small clips on disk, and banks of plain squares whose place can be read off exactly."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinema.core.results import Video
from kinema.data import Digits
from kinema.media import save

Folder = Callable[..., Path]


@pytest.fixture(scope="session")
def squares() -> Digits:
    """Ten images a class, every one a full square; digit k has grey level 20·(k + 1)."""
    labels = np.repeat(np.arange(10), 10)
    return Digits(np.tile((20 * (labels + 1)).astype(np.uint8)[:, None, None], (1, 28, 28)), labels)


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Write one clip whose frame t is filled with 10·t + level; its name chooses the format."""

    def write(name: str, *, frames: int = 16, height: int = 32, width: int = 32, level: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.arange(frames, dtype=np.uint8) * 10 + level
        save(Video(np.tile(values[:, None, None, None], (1, height, width, 3)), Fraction(8)), path)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, clip: Callable[..., Path]) -> Folder:
    """Write `n` good clips, and metadata.jsonl with their captions followed by `rows`."""

    def write(n: int, rows: list[dict[str, Any]] | None = None, captions: bool = True) -> Path:
        names = [f"clip{k}.npz" for k in range(n)]
        for k, name in enumerate(names):
            clip(name, level=k % 90)
        if captions:
            lines = [{"file_name": name, "text": f"thing {k} moves ."} for k, name in enumerate(names)]
            (tmp_path / "metadata.jsonl").write_text(
                "\n".join(json.dumps(row) for row in lines + (rows or []))
            )
        return tmp_path

    return write
