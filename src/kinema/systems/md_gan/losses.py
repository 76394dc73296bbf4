"""The terms of MD-GAN: content, and the ranking of motion.

Xiong et al. 2018 (arXiv:1709.07592), sections 3.2 and 3.3. Where we differ: everything about a clip stays
with that clip and the mean is taken over the batch, where the paper sums; the ranking term is a softplus in
fp32, because the distances are sums over a million entries whose exponentials overflow.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.losses.gram import gram
from kinema.systems.md_gan.networks import Judged

SMALLEST = 1e-12
"""distance by which the ranking term divides"""


class Ranking(NamedTuple):
    """The ranking term at one layer."""

    loss: Tensor
    """scalar"""
    near: Tensor
    """a, how far the refined clip is from the real one, mean over the batch, without gradient"""
    far: Tensor
    """b, how far it is from the clip that it refines"""


def content(kind: str, made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute or squared difference of two clips (B, 3, T, S, S)."""
    return F.l1_loss(made, real) if kind == "l1" else F.mse_loss(made, real)


def ranking(kind: str, form: str, refined: Judged, real: Judged, base: Judged) -> dict[str, Ranking]:
    """The ranking term at the first and third convolution of the critic.

    softplus, the paper's: -log(e^-a / (e^-a + e^-b)) = softplus(a - b), the refined clip shall be nearer to
    the real one (a) than to the one it comes from (b). nearing, ours: -log((1/a) / (1/a + 1/c)) =
    log(1 + a/c), it shall be nearer to the real one (a) than the one it comes from is (c). Distances have no
    scale there, so a critic that maximises the term gains nothing by large features.

    Args:
        kind: "gram" or "features".
        form: "softplus" or "nearing".
        refined: the critic on Y2.
        real: the critic on Y.
        base: the critic on Y1.
    """
    out = {}
    for layer in ("first", "third"):
        y2, y, y1 = (getattr(judged, layer) for judged in (refined, real, base))
        a, b = distance(kind, y2, y), distance(kind, y2, y1)  # (B)
        if form == "softplus":
            loss = F.softplus(a - b)
        else:
            loss = torch.log1p(a / distance(kind, y1, y).clamp(min=SMALLEST))
        out[layer] = Ranking(loss.mean(), a.detach().mean(), b.detach().mean())
    return out


def distance(kind: str, x: Tensor, y: Tensor) -> Tensor:
    """How far two sets of feature maps (B, C, T, H, W) are apart (B).

    `gram`: the sum of absolute differences of their Gram matrices. `features`: the mean absolute difference
    of the maps, for which the paper gives no scale.
    """
    if kind == "gram":
        return (gram(x) - gram(y)).abs().sum((1, 2))
    return (x.float() - y.float()).abs().flatten(1).mean(1)
