"""Does R3GAN's objective help where clips are few? Against the logarithmic loss, on 500 moving shapes.

    python benchmarks/r3gan_small_data.py --minutes 30 --out runs/r3gan [--room mocogan] [--seeds 0 1 2]

For every seed the presets `small` with loss=log and `r3gan` of a room are trained for the same process
minutes (see `train_for`) and scored by FD-motion against held-out clips. Nobody knows beforehand how many
steps that is, so learning rates do not fall and γ stays at its first value. A run with scores is scored
anew, not trained again; the scores are in rows.json in its folder.
"""

import argparse
import json
from pathlib import Path

from shapes_rows import kinema, train_for

ROWS = {"log": ("small", "loss=log"), "r3gan": ("r3gan", "loss=r3gan")}
"""name -> preset of the room, and its objective"""


def main() -> None:
    """Train, score and print both rows for each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="process minutes of each run")
    parser.add_argument("--room", default="mocogan", choices=["mocogan", "g3an", "vgan", "tgan"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--n", type=int, default=2048, help="clips to score")
    parser.add_argument("--out", type=Path, default=Path("runs/r3gan"))
    flags = parser.parse_args()
    better = 0
    for seed in flags.seeds:
        found = {row: distance(row, seed, flags) for row in ROWS}
        better += found["r3gan"] < found["log"]
        print(f"seed {seed}: FD-motion", json.dumps(found), flush=True)
    print(f"{flags.room}: r3gan is nearer in {better} of {len(flags.seeds)} seeds")


def distance(row: str, seed: int, flags: argparse.Namespace) -> float:
    """FD-motion of one run, which is trained if it has no scores yet."""
    preset, loss = ROWS[row]
    folder = flags.out / f"{flags.room}-{row}-{seed}"
    if not (folder / "rows.json").exists():
        settings = [loss, f"size={flags.size}", f"seed={seed}", "steps=1000000", "decay_from=none"]
        chosen = [word for setting in settings for word in ("--set", setting)]
        data = ["--data", f"shapes:{flags.clips}"]
        train_for(flags.minutes, folder, flags.room, "--preset", preset, *data, *chosen)
    wanted = ["--metrics", "moving_shapes", "--n", str(flags.n), "--json"]
    scored = kinema("evaluate", str(folder), *wanted)
    (folder / "rows.json").write_text(scored, encoding="utf-8")
    return float(json.loads(scored)["rows"][0]["metrics"]["FD-motion"])


if __name__ == "__main__":
    main()
