"""Critics of TGANs-C: is the clip, a frame, a motion real, and does it fit the sentence?

Pan et al. 2017 (arXiv:1804.08264), section 3.3. Names in the state dict are those of the public
re-implementation. Where we differ: frames are folded into the batch, features are computed once and compared
with several sentences, and besides concatenation (the paper's) a sentence can meet the features in an inner
product (Miyato & Koyama 2018, arXiv:1802.05637). Generators stand in generators.py, the text encoder in
text.py.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, spectral
from kinema.systems.tgans_c.config import Config


class Features(NamedTuple):
    """What critics see of a clip before they hear a sentence."""

    video: Tensor | None
    """maps (B, T/16, 8w, S/16, S/16)"""
    frames: Tensor | None
    """raw frame maps m (B, F, 8w, S/16, S/16) of the F frames looked at"""


def _normed(config: Config, convolution: nn.Module, norm: nn.Module) -> list[nn.Module]:
    """A convolution and what normalises it; the second place stays so that numbering does."""
    if config.critic_norm == "batch":
        return [convolution, norm]
    return [spectral(convolution) if config.critic_norm == "spectral" else convolution, nn.Identity()]


def _unnormed(config: Config, convolution: nn.Module) -> nn.Module:
    """A convolution that the paper leaves without batch norm."""
    return spectral(convolution) if config.critic_norm == "spectral" else convolution


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


class JointHead(nn.Module):
    """The paper's head: map and sentence concatenated on channels, then one logit a map.

    Frame and motion heads first recombine channels (`mix`); the video head, whose map went through one more
    norm, does not.
    """

    def __init__(self, config: Config, mix: bool) -> None:
        super().__init__()
        c, d, bias = 8 * config.width, config.sentence, config.critic_norm != "batch"
        convolution = nn.Conv2d(c, c, 1, bias=bias)
        self.mix = (
            nn.Sequential(*_normed(config, convolution, BatchNorm2d(c)), _leaky()) if mix else nn.Identity()
        )
        self.sent_map = nn.Sequential(*_normed(config, nn.Linear(d, d), BatchNorm1d(d)), _leaky())
        joint = nn.Conv2d(c + d, c, 1, bias=bias)
        if mix and config.legacy_2x2:
            last = nn.Conv2d(c, 1, 2, 2, bias=False)
        else:
            last = nn.Conv2d(c, 1, config.size // 16, bias=bias)
        self.predictor = nn.Sequential(
            *_normed(config, joint, BatchNorm2d(c)), _leaky(), _unnormed(config, last)
        )

    def forward(self, maps: Tensor, s: Tensor) -> Tensor:
        """Maps (B, F, C, h, w), sentences (B, d_s) -> logits (B, F)."""
        b, f = maps.shape[:2]
        x = self.mix(maps.flatten(0, 1))  # (B F, C, h, w)
        words = self.sent_map(s).repeat_interleave(f, 0)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        logits = self.predictor(torch.cat([x, words], 1))  # (B F, 1, 1, 1)
        return logits.float().flatten(1).mean(1).unflatten(0, (b, f))


class ProjectionHead(nn.Module):
    """logit = real(m) + <V s, maximum of m over its places>, with m the activated map.

    What a caption names may be anywhere, but twice the same is not two things: a sum over places would take
    two fours for a nine and a four. Whether a clip is real depends on where things are: without places, the
    generator puts all at one place unseen.
    """

    def __init__(self, config: Config, mix: bool) -> None:
        super().__init__()
        c = 8 * config.width
        self.mix = _unnormed(config, nn.Conv2d(c, c, 1)) if mix else nn.Identity()
        self.real = _unnormed(config, nn.Conv2d(c, 1, config.size // 16))
        self.fits = _unnormed(config, nn.Linear(config.sentence, c, bias=False))

    def forward(self, maps: Tensor, s: Tensor) -> Tensor:
        """Maps (B, F, C, h, w), sentences (B, d_s) -> logits (B, F)."""
        b, f = maps.shape[:2]
        with torch.autocast(maps.device.type, enabled=False):
            m = self._activated(maps)
            real = self.real(m.flatten(0, 1)).flatten(1).mean(1).unflatten(0, (b, f))
            return real + (self.fits(s.float())[:, None] * m.flatten(3).amax(3)).sum(2)

    def matches(self, maps: Tensor, s: Tensor) -> Tensor:
        """How well clip i fits sentence j: maps (B, F, C, h, w), sentences (N, d_s) -> (B, N)."""
        with torch.autocast(maps.device.type, enabled=False):
            return self._activated(maps).flatten(3).amax(3).mean(1) @ self.fits(s.float()).T

    def _activated(self, maps: Tensor) -> Tensor:
        """Maps m (B, F, C, h, w) in float32."""
        m = self.mix(maps.flatten(0, 1).float()).unflatten(0, maps.shape[:2])
        return nn.functional.leaky_relu(m, 0.2)


HEADS = {"concat": JointHead, "projection": ProjectionHead}


class VideoCritic(nn.Module):
    """D0: 3-D convolutions over the whole clip, then a head.

    11,489,280 parameters at full width, 48x48 and colour.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, bias = config.width, config.critic_norm != "batch"
        self.x_map = nn.Sequential(
            _unnormed(config, nn.Conv3d(config.channels, w, 4, 2, 1, bias=bias)), _leaky(),
            *_normed(config, nn.Conv3d(w, 2 * w, 4, 2, 1, bias=bias), BatchNorm3d(2 * w)), _leaky(),
            *_normed(config, nn.Conv3d(2 * w, 4 * w, 4, 2, 1, bias=bias), BatchNorm3d(4 * w)), _leaky(),
            *_normed(config, nn.Conv3d(4 * w, 8 * w, 4, 2, 1, bias=bias), BatchNorm3d(8 * w)), _leaky(),
        )  # fmt: skip
        self.head = HEADS[config.heads](config, mix=False)

    def maps(self, video: Tensor) -> Tensor:
        """Video (B, C, T, S, S) -> maps (B, T/16, 8w, S/16, S/16)."""
        return self.x_map(video).transpose(1, 2)


