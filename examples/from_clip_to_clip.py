"""TGAN: one code for a clip becomes a code for every frame; codes between two clips are clips between them.

python examples/from_clip_to_clip.py [weights]

Without weights it trains the miniature preset for a few seconds, which is too short for a picture.
"""

import sys

import numpy as np

import kinema
from kinema.apps.cli import main

weights = sys.argv[1] if len(sys.argv) > 1 else "runs/tgan-tiny"
if len(sys.argv) == 1:
    main(["train", "tgan", "--preset", "tiny", "--out", weights])
system = kinema.load(weights)

clips = system.run(n=2, seed=1)
clips.save("clips.gif")

walk = system.run(walk=True, n=6, seed=1)  # from the first clip of the seed to the second
walk.save("walk.gif")
ends = [np.array_equal(walk[i].frames, clips[i].frames) for i in (0, -1)]
print("the walk begins and ends at the clips of the seed:", all(ends))  # True

far = np.abs(walk[0].frames.astype(int) - walk[-1].frames).mean()
steps = [np.abs(a.frames.astype(int) - b.frames).mean() for a, b in zip(walk, walk.items[1:], strict=False)]
print(f"the clips are {far:.1f} levels apart, the largest step of the walk is {max(steps):.1f}")
