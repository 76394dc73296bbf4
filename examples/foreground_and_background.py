"""VGAN: a clip is a still background, a moving foreground, and a mask that says where which is seen.

python examples/foreground_and_background.py [weights]

Without weights it trains the miniature preset for a few seconds, which is too short for a picture: what the
parts add up to holds at any time.
"""

import sys

import numpy as np

import kinema
from kinema.apps.cli import main

weights = sys.argv[1] if len(sys.argv) > 1 else "runs/vgan-tiny"
if len(sys.argv) == 1:
    main(["train", "vgan", "--preset", "tiny", "--out", weights])
system = kinema.load(weights, precision="fp32")

parts = {part: system.run(part=part, seed=1) for part in ("video", "foreground", "mask", "background")}
for part, clip in parts.items():
    clip.save(f"{part}.gif")

video, foreground, mask, background = (clip.frames / 255 for clip in parts.values())
print("the background stands still:", bool((background == background[:1]).all()))  # True
wanted = mask * foreground + (1 - mask) * background  # eq. (2)
print("largest difference from what the parts add up to:", f"{np.abs(video - wanted).max():.3f}")  # rounding
