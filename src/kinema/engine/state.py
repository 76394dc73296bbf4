"""The run folder: what is written there, atomically, and how a run finds its way back.

    config.json                  what is trained, on what, and how
    weights.safetensors          for use: averaged weights where a player keeps an average
    state.safetensors            everything that the next step depends on
    state.previous.safetensors   the one before
    state.healthy.safetensors    the last one before a preview that was as varied as real items are
    metrics.jsonl  environment.json  previews/  README.md
    .lock                        held while a training is at work here

A step draws its noise and its items from (seed, step), and PyTorch's global generators are seeded with them
too. So the step number is the state of every generator and of the sampler, and resuming equals not having
stopped.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.core.errors import UsageError, WeightsError
from kinema.core.files import disk_errors, write_atomically, write_text
from kinema.engine.ema import Ema

STATE, PREVIOUS, WEIGHTS = "state.safetensors", "state.previous.safetensors", "weights.safetensors"
HEALTHY = "state.healthy.safetensors"
LOCK = ".lock"
README = """# A training run of {system}

`kinema evaluate` and `kinema.load` take this folder as it is, and the command that began the run goes on
with it (environment.json has it). `config.json` says what is trained, `metrics.jsonl` how it went,
`previews/` shows the same items again and again; `weights.safetensors` is for use, `state.safetensors` for
going on.
"""


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
    """because of NaN or Inf"""
    collapses: int = 0
    """that were undone"""
    wells: int = 0
    """previews in a row that were as varied as real items"""
    dull: int = 0
    """previews in a row that no longer were"""


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
        return out | dict(self._optimiser_tensors())

    def names(self) -> dict[str, list[str]]:
        """Player -> names of its parameters in the system, in the order of its optimiser."""
        known = {id(p): name for name, p in self.system.named_parameters()}
        return {
            player: [known[id(p)] for p in optimiser.param_groups[0]["params"]]
            for player, optimiser in self.optimisers.items()
        }

    def _optimiser_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for player, optimiser in self.optimisers.items():
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                for key, value in optimiser.state.get(parameter, {}).items():
                    yield f"optimiser/{player}/{i}/{key}", value

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
                _fill_slot(optimiser, parameter, tensors, f"optimiser/{player}/{i}/")

    def take_averages(self, path: Path, wanted: Set[str]) -> None:
        """What the optimisers of another run's state file remember of the parameters `wanted`, by name."""
        tensors, text = read(path)
        if "parameters" not in text:
            raise WeightsError(f"{path} is of a version that did not name what its optimisers remember.")
        there = json.loads(text["parameters"])
        for player, names in self.names().items():
            place = {name: i for i, name in enumerate(there.get(player, ()))}
            for name, parameter in zip(names, self.optimisers[player].param_groups[0]["params"], strict=True):
                if name in place and name in wanted:
                    prefix = f"optimiser/{player}/{place[name]}/"
                    _fill_slot(self.optimisers[player], parameter, tensors, prefix)


