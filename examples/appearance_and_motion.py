"""Every row of the sheet keeps its appearance, every column its motion.

python examples/appearance_and_motion.py [weights]

Without weights the bundled ones are used, which draw moving shapes of 32x32 pixels.
"""

import sys

import numpy as np

import kinema

system = kinema.load(sys.argv[1] if len(sys.argv) > 1 else "g3an")

grid = system.run(grid=(3, 4), seed=1)  # 3 appearances, each with the same 4 motions
grid.save("grid.gif")

clips = system.run(n=3, seed=1)  # clip i has appearance i and motion i
same = [np.array_equal(grid[5 * i].frames, clips[i].frames) for i in range(3)]
print("the diagonal of the grid is the clips of the seed:", all(same))  # True

longer = system.run(lengths=(16, 20, 32), seed=1)  # one appearance at three lengths
longer.save("longer.gif")
print("frames:", [len(clip.frames) for clip in longer])  # [16, 20, 32]

walk = system.run(walk="motion", n=5, seed=1)  # from one motion to another, the appearance stays
walk.save("walk.gif")
steps = [np.abs(a.frames.astype(int) - b.frames).mean() for a, b in zip(walk, walk.items[1:], strict=False)]
print("mean change from one step of the walk to the next:", [f"{step:.1f}" for step in steps])
