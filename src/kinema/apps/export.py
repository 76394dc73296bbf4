"""`kinema export`: a run for onnxruntime, its weights at half the size, or under the authors' names."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from kinema import __version__
from kinema.apps import options, say, weights
from kinema.apps.card import write_card
from kinema.apps.convert import complete_parts
from kinema.apps.loading import Loaded, load
from kinema.apps.onnx import compare, session, write_onnx
from kinema.apps.run import check_writable
from kinema.core.errors import DataError, KinemaError, UsageError, WeightsError
from kinema.core.files import write_text
from kinema.systems import load_layouts, load_writer

TOLERANCE = 1e-4
"""largest difference allowed between onnxruntime and PyTorch, for outputs in [-1, 1]"""


@dataclass(frozen=True)
class Options:
    """Write a trained system for use elsewhere."""

    weights: tyro.conf.Positional[str]
    """run folder or bundled name"""
    out: Path
    """folder to write"""
    to: Literal["onnx", "weights", "authors"] = "onnx"
    """onnx: for onnxruntime; weights: only what is needed to run, in half precision, with a card; authors: a
    .pth file for each network of the published code that `kinema convert` reads, if it computes the same"""
    licence: str | None = None
    """of the weights, stated in config.json and on the card; default: what they state, else Apache-2.0"""
    default: bool = False
    """mark these weights as the first choice for their system"""
    json: bool = False
    """print what was written as JSON"""


def main(args: list[str]) -> int:
    """Load, write, check what was written."""
    flags = options.parse(Options, args, "export")
    check_writable(flags.out, folder=True)
    if flags.out.exists() and any(flags.out.iterdir()):
        raise DataError(f"{flags.out} is not empty; name a new folder to export to.")
    folder, _ = weights.find(flags.weights)
    if (folder / weights.ONNX).exists():
        raise UsageError(f"{flags.weights} is an exported folder already; export the run that it came from.")
    loaded = load(flags.weights, device="cpu", precision="fp32")
    with fresh_folder(flags.out) as out:
        facts = to_authors(flags, loaded, out) if flags.to == "authors" else write(flags, loaded, folder, out)
    text = f"{flags.out}: {facts['megabytes']:.1f} MB, largest difference {facts['max_abs_diff']:.1e}"
    if facts.get("left_out"):
        text += f"; that code has no {', '.join(facts['left_out'])}"
    say.result(facts, text, flags.json)
    return 0


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when all went well, and leaves no trace otherwise."""
    made = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(made, ignore_errors=True)  # of an export that was killed
    made.mkdir(parents=True)
    try:
        yield made
        if out.exists():
            out.rmdir()
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write(flags: Options, loaded: Loaded, folder: Path, out: Path) -> dict[str, Any]:
    """Weights, description and card into `out`; returns what to report."""
    kept = serving(loaded)
    facts = to_onnx(loaded, kept, out) if flags.to == "onnx" else to_half(loaded, kept, out)
    about = {
        "system": loaded.name,
        "version": __version__,
        "config": loaded.about["config"],
        "settings": loaded.about.get("settings", {}),
        "data": loaded.about.get("data"),
        "modules": facts.pop("modules"),
        "onnx": facts.pop("onnx", None),
        "licence": flags.licence or loaded.about.get("licence", "Apache-2.0"),
        "default": flags.default,
    }
    write_card(out, flags.out.name, folder, about)
    about["weights_sha256"] = weights.hash_of(out)
    write_text(out / "config.json", json.dumps(about, indent=2) + "\n")
    megabytes = sum(path.stat().st_size for path in weights.files_of(out)) / 1e6
    return {"out": str(flags.out), "to": flags.to, "megabytes": round(megabytes, 2), **facts}


def serving(loaded: Loaded) -> dict[str, Any]:
    """The tensors that `run` needs: those of the modules that the class names in `serving`, or all."""
    parts = getattr(type(loaded.system), "serving", ()) or loaded.about.get("modules")
    state: dict[str, Any] = loaded.system.state_dict()
    return {key: value for key, value in state.items() if parts is None or weights.is_part(key, parts)}


