"""Codes kept apart: clips of one appearance code look alike, clips of one motion code move alike.

Ours: in the paper nothing but the streams keeps the codes apart. Three small encoders learn, from real clips
alone, what views of one clip have in common: its colours; its outline, seen in grey; and its motion, seen in
coarse changes from frame to frame. Views differ in time (colours and outlines), place and scale. The
generator is asked that clips of one code have these in common too.

All pay the contrastive loss of Khosla et al. 2020 (arXiv:2004.11362, L_out): views of one kind attract each
other and repel the rest, which also spreads what different codes make. Each encoder is blind to what the
others see, since a contrastive one takes the easiest clue and no other: with colours at hand it learns no
outline.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.systems.g3an.config import Config

TEMPERATURE = 0.1
COARSE = 4
"""side of the frames in which a motion is seen: too coarse for outlines"""
ZOOM, SHIFT = 1.5, 0.3
"""a view is enlarged or reduced by up to ZOOM, and moved by up to SHIFT of the frame"""
FRAMES, DRAWS = 4, 5
"""views of each real clip by the encoders of single frames; uniform numbers that one view takes"""
ENCODER_LR = 1e-3
VIEWS = {"colour": FRAMES, "outline": FRAMES, "motion": 2}


class Apart(nn.Module):
    """The three encoders: what they pay, and what the generator pays."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        w = config.critic_width
        widths = [w, 2 * w, 4 * w]
        self.colour = _encoder(nn.Conv2d, [config.channels, *widths], 2)
        self.outline = _encoder(nn.Conv2d, [1, *widths], 2)
        self.motion = _encoder(nn.Conv3d, [1, *widths], (2, 1, 1))

    def encoder_terms(self, video: Tensor, chance: Tensor) -> dict[str, Tensor]:
        """Real clips (B, C, T, S, S), each a kind of its own; chance (B, 10, DRAWS) in [0, 1)."""
        kind = torch.arange(len(video), device=video.device)
        return self._terms(video, chance, VIEWS, {"colour": kind, "outline": kind, "motion": kind})

    def generator_terms(self, video: Tensor, chance: Tensor) -> dict[str, Tensor]:
        """Generated clips whose codes are as `shared` says; chance (B, 5, DRAWS) in [0, 1)."""
        look, motion = shared(len(video), video.device)
        views = {"colour": 2, "outline": 2, "motion": 1}
        return self._terms(video, chance, views, {"colour": look, "outline": look, "motion": motion})

    def _terms(
        self, video: Tensor, chance: Tensor, views: dict[str, int], kinds: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        draws, terms = iter(chance.unbind(1)), {}
        for name, n in views.items():
            see = {"colour": self.colours, "outline": self.outlines, "motion": self.motions}[name]
            terms[name] = alike([see(video, next(draws)) for _ in range(n)], kinds[name])
        return terms

    def colours(self, video: Tensor, chance: Tensor) -> Tensor:
        """One frame of each clip (B, C, T, S, S) -> (B, D) of length 1."""
        return F.normalize(self.colour(frames(video, chance)).mean((2, 3)).float())

    def outlines(self, video: Tensor, chance: Tensor) -> Tensor:
        """One frame of each clip, in grey of equal contrast -> (B, D) of length 1."""
        grey = frames(video, chance).mean(1, keepdim=True)
        deviation = grey.std((2, 3), keepdim=True)
        grey = (grey - grey.mean((2, 3), keepdim=True)) / (deviation + 0.02)
        return F.normalize(self.outline(grey).amax((2, 3)).float())

    def motions(self, video: Tensor, chance: Tensor) -> Tensor:
        """How much changes where, from frame to frame -> (B, D) of length 1."""
        change = video.float().mean(1).diff(dim=1).abs()  # (B, T - 1, S, S)
        coarse = moved(F.adaptive_avg_pool2d(change, COARSE), chance)
        coarse = coarse / (coarse.mean((1, 2, 3), keepdim=True) + 1e-3)
        return F.normalize(self.motion(coarse[:, None]).mean((3, 4)).flatten(1).float())


def shared(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which appearance and which motion each of n clips has, (n) each.

    Neighbours in a ring share the one and the other in turn, so that every code occurs twice (n even).
    """
    place = torch.arange(n, device=device)
    return place // 2, (place + 1) // 2 % ((n + 1) // 2)


def alike(views: list[Tensor], kind: Tensor) -> Tensor:
    """-log of what a view of one's own kind weighs among all views; views (B, D) each, kind (B)."""
    code, kind = torch.cat(views), kind.repeat(len(views))
    itself = torch.eye(len(code), dtype=torch.bool, device=code.device)
    same = (kind[:, None] == kind) & ~itself
    log_share = (code @ code.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(1)
    have = same.any(1)
    return -(log_share.masked_fill(~same, 0).sum(1)[have] / same.sum(1)[have]).mean()


def frames(video: Tensor, chance: Tensor) -> Tensor:
    """A frame of each clip (B, C, T, S, S) at random time, place and scale; chance (B, DRAWS)."""
    rows = torch.arange(len(video), device=video.device)
    time = (chance[:, 4] * video.shape[2]).long()
    return moved(video[rows, :, time], chance[:, [0, 0, 2, 3]])


def moved(x: Tensor, chance: Tensor) -> Tensor:
    """Frames (B, C, H, W) stretched across and down, and shifted, by chance (B, 4 or more); edges go on."""
    scale = ZOOM ** (2 * chance[:, :2] - 1)
    shift = 2 * SHIFT * (2 * chance[:, 2:4] - 1)  # a frame is 2 wide
    matrix = torch.cat([torch.diag_embed(scale), shift[:, :, None]], 2).float()
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


def _encoder(
    kind: type[nn.Conv2d] | type[nn.Conv3d], widths: list[int], stride: int | tuple[int, int, int]
) -> nn.Module:
    """Convolutions that shorten as `stride` says; initial weights of He et al. 2015 (arXiv:1502.01852)."""
    layers: list[nn.Module] = []
    for ins, outs in pairwise(widths):
        convolution = kind(ins, outs, 3, stride, 1)  # type: ignore[arg-type]
        nn.init.kaiming_normal_(convolution.weight, a=0.2)
        layers += [convolution, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
