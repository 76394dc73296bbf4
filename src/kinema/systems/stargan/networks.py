"""The generator of StarGAN: all pixels are painted; layers are numbered as in the authors' code.

Choi et al. 2018 (arXiv:1711.09020), table 4.
"""

import torch
from torch import Tensor, nn

from kinema.nn.norm import precise
from kinema.systems.shared.face_networks import conditioned, trunk
from kinema.systems.stargan.config import Config


class Generator(nn.Module):
    """A face and units become another face; 8,468,160 parameters with 17 units and the paper's widths."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.generator_width
        self.main = trunk(3 + len(config.units), width, config.blocks, "running")
        self.main.append(nn.Conv2d(width, 3, 7, padding=3, bias=False))

    def forward(self, face: Tensor, units: Tensor) -> Tensor:
        """Faces (B, 3, S, S) in [-1, 1] and units (B, K) -> edited faces (B, 3, S, S) in [-1, 1]."""
        return torch.tanh(precise(self.main(conditioned(face, units))))
