"""CIFAR-10: BigGAN, with a hinge, without classes, with DCGAN's recipe, and SAGAN, or one run as a curve.

    python benchmarks/cifar10_rows.py --steps 3000 --out runs/cifar10 [--only biggan sagan …]
    python benchmarks/cifar10_rows.py --curve 15 --only biggan --out runs/long

Each row is the preset `cifar10` of its system but for the settings below. A run with scores is not trained
again, and one that was stopped goes on. With --curve MINUTES a run is stopped so often, and then and at its
end scored with a fifth of the pictures: curve.jsonl in its folder has the steps, the seconds of training, and
the scores, and curve.svg shows FD-judge.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from shapes_rows import kinema

from kinema.apps.plots import curve
from kinema.core.files import write_text

DCGAN = ("loss=log", "spectral=none", "initial=normal", "attention=", "betas=0.5,0.999", "lr=2e-4", "r1=0")
PLAIN = ("conditional=false", "shared=none", "hierarchical=false", "updates=alternating")
ROWS: dict[str, tuple[str, ...]] = {
    "biggan": ("biggan",),
    "hinge": ("biggan", "loss=hinge", "r1=0"),
    "unconditional": ("biggan", "conditional=false", "shared=none"),
    "dcgan": ("biggan", *PLAIN, *DCGAN),
    "sagan": ("sagan",),
}
"""name -> system, and what its preset is changed by; dcgan has DCGAN's recipe on BigGAN's blocks"""


def main() -> None:
    """Train, score and print every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--n", type=int, default=5000, help="pictures to score")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curve", type=float, help="score whenever so many minutes are over, and at the end")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"))
    flags = parser.parse_args()
    for row in flags.only:
        folder = flags.out / f"{row}-{flags.seed}-{flags.steps or 'all'}"
        if not (folder / "rows.json").exists():
            run(row, folder, flags)
        found = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        for line in found["rows"]:
            print(row, line["name"], json.dumps(line["metrics"]), flush=True)


def run(row: str, folder: Path, flags: argparse.Namespace) -> None:
    """Train to the end, in pieces if a curve is wanted, and score."""
    system, *settings = ROWS[row]
    settings += [f"seed={flags.seed}"]
    settings += [f"steps={flags.steps}"] if flags.steps else []
    settings += [f"minutes={flags.curve}"] if flags.curve else []
    command = ["train", system, "--preset", "cifar10", "--out", str(folder), "--json", "--set", *settings]
    stopped = True
    while stopped:
        state = json.loads(kinema(*command))
        stopped = state["stopped"]
        if flags.curve:
            point = {"step": state["steps"], "seconds": round(state["seconds"])}
            point |= scored(folder, flags.n // 5)["rows"][0]["metrics"]
            with (folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(point) + "\n")
            print(row, json.dumps(point), flush=True)
    write_text(folder / "rows.json", json.dumps(scored(folder, flags.n)))
    if flags.curve:
        points = [json.loads(line) for line in (folder / "curve.jsonl").read_text("utf-8").splitlines()]
        series = {row: [(p["step"], p["FD-judge"]) for p in points]}
        write_text(folder / "curve.svg", curve("FD-judge on CIFAR-10", "step", series, [row]))


def scored(folder: Path, n: int) -> dict[str, Any]:
    """The rows of n pictures."""
    found: dict[str, Any] = json.loads(kinema("evaluate", str(folder), "--n", str(n), "--json"))
    return found


if __name__ == "__main__":
    main()
