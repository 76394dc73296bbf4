"""BigGAN: its networks in the update that it shares with SAGAN, and orthogonal regularisation.

Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019,
arXiv:1809.11096. What differs from the paper is an option.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError
from kinema.losses.orthogonal import filters, orthogonal_penalty
from kinema.nn.conditional import ConditionalNorm
from kinema.nn.initial import filled
from kinema.nn.residual import DOWN, UP
from kinema.systems.biggan import config as settings
from kinema.systems.biggan.deep import DEEP_DOWN, SHRINK, DeepCritic, DeepGenerator
from kinema.systems.biggan.networks import Critic, Generator
from kinema.systems.biggan.truncation import statistics_of, with_rows
from kinema.systems.shared.checking import check_config
from kinema.systems.shared.config import PictureRequest
from kinema.systems.shared.pictures import PictureSystem, noise


class BigGAN(PictureSystem):
    """A class and noise become a picture."""

    name = "biggan"
    Config = settings.Config
    Request = settings.Request

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config: settings.Config = config
        generator, critic = (DeepGenerator, DeepCritic) if config.deep else (Generator, Critic)
        self.generator: nn.Module = generator(config).apply(filled(config.initial))
        if config.truncations:
            with_rows(self.generator, config.truncations)
        self.critic: nn.Module = critic(config).apply(filled(config.initial))
        self.begin()

    @property
    def class_parts(self) -> tuple[str, ...]:
        """The tables of classes, and what reads one-hot classes where norms share no embedding."""
        c, tables = self.config, super().class_parts
        if c.shared or not c.conditional:
            return tables
        norms = [name for name, m in self.named_modules() if isinstance(m, ConditionalNorm)]
        readers = [f"{name}.{part}" for name in norms for part in ("gain", "bias")]
        return (*{*tables, *readers, *(["generator.linear"] if c.deep else [])},)

    def penalties(self) -> dict[str, Tensor]:
        """β ‖W Wᵀ ⊙ (1 - I)‖² of the generator's weights, but for the shared embedding; and γ."""
        c, terms = self.config, super().penalties()
        if not c.orthogonal:
            return terms
        weights = filters(self.generator, without=[self.generator.shared])  # type: ignore[list-item]
        return terms | {"orthogonal": c.orthogonal * orthogonal_penalty(weights)}

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Truncations to look at; weights with rows of statistics have them up to 1."""
        return tuple(t for t in super().thresholds if t <= 1 or not self.config.truncations)

    @contextmanager
    def standing(self, truncation: float | None, request: PictureRequest) -> Iterator[None]:
        """Inside, batch norms have the statistics of a truncation: those that the weights have, or anew."""
        compat = isinstance(request, settings.Request) and request.compat
        if compat and not self.config.truncations:
            raise UsageError("compat is of weights with statistics for every truncation; these have none.")
        if not self.config.truncations or truncation is None:
            with super().standing(truncation, request):
                yield
            return
        with statistics_of(self.generator, truncation, compat):
            yield

    def noise(self, seed: int, truncation: float | None) -> Tensor:
        """Noise (Z) of a seed; weights with rows of statistics expect it cut at 2 and then made smaller."""
        if not self.config.truncations or truncation is None:
            return super().noise(seed, truncation)
        return truncation * noise(seed, self.config.noise, 2.0)


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    not_negative(config, "orthogonal")
    at_least_one(config, "shared")
    check_config(config, UP, DEEP_DOWN if config.deep else DOWN)
    if config.noise_first and not config.deep:
        raise UsageError("noise_first is a choice of BigGAN-deep alone: deep=true.")
    if config.deep and config.width % SHRINK:
        raise UsageError(f"width of BigGAN-deep is a multiple of {SHRINK}, not {config.width}.")
    if config.truncations and (config.truncations < 2 or not config.norm.startswith("bn")):
        raise UsageError(
            f"truncations is the number of rows of batch norm's statistics, 2 or more (51) or 0, not "
            f"{config.truncations} with norm={config.norm}."
        )
    parts = len(UP[config.size])
    if config.hierarchical and not config.deep and config.noise % parts:
        raise UsageError(
            f"noise is a multiple of {parts} at size {config.size}, a chunk for each block and the first, "
            f"not {config.noise}; or hierarchical=false."
        )