class FrameCritic(nn.Module):
    """The frame map m, shared by D1 (frames) and by the motion head on differences of m (Phi 2)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w, bias = config.width, config.critic_norm != "batch"
        self.frame_map = nn.Sequential(
            *_normed(config, nn.Conv2d(config.channels, w, 4, 2, 1, bias=bias), BatchNorm2d(w)), _leaky(),
            *_normed(config, nn.Conv2d(w, 2 * w, 4, 2, 1, bias=bias), BatchNorm2d(2 * w)), _leaky(),
            *_normed(config, nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=bias), BatchNorm2d(4 * w)), _leaky(),
            _unnormed(config, nn.Conv2d(4 * w, 8 * w, 4, 2, 1, bias=bias)),
        )  # fmt: skip
        self.frame = HEADS[config.heads](config, mix=config.heads == "concat")
        self.motion = HEADS[config.heads](config, mix=True) if config.variant == "ca" else None

    def maps(self, video: Tensor) -> Tensor:
        """Video (B, C, F, S, S) -> raw frame maps (B, F, 8w, S/16, S/16), frames folded into the batch."""
        b, _, f = video.shape[:3]
        return self.frame_map(video.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, f))


class Critics(nn.Module):
    """All heads of a variant behind one door: features once, logits for as many sentences as wanted."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.stride = config.frame_stride
        self.video = VideoCritic(config) if config.variant != "frame" else None
        self.frames = FrameCritic(config) if config.variant != "c1" else None

    def features(self, video: Tensor, phase: int = 0) -> Features:
        """Video (B, C, T, S, S) -> features; `phase` is the first frame looked at when frames are skipped."""
        return Features(
            self.video.maps(video) if self.video is not None else None,
            self.frames.maps(video[:, :, phase % self.stride :: self.stride])
            if self.frames is not None
            else None,
        )

    def logits(self, seen: Features, s: Tensor) -> dict[str, Tensor]:
        """Features and sentences (B, d_s) -> head name -> logits (B, T/16), (B, F) or (B, F - 1)."""
        return {name: head(maps, s) for name, head, maps in self._heads(seen)}

    def matches(self, seen: Features, s: Tensor) -> dict[str, Tensor]:
        """Features and sentences (N, d_s) -> head name -> how well every clip fits each of them (B, N)."""
        return {name: head.matches(maps, s) for name, head, maps in self._heads(seen)}

    def _heads(self, seen: Features) -> Iterator[tuple[str, Any, Tensor]]:
        """Name, head and the maps it reads."""
        if self.video is not None and seen.video is not None:
            yield "video", self.video.head, seen.video
        if self.frames is not None and seen.frames is not None:
            yield "frame", self.frames.frame, seen.frames
            if self.frames.motion is not None:
                yield "motion", self.frames.motion, seen.frames[:, 1:] - seen.frames[:, :-1]
