"""`kinema convert-norm RUN --to gn:groups=8 --out DIR`: a trained network with another norm."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kinema import __version__
from kinema.apps import options, say, weights
from kinema.apps.export import fresh_folder
from kinema.apps.loading import Loaded, load
from kinema.apps.run import check_writable
from kinema.core.config import to_dict
from kinema.core.errors import DataError, UsageError, WeightsError
from kinema.core.files import write_text

BATCH = 32


@dataclass(frozen=True)
class Options:
    """Write the weights of a run with another norm in its network; train on with --set init_from=DIR."""

    run: tyro.conf.Positional[str]
    """run folder or bundled name, of a system with the setting `norm`"""
    to: str
    """the norm, as the setting `norm` names it: gn, gn:groups=8, bn, frozenbn, ln, in:affine …"""
    out: Path
    """folder to write"""
    calibrate: int = 0
    """batches of 32 training items over which every channel keeps its mean and spread; 0: scales stay"""
    json: bool = False
    """print what became of each layer as JSON"""


def main(args: list[str]) -> int:
    """Load, convert, check against the system's own, write."""
    flags = options.parse(Options, args, "convert-norm")
    if flags.calibrate < 0:
        raise UsageError(f"calibrate is a number of batches from 0 on, not {flags.calibrate}.")
    check_writable(flags.out, folder=True)
    if flags.out.exists() and any(flags.out.iterdir()):
        raise DataError(f"{flags.out} is not empty; name a new folder for the converted weights.")
    folder, _ = weights.find(flags.run)
    if (folder / weights.ONNX).exists():
        raise UsageError(f"{flags.run} is exported, its norms are fixed; convert the run that it came from.")
    loaded = load(flags.run, device="cpu", precision="fp32")
    facts = write(flags, loaded)
    lines = [
        f"{layer['layer']}: {layer['was']} → {layer['now']}"
        + (f", {layer['groups']} groups" if layer["groups"] else "")
        + (", calibrated" if layer["calibrated"] else "")
        for layer in facts["layers"]
    ]
    say.result(facts, "\n".join([*lines, f"{flags.out}: {len(lines)} norms are {flags.to}"]), flags.json)
    return 0


def write(flags: Options, loaded: Loaded) -> dict[str, Any]:
    """Convert the network that is used, and write everything that the run holds."""
    from kinema.nn.convert_norm import convert_norm

    system = loaded.system
    if not hasattr(system.config, "norm"):
        raise UsageError(
            f"{loaded.name} has no setting `norm`, so its networks cannot be built with another."
        )
    config = dataclasses.replace(system.config, norm=flags.to)
    empty = type(system)(config)  # refuses what cannot be built
    network = getattr(system, system.serving[-1])
    batches = list(items(loaded, flags.calibrate)) if flags.calibrate else None
    layers = convert_norm(network, flags.to, calibrate=batches)
    held = loaded.about.get("modules")
    state = {k: v for k, v in system.state_dict().items() if held is None or weights.is_part(k, held)}
    if wrong := weights.differences(state, empty.state_dict(), held):
        raise WeightsError(f"{flags.run} with norm={flags.to} {wrong[0]} ({len(wrong)} differences).")
    record: dict[str, Any] = {"from": system.config.norm, "to": flags.to, "batches": flags.calibrate}
    record |= {"weights": loaded.weights, "sha256": loaded.weights_hash}
    said = ("settings", "data", "modules")
    kept: dict[str, Any] = {key: loaded.about[key] for key in said if key in loaded.about}
    about = {"system": loaded.name, "version": __version__, "config": to_dict(config), **kept}
    with fresh_folder(flags.out) as out:
        weights.write_tensors(state, out / weights.FILE)
        write_text(out / "config.json", json.dumps({**about, "converted": record}, indent=2) + "\n")
    return {"out": str(flags.out), **record, "layers": [layer._asdict() for layer in layers]}


def items(loaded: Loaded, count: int) -> Iterator[Any]:
    """What the network is given: training pictures, or noise with the classes of training pictures."""
    from kinema.apps.train import open_data

    about, system = loaded.about.get("data") or {}, loaded.system
    if "where" not in about or not (hasattr(system, "classify") or hasattr(system, "codes")):
        raise UsageError(f"{loaded.weights} does not say on what it could be calibrated: --calibrate 0.")
    data = open_data(about, system.config, "train", system.reads)
    order = np.random.default_rng(0).permutation(len(data))
    for start in range(0, min(count * BATCH, len(data)), BATCH):
        batch = data.batch(order[start : start + BATCH])
        if hasattr(system, "classify"):
            yield batch["image"]
        else:
            yield system.codes(range(start, start + len(batch["index"])), batch["caption"], None)
