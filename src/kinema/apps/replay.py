"""`kinema replay FILE`: read where a file comes from, make it again, and compare the pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, say, weights
from kinema.apps.loading import load, make_request, pixels_hash
from kinema.apps.run import check_ending, check_writable
from kinema.core.errors import MediaError, UsageError, WeightsError
from kinema.core.results import Batch, Result

NEEDED = ("system", "weights", "weights_sha256", "request", "pixels_sha256")


@dataclass(frozen=True)
class Options:
    """Make the pixels of a file again, from the record that it carries."""

    file: tyro.conf.Positional[Path]
    """any picture, clip or folder that kinema wrote"""
    weights: str | None = None
    """where the weights are now; default: the name or path in the record"""
    out: Path | None = None
    """what to write; default: FILE with -replay added to its name"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    json: bool = False
    """print the comparison as JSON"""


def main(args: list[str]) -> int:
    """Read, run, compare, write; 1 when the pixels differ."""
    flags = options.parse(Options, args, "replay")
    record = read_record(flags.file)
    out = flags.out or flags.file.with_name(f"{flags.file.stem}-replay{flags.file.suffix}")
    check_ending(out)
    check_writable(out)
    result = run_again(record, flags)
    identical = pixels_hash(result) == record["pixels_sha256"]
    if isinstance(result, Batch) and "item" in record:
        result = with_item(result, int(record["item"]))
    written = result.save(out)
    facts = {"file": str(flags.file), "out": str(written), "identical": identical, "provenance": record}
    verdict = (
        "identical pixels" if identical else "different pixels: another machine, device or version made it"
    )
    say.result(facts, f"{written}: {verdict}", flags.json)
    return 0 if identical else 1


def read_record(file: Path) -> dict[str, Any]:
    """The provenance of a file, checked to hold what is needed."""
    from kinema.media import read_provenance

    record = read_provenance(file)
    missing = [key for key in NEEDED if key not in record]
    if missing:
        raise MediaError(
            f"{file} carries no record of a kinema run (no {missing[0]}), so it cannot be made again."
        )
    return record


def run_again(record: dict[str, Any], flags: Options) -> Result:
    """The recorded request on the recorded weights, or a reason why these are not they."""
    where = flags.weights or record["weights"]
    try:
        folder, _ = weights.find(where)
    except UsageError:
        raise WeightsError(f"the weights '{where}' are not here; say where: `--weights DIR`.") from None
    found = weights.hash_of(folder)
    if found != record["weights_sha256"]:
        raise WeightsError(
            f"the weights in '{where}' are not those that made {flags.file} (SHA-256 {found[:12]}…, "
            f"the record says {record['weights_sha256'][:12]}…); name the right ones with --weights DIR."
        )
    loaded = load(where, device=flags.device, precision=record.get("precision", "auto"))
    return loaded.run_request(make_request(loaded.system.Request, record["request"]))


def with_item(batch: Batch, item: int) -> Result:
    """One clip of a batch, keeping the record."""
    clip = batch[item]
    clip.provenance = {**batch.provenance, "item": item}
    return clip