def to_half(loaded: Loaded, kept: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the tensors in half precision."""
    import torch

    small = {k: v.half() if v.dtype == torch.float32 else v for k, v in kept.items()}
    wrong = [key for key, value in small.items() if not value.float().isfinite().all()]
    if wrong:
        raise WeightsError(
            f"'{wrong[0]}' of {loaded.weights} holds numbers that are not finite in half precision."
        )
    weights.write_tensors(small, out / weights.FILE)
    error = max(
        (float((v.float() - small[k].float()).abs().max()) for k, v in kept.items() if v.numel()), default=0.0
    )
    return {"modules": sorted({key.split(".")[0] for key in kept}), "max_abs_diff": error}


def to_onnx(loaded: Loaded, kept: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write model.onnx, compare it with PyTorch, and put the tensors that it does not hold beside it."""
    if not hasattr(loaded.system, "export_module"):
        raise UsageError(f"{loaded.name} has no part that can be exported to ONNX; `--to weights` works.")
    module, examples, inputs, outputs = loaded.system.export_module()
    name = child_name(loaded.system, module)
    write_onnx(module, examples, inputs, outputs, out / weights.ONNX)
    error = compare(module, examples, inputs, session(out))
    if error > TOLERANCE:
        raise KinemaError(f"onnxruntime differs from PyTorch by {error:.1e}, more than {TOLERANCE:.0e}.")
    rest = {key: value for key, value in kept.items() if not weights.is_part(key, [name])}
    weights.write_tensors(rest, out / weights.FILE)
    held = sorted({key.split(".")[0] for key in rest})
    return {"modules": held, "onnx": name, "max_abs_diff": error}


def to_authors(flags: Options, loaded: Loaded, out: Path) -> dict[str, Any]:
    """Write the networks that published code has under its names, once they were read back and compared.

    Raises:
        WeightsError: read back as a published checkpoint, the weights are other networks or make something
            else, because the run uses what that code does not know.
    """
    import torch

    if flags.default or flags.licence:
        raise UsageError("--licence and --default belong to a weights folder: --to weights.")
    held = loaded.about.get("modules")
    state = loaded.system.state_dict()
    kept = {key: value for key, value in state.items() if held is None or weights.is_part(key, held)}
    write_parts, reasons = load_writer(loaded.name), []
    for layout, read in load_layouts(loaded.name).items():
        try:
            parts = write_parts(kept)
            config, ours = read(parts)
            theirs = type(loaded.system)(config)
            wrong = weights.differences(ours, theirs.state_dict(), [])
            if wrong:
                raise WeightsError(f"their code {wrong[0].replace('has the unknown', 'has no')}")
            theirs.load_state_dict(ours, strict=False)
            error = difference(loaded.system, theirs)
        except (WeightsError, UsageError, RuntimeError) as reason:
            reasons.append(f"{layout}: {str(reason).splitlines()[0].rstrip('.')}")
            continue
        if error > TOLERANCE:
            reasons.append(f"{layout}: {unlike(loaded.system.config, config)}")
            continue
        for name, tensors in parts.items():
            torch.save(tensors, out / f"{name}.pth")
        megabytes = sum(path.stat().st_size for path in out.iterdir()) / 1e6
        facts = {"out": str(flags.out), "to": flags.to, "layout": layout, "networks": sorted(parts)}
        facts["left_out"] = complete_parts(set(kept) - set(ours), list(kept))
        return {**facts, "megabytes": round(megabytes, 2), "max_abs_diff": error}
    raise WeightsError(f"{flags.weights} uses what published code does not know ({'; '.join(reasons)}).")


def difference(ours: Any, theirs: Any) -> float:
    """How far apart the outputs of two systems' exported networks are, relative to the largest of ours."""
    import torch

    module, examples, *_ = ours.export_module()
    other = theirs.eval().export_module()[0]
    with torch.no_grad():
        made = module(*examples)
        return float((made - other(*examples)).abs().max() / made.abs().max().clamp_min(1e-12))


def unlike(ours: Any, theirs: Any) -> str:
    """Which settings of a run its weights do not show, in words; some of them only concern training."""
    named = [
        f"{field.name}={getattr(ours, field.name)}"
        for field in dataclasses.fields(ours)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    return f"it makes something else of these weights; not its own settings: {', '.join(named)}"


def child_name(system: Any, module: Any) -> str:
    """Which of the system's networks is exported, so that a loaded export can take its place."""
    for name, child in system.named_children():
        if child is module:
            return str(name)
    raise TypeError(f"{type(system).__name__}.export_module must give one of the system's own networks")
