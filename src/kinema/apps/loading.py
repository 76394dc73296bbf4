"""`kinema.load`: from a name or a folder to a system that runs, its results knowing where they came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinema import __version__
from kinema.apps import weights
from kinema.core.config import from_dict, to_dict
from kinema.core.errors import KinemaError, UsageError, WeightsError, nearest
from kinema.core.results import Batch, Image, Result, Video
from kinema.systems import load_class


@dataclass
class Loaded:
    """A system with its weights, ready to run."""

    system: Any
    name: str
    """the system's name, as on the command line"""
    weights: str
    """name or folder of the weights, as it was given"""
    weights_hash: str
    """SHA-256 of the weights file"""
    about: dict[str, Any]
    """what config.json says: system, version, config, settings, data"""
    device: str = "cpu"
    """where it computes"""
    precision: str = "fp32"
    """in which it computes: bf16 or fp32; recorded, because it changes the last digit of a pixel"""

    def run(self, **request: Any) -> Result:
        """Run a request, given as the fields of the system's `Request`.

        Example:
            >>> load("tgans-c").run(caption="digit 7 is moving left and right .", seed=1)  # doctest: +SKIP
        """
        return self.run_request(make_request(self.system.Request, request))

    def run_request(self, request: Any) -> Result:
        """Run a request object; the result's provenance says what made it."""
        self.check_complete()
        result = self._make(request)
        result.provenance = {
            "synthetic": True,
            "system": self.name,
            "weights": self.weights,
            "weights_sha256": self.weights_hash,
            "request": to_dict(request),
            "seed": getattr(request, "seed", None),
            "precision": self.precision,
            "version": __version__,
            "pixels_sha256": pixels_hash(result),
        }
        return result

    def check_complete(self) -> None:
        """Refuse to run on parts that have never been trained, as in a converted checkpoint."""
        if self.about.get("modules") is None:
            return
        held = {*self.about["modules"], self.about.get("onnx")}
        lacking = [part for part in getattr(self.system, "serving", ()) if part not in held]
        if lacking:
            raise WeightsError(
                f"the weights {self.weights} hold no {lacking[0]}, without which {self.name} cannot run."
            )

    def _make(self, request: Any) -> Result:
        with memory_in_words(), self.context():
            result: Result = self.system.run(request)
        return result

    def generate(self, captions: list[str], seeds: list[int]) -> Any:
        """Clips uint8 (N, T, H, W, C) for scoring, computed as `run` computes."""
        with self.context():
            return self._able("generate")(captions, seeds)

    def truncated(self, captions: list[str], seeds: list[int], truncation: float) -> Iterator[Any]:
        """Pictures of truncated noise for scoring, uint8 (n, 1, S, S, 3) at a time, as `run` makes."""
        parts = self._able("truncated")(captions, seeds, truncation)
        while True:
            with self.context():  # entered anew for each part: what scores them has its own precision
                part = next(parts, None)
            if part is None:
                return
            yield part

    def combine(self, appearances: list[int], motions: list[int]) -> Any:
        """Clips with the appearances of some seeds and the motions of others, computed as `run` computes."""
        with self.context():
            return self._able("combine")(appearances, motions)

    def animate(self, photos: Any) -> Any:
        """Clips uint8 (N, stages, T, H, W, 3) of photos (N, H, W, 3) for scoring, as `run` computes them."""
        with self.context():
            return self._able("animate")(photos)

    def edited(self, pixels: Any, units: Any) -> Any:
        """Face crops uint8 (N, S, S, 3) with other action units (N, 17), and masks, as `run` edits them."""
        with self.context():
            return self._able("edited")(pixels, units)

    def classify(self, pixels: Any) -> Any:
        """Probabilities (N, K) of pictures uint8 (N, S, S, C) for scoring, as `run` computes them."""
        with self.context():
            return self._able("classify")(pixels)

    def _able(self, what: str) -> Any:
        """The method of the system by which it makes clips for scoring, if it has it."""
        if not hasattr(self.system, what):
            fitting = ", ".join(self.system.metrics)
            raise UsageError(f"this metric does not fit {self.name}; those that do: {fitting}.")
        return getattr(self.system, what)

    def context(self) -> AbstractContextManager[object]:
        """The precision, as a context."""
        import torch

        from kinema.engine.devices import choose_precision

        return choose_precision(self.precision, torch.device(self.device))()


