"""Foreign checkpoints: what is read, what is refused without running it, what a converted folder holds."""

import collections
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kinema as package
from kinema.apps.checkpoints import read_checkpoint
from kinema.apps.convert import complete_parts
from kinema.core.errors import WeightsError

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}


def same(read: dict[str, Any]) -> bool:
    return set(read) == set(WEIGHTS) and all(torch.equal(read[k], WEIGHTS[k]) for k in WEIGHTS)


@pytest.mark.parametrize("new", [True, False])
def test_pytorch_files_of_both_formats(tmp_path: Path, new: bool) -> None:
    torch.save(collections.OrderedDict(WEIGHTS), tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    assert same(read_checkpoint(tmp_path / "w.pth"))


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_pytorch_files_with_arrays_inside(tmp_path: Path, new: bool, protocol: int) -> None:
    mixed = {"a": WEIGHTS["a"], "b": WEIGHTS["b"].numpy(), "loss": np.float64(0.5)}
    path = tmp_path / "w.pth"
    torch.save(mixed, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    read = read_checkpoint(path)
    assert read["loss"] == 0.5
    assert same({"a": read["a"], "b": read["b"]})


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_arrays(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({k: v.numpy() for k, v in WEIGHTS.items()}, protocol))
    assert same(read_checkpoint(tmp_path / "w.pkl"))


def test_archives_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.npz"
    np.savez_compressed(path, zeros=np.zeros(10_000))
    with monkeypatch.context() as patch:
        patch.setattr("kinema.apps.checkpoints.MOST_BYTES", 5_000)
        with pytest.raises(WeightsError, match=r"w\.npz unpacks to"):
            read_checkpoint(path)
    np.savez_compressed(path, **{key: value.numpy() for key, value in WEIGHTS.items()})
    assert same(read_checkpoint(path))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match=r"w\.npz is truncated or no archive of arrays"):
        read_checkpoint(path)
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))  # a pickle, which is a program
    with pytest.raises(WeightsError, match=r"w\.npz is truncated or no archive of arrays"):
        read_checkpoint(path)


def test_parameters_come_without_their_gradients(tmp_path: Path) -> None:
    torch.save({"a": torch.nn.Parameter(WEIGHTS["a"])}, tmp_path / "w.pth")
    assert not read_checkpoint(tmp_path / "w.pth")["a"].requires_grad


@pytest.mark.parametrize("how", ["pickle", "zip", "legacy", "nested"])
def test_a_hostile_file_is_refused_and_nothing_is_run(tmp_path: Path, how: str) -> None:
    made, path = tmp_path / "made", tmp_path / "evil.pth"
    content = (
        {"a": WEIGHTS["a"], "x": sys.modules["fake_room"].Hostile(made)}
        if how == "nested"
        else sys.modules["fake_room"].Hostile(made)
    )
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how != "legacy")
    with pytest.raises(WeightsError, match=r"mkdir.*nothing in it was run"):
        read_checkpoint(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "os.system", "torch.load", "numpy.load", "torch.hub.load"]
)
def test_functions_that_could_do_harm_are_unknown(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    (tmp_path / "x.pkl").write_bytes(f"c{module}\n{function}\n(V1\ntR.".encode())
    with pytest.raises(WeightsError, match=f"asks to run '{name}'"):
        read_checkpoint(tmp_path / "x.pkl")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "s.pt"))
    with pytest.raises(WeightsError, match="TorchScript"):
        read_checkpoint(tmp_path / "s.pt")


@pytest.mark.parametrize("kept", [0, 1, 30, 300])
def test_truncated_files_are_refused(tmp_path: Path, kept: int) -> None:
    torch.save(WEIGHTS, tmp_path / "w.pth")
    (tmp_path / "t.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:kept])
    with pytest.raises(WeightsError, match="truncated or no checkpoint"):
        read_checkpoint(tmp_path / "t.pth")


def test_a_memory_bomb_is_refused(tmp_path: Path) -> None:
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(L99999999999999L\ntVb\ntR."
    (tmp_path / "b.pkl").write_bytes(array)
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "b.pkl")


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "l.pth")
    with pytest.raises(WeightsError, match="holds list"):
        read_checkpoint(tmp_path / "l.pth")


def test_the_fewest_modules_that_are_complete() -> None:
    wanted = ["a.x", "a.y", "b.c.x", "b.d.x", "b.d.y", "e"]
    assert complete_parts({"a.x", "a.y", "b.d.x", "b.d.y", "e"}, wanted) == ["a", "b.d", "e"]


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake room can import checkpoints: another program called `painter` `net`."""
    from kinema.systems import SYSTEMS

    def read(checkpoint: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if "net.weight" not in checkpoint:
            raise WeightsError("it has no net.weight")
        return sys.modules["fake_room"].Config(), {
            key.replace("net", "painter.to_pixels"): value for key, value in checkpoint.items()
        }

    monkeypatch.setattr(sys.modules["fake_room"], "LAYOUTS", {"other": read}, raising=False)
    room = SYSTEMS["fake-gan"]._replace(layouts="fake_room:LAYOUTS")
    monkeypatch.setitem(SYSTEMS, "fake-gan", room)


def test_a_published_checkpoint_becomes_a_folder_that_loads(kinema, layouts: None, tmp_path: Path) -> None:
    torch.save({"net.weight": torch.zeros(1024, 8), "net.bias": torch.ones(1024)}, "old.pth")
    said = kinema("convert", "fake-gan", "old.pth", "--out", "new", "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["layout"], facts["tensors"], facts["lacking"]) == (
        0,
        "other",
        2,
        ["colour", "critic"],
    )
    loaded = package.load("new")
    assert float(loaded.system.painter.to_pixels.bias.detach().mean()) == 1.0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("fake-gan", "none.pth"), 1, "no checkpoint none.pth"),
        (("fake-gan", "wrong.pth"), 1, "no known layout (other: it has no net.weight)"),
        (("fake-gan", "small.pth"), 1, "of shape (4, 8) in place of (1024, 8)"),
        (("fake-gan", "wrong.pth", "--layout", "othr"), 2, "nearest: other"),
        (("no-gan", "wrong.pth"), 2, "no system is called"),
    ],
)
def test_what_cannot_be_converted(
    kinema, layouts: None, args: tuple[str, ...], code: int, words: str
) -> None:
    torch.save({"x": torch.zeros(2)}, "wrong.pth")
    torch.save({"net.weight": torch.zeros(4, 8), "net.bias": torch.ones(4)}, "small.pth")
    said = kinema("convert", *args, "--out", "new")
    assert said.code == code
    assert words in said.err
    assert not Path("new").exists()


def test_a_system_without_published_weights(kinema) -> None:
    said = kinema("convert", "fake-gan", "x.pth", "--out", "new")
    assert said.code == 2
    assert "nothing to convert" in said.err
