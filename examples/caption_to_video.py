"""A caption becomes a clip, the clip a file, and the file tells how it was made.

python examples/caption_to_video.py
"""

import numpy as np

import kinema
from kinema.media import read_provenance

system = kinema.load("tgans-c")  # the bundled weights; a run folder works as well
left_right = system.run(caption="digit 7 is moving left and right .", seed=1)
up_down = system.run(caption="digit 7 is moving up and down .", seed=1)


def travel(frames: np.ndarray) -> tuple[float, float]:
    """How far the centre of brightness wanders, in pixels across and down."""
    light = frames[..., 0].astype(float)  # (T, H, W)
    total = light.sum((1, 2))
    y = (light.sum(2) * np.arange(light.shape[1])).sum(1) / total
    x = (light.sum(1) * np.arange(light.shape[2])).sum(1) / total
    return float(np.ptp(x)), float(np.ptp(y))


for name, clip in (("left and right", left_right), ("up and down", up_down)):
    across, down = travel(clip.frames)  # far across and hardly down, then the reverse
    print(f"{name}: {across:.0f} px across, {down:.0f} px down")

many = system.run(caption=["digit 3 is moving up and down ."], n=4, seed=2)
many.save("threes.gif")  # a sheet of four
path = left_right.save("seven.mp4")
print(read_provenance(path)["weights"], read_provenance(path)["request"]["caption"])