def _fill_slot(
    optimiser: torch.optim.Optimizer, parameter: Tensor, tensors: dict[str, Tensor], prefix: str
) -> None:
    """Give an optimiser what a state file has of a parameter."""
    slot = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if slot:
        optimiser.state[parameter] = {k: _like(parameter, v) for k, v in slot.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """In the layout of the parameter, on its device."""
    if value.shape != parameter.shape:
        return value.clone().to(parameter.device)  # a tensor as read is a window on the file
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def save(
    training: Training, folder: Path, identity: dict[str, Any], weights: dict[str, Tensor] | None = None
) -> None:
    """Write weights for use and state; what was `state` becomes `state.previous`.

    The weights go first: they are never older than the state, so a run that has nothing left to do has them.
    Before the first step there is only a state.
    """
    counters = json.dumps(asdict(training.counters))
    if weights is not None:
        write_tensors(folder / WEIGHTS, weights, {"step": str(training.counters.step)})
    text = {
        "counters": counters,
        "identity": json.dumps(identity),
        "parameters": json.dumps(training.names()),
    }
    write_tensors(folder / STATE, training.tensors(), text, keep=folder / PREVIOUS)


def resume(training: Training, folder: Path, say: Callable[[str], None], settled: bool = False) -> bool:
    """Restore the newest readable state and report whether there was one.

    Args:
        training: what to restore.
        folder: the run folder.
        say: told when the newest state is damaged.
        settled: take only a state that was saved while all numbers were finite.
    """
    damaged = False
    for path in (folder / STATE, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            if settled and json.loads(read(path, tensors=False)[1]["counters"])["bad"]:
                continue
            training.restore(path)
        except WeightsError as error:
            damaged = True
            say(f"{error} Taking the one before.")
        else:
            return True
    if damaged:
        raise WeightsError(
            f"no state in {folder} can be read; delete {STATE} and {PREVIOUS} there to begin anew."
        )
    return False


def keep_healthy(folder: Path) -> None:
    """Keep the newest state, which is of now or before, under a name that is not overwritten by the next."""
    kept = folder / f"{HEALTHY}.tmp"
    kept.unlink(missing_ok=True)
    with disk_errors(folder):
        try:
            os.link(folder / STATE, kept)  # no second copy on the disk
        except OSError:
            shutil.copyfile(folder / STATE, kept)
        kept.replace(folder / HEALTHY)


def claim(folder: Path, identity: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Refuse a folder that holds something else: another run, or no run at all.

    A setting of `identity["config"]` that a run began without, because there was no such setting then, had
    its default.
    """
    states = [p for p in (folder / STATE, folder / PREVIOUS) if p.exists()]
    if not states:
        strange = sorted(p.name for p in folder.iterdir() if not _ours(p)) if folder.exists() else []
        if strange or (folder / WEIGHTS).exists():
            held = strange[0] if strange else f"{WEIGHTS} without {STATE}"
            raise UsageError(
                f"{folder} is not a training run (it holds {held}); choose a new or empty folder."
            )
        return
    for path in states:
        try:
            there = json.loads(read(path, tensors=False)[1]["identity"])
        except WeightsError:
            continue
        if isinstance(there.get("config"), dict):
            there["config"] = {**(defaults or {}), **there["config"]}
        for key, value in json.loads(json.dumps(identity)).items():
            if there.get(key) != value:
                raise UsageError(
                    f"{folder} was trained with {_difference(key, there.get(key), value)}. "
                    "Use the same settings to go on, or choose another folder."
                )
        return


def prepare(folder: Path, about: dict[str, Any], machine: dict[str, Any]) -> None:
    """Make the folder and write what is known before the first step."""
    with disk_errors(folder):
        (folder / "previews").mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob("*.tmp"):
            left_over.unlink()
    write_text(folder / "config.json", json.dumps(about, indent=2) + "\n")
    write_text(folder / "environment.json", json.dumps(machine, indent=2) + "\n")
    write_text(folder / "README.md", README.format(system=about.get("system", "kinema")))


def _ours(path: Path) -> bool:
    names = (
        "config.json",
        "metrics.jsonl",
        "environment.json",
        "previews",
        "README.md",
        "report.html",
        "tensorboard",
    )
    return path.name in (*names, WEIGHTS, LOCK, HEALTHY) or path.suffix == ".tmp"


def _difference(key: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                return _difference(name, there.get(name), here.get(name))
    return f"{key}={there!r}, not {here!r}"


def read(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (unless not wanted) and text of a safetensors file."""
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys()) if tensors else []
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}).") from None


def write_tensors(
    path: Path, tensors: dict[str, Tensor], text: dict[str, str], keep: Path | None = None
) -> None:
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

    with disk_errors(path.parent, SafetensorError):
        write_atomically(path, write, keep)
