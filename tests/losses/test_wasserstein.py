"""The slope penalty against closed forms, with their gradients."""

import pytest
import torch
from torch import Tensor

from kinema.losses.wasserstein import slope_penalty


def test_of_a_linear_critic_only_its_length_counts() -> None:
    direction = torch.tensor([3.0, 4.0, 12.0])
    real, fake = torch.randn(2, 4, 3)
    found = slope_penalty(lambda x: x @ direction, real, fake, torch.rand(4))
    assert found.item() == pytest.approx((13 - 1) ** 2, rel=1e-5)
    assert slope_penalty(lambda x: x @ direction / 13, real, fake, torch.rand(4)) < 1e-10


def test_it_is_taken_where_chance_says_between_the_two() -> None:
    """D(x) = ½ |x|² has slope |x|, so each item's penalty says how far out its point was."""
    real, fake = torch.tensor([[[2.0, 0.0]], [[0.0, 6.0]]]), torch.tensor([[[4.0, 0.0]], [[0.0, 2.0]]])
    share = torch.tensor([0.25, 0.5])
    found = slope_penalty(lambda x: x.square().sum((1, 2)) / 2, real, fake, share)
    assert found.item() == pytest.approx(((2.5 - 1) ** 2 + (4 - 1) ** 2) / 2)


def test_its_gradient_in_the_critic_is_that_of_the_closed_form() -> None:
    """D(x) = Σ_k tanh(w_k · x) has slope Σ_k (1 - tanh²(w_k · x)) w_k."""
    real, fake = torch.randn(2, 5, 3)
    share, weight = torch.rand(5), torch.randn(4, 3, requires_grad=True)
    between = real + share[:, None] * (fake - real)
    slopes = (1 - torch.tanh(between @ weight.T).square()) @ weight  # (items, 3)
    wanted = (slopes.square().sum(1).sqrt() - 1).square().mean()

    def judge(x: Tensor) -> Tensor:
        return torch.tanh(x @ weight.T).sum(1)

    found = slope_penalty(judge, real, fake, share)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(penalty, weight)[0] for penalty in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)
    assert gradients[0].abs().min() > 1e-3


def test_pictures_get_no_gradient() -> None:
    real, fake = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    weight = torch.randn(3, requires_grad=True)
    slope_penalty(lambda x: (x * weight).sum(1), real, fake, torch.rand(2)).backward()
    assert weight.grad is not None
    assert real.grad is None
    assert fake.grad is None
