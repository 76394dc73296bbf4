"""R3GAN: real and generated compared in pairs, and a penalty on the critic's gradient at both.

Huang, Gokaslan, Kuleshov, Tompkin, "The GAN is dead; long live the GAN! A Modern GAN Baseline", NeurIPS 2024,
arXiv:2501.05441. Its networks have neither batch norm nor spectral norm.

A critic may judge places: pairs are then compared place by place, and what is penalised is the gradient of
the mean over places, so that the weight means the same for any number of them.
"""

import math

import torch
from torch import Tensor

from kinema.losses.adversarial import ADVERSARIAL, gradient_penalty

PAIRS = ADVERSARIAL["relativistic"]


def critic_terms(true: Tensor, false: Tensor, real: Tensor, fake: Tensor, gamma: float) -> dict[str, Tensor]:
    """softplus(D(G(z)) - D(x)) + γ/2 (R1 + R2), as the terms "pairs", "r1" and "r2".

    Args:
        true: D(x), float32 logits (B, ...), computed from `real` item by item without autocast.
        false: D(G(z)) (B, ...), likewise from `fake`.
        real: x (B, ...), requiring gradients.
        fake: G(z) (B, ...), likewise; no graph of the generator is needed.
        gamma: γ, see `annealed`.

    Raises:
        ValueError: logits are of less than single precision, in which the penalties would be noise.
    """
    for logits in (true, false):
        if torch.finfo(logits.dtype).bits < 32:
            raise ValueError(f"R3GAN's penalties need float32 logits, not {logits.dtype}")
    return {
        "pairs": PAIRS.false(false, true),
        "r1": gamma * gradient_penalty(of_item(true), real),
        "r2": gamma * gradient_penalty(of_item(false), fake),
    }


def generator_term(false: Tensor, true: Tensor) -> Tensor:
    """softplus(D(x) - D(G(z))): the generator, too, is compared with a real batch. Logits (B, ...)."""
    return PAIRS.fool(false, true)


def of_item(logits: Tensor) -> Tensor:
    """One logit for each item: the mean over places, (B, ...) -> (B,)."""
    return logits.reshape(len(logits), -1).mean(1)


def annealed(gamma: tuple[float, float], fraction: float) -> float:
    """γ on half a cosine from its first value to its second; `fraction` of the run is done, in [0, 1].

    Example:
        >>> annealed((2.0, 0.2), 0.5)
        1.1
    """
    start, end = gamma
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
