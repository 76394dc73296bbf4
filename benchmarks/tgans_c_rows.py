"""The comparison table of TGANs-C: every row trained for the same steps or minutes, scored in the same way.

    python benchmarks/tgans_c_rows.py --steps 2600 --out runs/rows [--only ca c1 …]
    python benchmarks/tgans_c_rows.py --minutes 25 --out runs/long --only ca stable paper

Rows are settings of the same trainer, at 32x32. A row with scores is scored anew, not trained again. The
scores of a row are written to rows.json in its folder, and printed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PAPER = [
    "generator=canonical", "heads=concat", "critic_norm=batch", "loss=log", "frame_stride=1", "diversity=0",
    "contrast=0", "updates=alternating",
]  # fmt: skip
ROWS = {
    "ca": [],
    "cc": ["variant=cc"],
    "c2": ["variant=c2"],
    "c1": ["variant=c1"],
    "unconditional": ["conditional=false", "contrast=0"],
    "vgan": ["generator=vgan", "variant=c1"],
    "gan-cls": ["generator=frames", "variant=frame"],
    "canonical": ["generator=canonical"],
    "paper": [*PAPER, "lr=1e-4", "betas=0.9,0.999", "decay_from=none"],
    "stable": [*PAPER, "lr=2e-4", "betas=0.5,0.999", "decay_from=none"],
    "stable-spectral": [*PAPER, "critic_norm=spectral", "lr=2e-4", "betas=0.5,0.999", "decay_from=none"],
    "no-diversity": ["diversity=0"],
    "no-contrast": ["contrast=0"],
    "holdout": [],
}
DATA = {"holdout": "sbmg:holdout"}


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
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--out", type=Path, default=Path("runs/rows"))
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    flags = parser.parse_args()
    if flags.minutes is None and flags.steps == parser.get_default("steps"):
        parser.error("name --steps or --minutes")
    for row in flags.only:
        folder = flags.out / row
        if not (folder / "rows.json").exists():  # what was begun goes on
            settings = ["size=32", f"steps={flags.steps}", *ROWS[row]]
            if flags.minutes:
                settings += ["decay_from=none", f"minutes={flags.minutes}"]
            chosen = [word for setting in settings for word in ("--set", setting)]
            place = ["--data", DATA.get(row, "sbmg"), "--out", str(folder)]
            kinema("train", "tgans-c", "--preset", "small", *place, *chosen)
        scored = json.loads(kinema("evaluate", str(folder), "--metrics", "caption_fidelity", "--json"))
        (folder / "rows.json").write_text(json.dumps(scored, indent=1), encoding="utf-8")
        print(row, json.dumps(scored["rows"][0]["metrics"]), flush=True)


if __name__ == "__main__":
    main()
