"""Group normalization: a residual classifier with any norm, its training, and its use.

Wu, He, "Group Normalization", ECCV 2018, arXiv:1803.08494, section 4.1. Where we differ: pictures are shifted
and mirrored but not cropped at random sizes, and several processes share the statistics of batch norm.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.core.results import Batch, Image, Pixels, Video
from kinema.core.system import Extent, Losses, Player, Progress, System
from kinema.data.prepare import fit
from kinema.media import read_image
from kinema.nn.convert_norm import NORMS
from kinema.nn.resnet import DEPTHS, ResNet
from kinema.nn.sampling import in_use
from kinema.systems.group_norm import config as settings

SHOWN = 4
"""pictures of a demonstration"""
FPS = Fraction(8)


class GroupNorm(System):
    """A picture gets a class."""

    name = "group-norm"
    Config = settings.Config
    Request = settings.Request
    metrics = ("classification",)
    serving = ("classifier",)
    reads = "pictures"
    answers = True

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.classifier = ResNet(
            config.depth,
            len(config.classes),
            config.norm,
            config.channels,
            config.width,
            config.gamma_zero,
        )

    @classmethod
    def adapt(cls, config: Any, data: Any) -> Any:
        """Take the classes from the data."""
        return replace(config, classes=tuple(data.captions))

    def players(self) -> dict[str, Player]:
        """`classifier`; what weight decay adds to its gradient is a term of the step."""
        c = self.config
        return {
            "classifier": Player(
                [self.classifier], c.lr, momentum=c.momentum, drops=c.drops, decay_from=c.decay_from
            )
        }

    def step(self, batch: dict[str, Any], progress: Progress) -> Steps[Losses, None, None]:
        """Cross-entropy of the classes of pictures that were moved by chance, and weight decay."""
        c = self.config
        seen = moved(batch["image"], progress.rand(3), c.shift, c.mirror)
        terms = {"cross_entropy": F.cross_entropy(self.classifier(seen).float(), batch["label"])}
        if c.weight_decay:
            terms["decay"] = (
                c.weight_decay / 2 * torch.stack([p.square().sum() for p in self.decayed()]).sum()
            )
        yield {"classifier": terms}

    def decayed(self) -> Iterator[Tensor]:
        """The parameters that weight decay counts."""
        for module in self.classifier.modules():
            if self.config.decay_norms or not isinstance(module, NORMS):
                yield from module.parameters(recurse=False)

    # ---- use ----

    def classify(self, pixels: Pixels, batch: int = 100) -> NDArray[np.float32]:
        """Probabilities (N, K) of the classes of pictures uint8 (N, S, S, C)."""
        parts = []
        with in_use(self):
            for start in range(0, len(pixels), batch):
                some = torch.from_numpy(pixels[start : start + batch]).to(self.device)
                logits = self.classifier(some.permute(0, 3, 1, 2).float() / 127.5 - 1)
                parts.append(logits.float().softmax(1).cpu().numpy())
        return np.concatenate(parts)

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """Some held-out pictures, and what they are taken for."""
        del captions
        held_out = clips()
        rows = np.linspace(0, len(held_out) - 1, SHOWN).astype(np.int64)  # sets may be sorted by class
        shown = held_out.pixels(rows)[:, 0]
        return {
            f"picture {i} is taken for {said}": {"image": (Image(in_colour(picture)),)}
            for i, (picture, said) in enumerate(zip(shown, self.labelled(shown).labels, strict=True), 1)
        }

    def extent(self, request: settings.Request) -> Extent:
        """A picture for every file, as the network sees it."""
        return Extent(len(request.image), 1, self.config.size, self.config.size)

    def run(self, request: settings.Request) -> Batch:
        """The pictures as the network sees them, each labelled by its class and the probability of it."""
        c = self.config
        if not request.image:
            raise UsageError("no picture was given; name one or several: --image FILE.")
        pixels = np.stack([fit(read_image(Path(file)).pixels, c.size, c.channels) for file in request.image])
        return self.labelled(pixels)

    def labelled(self, pixels: Pixels) -> Batch:
        """Pictures uint8 (N, S, S, C) as clips of one frame with the likeliest class of each."""
        probabilities = self.classify(pixels)
        said = [f"{self.config.classes[row.argmax()]} ({row.max():.1%})" for row in probabilities]
        return Batch([Video(picture[None], FPS) for picture in in_colour(pixels)], labels=said)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """The same pictures each time, with what they are taken for."""
        shown = batch["image"].float().add(1).mul(127.5).round().byte().permute(0, 2, 3, 1)
        return self.labelled(shown.cpu().numpy())

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The classifier for ONNX: module, example inputs, names of inputs and outputs."""
        c = self.config
        numbers = 2 * c.channels * c.size * c.size
        example = torch.linspace(-1, 1, numbers, device=self.device).view(2, c.channels, c.size, c.size)
        return self.classifier.eval(), (example,), ["picture"], ["logits"]


def moved(x: Tensor, chance: Tensor, shift: float, mirror: bool) -> Tensor:
    """Every picture shifted, its edges repeated, and mirrored, each in its own way.

    Args:
        x: pictures (B, C, S, S).
        chance: (B, 3) in [0, 1).
        shift: largest shift as a share of the side; by whole pixels.
        mirror: whether half of them are mirrored.
    """
    side = x.shape[-1]
    most, places = round(shift * side), torch.arange(side, device=x.device)
    down, right = ((u * (2 * most + 1)).long()[:, None] - most for u in chance[:, :2].unbind(1))
    rows, columns = (places + down).clamp(0, side - 1), (places + right).clamp(0, side - 1)  # (B, S)
    if mirror:
        columns = torch.where(chance[:, 2:] < 0.5, side - 1 - columns, columns)
    item = torch.arange(len(x), device=x.device)[:, None, None]
    return x.movedim(1, -1)[item, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def in_colour(pixels: Pixels) -> Pixels:
    """Pictures (..., C) -> (..., 3); grey is repeated."""
    return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    if len(config.classes) < 2:
        raise UsageError(f"a classifier needs two classes or more, and the data has {len(config.classes)}.")
    if config.channels not in (1, 3):
        raise UsageError(f"pictures have 1 or 3 channels, not {config.channels}.")
    if config.depth not in DEPTHS:
        raise UsageError(f"depth is one of {', '.join(map(str, DEPTHS))} layers, not {config.depth}.")
    least = 32 if config.depth == 50 else 4
    if config.size < least:
        raise UsageError(f"{config.depth} layers read pictures of {least} pixels or more, not {config.size}.")
    if not 0 <= config.shift <= 0.5:
        raise UsageError(f"shift is a share of a side from 0 to 0.5, not {config.shift}.")
    at_least_one(config, "width")
    not_negative(config, "lr", "weight_decay")
