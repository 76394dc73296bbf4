"""The generator of GANimation: a colour image and a mask; layers inside are numbered as in the authors' code.

Pumarola et al. 2018 (arXiv:1807.09251), section 4.1. The first print of the paper has A and 1 - A exchanged;
this is the form of its second and of all code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.norm import precise
from kinema.systems.ganimation.config import Config
from kinema.systems.ganimation.losses import saturated
from kinema.systems.shared.face_networks import conditioned, trunk


class Generator(nn.Module):
    """A face and units become an edited face; 8,471,296 parameters with 17 units and the paper's widths."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.generator_width
        self.saturate = config.saturate
        self.main = trunk(3 + len(config.units), width, config.blocks, config.norm)
        self.colour = nn.Conv2d(width, 3, 7, padding=3, bias=False)
        self.attention = nn.Conv2d(width, 1, 7, padding=3, bias=False) if config.mask else None

    def forward(self, face: Tensor, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Faces (B, 3, S, S) in [-1, 1] and units (B, K) -> edited faces, masks (B, 1, S, S), colours."""
        colour, mask = self.heads(self.main(conditioned(face, units)))
        if mask is None:
            return colour, torch.zeros_like(colour[:, :1]), colour
        return composed(face, mask, colour), mask, colour

    def heads(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps (B, C, S, S) -> colour in [-1, 1] and mask in [0, 1], in float32; both by one convolution."""
        if self.attention is None:
            return torch.tanh(precise(self.colour(maps))), None
        weight = torch.cat([self.colour.weight, self.attention.weight])
        colour, mask = precise(F.conv2d(maps, weight, padding=3)).split([3, 1], 1)
        mask = torch.sigmoid(mask)
        return torch.tanh(colour), saturated(mask) if self.saturate else mask


def composed(face: Tensor, mask: Tensor, colour: Tensor) -> Tensor:
    """A · I + (1 - A) · C: where the mask is 1, the pixel stays."""
    return mask * face + (1 - mask) * colour
