"""LeCam's term against its equation, and anchors that follow what the critic said."""

import pytest
import torch

from kinema.core.system import Update
from kinema.losses.lecam import Anchors


def test_the_term_is_the_equation() -> None:
    anchors = Anchors().double()
    anchors.real.fill_(0.8)
    anchors.fake.fill_(-0.3)
    true = torch.tensor([1.0, -2.0, 0.2], dtype=torch.float64, requires_grad=True)
    false = torch.tensor([0.5, 1.5, -1.0], dtype=torch.float64, requires_grad=True)
    terms = anchors.terms(true, false, 0.5)
    # max(0, D(x) - α_F)²: 1.3, 0, 0.5; max(0, α_R - D(G(z)))²: 0.3, 0, 1.8
    wanted = 0.5 * ((1.3**2 + 0.5**2) / 3 + (0.3**2 + 1.8**2) / 3)
    assert terms["lecam"].item() == pytest.approx(wanted, abs=1e-12)
    assert (terms["mean_real"].item(), terms["mean_fake"].item()) == pytest.approx((-0.8 / 3, 1 / 3))
    assert not terms["mean_real"].requires_grad
    assert torch.autograd.gradcheck(lambda a, b: anchors.terms(a, b, 0.5)["lecam"], (true, false))


def test_anchors_follow_the_critic_and_no_other_player() -> None:
    anchors = Anchors()
    for real, fake in ((2.0, -1.0), (4.0, 1.0)):
        said = {"critic/mean_real": real, "critic/mean_fake": fake}
        anchors.after_update("critic", Update(1, 10, said))
        anchors.after_update("generator", Update(1, 10, {"generator/fool": 9.0}))
    assert anchors.real.item() == pytest.approx(0.99 * 0.02 + 0.04)
    assert anchors.fake.item() == pytest.approx(-0.99 * 0.01 + 0.01)
    assert set(anchors.state_dict()) == {"real", "fake"}  # so that a run goes on with them
