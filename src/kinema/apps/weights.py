"""Folders of weights: which are bundled, how one is found by name, how its file is read without unpickling.

A weights folder is `config.json` (system, version, config, settings, data) beside `weights.safetensors`; an
exported one has one of its networks, named `onnx`, in `model.onnx`. Run folders are weights folders.
`config.json` of small weights names in `modules` what the file holds because it is needed to run; the
system's other parts stay as they are built.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import kinema
from kinema.apps import say
from kinema.apps.report import command_of
from kinema.core.errors import UsageError, WeightsError, nearest
from kinema.core.files import disk_errors
from kinema.systems import SYSTEMS

BUNDLED = Path(kinema.__file__).parent / "weights"
FILE = "weights.safetensors"
ONNX = "model.onnx"


def bundled() -> dict[str, Path]:
    """Name -> folder of the weights that came with kinema; those marked `default` come first."""
    found = [config.parent for config in BUNDLED.glob("*/config.json")]
    return {
        folder.name: folder
        for folder in sorted(found, key=lambda f: (not read_about(f).get("default"), f.name))
    }


def find(what: str | Path) -> tuple[Path, str]:
    """The folder meant by a bundled name, a system's name, a path or `hf://user/repo`, and how to show it."""
    text = str(what)
    if text.startswith("hf://"):
        return _download(text), text
    ours = bundled()
    if text in ours:
        return ours[text], text
    if text in SYSTEMS:
        for name, folder in ours.items():
            if read_about(folder)["system"] == text:
                return folder, name
        raise WeightsError(f"no weights of {text} are bundled; train some: `kinema train {text} --out DIR`.")
    path = Path(what).expanduser()
    if path.is_file() and path.name in (FILE, ONNX):
        path, text = path.parent, str(path.parent)
    if path.is_file():
        raise WeightsError(
            f"{path} is a file, not a weights folder; `kinema convert` imports published checkpoints."
        )
    if not path.is_dir():
        names = nearest(text, [*ours, *SYSTEMS])
        raise UsageError(f"no weights are called '{text}' and there is no such folder; {names}.")
    return path, text


def _download(address: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UsageError(f"{address} needs huggingface_hub: `pip install huggingface_hub`.") from None
    try:
        return Path(
            snapshot_download(
                address.removeprefix("hf://"), allow_patterns=["config.json", FILE, ONNX, "*.md"]
            )
        )
    except Exception as error:  # the library's own errors: no network, no such repository, no permission
        raise WeightsError(f"{address} could not be fetched: {error}") from None


def read_about(folder: Path) -> dict[str, Any]:
    """What `config.json` of a weights folder says, checked to be complete and of a system that exists."""
    path = folder / "config.json"
    try:
        about = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} has no config.json, so it is neither a run folder nor an exported one."
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    if not isinstance(about, dict) or not isinstance(about.get("config"), dict) or "system" not in about:
        raise WeightsError(f"{path} does not name a system and its config.")
    if about["system"] not in SYSTEMS:
        raise WeightsError(f"{path} is of system '{about['system']}'; this version has {', '.join(SYSTEMS)}.")
    return about


def headlines(about: dict[str, Any]) -> dict[str, float]:
    """The first number of each family of scores in config.json, such as `digit` of caption fidelity."""
    firsts = (next(iter(numbers.items())) for numbers in (about.get("scores") or {}).values())
    return {name: value for name, value in firsts if value is not None}


def files_of(folder: Path) -> list[Path]:
    """The files with the numbers: the safetensors file, and the ONNX model of an exported folder."""
    found = [folder / name for name in (FILE, ONNX) if (folder / name).is_file()]
    if not found:
        raise WeightsError(f"{folder} has no {FILE}; a run writes it with its first saved state.")
    return found


def hash_of(folder: Path) -> str:
    """SHA-256 of the numbers of a folder; of one file it is what `sha256sum` prints."""
    hashes = []
    for path in files_of(folder):
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file; anything else is refused and nothing in it is run."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"{path} does not exist.")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        # Asked only now: a sound file begins with the length of its header, which may begin as a pickle does.
        if is_pickle(path):
            raise WeightsError(
                f"{path} is a pickle, not safetensors: refused, nothing in it was run. See `kinema convert`."
            ) from None
        raise WeightsError(f"{path} is truncated or not a safetensors file ({error}).") from None


