"""BigGAN: trained for seconds on mirrored shapes; classes as rows, truncations as rows, a walk.

python examples/class_to_picture.py [weights]

Without weights a tiny network is trained for 60 steps, so its pictures are patches of colour, not shapes yet.
"""

import subprocess
import sys

import numpy as np

import kinema

if len(sys.argv) > 1:
    weights = sys.argv[1]
else:
    weights = "runs/mirrored"
    command = "train biggan --preset tiny --out runs/mirrored --set steps=60 save_every_steps=60"
    subprocess.run([sys.executable, "-m", "kinema", *command.split()], check=True)
system = kinema.load(weights)

sheet = system.run(n=4, seed=1)  # a row for each class, a column for each noise
sheet.save("classes.png")
print("pictures of the sheet:", len(sheet), "in rows of", sheet.columns)  # 40 in rows of 4

again = system.run(label="ring", n=4, seed=1)  # a row of the same seed alone
row = [clip.frames for clip, label in zip(sheet, sheet.labels, strict=True) if label == "ring"]
apart = max(np.abs(a.frames.astype(int) - b).max() for a, b in zip(again, row, strict=True))
print("a picture depends on its own class and noise:", bool(apart <= 2))  # True; sums round

strip = system.run(label="ring", n=4, seed=1, truncation=(0.1, 0.5, 2))  # surest row first
strip.save("truncations.png")
print("rows of truncations:", len(strip) // strip.columns)  # 3

walk = system.run(label=("ring", "disc"), walk="class", n=8, seed=1)
walk.save("walk.gif")
print("frames of the walk:", len(walk.frames))  # 8

looks = system.run(label="ring", n=2, look=(0.25, 0.5))  # beside each picture what attention sees from there
looks.save("looks.png")
print("with the map beside it a picture is", looks[0].frames.shape[2], "pixels wide")  # 64
