"""StarGAN with intensities of action units in place of classes: what GANimation is compared with.

Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", CVPR 2018, arXiv:1711.09020. Where we differ, so that the comparison is fair: the
critic's head for classes gives intensities, and both players pay their squared error.
"""

import torch
from torch import Tensor, nn

from kinema.systems.shared.face_networks import Critic, check_config, normal
from kinema.systems.shared.faces import Edit, FaceSystem
from kinema.systems.stargan import config as settings
from kinema.systems.stargan.networks import Generator


class StarGAN(FaceSystem):
    """A face is painted anew with other action units."""

    name = "stargan"
    Config = settings.Config
    Request = settings.Request

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        check_config(config)
        self.config: settings.Config = config
        self.generator: nn.Module = Generator(config).apply(normal)
        self.critic = Critic(config).apply(normal)

    def paint(self, images: Tensor, units: Tensor) -> Edit:
        """G: faces (B, 3, S, S) and the units wanted of them (B, K) -> the edit, which keeps no pixel."""
        made = self.generator(images, units)
        return Edit(made, torch.zeros_like(made[:, :1]), made)