@contextmanager
def memory_in_words() -> Iterator[None]:
    """Say in one sentence that memory ended."""
    from kinema.engine.devices import ran_out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise KinemaError("Out of memory; ask for fewer at a time (n), or take --device cpu.") from None


def load(what: str | Path, *, device: str = "auto", precision: str = "auto") -> Loaded:
    """Load weights by name or folder; see `kinema.load`."""
    from kinema.engine.devices import channels_last

    folder, shown = weights.find(what)
    about = weights.read_about(folder)
    onnx = (folder / weights.ONNX).is_file()  # computes by itself, on the CPU in fp32
    device = pick_device("cpu" if onnx else device)
    precision = pick_precision("fp32" if onnx else precision, device)
    system = build(folder, about, device)
    channels_last(system)
    return Loaded(system, about["system"], shown, weights.hash_of(folder), about, device, precision)


def build(folder: Path, about: dict[str, Any], device: str = "auto") -> Any:
    """The system of a weights folder, its weights filled in, on `device`, not training."""
    kind = load_class(about["system"])
    try:
        config = from_dict(kind.Config, about["config"])
    except (UsageError, TypeError) as error:
        raise WeightsError(
            f"{folder / 'config.json'} was written by kinema {about.get('version', '?')} "
            f"and does not fit {__version__}: {error}"
        ) from None
    system = kind(config)
    weights.fill(system, folder, about)
    if (folder / weights.ONNX).is_file():
        from kinema.apps.onnx import attach_onnx

        return attach_onnx(system.eval(), folder)
    return system.to(pick_device(device)).eval()


def pick_device(name: str) -> str:
    """`auto` as the best device there is; anything else is checked."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device is auto, cpu, cuda or cuda:N, not '{name}'.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device '{name}' was asked for, and this machine has {torch.cuda.device_count()} CUDA devices."
        )
    return name


def pick_precision(name: str, device: str) -> str:
    """`auto` as bf16 where the hardware has it, else fp32; anything else is checked."""
    import torch

    from kinema.engine.devices import has_bf16

    if name not in ("auto", "bf16", "fp32"):
        raise UsageError(f"precision is auto, bf16 or fp32, not '{name}'.")
    return name if name != "auto" else "bf16" if has_bf16(torch.device(device)) else "fp32"


def make_request(kind: type[Any], values: dict[str, Any]) -> Any:
    """Build a `Request` from keyword arguments; wrong names are answered with the nearest right ones."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in fields:
            raise UsageError(f"a request has no field '{key}'; {nearest(key, fields)}.")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UsageError(f"a request needs '{name}', which was not given.")
    return from_dict(kind, {key: _listed(hints[key], value) for key, value in values.items()})


def _listed(hint: Any, value: Any) -> Any:
    """One text or number where several are allowed: a list of one, commas of a text left alone."""
    args = typing.get_args(hint)
    many = typing.get_origin(hint) is tuple and len(args) == 2 and args[1] is Ellipsis
    return [value] if many and isinstance(value, str | int | float) else value


def pixels_hash(result: Result) -> str:
    """SHA-256 of shape and pixels, clip after clip: what `kinema replay` compares."""
    digest = hashlib.sha256()
    for pixels in _arrays(result):
        digest.update(json.dumps(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def _arrays(result: Result) -> list[Any]:
    if isinstance(result, Batch):
        return [video.frames for video in result]
    if isinstance(result, Video):
        return [result.frames]
    if isinstance(result, Image):
        return [result.pixels]
    raise TypeError(f"a system gave back {type(result).__name__}, which has no pixels")
