"""Initial weights."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from kinema.nn.norm import spectral_layers

FILL: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "normal": partial(nn.init.normal_, std=0.02),
}


def keeping_sizes(module: nn.Module) -> None:
    """For `Module.apply`: where no norm restores the size of maps, weights must keep it.

    He et al. 2015 (arXiv:1502.01852), for leaky ReLUs of slope 0.2 and what precedes them; biases are zero.
    """
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(module.weight, 0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def filled(how: str) -> Callable[[nn.Module], None]:
    """For `Module.apply`: weights of products and 2-D convolutions filled so, biases zero.

    Args:
        how: "xavier", "orthogonal" or "normal", N(0, 0.02). A weight under spectral norm is filled itself.
    """

    def start(module: nn.Module) -> None:
        if not isinstance(module, nn.Linear | nn.Conv2d):
            return
        held = spectral_layers(module)
        for layer, weight in held:
            FILL[how](weight)
            layer.advance(weight, iterations=15)
        if not held:
            FILL[how](module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

    return start
