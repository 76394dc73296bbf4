"""torch-fidelity's metric files without its package face, which imports torchvision."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest


@pytest.fixture
def fidelity(monkeypatch):
    """`fidelity("metric_fid")` is that module of torch-fidelity; only its statistics can be used."""
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None or spec.origin is None:
        pytest.skip("torch-fidelity is not installed")
    package, utils = types.ModuleType("torch_fidelity"), types.ModuleType("torch_fidelity.utils")
    package.__path__ = [str(Path(spec.origin).parent)]
    utils.__getattr__ = lambda name: None  # what would load networks and folders
    for name in [name for name in sys.modules if name.startswith("torch_fidelity")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    if importlib.util.find_spec("tqdm") is None:
        bar = types.ModuleType("tqdm")
        bar.tqdm = lambda items, **_: items
        monkeypatch.setitem(sys.modules, "tqdm", bar)
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", utils)
    yield lambda name: importlib.import_module(f"torch_fidelity.{name}")
    for name in [name for name in sys.modules if name.startswith("torch_fidelity.")]:
        monkeypatch.delitem(sys.modules, name)
