"""A classifier trained with batch norm gets group norm: as it is, and calibrated on a few batches.

python examples/another_norm.py
"""

import copy

import numpy as np
import torch
from torch.nn import functional as F

from kinema.data import open_pictures
from kinema.nn.convert_norm import convert_norm
from kinema.nn.resnet import ResNet

train, held_out = (open_pictures("digits", channels=1, split=split) for split in ("train", "val"))
torch.manual_seed(0)
order = np.random.default_rng(0).permutation(len(train))
net = ResNet(8, classes=10, norm="bn", channels=1, gamma_zero=False)
optimiser = torch.optim.Adam(net.parameters(), 5e-3)
falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, len(order) // 32)

for start in range(0, len(order), 32):  # one epoch
    batch = train.batch(order[start : start + 32])
    loss = F.cross_entropy(net(batch["image"]), batch["label"])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    falling.step()
net.eval()


def error(network: ResNet) -> float:
    """Share of held-out digits whose class is wrong."""
    rows = np.random.default_rng(0).permutation(len(held_out))[:500]
    batch = held_out.batch(rows)
    with torch.no_grad():
        return float((network(batch["image"]).argmax(1) != batch["label"]).float().mean())


raw, calibrated = copy.deepcopy(net), copy.deepcopy(net)
convert_norm(raw, "gn:groups=4")
shown = [train.batch(order[start : start + 32])["image"] for start in range(0, 256, 32)]
report = convert_norm(calibrated, "gn:groups=4", calibrate=shown)

print(f"batch norm: error {error(net):.3f}")
print(f"group norm in its place: error {error(raw):.3f}")
print(f"calibrated on {len(shown)} batches: error {error(calibrated):.3f}")  # wins most of it back
print(f"{len(report)} norms, the first: {report[0]}")
