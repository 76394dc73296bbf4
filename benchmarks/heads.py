"""How fast heads are rendered: process seconds a picture, on one core.

python benchmarks/heads.py [--n 200]
"""

import argparse
import time

from kinema.data.heads import Heads


def main() -> None:
    """Time some pictures at two sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    flags = parser.parse_args()
    for size in (64, 128):
        heads = Heads(flags.n + 4, size)
        heads.pixels(range(4))  # reads the mesh
        start = time.process_time()
        heads.pixels(range(4, flags.n + 4))
        seconds = (time.process_time() - start) / flags.n
        print(f"{size}x{size}: {1000 * seconds:.1f} ms a picture, {1 / seconds:.0f} a second")


if __name__ == "__main__":
    main()
