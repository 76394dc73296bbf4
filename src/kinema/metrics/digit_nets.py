"""The two small networks that read moving digits, and how they are trained from single digit images.

`WindowNet` names the digit in a window; `FrameNet` finds digits in a whole frame, also where they overlap:
one objectness and ten class logits for each cell of a 16x16 grid (after Zhou et al., Objects as Points, arXiv
1904.07850, without its regressions). Both see 64x64 frames and 28x28 digits; other sizes are resampled at the
door.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kinema.data.digits import shrink

FRAME, SIDE, CELL = 64, 28, 4
GRID = FRAME // CELL


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class WindowNet(nn.Module):
    """A digit window (B, 1, 28, 28) in [0, 1] → ten logits; `features` are the 128 numbers before them."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _block(1, 16), nn.MaxPool2d(2), _block(16, 32), nn.MaxPool2d(2), _block(32, 64), nn.MaxPool2d(2)
        )  # (B, 64, 3, 3)
        self.hidden = nn.Linear(64 * 3 * 3, 128)
        self.classes = nn.Linear(128, 10)

    def features(self, windows: Tensor) -> Tensor:
        """Features (B, 128)."""
        return F.relu(self.hidden(self.trunk(windows).flatten(1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Logits (B, 10)."""
        return self.classes(F.dropout(self.features(windows), 0.2, self.training))


class FrameNet(nn.Module):
    """A frame (B, 1, 64, 64) in [0, 1] → (B, 11, 16, 16): is a digit's centre in this cell, and which."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _block(1, 16, 5, 2), _block(16, 32, 3, 2), _block(32, 64), _block(64, 64), _block(64, 64)
        )
        self.head = nn.Conv2d(64, 11, 3, padding=1)
        # few cells hold a centre
        self.register_buffer("rare", torch.tensor([-4.0] + [0.0] * 10).view(11, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Objectness logit and ten class logits for each cell."""
        return self.head(self.trunk(frames)) + self.rare


def digit_side(size: int) -> int:
    """Side of a digit in frames of `size`."""
    return round(SIDE * size / FRAME)


def _small(images: NDArray[np.uint8], size: int) -> Tensor:
    """Digits as they stand in frames of `size`: (M, 1, d, d) in [0, 1]."""
    return torch.from_numpy(shrink(images, digit_side(size)))[:, None].float() / 255


def distort(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Rotate, shear, scale and move images (B, 1, h, h) a little, each differently."""
    n = len(images)
    draw = torch.rand(n, 6, generator=generator) * 2 - 1
    angle, scale, shear = (
        0.2 * strength * draw[:, 0],
        1 + 0.15 * strength * draw[:, 1:3],
        0.25 * strength * draw[:, 3],
    )
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack(
        [cos * scale[:, 0], -sin + shear, 0.07 * draw[:, 4], sin, cos * scale[:, 1], 0.07 * draw[:, 5]], 1
    )
    grid = F.affine_grid(rows.view(n, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _optimise(net: nn.Module, steps: int, peak: float, loss_of: Callable[[int], Tensor]) -> None:
    """AdamW with one cycle of the learning rate."""
    optimiser = torch.optim.AdamW(net.parameters(), peak, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps)
    net.train()
    for step in range(steps):
        optimiser.zero_grad()
        loss_of(step).backward()
        optimiser.step()
        schedule.step()
    net.eval()


def fit_windows(images: NDArray[np.uint8], labels: NDArray[np.int64], size: int, seed: int) -> WindowNet:
    """Train a `WindowNet` on digits as they stand in frames of `size`: five passes, distorted anew."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, generator = WindowNet(), torch.Generator().manual_seed(seed)
        pictures, target = to_side(_small(images, size), SIDE), torch.from_numpy(labels)
        orders = torch.cat([torch.randperm(len(pictures), generator=generator) for _ in range(5)])
        batch = min(64, len(pictures))

        def loss_of(step: int) -> Tensor:
            rows = orders[step * batch :][:batch]
            return F.cross_entropy(
                net(distort(pictures[rows], generator)), target[rows], label_smoothing=0.05
            )

        _optimise(net, len(orders) // batch, 6e-3, loss_of)
    return net


def fit_frames(
    images: NDArray[np.uint8], labels: NDArray[np.int64], size: int, seed: int, steps: int = 700
) -> FrameNet:
    """Train a `FrameNet` on frames of `size` with two random digits at random places."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, generator = FrameNet(), torch.Generator().manual_seed(seed)
        small, target, side, batch = _small(images, size), torch.from_numpy(labels), digit_side(size), 48

        def loss_of(step: int) -> Tensor:
            rows = torch.randint(len(small), (2 * batch,), generator=generator)
            corner = torch.randint(size - side + 1, (2 * batch, 2), generator=generator)  # (y, x)
            digits = paste(distort(small[rows], generator, 0.7)[:, 0], corner, size)
            frames = digits.view(2, batch, 1, size, size).amax(0)
            centre = (corner + side / 2) * (GRID / size)
            return _detection_loss(
                net(to_side(frames, FRAME)), centre.view(2, batch, 2), target[rows].view(2, batch)
            )

        _optimise(net, steps, 4e-3, loss_of)
    return net


def _detection_loss(out: Tensor, centre: Tensor, digit: Tensor) -> Tensor:
    """Binary cross-entropy on the cells, cross-entropy on the digits; `centre` (2, B, 2) in cells."""
    cell = centre.long().clamp(max=GRID - 1)
    rows = torch.arange(out.shape[0]).expand(2, -1)
    found = torch.zeros_like(out[:, 0])
    found[rows, cell[..., 0], cell[..., 1]] = 1.0
    there = out[rows, 1:, cell[..., 0], cell[..., 1]]  # (2, B, 10)
    objectness = F.binary_cross_entropy_with_logits(out[:, 0], found, reduction="sum") / digit.numel()
    return objectness + F.cross_entropy(there.flatten(0, 1), digit.flatten())


def paste(digits: Tensor, corner: Tensor, size: int) -> Tensor:
    """Put digits (B, d, d) on black frames (B, size, size), upper left pixel at `corner` (B, 2) as (y, x)."""
    side = digits.shape[-1]
    out = digits.new_zeros(len(digits), size, size)
    y = corner[:, 0, None, None] + torch.arange(side)[:, None]
    x = corner[:, 1, None, None] + torch.arange(side)
    out[torch.arange(len(digits))[:, None, None], y, x] = digits
    return out


def to_side(pictures: Tensor, side: int) -> Tensor:
    """Pictures (B, 1, s, s) at the size that the networks see."""
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, side, mode="bilinear", align_corners=False)
