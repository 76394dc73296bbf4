"""What do MD-GAN's Gram distances see? Run on trained second stages.

    python benchmarks/md_gan_gram.py md-gan-sky runs/refine [--n 48]

Prints, on held-out clips of signed skies, Gram distances (as `kinema evaluate` takes them) of real clips
shifted by a few pixels, of each stage, and of each stage with the mean colour of every frame put right; and
the contrast of the sky in the first, the last and the frames between.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

import kinema
from kinema.data import open_clips
from kinema.metrics.photo_motion import compare

Clips = NDArray[np.uint8]
SHIFTS = (1, 2, 4)
SKY = slice(0, 28)
"""rows of 64 above the ridge"""


def coloured(made: Clips, real: Clips) -> Clips:
    """The clips (N, T, S, S, 3) with the mean colour of every real frame."""
    right = real.mean((2, 3), keepdims=True) - made.mean((2, 3), keepdims=True)
    return np.rint(made + right).clip(0, 255).astype(np.uint8)


def contrast(clips: Clips) -> str:
    """Deviation of grey over the sky of a frame, in a range of 1."""
    by_frame = (clips[:, :, SKY].mean(-1) / 255).std((2, 3)).mean(0)
    return f"contrast {by_frame[0]:.3f} first, {by_frame[-1]:.3f} last, {by_frame[1:-1].mean():.3f} between"


def gram(made: Clips, real: Clips) -> str:
    """Both distances."""
    found = compare(made, real)
    return f"Gram 1 {float(found['Gram 1']):5.2f}, Gram 3 {float(found['Gram 3']):5.2f}"


def main() -> None:
    """Measure real clips, then every run that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--n", type=int, default=48)
    flags = parser.parse_args()
    system = kinema.load(flags.runs[0]).system
    shape = {"frames": system.config.frames, "size": system.config.size, "channels": 3}
    real = open_clips("skies:signed", split="val", **shape).pixels(range(flags.n))
    print(f"real: {contrast(real)}")
    for pixels in SHIFTS:
        shifted = np.roll(real, pixels, 3)  # clouds repeat, so nothing is torn
        print(f"real, shifted by {pixels}: {gram(shifted, real)}")
    for run in flags.runs:
        made = kinema.load(run).system.animate(real[:, 0])
        for stage in range(made.shape[1]):
            clips = made[:, stage]
            print(f"{run}, stage {stage + 1}: {gram(clips, real)}; {contrast(clips)}")
            print(f"{run}, stage {stage + 1}, colours put right: {gram(coloured(clips, real), real)}")


if __name__ == "__main__":
    main()
