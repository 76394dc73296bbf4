"""Generator and critics of G3AN: three streams, for space, time and both, fused after every block.

Wang et al. 2020 (arXiv:1912.05523). Layers and state-dict names are those of the authors' code. Where we
differ: convolutions along one axis run as products or 2-D kernels on the same weights, and what does not move
is convolved once where that is the same, both for speed; other sizes than 64, single streams and classes
follow by the same rule. F-SA stands in attention.py.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.norm import BatchNorm3d, spectral
from kinema.systems.g3an.attention import FactorisedSelfAttention
from kinema.systems.g3an.config import Config

Plan = tuple[Any, Any, Any]
"""kernel, stride and padding, each one number or (T, H, W)"""
Parts = tuple[Tensor, ...]
"""maps (B, C, T, H, W) whose channels stand one behind the other; a size of 1 is repeated"""
WINDOW = 16
"""frames that the video critic looks at"""


class TransposedConv(nn.ConvTranspose3d):
    """A transposed convolution; with a kernel of one pixel it is a product, which is computed as such."""

    def forward(self, x: Tensor | Parts, output_size: list[int] | None = None) -> Tensor:
        """Maps (B, C, T, H, W), or parts of them -> (B, C', T', H', W')."""
        parts = (x,) if isinstance(x, Tensor) else x
        if self.kernel_size != (1, 1, 1):
            return super().forward(joined(parts), output_size)
        weights = self.weight.flatten(1).split([part.shape[1] for part in parts])  # (C, C') each
        maps = [F.linear(part.movedim(1, -1), w.T) for part, w in zip(parts, weights, strict=True)]
        assert self.bias is not None
        return sum(maps[1:], maps[0] + self.bias).movedim(-1, 1)


class ToRGB(nn.Conv3d):
    """The last convolution, over space alone."""

    def forward(self, x: Tensor | Parts) -> Tensor:
        """Maps (B, C, T, H, W), or parts of them -> (B, C', T, H, W)."""
        parts = (x,) if isinstance(x, Tensor) else x
        weights = self.weight.split([part.shape[1] for part in parts], 1)
        maps = [F.conv3d(part, w, padding=self.padding) for part, w in zip(parts, weights, strict=True)]
        assert self.bias is not None
        return sum(maps[1:], maps[0] + self.bias[:, None, None, None])


class TimeConv(nn.Conv3d):
    """A convolution over time alone, computed as a 2-D one over (T, H W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T', H, W)."""
        y = F.conv2d(x.flatten(3), self.weight[..., 0], self.bias, self.stride[:2], self.padding[:2])
        return y.unflatten(3, x.shape[3:])


def _up(ins: int, outs: int, plan: Plan) -> list[nn.Module]:
    """Spectrally normed transposed convolution by (kernel, stride, padding), batch norm, ReLU."""
    convolution = spectral(TransposedConv(ins, outs, *plan))
    norm = BatchNorm3d(outs)
    nn.init.normal_(norm.weight, 1, 0.02)
    return [convolution, norm, nn.ReLU()]


class G3(nn.Module):
    """One module of three streams; time grows by `t` and space by `s`, each (kernel, stride, padding)."""

    def __init__(
        self,
        config: Config,
        ins: Plan,
        outs: int,
        t: Plan,
        s: Plan,
    ) -> None:
        super().__init__()
        self.temporal_mean = config.temporal_mean
        of_s, of_v, of_t = ins
        space = ((1, s[0], s[0]), (1, s[1], s[1]), (0, s[2], s[2]))
        time = ((t[0], 1, 1), (t[1], 1, 1), (t[2], 0, 0))
        both = ((t[0], s[0], s[0]), (t[1], s[1], s[1]), (t[2], s[2], s[2]))
        plans = {"1p2d": (time, space), "2p1d": (space, time), "3d": (both,)}[config.mode]
        video = []
        for plan in plans:
            video += _up(of_v, outs, plan)
            of_v = outs
        self.conv_v = nn.Sequential(*video)
        self.conv_s = nn.Sequential(*_up(of_s, outs, space)) if config.spatial_stream else None
        self.conv_t = nn.Sequential(*_up(of_t, outs, time)) if config.temporal_stream else None

    def forward(self, s: Tensor, v: Parts, t: Tensor) -> tuple[Tensor, Parts, Tensor]:
        """Maps F_S (B, C, 1, H, W), F_V (B, C', T, H, W), F_T (B, C, T, 1, 1) -> the next three.

        F_S and what it is put before stay parts: a convolution that does not reach over time then meets F_S
        once and not T times.
        """
        moving = self.conv_v(v)
        if self.conv_t is not None:
            t = self.conv_t(t)
            moving = moving + (t if self.temporal_mean else t - t.mean(2, keepdim=True))
        if self.conv_s is None:
            return s, (moving,), t
        s = self.conv_s(s)
        return s, (s, moving), t


def joined(parts: Parts) -> Tensor:
    """One tensor of all channels; in memory they are last."""
    if len(parts) == 1:
        return parts[0]
    whole = torch.broadcast_shapes(*(part[:, :1].shape for part in parts))[2:]
    maps = [part.movedim(1, -1).expand(-1, *whole, -1) for part in parts]
    return torch.cat(maps, -1).movedim(-1, 1)


class Generator(nn.Module):
    """Codes of appearance and motion become a clip; 23,090,437 parameters at the paper's size."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.blocks = config.size.bit_length() - 2  # the first makes 4x4 pixels, each other doubles them
        self.attention = config.attention
        code = config.class_code if config.conditional else 0
        self.label = nn.Linear(len(config.classes), code, bias=False) if config.conditional else None
        a, m = config.appearance + code, config.motion + code
        self.both = config.video_code == "both"
        ins, streams = (a, a + m if self.both else m, m), 1 + config.spatial_stream
        for block in range(1, self.blocks + 1):
            outs = width_of(config, block)
            t = (4, 1, 0) if block == 1 else (4, 2, 1) if block <= 3 else (1, 1, 0)
            self.add_module(f"block{block}", G3(config, ins, outs, t, (4, 1, 0) if block == 1 else (4, 2, 1)))
            if block == config.attention:
                self.fsa = FactorisedSelfAttention(streams * outs, config.attention_layout)
            ins = (outs, streams * outs, outs)
        to_rgb = ToRGB(ins[1], config.channels, (1, 3, 3), padding=(0, 1, 1))
        nn.init.normal_(to_rgb.weight, 0, 0.02)
        self.to_rgb = nn.Sequential(to_rgb)

    def forward(self, za: Tensor, zm: Tensor, label: Tensor | None = None) -> Tensor:
        """Codes za (B, A), zm (B, M, t) and one-hot classes (B, K) -> video (B, C, 4 (t + 3), S, S)."""
        if self.label is not None:
            code = self.label(label)
            za = torch.cat([za, code], 1)
            zm = torch.cat([zm, code[:, :, None].expand(-1, -1, zm.shape[2])], 1)
        s, t = za[:, :, None, None, None], zm[..., None, None]
        v: Parts = (s, t) if self.both else (t,)
        for block in range(1, self.blocks + 1):
            s, v, t = self.get_submodule(f"block{block}")(s, v, t)
            if block == self.attention:
                v = (self.fsa(joined(v)),)
        return torch.tanh(self.to_rgb(v).float())


def width_of(config: Config, block: int) -> int:
    """Channels of each stream after `block`: 8, 8, 4, 2, 1 times the width, then a half, a quarter."""
    return 8 * config.width >> max(0, block - 2)


class Critic(nn.Module):
    """What critics share: a chain of layers to one logit, and how classes are heard.

    The last map, summed over its places, meets a code of the class in an inner product (Miyato & Koyama 2018,
    arXiv:1802.05637).
    """

    def __init__(self, config: Config, layers: list[nn.Module]) -> None:
        super().__init__()
        held = spectral if config.critic_norm == "spectral" else _scaled
        named: OrderedDict[str, nn.Module] = OrderedDict()
        for i, layer in enumerate(layers):
            named[str(2 * i)] = held(layer)
            named[str(2 * i + 1)] = nn.LeakyReLU(0.2)
        named.popitem()
        self.net = nn.Sequential(named)
        width: int = layers[-1].in_channels  # type: ignore[assignment]
        classes = len(config.classes)
        self.label = held(nn.Linear(classes, width, bias=False)) if config.conditional else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Clips or frames (B, C, …) and one-hot classes (B, K) -> logits (B,)."""
        maps = self.net[:-1](x)
        logits = self.net[-1](maps).float().flatten()
        if self.label is not None:
            logits = logits + (self.label(label).float() * maps.float().flatten(2).sum(2)).sum(1)
        return logits


class VideoCritic(Critic):
    """D_V on 16 frames: 8,347,009 parameters as (2+1)-D at the paper's size."""

    def __init__(self, config: Config) -> None:
        layers: list[nn.Module] = []
        ins, frames, flat = config.channels, WINDOW, config.video_critic == "2p1d"
        for outs, shorten in _levels(config):
            k = 4 if shorten and not flat else 1
            layers.append(_conv(nn.Conv3d(ins, outs, (k, 4, 4), (1, 2, 2), (0, 1, 1))))
            if shorten and flat:
                layers.append(_conv(TimeConv(outs, outs, (4, 1, 1))))
            frames -= 3 * shorten
            ins = outs
        if flat:
            layers.append(_conv(nn.Conv3d(ins, ins, (1, 4, 4))))
            layers.append(_conv(TimeConv(ins, 1, (frames, 1, 1))))
        else:
            layers.append(_conv(nn.Conv3d(ins, 1, (frames, 4, 4))))
        super().__init__(config, layers)


class ImageCritic(Critic):
    """D_I on single frames: 2,764,737 parameters at the paper's size."""

    def __init__(self, config: Config) -> None:
        layers: list[nn.Module] = []
        ins = config.channels
        for outs, _ in _levels(config):
            layers.append(_conv(nn.Conv2d(ins, outs, 4, 2, 1)))
            ins = outs
        super().__init__(config, [*layers, _conv(nn.Conv2d(ins, 1, 4))])


def _levels(config: Config) -> list[tuple[int, bool]]:
    """Halvings of space down to 4x4: channels, and whether time is shortened too (in the last four)."""
    n = config.size.bit_length() - 3
    more = max(0, n - 4)  # levels before those of the paper; they keep its first width
    return [(config.critic_width << max(0, i - more), i >= more) for i in range(n)]


def _scaled(layer: nn.Module) -> nn.Module:
    """Initial weights that keep the size of what passes through (He et al. 2015, arXiv:1502.01852)."""
    assert isinstance(layer.weight, Tensor)
    nn.init.kaiming_normal_(layer.weight, a=0.2)
    return layer


def _conv(convolution: nn.Conv2d | nn.Conv3d) -> nn.Module:
    """N(0, 0.02), as in the authors' code."""
    nn.init.normal_(convolution.weight, 0, 0.02)
    return convolution
