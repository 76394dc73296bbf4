"""Clips from noise compared on moving shapes: every row trained for the same minutes, scored in the same way.

    python benchmarks/shapes_rows.py --minutes 30 --out runs/shapes [--size 32] [--only g3an mocogan …]

Rows are the rooms' `small` presets and ablations of G3AN. A row with scores is scored anew, not trained
again. The scores of a row are written to rows.json in its folder, and printed. Rows are trained one after
another; to be equal they want a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

STREAMS = ("spatial_stream=false", "temporal_stream=false")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "g3an": ("g3an", ()),
    "g3an-fsa": ("g3an", ("attention=3",)),
    "g3an-no-streams": ("g3an", STREAMS),
    "g3an-paper-recipe": ("g3an", ("loss=log", "critic_norm=spectral", "r1=0", "lr=2e-4", "betas=0.5,0.999")),
    "mocogan": ("mocogan", ()),
    "vgan": ("vgan", ()),
    "tgan": ("tgan", ()),
}


def kinema(*arguments: str) -> str:
    """Run a command of kinema and give back what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "kinema", *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def main() -> None:
    """Train, score and print every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"))
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    flags = parser.parse_args()
    for row in flags.only:
        system, changes = ROWS[row]
        folder = flags.out / f"{row}-{flags.seed}"
        if not (folder / "rows.json").exists():  # what was begun goes on
            settings = [f"size={flags.size}", f"seed={flags.seed}", f"minutes={flags.minutes}", *changes]
            settings += ["steps=1000000", "decay_from=none"]
            chosen = [word for setting in settings for word in ("--set", setting)]
            place = ["--data", "shapes", "--out", str(folder)]
            kinema("train", system, "--preset", "small", *place, *chosen)
        scored = json.loads(
            kinema("evaluate", str(folder), "--metrics", "moving_shapes", "--n", str(flags.n), "--json")
        )
        (folder / "rows.json").write_text(json.dumps(scored, indent=1), encoding="utf-8")
        for line in scored["rows"] if row == flags.only[0] else scored["rows"][:1]:
            print(row, line["name"], json.dumps(line["metrics"]), flush=True)


if __name__ == "__main__":
    main()
