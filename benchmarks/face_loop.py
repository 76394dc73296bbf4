"""A loop as for a webcam: decode, find the face, crop it, generate, put it back; frames per second by stage.

    python benchmarks/face_loop.py VIDEO [--weights NAME] [--frames 100] [--expression happy=0.8]

Needs the extra `face`. Seconds are of the processor, all threads together, medians over frames.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import kinema
from kinema.data.action_units import UNITS, said
from kinema.data.face_crop import crop, paste
from kinema.data.face_finding import Finder
from kinema.media import stream
from kinema.systems.shared.face_use import parts


def main() -> None:
    """Run the loop and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--weights", default="ganimation")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--expression", default="happy=0.8")
    flags = parser.parse_args()
    loaded = kinema.load(flags.weights)
    system, size = loaded.system, loaded.system.config.size
    asked = said((), (flags.expression,))
    units = np.array([asked.get(name, 0.0) for name in UNITS], np.float32)
    spent: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        spent[stage].append(time.process_time() - start)

    finder = Finder()
    with stream(flags.video) as clip, loaded.context():
        frames, face = iter(clip), None
        for _ in range(flags.frames):
            with timed("decode"):
                pixels = next(frames, None)
            if pixels is None:
                break
            with timed("find"):
                face = finder.follow(pixels, face) if face is not None else None
                face = face or next(iter(finder.find(pixels)), None)
            if face is None:
                continue
            with timed("crop"):
                cut = crop(pixels, face.place, size)
            with timed("generate"):
                _, colour, painted = parts(system, cut, units)
            with timed("put back"):
                paste(pixels, face.place, colour, painted)
    report(flags.video, size, spent)


def report(video: str, size: int, spent: dict[str, list[float]]) -> None:
    """A line for each stage and for all together."""
    medians = {stage: statistics.median(seconds) for stage, seconds in spent.items()}
    print(f"{video}: {len(spent['decode'])} frames, network at {size}x{size}")
    for stage, seconds in {**medians, "all": sum(medians.values())}.items():
        print(f"{stage:>9}  {1000 * seconds:7.2f} ms  {1 / max(seconds, 1e-9):8.1f} frames/s")


if __name__ == "__main__":
    main()