def is_pickle(path: Path) -> bool:
    """Whether a file that is not safetensors begins as a pickle or PyTorch's archive of one."""
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or start[:1] == b"\x80"


def write_tensors(tensors: dict[str, Any], path: Path) -> None:
    """Write a safetensors file that everyone may read."""
    from safetensors.torch import save_file

    with disk_errors(path.parent):
        save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, path)
        path.chmod(0o644)  # the library makes it readable to its owner alone


def fill(system: Any, folder: Path, about: dict[str, Any]) -> None:
    """Copy the weights of `folder` into `system`; they must be of this very system and configuration."""
    import torch

    given, wanted = read_tensors(folder / FILE), system.state_dict()
    wrong = differences(given, wanted, about.get("modules"))
    if wrong:
        raise WeightsError(
            f"{folder / FILE} {wrong[0]} ({len(wrong)} differences): its weights are of another system or "
            f"configuration than the {about['system']} that config.json describes."
        )
    with torch.no_grad():
        for key, value in given.items():
            wanted[key].copy_(value)


class Begun(NamedTuple):
    """What a run takes from other weights."""

    record: dict[str, Any]
    """for config.json: the weights, their hash, the command that made them, and how many were taken"""
    folder: Path
    names: set[str]
    """of the tensors"""


def begin_with(system: Any, what: str) -> Begun:
    """Copy into a system about to be trained every tensor of other weights that has a name of its own.

    What only training needs, such as a critic, is taken if it is built alike: half of one is worth nothing.
    """
    import torch

    folder, shown = find(what)
    about = read_about(folder)
    kind, had = about["system"], about["config"].get("classes")
    if kind != system.name:
        raise WeightsError(f"init_from={what} holds weights of {kind}, not of {system.name}.")
    given, wanted = read_tensors(folder / FILE), system.state_dict()
    aids = {key.partition(".")[0] for key in given} - set(system.serving)
    other = {aid for aid in aids if any(is_part(key, [aid]) and key not in wanted for key in given)}
    for aid in sorted(other):
        say.remark(f"init_from={what}: its {aid} is built otherwise and begins anew here")
    others = had is not None and list(had) != list(getattr(system.config, "classes", had))
    tables = set(system.class_parts) if others else set()
    if tables:
        say.remark(f"init_from={what}: it has other classes, so {len(tables)} tables of classes begin anew")
    common = [key for key in wanted if key in given and not is_part(key, other | tables)]
    lacking = [key for key in wanted if is_part(key, system.inherits) and key not in given]
    if lacking:
        raise WeightsError(f"init_from={what} holds no {lacking[0]}; give the run that trained it.")
    for key in common:
        if given[key].shape != wanted[key].shape:
            shapes = f"{tuple(given[key].shape)}, here it has {tuple(wanted[key].shape)}"
            raise WeightsError(
                f"init_from={what} holds '{key}' of shape {shapes}: use the settings of that run."
            )
    with torch.no_grad():
        for key in common:
            wanted[key].copy_(given[key])
    made = {"weights": shown, "sha256": hash_of(folder), "command": command_of(folder)}
    return Begun({**made, "tensors": len(common)}, folder, set(common))


def differences(given: dict[str, Any], wanted: dict[str, Any], modules: list[str] | None) -> list[str]:
    """Why tensors do not fit a system, in words; with `modules` only those parts must be complete."""
    needed = {key for key in wanted if modules is None or is_part(key, modules)}
    lacking = [f"lacks '{key}'" for key in sorted(needed - set(given))]
    unknown = [f"has the unknown '{key}'" for key in sorted(set(given) - set(wanted))]
    shaped = [
        f"has '{key}' of shape {tuple(value.shape)} in place of {tuple(wanted[key].shape)}"
        for key, value in given.items()
        if key in wanted and value.shape != wanted[key].shape
    ]
    return lacking + unknown + shaped


def is_part(key: str, modules: Iterable[str]) -> bool:
    """Whether the tensor `key` belongs to one of the modules."""
    return any(key == module or key.startswith(f"{module}.") for module in modules)
