"""A classifier of the real pictures, whose features carry distances and whose answers say what is shown.

A residual network (`kinema.nn.resnet`) that learns from training pictures, shifted and mirrored by chance,
where it is needed, in minutes, and is kept in the cache. That of CIFAR-10 comes with the package:
`benchmarks/cifar10_judge.py` trained it longer, and it is right on 91.3 % of the 10,000 held-out pictures.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from kinema.data.pictures import Pictures, open_pictures
from kinema.metrics.cache import trained, weights_hash
from kinema.nn.resnet import ResNet

Pixels = NDArray[np.uint8]  # (N, 1, S, S, C)
DEPTH, WIDTH, BATCH, RATE, DECAY = 14, 32, 128, 0.1, 5e-4
"""layers, channels of the first stage; pictures in a step, learning rate at its height, weight decay"""
SHIFT = 0.125
"""of a side, by which pictures are shifted while the judge learns"""
EPOCHS, SEEN = 20, 60_000
"""epochs on CIFAR-10; pictures from which others learn, all epochs together"""
UNMIRRORED = ("digits",)
"""sets whose pictures mean something else in a mirror"""
BUNDLED = Path(__file__).with_name("cifar10_judge.safetensors")


class Seen(NamedTuple):
    """What a judge finds in N pictures."""

    features: NDArray[np.float32]
    """(N, 128)"""
    logits: NDArray[np.float32]
    """(N, K)"""

    @property
    def label(self) -> NDArray[np.int64]:
        """The likeliest class (N,)."""
        return np.asarray(self.logits.argmax(1), np.int64)


class PictureJudge:
    """Reads pictures of one set."""

    def __init__(self, where: str, size: int, channels: int) -> None:
        """Train it, or read it from the file beside this one or from the cache."""
        self.train = open_pictures(where, size=size, channels=channels, split="train")
        self.mirrored = where.partition(":")[0] not in UNMIRRORED
        if (size, channels) == (32, 3) and where == "cifar10" and BUNDLED.exists():
            self.net = self.empty()
            self.net.load_state_dict(
                {k: v.float() if v.is_floating_point() else v for k, v in load_file(BUNDLED).items()}
            )
            self.net.eval()
            return
        epochs = max(1, round(SEEN / len(self.train)))
        key = {"judge": "resnet", "depth": DEPTH, "width": WIDTH, "epochs": epochs, "data": self.train.hash}
        self.net = trained(key, self.empty, lambda: self.fitted(epochs))

    def empty(self) -> ResNet:
        """The network before it has learnt."""
        channels = self.train.pixels([0]).shape[-1]
        return ResNet(DEPTH, len(self.train.captions), width=WIDTH, channels=channels)

    def fitted(self, epochs: int, log: Any = None) -> ResNet:
        """Train by SGD with momentum; the rate rises for a fifth of the steps and then falls to zero."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = self.empty()
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=DECAY)
        chance = np.random.default_rng(0)
        steps = epochs * (len(self.train) // min(len(self.train), BATCH))
        for step, rows in enumerate(_order(len(self.train), epochs, chance)):
            optimiser.param_groups[0]["lr"] = RATE * min(5 * (step + 1) / steps, 1.25 * (1 - step / steps))
            batch = self.train.batch(rows)
            images = _shifted(batch["image"], chance, self.mirrored).contiguous(
                memory_format=torch.channels_last
            )
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(images)
            loss = F.cross_entropy(logits.float(), batch["label"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if log is not None and step % 100 == 0:
                log(f"step {step}/{steps}  loss {loss.item():.3f}")
        return net.eval()

    def __call__(self, pixels: Pixels) -> Seen:
        """Pictures uint8 (N, 1, S, S, C), in float32."""
        features, logits = [], []
        with torch.no_grad():
            for start in range(0, len(pixels), 250):
                x = torch.from_numpy(pixels[start : start + 250, 0]).permute(0, 3, 1, 2).float() / 127.5 - 1
                found = self.net.features(x)
                features.append(found.numpy())
                logits.append(self.net.fc(found).numpy())
        return Seen(np.concatenate(features), np.concatenate(logits))

    def describe(self) -> dict[str, Any]:
        """The protocol: what the judge is, and how often it is right on held-out pictures."""
        return {"judge": f"resnet-{DEPTH} of width {WIDTH}", "weights": weights_hash(self.net)}

    def accuracy(self, held_out: Pictures) -> float:
        """How often it names the class of real pictures."""
        rows = range(len(held_out))
        return float((self(held_out.pixels(rows)).label == held_out.labels).mean())


@cache
def picture_judge(where: str, size: int, channels: int) -> PictureJudge:
    """The judge of a set, made once."""
    return PictureJudge(where, size, channels)


def _order(n: int, epochs: int, chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The pictures of each step."""
    batch = min(n, BATCH)
    for _ in range(epochs):
        order = chance.permutation(n)
        for start in range(0, n - batch + 1, batch):
            yield order[start : start + batch]


def _shifted(images: Tensor, chance: np.random.Generator, mirrored: bool) -> Tensor:
    """Pictures (B, C, S, S) shifted by up to an eighth, and half of them mirrored if that is allowed."""
    side = images.shape[-1]
    most = round(SHIFT * side)
    wide = F.pad(images, (most,) * 4)
    tops, lefts = chance.integers(0, 2 * most + 1, (2, len(images))).tolist()
    flips = (chance.random(len(images)) < 0.5 * mirrored).tolist()
    out = [x[:, a : a + side, b : b + side] for x, a, b in zip(wide, tops, lefts, strict=True)]
    return torch.stack([x.flip(2) if flip else x for x, flip in zip(out, flips, strict=True)])
