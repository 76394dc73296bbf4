"""Initial weights."""

from torch import nn


def keeping_sizes(module: nn.Module) -> None:
    """For `Module.apply`: where no norm restores the size of maps, weights must keep it.

    He et al. 2015 (arXiv:1502.01852), for leaky ReLUs of slope 0.2 and what precedes them; biases are zero.
    """
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(module.weight, 0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
