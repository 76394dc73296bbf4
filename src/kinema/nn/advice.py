"""What is known to go wrong with norms, said before a training begins.

Wu & He, "Group Normalization", ECCV 2018, arXiv:1803.08494: batch norm errs more the fewer items its
statistics are of (figure 5), and group norm where a group has few channels (table 3).
"""

from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FEW_ITEMS, FEW_CHANNELS = 8, 8
"""below which a batch norm, and a group, have too little to take statistics of"""


def norm_warnings(players: Mapping[str, Sequence[nn.Module]], items: int) -> list[str]:
    """Sentences on the norms of networks that are to be trained; none where all is well.

    Args:
        players: name -> its networks; a critic has that word in its name.
        items: over which batch norms take their statistics.
    """
    found = []
    for name, networks in players.items():
        layers = [layer for network in networks for layer in network.modules()]
        batch = sum(isinstance(layer, _BatchNorm) for layer in layers)
        if batch and items < FEW_ITEMS:
            found.append(
                f"{name} takes the statistics of {batch} batch norms over {items} items: below {FEW_ITEMS} "
                "they are noise. Try a larger batch or micro_batch, or group norm."
            )
        if batch and "critic" in name:
            found.append(
                f"{name} has batch norm, which tells it apart what comes in batches of its own: group norm "
                "or none does not."
            )
        widths = [
            layer.num_channels // layer.num_groups for layer in layers if isinstance(layer, nn.GroupNorm)
        ]
        few = [width for width in widths if 1 < width < FEW_CHANNELS]  # of one channel is instance norm
        if few:
            found.append(
                f"{name} has {len(few)} group norms with fewer than {FEW_CHANNELS} channels in a group, down "
                f"to {min(few)}: fewer groups may do better."
            )
    return found
