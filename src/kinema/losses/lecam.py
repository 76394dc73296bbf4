"""LeCam: a critic's logits stay near the moving average of its logits of the other kind.

Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", CVPR 2021, arXiv:2104.03310,
eq. (3) and (4): that bounds how sure a critic gets, which helps where there is little data.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.system import Update

DECAY = 0.99
REAL, FAKE = "mean_real", "mean_fake"
"""terms of a critic without gradient: means of its logits, which the anchors follow"""


class Anchors(nn.Module):
    """Moving averages of a critic's logits of real and of generated items."""

    real: Tensor
    fake: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def terms(self, true: Tensor, false: Tensor, weight: float) -> dict[str, Tensor]:
        """The penalty "lecam" of logits of any shape, and the means that the anchors will follow."""
        far = F.relu(true - self.fake).square().mean() + F.relu(self.real - false).square().mean()
        return {"lecam": weight * far, REAL: true.detach().mean(), FAKE: false.detach().mean()}

    def after_update(self, player: str, update: Update) -> None:
        """Follow the means of the critic's last update; other players leave them as they are."""
        for name, anchor in ((REAL, self.real), (FAKE, self.fake)):
            if (mean := update.terms.get(f"{player}/{name}")) is not None:
                anchor.lerp_(torch.full_like(anchor, mean), 1 - DECAY)
