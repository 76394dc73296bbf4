"""MoCoGAN: clips of any length, and a sheet whose rows keep a content and whose columns keep a motion.

python examples/content_and_motion.py [weights]

Without weights the bundled ones are used, which draw moving shapes of 32x32 pixels.
"""

import sys

import numpy as np

import kinema

system = kinema.load(sys.argv[1] if len(sys.argv) > 1 else "mocogan")

grid = system.run(grid=(3, 4), seed=1)  # 3 contents, each with the same 4 motions
grid.save("contents.gif")

short = system.run(seed=1)  # as long as in training
longer = system.run(seed=1, frames=48)  # the recurrent net goes on
longer.save("longer.gif")
print("frames:", len(short.frames), len(longer.frames))  # 16 48
same = np.abs(longer.frames[:16].astype(int) - short.frames).max() <= 1
print("the longer clip begins as the shorter one:", bool(same))  # True

between = [np.abs(np.diff(clip.frames.astype(int), axis=0)).mean() for clip in (short, longer)]
print("mean change from frame to frame:", [f"{change:.1f}" for change in between])
