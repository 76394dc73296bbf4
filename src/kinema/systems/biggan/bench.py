"""BigGAN at 32x32 and 64x64, see `kinema.systems.shared.bench`."""

from kinema.systems.biggan.config import Config
from kinema.systems.biggan.system import BigGAN
from kinema.systems.shared.bench import Job, Precision
from kinema.systems.shared.bench import jobs as compared

TEN = tuple("0123456789")


def jobs(device: str, precision: Precision) -> list[Job]:
    """Steps and pictures at the sizes of the `cifar10` preset and at 64x64."""
    small = Config(size=32, width=32, noise=80, shared=32, attention=(16,), classes=TEN, critic_steps=1)
    large = Config(size=64, width=32, noise=100, shared=64, attention=(32,), classes=TEN, critic_steps=1)
    return compared(BigGAN, [small, large], device, precision)
