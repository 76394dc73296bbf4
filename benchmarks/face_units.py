"""Train the reader of action units that ships with the package, on rendered heads, and measure it.

    python benchmarks/face_units.py [--steps 6000] [--pictures 12000] [--out FILE]

It learns from persons of its own seed, so that it can judge systems trained on the usual heads, and is
measured on persons it has not seen. Crops are mirrored, shifted, dimmed, blurred and made noisy by chance.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from kinema.data import face_units
from kinema.data.action_units import UNITS
from kinema.data.heads import Heads
from kinema.nn.unit_reader import SIDE, UnitReader

BATCH, RATE = 64, 2e-3


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--pictures", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1, help="of the persons")
    parser.add_argument("--out", type=Path, default=face_units.FILE)
    flags = parser.parse_args()
    started = time.process_time()
    train, val = (
        Heads(n, SIDE, split, flags.seed) for n, split in ((flags.pictures, "train"), (1000, "val"))
    )
    images = torch.from_numpy(train.pixels(range(len(train)))[:, 0]).permute(0, 3, 1, 2).contiguous()
    units = torch.from_numpy(train.units)
    print(f"{len(train)} heads rendered in {time.process_time() - started:.0f} s", flush=True)
    torch.manual_seed(0)
    net = UnitReader(len(UNITS)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, flags.steps, pct_start=0.1)
    for step in range(flags.steps):
        rows = torch.randint(len(images), (BATCH,))
        shown = augmented(images[rows].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = net(shown)
        loss = F.mse_loss(found, units[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 499:
            scores = measured(net, val)
            print(step + 1, f"{loss.item():.4f}", f"{np.mean(list(scores.values())):.3f}", scores, flush=True)
            net.train()
    scores = measured(net, val)
    held = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    state = {k: v.contiguous() for k, v in held.items()}
    save_file(
        state,
        flags.out,
        metadata={"r": json.dumps(scores), "steps": str(flags.steps), "pictures": str(flags.pictures)},
    )
    print(f"{flags.out}: r on unseen persons {scores}, {time.process_time() - started:.0f} s of a core")


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Mirrored, shifted, scaled in light and contrast, grey, blurred or noisy by chance (B, 3, S, S)."""
    n, side = len(x), x.shape[-1]
    turn = torch.zeros(n, 2, 3)
    angle, zoom = torch.randn(n) * 0.05, torch.exp(torch.randn(n) * 0.04)
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    turn[:, 0, 0], turn[:, 0, 1] = flip * zoom * angle.cos(), -zoom * angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = flip * zoom * angle.sin(), zoom * angle.cos()
    turn[:, :, 2] = torch.randn(n, 2) * 0.04
    x = F.grid_sample(
        x, F.affine_grid(turn, list(x.shape), align_corners=False), padding_mode="border", align_corners=False
    )
    small = F.interpolate(F.avg_pool2d(x, 2), (side, side), mode="bilinear")
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.2, small, x)
    grey = x.mean(1, keepdim=True).expand_as(x)
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.1, grey, x)
    gain, lift = torch.exp(torch.randn(n, 1, 1, 1) * 0.2), torch.randn(n, 3, 1, 1) * 0.08
    x = x * gain + lift + torch.randn(n, 1, 1, 1) * 0.1
    return (x + torch.randn_like(x) * 0.04 * torch.rand(n, 1, 1, 1)).clamp(-1, 1)


def measured(net: UnitReader, data: Heads) -> dict[str, float]:
    """Correlation with the true intensities, for each unit, on unseen persons."""
    net.eval()
    with torch.no_grad():
        x = torch.from_numpy(data.pixels(range(len(data)))[:, 0]).permute(0, 3, 1, 2).float() / 127.5 - 1
        found = torch.cat([net(part) for part in x.split(250)]).numpy()
    return {
        name: round(float(np.corrcoef(found[:, k], data.units[:, k])[0, 1]), 3)
        for k, name in enumerate(UNITS)
    }


if __name__ == "__main__":
    main()
