"""Train a judge of CIFAR-10 for most of an hour on a core, and say how often it is right.

python benchmarks/cifar10_judge.py --out src/kinema/metrics/cifar10_judge.safetensors
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from kinema.data import open_pictures
from kinema.metrics import picture_judge
from kinema.metrics.picture_judge import EPOCHS, PictureJudge


def main() -> None:
    """Train, write half-precision weights, score what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    flags = parser.parse_args()
    picture_judge.BUNDLED = flags.out
    flags.out.unlink(missing_ok=True)
    judge = PictureJudge.__new__(PictureJudge)
    judge.train, judge.mirrored = open_pictures("cifar10"), True
    net = judge.fitted(flags.epochs, lambda line: print(line, flush=True))
    state = {k: v.half() if v.dtype == torch.float32 else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, flags.out)
    print("held-out accuracy", PictureJudge("cifar10", 32, 3).accuracy(open_pictures("cifar10", split="val")))


if __name__ == "__main__":
    main()
