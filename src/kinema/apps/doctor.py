"""`kinema doctor`: what this machine has, what is missing, and whether the bundled weights are intact."""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from kinema import __version__
from kinema.apps import options, say, weights
from kinema.core.errors import KinemaError

REQUIRED = ("torch", "numpy", "safetensors", "av", "pillow", "tyro", "rich", "einops")
EXTRAS = {
    "tensorboard": "train --tensorboard",
    "onnxruntime": "export --to onnx",
    "onnxscript": "export --to onnx",
}
CODECS = {"libx264": "mp4", "libvpx-vp9": "webm", "gif": "gif", "apng": "apng"}
LITTLE_DISK_GB = 2.0


class Finding(NamedTuple):
    """One line of the report; `ok` is None for what is only good to know."""

    what: str
    found: str
    ok: bool | None = None


@dataclass(frozen=True)
class Options:
    """Look at this machine and at the installation."""

    json: bool = False
    """print the findings as JSON"""


def main(args: list[str]) -> int:
    """Print all findings; 1 when something needed is missing or damaged."""
    flags = options.parse(Options, args, "doctor")
    findings = [*programs(), *hardware(), *codecs(), disk(), *bundled()]
    marks = {True: "ok", False: "WRONG", None: "–"}
    rows = [[marks[f.ok], f.what, f.found] for f in findings]
    say.result(
        {"findings": [f._asdict() for f in findings]}, say.columns(["", "what", "found"], rows), flags.json
    )
    return 1 if any(f.ok is False for f in findings) else 0


def programs() -> list[Finding]:
    """Versions of what kinema stands on."""
    found = [Finding("kinema", __version__, True), Finding("Python", platform.python_version(), True)]
    for name in REQUIRED:
        try:
            found.append(Finding(name, version(name), True))
        except PackageNotFoundError:
            found.append(Finding(name, f"missing: pip install {name}", False))
    for name, use in EXTRAS.items():
        there = importlib.util.find_spec(name) is not None
        found.append(Finding(name, version_of(name) if there else f"not installed, needed for `{use}`"))
    return found


def version_of(module: str) -> str:
    """The version of a module that is there, perhaps from a package of another name (onnxruntime-gpu)."""
    try:
        return version(module)
    except PackageNotFoundError:
        return "there"


def hardware() -> list[Finding]:
    """Processor, memory, GPU, and whether bf16 is native."""
    import torch

    from kinema.apps.bench import processor
    from kinema.apps.loading import pick_device
    from kinema.engine.devices import has_bf16

    device = torch.device(pick_device("auto"))
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none, the CPU is used"
    bf16 = "native, used by default" if has_bf16(device) else "not native, fp32 is used"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    return [
        Finding("processor", f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"),
        Finding("memory", f"{memory:.1f} GiB"),
        Finding("GPU", gpu),
        Finding("bf16", bf16),
    ]


def codecs() -> list[Finding]:
    """Whether the formats that are offered can be written."""
    import av

    return [Finding(f"codec for {use}", name, name in av.codecs_available) for name, use in CODECS.items()]


def disk() -> Finding:
    """Free space where runs are written by default."""
    free = shutil.disk_usage(".").free / 1e9
    return Finding("free disk here", f"{free:.1f} GB", free > LITTLE_DISK_GB)


def bundled() -> list[Finding]:
    """Whether each bundled file is the one that was shipped, and loads."""
    found = []
    for name, folder in weights.bundled().items():
        found.append(Finding(f"weights {name}", *intact(folder)))
    return found or [Finding("weights", "none are bundled")]


def intact(folder: Any) -> tuple[str, bool]:
    """What is wrong with a weights folder, or that nothing is."""
    from kinema.apps.loading import build

    try:
        about = weights.read_about(folder)
        if about.get("weights_sha256") not in (None, weights.hash_of(folder)):
            return "the file is not the one that was shipped (its SHA-256 differs): install again", False
        build(folder, about, "cpu")
    except KinemaError as error:
        return str(error), False
    return "intact", True
