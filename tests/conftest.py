"""What every test starts from: one thread, known seeds, a cache of its own, no GPU test without a GPU."""

import os
import random
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

# Two test processes on two cores would otherwise start four threads each; child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

hypothesis.settings.register_profile("kinema", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kinema")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is taken from, or left in, the user's cache; parallel test processes share one."""
    base = tmp_path_factory.getbasetemp()
    os.environ["KINEMA_CACHE"] = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache")


@pytest.fixture(scope="session")
def face_task() -> Path:
    """The networks that find faces, which `make` fetches into the environment; else a test is skipped."""
    pytest.importorskip("ai_edge_litert")
    path = Path(sys.prefix) / "cache/data/face_landmarker.task"
    if not path.is_file():
        pytest.skip(
            f"`KINEMA_CACHE={sys.prefix}/cache kinema data fetch face-landmarker` brings its networks"
        )
    return path


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
