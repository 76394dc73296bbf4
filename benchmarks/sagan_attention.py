"""Does attention make the halves of mirrored shapes agree? Beside a residual block as large, and nothing.

    python benchmarks/sagan_attention.py --out runs/attention [--steps 4000] [--seeds 0 1 2] [--only none …]

Each row is the preset `small` of SAGAN for as many steps. A run with scores is scored anew, not trained
again.
"""

import argparse
import json
from pathlib import Path

from shapes_rows import kinema

ROWS = {"attention": (), "residual": ("attention_form=residual",), "none": ("attention=",)}
"""name -> what the preset is changed by"""


def main() -> None:
    """Train, score and print every row for each seed, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--n", type=int, default=2000, help="pictures to score")
    parser.add_argument("--out", type=Path, default=Path("runs/attention"))
    flags = parser.parse_args()
    for row in flags.only:
        agree = []
        for seed in flags.seeds:
            found = scores(row, seed, flags)
            agree.append(found["halves agree"])
            print(f"{row}, seed {seed}:", json.dumps(found), flush=True)
        print(f"{row}: halves agree in {sum(agree) / len(agree):.3f}, mean of {len(agree)} seeds")


def scores(row: str, seed: int, flags: argparse.Namespace) -> dict[str, float]:
    """The numbers of one run, which goes on if it was begun."""
    folder = flags.out / f"{row}-{seed}-{flags.steps}"
    if not (folder / "rows.json").exists():
        settings = [*ROWS[row], f"seed={seed}", f"steps={flags.steps}"]
        chosen = [word for setting in settings for word in ("--set", setting)]
        kinema("train", "sagan", "--preset", "small", "--out", str(folder), *chosen)
    scored = kinema("evaluate", str(folder), "--n", str(flags.n), "--json")
    (folder / "rows.json").write_text(scored, encoding="utf-8")
    found: dict[str, float] = json.loads(scored)["rows"][0]["metrics"]
    return found


if __name__ == "__main__":
    main()
