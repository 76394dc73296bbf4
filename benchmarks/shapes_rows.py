"""Clips from noise compared on moving shapes: each row trained equally long, all scored in the same way.

    python benchmarks/shapes_rows.py --minutes 30 --out runs/shapes [--size 32] [--only g3an mocogan …]

Rows are the rooms' `small` presets and ablations of G3AN. A row with scores is scored anew, not trained
again. The scores of a row are written to rows.json in its folder, and printed. Minutes are those of the
processor on one thread, see `train_for`, so a machine that does other things delays the rows and is fair.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

STREAMS = ("spatial_stream=false", "temporal_stream=false", "video_code=both")
PLAIN = ("apart=false", "temporal_mean=true", "video_code=both", "image_frames=1")
PAPER = ("loss=log", "critic_norm=spectral", "r1=0", "lr=2e-4", "betas=0.5,0.999", "appearance=128")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "g3an": ("g3an", ()),
    "g3an-not-apart": ("g3an", PLAIN),
    "g3an-fsa": ("g3an", ("attention=3",)),
    "g3an-no-streams": ("g3an", STREAMS),
    "g3an-paper-recipe": ("g3an", (*PAPER, *PLAIN)),
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


def train_for(minutes: float, folder: Path, *arguments: str) -> None:
    """`kinema train`, on one thread, again and again until it has used so many process minutes.

    The setting `minutes` is of the clock, of which a busy machine gives a process only a part. What was used
    (starting and saving included) is kept in process_seconds.txt in the run folder, so that a stopped
    benchmark goes on; a run may end ten seconds short.
    """
    kept = folder / "process_seconds.txt"
    used = float(kept.read_text("utf-8")) if kept.exists() else 0.0
    command = [sys.executable, "-m", "kinema", "train", *arguments, "--out", str(folder)]
    while 60 * minutes - used > 10:
        before = children_seconds()
        left = [*command, "--set", f"minutes={minutes - used / 60}"]
        subprocess.run(left, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.DEVNULL)
        used += children_seconds() - before
        kept.write_text(str(used), encoding="utf-8")


def children_seconds() -> float:
    """Processor seconds of all commands that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Train, score and print every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="process minutes of each row")
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
            settings = [f"size={flags.size}", f"seed={flags.seed}", *changes]
            settings += ["steps=1000000", "decay_from=none"]
            chosen = [word for setting in settings for word in ("--set", setting)]
            train_for(flags.minutes, folder, system, "--preset", "small", "--data", "shapes", *chosen)
        scored = json.loads(
            kinema("evaluate", str(folder), "--metrics", "moving_shapes", "--n", str(flags.n), "--json")
        )
        (folder / "rows.json").write_text(json.dumps(scored, indent=1), encoding="utf-8")
        for line in scored["rows"] if row == flags.only[0] else scored["rows"][:1]:
            print(row, line["name"], json.dumps(line["metrics"]), flush=True)


if __name__ == "__main__":
    main()
