"""Codes kept apart: clips of one appearance code look alike, clips of one motion code move alike.

Ours: in the paper nothing but the streams keeps the codes apart. In every batch each code occurs twice, in
two clips that share nothing else, and two further critics judge pairs (as Donahue et al. 2018,
arXiv:1705.07904, judge pairs of pictures), each by the difference of what it finds in either half:

- one look: two frames of one real clip, or of two generated ones of one appearance code, wherever in the
  frames a thing is;
- one motion: two views of how much changes where in one real clip, or in two generated ones of one motion
  code, too coarsely for shapes; moved and stretched by chance, so that place and scale tell nothing.

So generated pairs have to be as alike as those of one real clip. What the generator pays for it grows over
the first steps: a generator that cannot draw yet learns to draw less by it.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.systems.g3an.config import Config

WEIGHTS, STEPS = {"look": 1.0, "motion": 0.3}, 2000
"""weights of the generator's terms, which they reach after so many steps"""
COARSE = 4
"""side of the frames in which a motion is seen"""
ZOOM, SHIFT = 1.5, 0.3
"""a motion is stretched by up to ZOOM either way, and moved by up to SHIFT of the frame"""
DRAWS = 4
"""uniform numbers that one view of a motion takes"""


def shared(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which appearance and which motion each of n clips has, (n) each.

    Neighbours in a ring share the one and the other in turn, so that every code occurs twice (n even).
    """
    place = torch.arange(n, device=device)
    return place // 2, (place + 1) // 2 % ((n + 1) // 2)


def partner(code: Tensor) -> Tensor:
    """For each of n clips another one of the same code, or itself if there is none; codes (n) -> (n)."""
    same = (code[:, None] == code).fill_diagonal_(False)
    return torch.where(same.any(1), same.byte().argmax(1), torch.arange(len(code), device=code.device))


def looks(video: Tensor, other: Tensor, times: Tensor) -> Tensor:
    """A frame of each clip and one of the other clip.

    Args:
        video: (B, C, T, S, S).
        other: which clip (B).
        times: (B, 2) in [0, 1).

    Returns:
        (B, 2 C, S, S)
    """
    place = torch.arange(len(video), device=video.device)
    first, second = (times * video.shape[2]).long().unbind(1)
    return torch.cat([video[place, :, first], video[other, :, second]], 1)


def motions(video: Tensor, other: Tensor, chance: Tensor) -> Tensor:
    """How much changes where in each clip and in the other one, each seen in its own way.

    Args:
        video: (B, C, T, S, S).
        other: which clip (B).
        chance: (B, 2, DRAWS) in [0, 1).

    Returns:
        (B, 2, T - 1, COARSE, COARSE), of mean 1 over the last three
    """
    change = video.float().mean(1).diff(dim=1).abs()
    coarse = F.adaptive_avg_pool2d(change, COARSE)
    coarse = coarse / (coarse.mean((1, 2, 3), keepdim=True) + 1e-3)
    return torch.stack([moved(coarse, chance[:, 0]), moved(coarse[other], chance[:, 1])], 1)


class LookCritic(nn.Module):
    """Are two frames of one clip?"""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, w = config.channels, config.critic_width
        self.features = _convolutions(nn.Conv2d, [c, w, 2 * w, 4 * w], 2)
        self.head = _head(8 * w)

    def forward(self, frames: Tensor) -> Tensor:
        """Pairs (B, 2 C, S, S) -> logits (B,)."""
        maps = self.features(torch.cat(frames.chunk(2, 1)))
        found = torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1)
        return _difference(self.head, found)


class MotionCritic(nn.Module):
    """Do two clips move alike?"""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w = config.critic_width
        self.features = _convolutions(nn.Conv3d, [1, w, 2 * w, 2 * w], (2, 1, 1))
        times = config.frames - 1
        for _ in range(3):
            times = (times + 1) // 2
        self.head = _head(2 * times * 2 * w)

    def forward(self, changes: Tensor) -> Tensor:
        """Pairs (B, 2, T - 1, COARSE, COARSE) -> logits (B,)."""
        maps = self.features(torch.cat(changes.chunk(2, 1)))  # (2 B, C, T / 8, COARSE, COARSE)
        found = torch.cat([maps.amax((3, 4)), maps.mean((3, 4))], 1).flatten(1)
        return _difference(self.head, found)


def moved(x: Tensor, chance: Tensor) -> Tensor:
    """Frames (B, C, H, W) stretched across and down, and shifted, by chance (B, 4); edges go on."""
    scale = ZOOM ** (2 * chance[:, :2] - 1)
    shift = 2 * SHIFT * (2 * chance[:, 2:4] - 1)  # a frame is 2 wide
    matrix = torch.cat([torch.diag_embed(scale), shift[:, :, None]], 2).float()
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


def _difference(head: nn.Module, found: Tensor) -> Tensor:
    """Features (2 B, D), the first halves of B pairs and then the second -> logits (B,)."""
    first, second = found.chunk(2)
    logits: Tensor = head((first - second).abs())
    return logits.float().flatten()


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))


def _convolutions(
    kind: type[nn.Conv2d] | type[nn.Conv3d], widths: list[int], stride: int | tuple[int, int, int]
) -> nn.Sequential:
    """3-wide, with the initial weights of He et al. 2015 (arXiv:1502.01852), leaky ReLUs between them."""
    layers: list[nn.Module] = []
    for ins, outs in pairwise(widths):
        convolution = kind(ins, outs, 3, stride, 1)  # type: ignore[arg-type]
        nn.init.kaiming_normal_(convolution.weight, a=0.2)
        layers += [convolution, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
