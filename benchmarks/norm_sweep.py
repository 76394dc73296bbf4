"""What does the size of a batch do to a norm? Classifiers with each norm, batch and seed, and one table.

    python benchmarks/norm_sweep.py --norms bn gn:groups=8 --batches 32 8 4 2 --seeds 0 1 2 --out runs/norms

The experiment of Wu & He (arXiv:1803.08494, figure 1 and table 2) on a small machine: the preset `small` of
group-norm, every run for equally many epochs, its learning rate in proportion to its batch. With --by-class
every batch holds pictures of a single class, which running statistics of batch norm do not survive. Runs that
are done are not trained again, and one that was stopped goes on. Writes sweep.json and sweep.svg into --out:
for each norm and batch the mean error over seeds on held-out pictures in percent, and its range.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kinema.apps.plots import curve
from kinema.core.config import RunSettings, to_dict
from kinema.core.files import write_text
from kinema.data import open_pictures
from kinema.data.pictures import Pictures
from kinema.engine import train
from kinema.systems import load_class, load_presets

Errors = dict[str, dict[int, list[float]]]
"""norm -> batch -> error of each seed in percent"""


class ByClass:
    """Pictures of which every batch is of one class, that of the first that was asked for."""

    def __init__(self, data: Pictures) -> None:
        self.data, self.hash = data, f"{data.hash} by class"
        self.members = [(data.labels == k).nonzero()[0] for k in range(len(data.captions))]

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Index i stands for the picture number i of the class, counted round."""
        own = self.members[self.data.labels[indices[0]]]
        return self.data.batch([own[i % len(own)] for i in indices])


def main() -> None:
    """Train what is not trained yet, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--norms", nargs="+", default=["bn", "gn:groups=8"])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 8, 4, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate at a batch of 32")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--by-class", action="store_true", help="every batch holds a single class")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs/norms"))
    flags = parser.parse_args()
    shape: dict[str, Any] = {"size": 32, "channels": flags.channels}
    data = open_pictures(flags.data, **shape)
    held_out = open_pictures(flags.data, **shape, split="val")
    found: Errors = {norm: {batch: [] for batch in flags.batches} for norm in flags.norms}
    for seed in flags.seeds:
        for batch in flags.batches:
            for norm in flags.norms:
                found[norm][batch].append(error(norm, batch, seed, data, held_out, flags))
                print(f"{norm}, batch {batch}, seed {seed}: {found[norm][batch][-1]:.2f} %", flush=True)
    print(table(found))
    keep(found, flags)


def error(
    norm: str, batch: int, seed: int, data: Pictures, held_out: Pictures, flags: argparse.Namespace
) -> float:
    """Share of held-out pictures, in percent, that a run gets wrong; it is trained as far as it is not."""
    steps = max(1, round(flags.epochs * len(data) / batch))
    order = "by-class" if flags.by_class else "mixed"
    folder = flags.out / f"{norm.replace(':', '-')}-{batch}-{order}-{seed}-{steps}"
    kind = load_class("group-norm")
    config = replace(
        load_presets("group-norm")["small"]().config,
        norm=norm,
        depth=flags.depth,
        channels=flags.channels,
        lr=flags.rate * batch / 32,
    )
    config = kind.adapt(config, data)
    settings = RunSettings(
        steps=steps,
        batch=batch,
        seed=seed,
        device=flags.device,
        save_every_steps=max(1, steps // 4),
        preview_every_steps=steps,
        log_every_steps=100,
    )
    about = {"system": "group-norm", "config": to_dict(config)}
    torch.manual_seed(seed)
    system = kind(config)
    train(system, ByClass(data) if flags.by_class else data, settings, folder, write_config=about)
    probabilities = system.eval().classify(held_out.pixels(range(len(held_out)))[:, 0])
    return float(100 * (probabilities.argmax(1) != held_out.labels).mean())


def table(found: Errors) -> str:
    """A row for each norm, a column for each batch, and how much a norm's errors differ over batches."""
    batches = list(next(iter(found.values())))
    lines = ["| error in % at batch | " + " | ".join(map(str, batches)) + " | spread |"]
    lines.append("|---" * (len(batches) + 2) + "|")
    for norm, errors in found.items():
        cells = [f"{mean(e):.2f} ({min(e):.2f}–{max(e):.2f})" for e in errors.values()]
        lines.append(f"| {norm} | {' | '.join(cells)} | {spread(errors):.2f} |")
    return "\n".join(lines)


def mean(numbers: Sequence[float]) -> float:
    """Over seeds."""
    return sum(numbers) / len(numbers)


def spread(errors: dict[int, list[float]]) -> float:
    """Between the best and the worst size of a batch."""
    means = [mean(e) for e in errors.values()]
    return max(means) - min(means)


def keep(found: Errors, flags: argparse.Namespace) -> None:
    """The numbers, how they were taken, and a picture of them."""
    facts = {key: str(value) if isinstance(value, Path) else value for key, value in vars(flags).items()}
    errors = {norm: {str(batch): e for batch, e in by.items()} for norm, by in found.items()}
    write_text(flags.out / "sweep.json", json.dumps({"settings": facts, "errors": errors}, indent=1) + "\n")
    series = {
        norm: [(math.log2(batch), mean(e)) for batch, e in sorted(by.items())] for norm, by in found.items()
    }
    title = "held-out error in %" + (", each batch of one class" if flags.by_class else "")
    write_text(flags.out / "sweep.svg", curve(title, "log2 of the batch", series, list(found)))


if __name__ == "__main__":
    main()
