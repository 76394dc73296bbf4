"""The losses of TGANs-C, from logits of the three pairs real+, real- and syn+.

Pan et al. 2017 (arXiv:1804.08264), eq. (1) to (7): only {real clip, its caption} counts as true; {real clip,
a wrong caption} and {generated clip, its caption} are false. Each head's loss is a third of the three terms,
and the losses of the heads are averaged.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.losses import r3gan
from kinema.losses.adversarial import ADVERSARIAL, Adversarial

Logits = dict[str, Tensor]
"""head -> logits (B, places)"""


def objective_of(loss: str) -> Adversarial:
    """The objective of this name; R3GAN's is the relativistic one, with penalties."""
    return r3gan.PAIRS if loss == "r3gan" else ADVERSARIAL[loss]


def critic_terms(
    loss: str, true: Logits, wrong: Logits | None, fake: Logits, smoothing: float = 0.0
) -> dict[str, Tensor]:
    """What the critics pay, one term a head.

    Args:
        loss: name in `ADVERSARIAL`, or "r3gan", which pairs as "relativistic" does.
        true: logits of real+ (B, places) for every head.
        wrong: logits of real-; None trains without captions, on two pairs.
        fake: logits of syn+.
        smoothing: label of real+ is 1 - smoothing (log loss only).
    """
    objective, terms = objective_of(loss), {}
    for head in true:
        falses = [pair[head] for pair in (wrong, fake) if pair is not None]
        real = objective.true(true[head])
        if smoothing:
            real = (
                real + smoothing * true[head].mean()
            )  # softplus(-x) + a·x is the cross-entropy to the label 1 - a
        false = [objective.false(logits, true[head]) for logits in falses]
        if loss == "log":  # eq. (2), (3), (5): -1/3 [log D(real+) + log(1 - D(real-)) + log(1 - D(syn+))]
            terms[head] = (real + sum(false)) / (1 + len(false)) / len(true)
        elif loss == "r3gan":  # only pairs, whose weight γ is measured by
            terms[head] = sum(false, real) / len(false) / len(true)
        else:  # true and false weigh the same
            terms[head] = (real + sum(false) / len(false)) / 2 / len(true)
    return terms


def generator_terms(loss: str, fake: Logits, true: Logits | None) -> dict[str, Tensor]:
    """What the generator pays, one term a head, eq. (7); only losses that compare read `true`."""
    fool = objective_of(loss).fool
    return {head: fool(fake[head], fake[head] if true is None else true[head]) / len(fake) for head in fake}


def mean_of(logits: Logits) -> Tensor:
    """One logit for each clip: the mean over heads and their places (B,)."""
    return torch.stack([r3gan.of_item(logit) for logit in logits.values()]).mean(0)


def coherence(maps: Tensor) -> Tensor:
    """Temporal coherence constraint, eq. (4): mean over steps of |m_i - m_(i-1)|^2.

    Args:
        maps: raw frame maps of generated clips (B, F, C, h, w).
    """
    return (maps[:, 1:] - maps[:, :-1]).float().square().flatten(2).sum(2).mean()


def sameness(fake: Tensor, other: Tensor, real: Tensor) -> Tensor:
    """Zero when two generated clips differ as much as a generated and a real one do, one when they are equal.

    A bounded form of the diversity terms of Yang et al. 2019 (arXiv:1901.09024) and Mao et al. 2019
    (arXiv:1903.05628).

    Args:
        fake: generated clips (B, C, T, S, S).
        other: clips of the same captions from other noise.
        real: real clips of these captions.
    """
    to_real = (fake.detach() - real).abs().flatten(1).mean(1).clamp_min(1e-6)  # (B)
    return F.relu(1 - (fake - other).abs().flatten(1).mean(1) / to_real).mean()


def contrast(matches: Logits, captions: Sequence[str]) -> Tensor:
    """Cross-entropy of finding each clip's caption among those of the batch, mean over heads.

    The wrong captions of eq. (2) are mostly easy to reject; here the nearest ones weigh most. After Zhang et
    al. 2021 (arXiv:2101.04702), eq. (3), with the projection heads' inner products as scores.

    Args:
        matches: head -> how well clip i fits caption j (B, B).
        captions: the B captions; equal ones are no rivals of each other.
    """
    rivals = torch.tensor([[a != b for b in captions] for a in captions]) | torch.eye(len(captions)).bool()
    own = torch.arange(len(captions))
    found = [
        F.cross_entropy(scores.masked_fill(~rivals.to(scores.device), -torch.inf), own.to(scores.device))
        for scores in matches.values()
    ]
    return torch.stack(found).mean()


def condition_share(true: Logits, wrong: Logits) -> Tensor:
    """How far a wrong caption moves the logits, relative to their spread; near 0: captions are ignored."""
    moved = torch.stack([(true[h] - wrong[h]).abs().mean() for h in true])
    spread = torch.stack(
        [true[h].std().clamp_min(1e-6) if true[h].numel() > 1 else true[h].abs().mean() for h in true]
    )
    return (moved / spread).mean().detach()
