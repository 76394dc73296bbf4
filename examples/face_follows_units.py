"""A rendered face smiles, drops its jaw and closes its eyes, and a reader that was trained apart sees it.

    python examples/face_follows_units.py

With photographs: kinema run ganimation --image me.jpg --expression happy=0.8 --consent myself --out smile.mp4
(needs the extra `face`).
"""

import numpy as np

import kinema
from kinema.core.results import Image
from kinema.data import open_faces
from kinema.data.action_units import MEANING, UNITS
from kinema.data.face_units import read_units

FACE = 7
"""a neutral one of the held-out heads"""

heads = open_faces("heads", size=64, split="val")
face = heads.pixels([FACE])[0]  # (1, 64, 64, 3)
Image(face[0], provenance={"data": "heads"}).save("face.png")
before = read_units(face)[0]

ganimation = kinema.load("ganimation")
frames = [face[0]]
for unit in ("AU12", "AU26", "AU45"):
    made = ganimation.run(image="face.png", cropped=True, action_units=f"{unit}=1", label=False)
    after = read_units(made.pixels[None])[0]
    k = UNITS.index(unit)
    print(f"{unit}, {MEANING[unit]}: read {before[k]:.2f} before, {after[k]:.2f} after")
    frames.append(made.pixels)

Image(np.concatenate(frames, 1), provenance=made.provenance).save("units.png")
print("units.png")
