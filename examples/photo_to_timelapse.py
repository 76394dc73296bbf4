"""Train a small MD-GAN on procedural skies for a few seconds, then let a photo of any size move.

python examples/photo_to_timelapse.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import kinema
from kinema.core.config import to_dict
from kinema.core.results import Image
from kinema.data import open_clips
from kinema.engine import train
from kinema.media import read_provenance
from kinema.metrics.photo_motion import photo_motion, wind
from kinema.systems.md_gan.config import tiny
from kinema.systems.md_gan.system import MDGAN

preset = tiny()  # 64x64x16; `small` and a few minutes do far better
config = replace(preset.config, generator_width=8)
settings = replace(preset.settings, steps=120, save_every_steps=120, preview_every_steps=120, device="cpu")
clips = open_clips("skies:signed", frames=config.frames, size=config.size, channels=3)
held_out = open_clips("skies:signed", frames=config.frames, size=config.size, channels=3, split="val")

torch.manual_seed(settings.seed)
about = {"system": "md-gan", "version": kinema.__version__, "config": to_dict(config)}
train(MDGAN(config), clips, settings, "timelapse-run", write_config=about)
system = kinema.load("timelapse-run")

for row in photo_motion(system, held_out, n=20, seed=0, log=str):  # the still copy is hard to beat
    print(f"{row.name}: PSNR {row.metrics['PSNR']:.1f} dB, motion {row.metrics['motion']:.2f} of real")
for row in wind(system, held_out, n=20, seed=0, log=str):  # 0.5 is chance
    print(f"{row.name}: direction right in {row.metrics['direction']:.2f}")

frame = held_out.pixels([0])[0, 0]  # a photo larger than the network's 64x64
photo = Image(np.kron(frame, np.ones((4, 6, 1), np.uint8))).save(Path("photo.png"))
video = system.run(image=str(photo))
print(video.frames.shape)  # (16, 256, 384, 3): the photo's own size
path = video.save("sky.mp4")
print(read_provenance(path)["system"], read_provenance(path)["request"]["image"])
