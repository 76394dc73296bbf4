"""SAGAN: its networks in the update that it shares with BigGAN.

Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", ICML 2019,
arXiv:1805.08318. What differs from the paper is an option, and the authors' released way its default.
"""

from torch import nn

from kinema.nn.initial import filled
from kinema.nn.residual import DOWN, UP
from kinema.systems.sagan import config as settings
from kinema.systems.sagan.networks import Critic, Generator
from kinema.systems.shared.checking import check_config
from kinema.systems.shared.pictures import PictureSystem


class SAGAN(PictureSystem):
    """A class and noise become a picture whose far parts fit together."""

    name = "sagan"
    Config = settings.Config
    Request = settings.Request

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        check_config(config, UP, DOWN)
        self.config: settings.Config = config
        self.generator: nn.Module = Generator(config).apply(filled(config.initial))
        self.critic: nn.Module = Critic(config).apply(filled(config.initial))
        self.begin()
