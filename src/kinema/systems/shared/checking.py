"""What cannot be built, trained or asked for, said before anything long starts."""

from collections.abc import Mapping, Sequence

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError, check_seed
from kinema.losses.game import check
from kinema.systems.shared.config import PictureConfig, PictureRequest


def check_request(request: PictureRequest, conditional: bool) -> None:
    """Refuse what cannot be made, but for classes, which the weights know.

    Raises:
        UsageError: says what helps.
    """
    check_seed(request.seed)
    if request.n < (2 if request.walk else 1):
        raise UsageError(f"n is at least 1, and 2 for a walk, not {request.n}.")
    for truncation in request.truncation:
        if not 0.02 <= truncation <= 8:
            raise UsageError(f"truncation is from 0.02 to 8, not {truncation}.")
    if request.look and not all(0 <= part <= 1 for part in request.look):
        raise UsageError(f"look is how far across and down, each from 0 to 1, not {request.look}.")
    if request.walk and (request.look or len(request.truncation) > 1):
        raise UsageError("a walk has one truncation, and no look.")
    if request.walk == "class" and not conditional:
        raise UsageError("these weights were trained without classes, so a walk is through noise.")
    if request.walk == "class" and len(request.label) != 2:
        raise UsageError("a walk through classes needs two: --label cat --label dog.")
    if request.walk == "noise" and len(request.label) > 1:
        raise UsageError("a walk through noise stays in one class: a single --label.")


def check_config(
    config: PictureConfig, up: Mapping[int, Sequence[int]], down: Mapping[int, Sequence[int]]
) -> None:
    """Refuse what cannot be built or trained, before anything long starts.

    Args:
        config: of a room.
        up: size -> channels of the generator's maps from 4x4 on, in multiples of the width.
        down: size -> channels after each block of the critic.
    """
    sizes = [size for size in up if size in down]
    if config.size not in sizes or config.channels not in (1, 3):
        what = f"size {config.size} with {config.channels} channels"
        raise UsageError(f"size is one of {', '.join(map(str, sizes))} with 1 or 3 channels, not {what}.")
    at_least_one(config, "noise", "width", "critic_steps")
    not_negative(config, "lr", "critic_lr", "gradient_penalty", "lecam")
    if config.conditional and len(config.classes) < 2:
        raise UsageError(
            f"a conditional system needs two classes or more, and the data has {len(config.classes)}: "
            "conditional=false."
        )
    sides = [side for side in (8, 16, 32, 64) if side < config.size]
    if not set(config.attention) <= set(sides):
        given = ", ".join(map(str, config.attention))
        raise UsageError(
            f"attention is some of {', '.join(map(str, sides))} at size {config.size}, not {given}."
        )
    if config.loss == "r3gan" and config.spectral != "none":
        raise UsageError(
            f"loss=r3gan needs a critic without spectral norm: spectral=none, not {config.spectral}."
        )
    if config.loss == "wasserstein" and not config.gradient_penalty:
        raise UsageError("loss=wasserstein needs a critic of bounded slope: gradient_penalty=10.")
    check(config)
