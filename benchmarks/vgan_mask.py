"""Does VGAN's mask open where something moves? Run on trained runs or weights with two streams.

    python benchmarks/vgan_mask.py runs/vgan [--n 256]

Prints the mean of the mask on pixels that move (they differ from one of the neighbouring frames by more than
a twentieth of the range), on pixels that do not, and the ratio. Its goal is 2.
"""

import argparse

import numpy as np

import kinema
from kinema.nn.sampling import clip_seed

MOVES = 255 // 20


def main() -> None:
    """Measure every run that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--n", type=int, default=256)
    flags = parser.parse_args()
    seeds = [clip_seed(0, i) for i in range(flags.n)]
    for run in flags.runs:
        system = kinema.load(run).system
        captions = [""] * flags.n
        clips, masks = (system.generate(captions, seeds, part=part) for part in ("video", "mask"))
        change = np.abs(np.diff(clips.astype(np.int16), axis=1)).max(-1) > MOVES
        moves = np.zeros(clips.shape[:4], bool)
        moves[:, 1:] |= change
        moves[:, :-1] |= change
        mask = masks[..., 0] / 255
        on, off = mask[moves].mean(), mask[~moves].mean()
        print(
            f"{run}: mask {on:.3f} on the {moves.mean():.1%} that move, {off:.3f} elsewhere: {on / off:.1f}"
        )


if __name__ == "__main__":
    main()
