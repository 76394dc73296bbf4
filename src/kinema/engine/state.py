"""The run folder: what is written there, atomically, and how a run finds its way back.

    config.json                  what is trained, on what, and how
    weights.safetensors          for use: averaged weights where a player keeps an average
    state.safetensors            everything that the next step depends on
    state.previous.safetensors   the one before
    metrics.jsonl  environment.json  previews/  README.md

A step draws its noise and its items from (seed, step), and the global generators are seeded with them too. So the step
number is the state of every generator and of the sampler, and resuming equals not having stopped.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.core.errors import KinemaError, UsageError, WeightsError
from kinema.engine.ema import Ema

STATE, PREVIOUS, WEIGHTS = "state.safetensors", "state.previous.safetensors", "weights.safetensors"
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Counters:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    """of training, over all calls"""
    bad: int = 0
    """steps with NaN or Inf in a row"""
    skipped: int = 0
    """steps with NaN or Inf in all"""
    lr_scale: float = 1.0
    """halved by a rollback"""
    rollbacks: int = 0


@dataclass
class Training:
    """Everything that changes while training."""

    system: nn.Module
    ema: Ema
    optimisers: dict[str, torch.optim.Optimizer]
    counters: Counters

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        out = {f"model/{k}": v for k, v in self.system.state_dict().items()}
        out |= {f"ema/{k}": v for k, v in self.ema.values.items()}
        return out | {name: value for name, _, _, value in self._optimiser_tensors()}

    def _optimiser_tensors(self) -> Iterator[tuple[str, dict[str, Tensor], str, Tensor]]:
        for player, optimiser in self.optimisers.items():
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                slot = optimiser.state[parameter] if parameter in optimiser.state else {}
                for key, value in slot.items():
                    yield f"optimiser/{player}/{i}/{key}", slot, key, value

    def restore(self, path: Path) -> None:
        """Take everything from a state file."""
        tensors, text = read(path)
        self.counters = Counters(**json.loads(text["counters"]))
        model = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
        self.system.load_state_dict(model)
        for name, value in self.ema.values.items():
            value.copy_(tensors[f"ema/{name}"])
        for player, optimiser in self.optimisers.items():
            optimiser.state.clear()
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                prefix = f"optimiser/{player}/{i}/"
                slot = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                if slot:
                    optimiser.state[parameter] = {k: _like(parameter, v) for k, v in slot.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """In the layout of the parameter, on its device."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def save(training: Training, folder: Path, identity: dict[str, Any]) -> None:
    """Write weights and state; what was `state` becomes `state.previous`."""
    counters = json.dumps(asdict(training.counters))
    with disk_errors(folder):
        write_tensors(folder / WEIGHTS, training.ema.weights(training.system), {"step": str(training.counters.step)})
        text = {"counters": counters, "identity": json.dumps(identity)}
        write_tensors(folder / STATE, training.tensors(), text, keep=folder / PREVIOUS)


def resume(training: Training, folder: Path, say: Callable[[str], None], settled: bool = False) -> bool:
    """Restore the newest readable state; False when there is none.

    Args:
        training: what to restore.
        folder: the run folder.
        say: told when the newest state is damaged.
        settled: only a state that was saved while all numbers were finite.
    """
    found = [folder / name for name in (STATE, PREVIOUS) if (folder / name).exists()]
    for path in found:
        try:
            if settled and json.loads(read_text(path)["counters"])["bad"]:
                continue
            training.restore(path)
        except WeightsError as error:
            say(f"{error} Taking the one before.")
            continue
        return True
    if found:
        raise WeightsError(f"no state in {folder} can be read; delete {STATE} and {PREVIOUS} there to begin anew.")
    return False


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse a folder that holds something else: another run, or no run at all."""
    states = [p for p in (folder / STATE, folder / PREVIOUS) if p.exists()]
    if not states:
        strange = sorted(p.name for p in folder.iterdir() if not _ours(p)) if folder.exists() else []
        if strange or (folder / WEIGHTS).exists():
            held = strange[0] if strange else f"{WEIGHTS} without {STATE}"
            raise UsageError(f"{folder} is not a training run (it holds {held}); choose a new or empty folder.")
        return
    for path in states:
        try:
            there = json.loads(read_text(path)["identity"])
        except WeightsError:
            continue
        for key, value in json.loads(json.dumps(identity)).items():
            if there.get(key) != value:
                raise UsageError(
                    f"{folder} was trained with {_difference(key, there.get(key), value)}. "
                    "Use the same settings to go on, or choose another folder."
                )
        return


def _ours(path: Path) -> bool:
    names = ("config.json", "metrics.jsonl", "environment.json", "previews", "README.md", "report.html", "tensorboard")
    return path.name in (*names, WEIGHTS) or path.suffix == ".tmp"


def _difference(key: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                return _difference(name, there.get(name), here.get(name))
    return f"{key}={there!r}, not {here!r}"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text of a safetensors file."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}).") from None


def read_text(path: Path) -> dict[str, str]:
    """Only the text of a safetensors file."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}).") from None


def write_tensors(path: Path, tensors: dict[str, Tensor], text: dict[str, str], keep: Path | None = None) -> None:
    """Write a safetensors file atomically; `keep` is where the file it replaces goes.

    Every name gets memory of its own, so that tied weights come back under all their names.
    """
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        flat = value.detach().cpu().contiguous()
        own[name] = flat.clone() if flat.untyped_storage().data_ptr() in seen else flat
        seen.add(own[name].untyped_storage().data_ptr())

    def write(temporary: Path) -> None:
        save_file(own, temporary, text)
        temporary.chmod(0o644)

    _atomic(path, write, keep)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with disk_errors(path.parent):
        _atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8") and None)


def _atomic(path: Path, write: Callable[[Path], None], keep: Path | None = None) -> None:
    """Temporary file, fsync, rename, fsync of the folder: whenever the machine stops, an old or a new file is there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say in one sentence that a disk is full or a folder not writable."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        if number in FULL or any(f"os error {code})" in str(error) for code in FULL):
            last = f"the last state in {folder} is intact: free some space and run the same command to go on"
            raise KinemaError(f"The disk is full; {last}.") from None
        raise KinemaError(f"{folder} cannot be written ({error}).") from None
