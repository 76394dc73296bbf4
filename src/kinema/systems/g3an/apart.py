"""Codes kept apart: clips of one appearance code look alike, clips of one motion code move alike.

Ours: in the paper nothing but the streams keeps the codes apart. In every batch each code occurs twice, in
two clips that share nothing else.

One look: a third critic sees how the features of two frames differ, wherever in the frames they are. The
frames are of one real clip, or of two generated ones of one appearance code: these must be as alike as frames
of one clip are. (Donahue et al. 2018, arXiv:1705.07904, judge pairs of pictures.)

One motion: an encoder learns from real clips alone what two views of a clip share, when all that it sees is
how much changes where, too coarsely for shapes. Generated clips of one motion code must share it too. Both
pay the contrastive loss of Khosla et al. 2020 (arXiv:2004.11362, L_out).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.systems.g3an.config import Config

WEIGHT = 0.1
"""of the generator's contrastive term"""
TEMPERATURE, ENCODER_LR = 0.1, 1e-3
COARSE = 4
"""side of the frames in which a motion is seen"""
ZOOM, SHIFT = 1.5, 0.3
"""a motion is enlarged or reduced by up to ZOOM, and moved by up to SHIFT of the frame"""
DRAWS = 4
"""uniform numbers that one view takes"""


def shared(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which appearance and which motion each of n clips has, (n) each.

    Neighbours in a ring share the one and the other in turn, so that every code occurs twice (n even).
    """
    place = torch.arange(n, device=device)
    return place // 2, (place + 1) // 2 % ((n + 1) // 2)


def pairs(video: Tensor, chance: Tensor, generated: bool) -> Tensor:
    """Two frames of every clip, or one of it and one of the clip that shares its appearance.

    Args:
        video: (B, C, T, S, S); generated ones share codes as `shared` says.
        chance: (B, 2) in [0, 1), for the times of the frames.
        generated: take the second frame from the other clip.

    Returns:
        (B, 2 C, S, S)
    """
    place = torch.arange(len(video), device=video.device)
    other = (place ^ 1).clamp(max=len(video) - 1) if generated else place
    first, second = (chance * video.shape[2]).long().unbind(1)
    return torch.cat([video[place, :, first], video[other, :, second]], 1)


class PairCritic(nn.Module):
    """Are two frames of one clip? Judged by the difference of what is found anywhere in each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, w = config.channels, config.critic_width
        self.features = _convolutions(nn.Conv2d, [c, w, 2 * w, 4 * w], 2)
        self.head = nn.Sequential(nn.Linear(8 * w, 4 * w), nn.LeakyReLU(0.2), nn.Linear(4 * w, 1))

    def forward(self, frames: Tensor, label: Tensor | None = None) -> Tensor:
        """Pairs (B, 2 C, S, S) -> logits (B,); there are no classes."""
        del label
        both = torch.cat(frames.chunk(2, 1))
        maps = self.features(both)
        found = torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1)
        first, second = found.chunk(2)
        return self.head((first - second).abs()).float().flatten()


class MotionEncoder(nn.Module):
    """What moves how in a clip, as a point on a sphere."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [1, *(config.critic_width << i for i in range(3))]
        self.net = _convolutions(nn.Conv3d, widths, (2, 1, 1))

    def forward(self, video: Tensor, chance: Tensor) -> Tensor:
        """Clips (B, C, T, S, S), chance (B, DRAWS) -> (B, D) of length 1."""
        change = video.float().mean(1).diff(dim=1).abs()  # (B, T - 1, S, S)
        coarse = moved(F.adaptive_avg_pool2d(change, COARSE), chance)
        coarse = coarse / (coarse.mean((1, 2, 3), keepdim=True) + 1e-3)
        return F.normalize(self.net(coarse[:, None]).mean((3, 4)).flatten(1).float())

    def of_real(self, video: Tensor, chance: Tensor) -> Tensor:
        """What the encoder pays: each clip is a kind of its own; chance (B, 2, DRAWS)."""
        kind = torch.arange(len(video), device=video.device)
        return alike([self(video, draw) for draw in chance.unbind(1)], kind)

    def of_generated(self, video: Tensor, chance: Tensor) -> Tensor:
        """What the generator pays: clips of one motion code are of one kind; chance (B, DRAWS)."""
        return WEIGHT * alike([self(video, chance)], shared(len(video), video.device)[1])


def alike(views: list[Tensor], kind: Tensor) -> Tensor:
    """-log of what a view of one's own kind weighs among all views; views (B, D) each, kind (B)."""
    code, kind = torch.cat(views), kind.repeat(len(views))
    itself = torch.eye(len(code), dtype=torch.bool, device=code.device)
    same = (kind[:, None] == kind) & ~itself
    log_share = (code @ code.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(1)
    have = same.any(1)
    return -(log_share.masked_fill(~same, 0).sum(1)[have] / same.sum(1)[have]).mean()


def moved(x: Tensor, chance: Tensor) -> Tensor:
    """Frames (B, C, H, W) stretched across and down, and shifted, by chance (B, 4); edges go on."""
    scale = ZOOM ** (2 * chance[:, :2] - 1)
    shift = 2 * SHIFT * (2 * chance[:, 2:4] - 1)  # a frame is 2 wide
    matrix = torch.cat([torch.diag_embed(scale), shift[:, :, None]], 2).float()
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


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
