"""Orthogonal regularisation: value and gradient are those of the formula, by autograd, and what it is of."""

import pytest
import torch
from torch import Tensor, nn

from kinema.losses.orthogonal import filters, orthogonal_penalty
from kinema.nn.norm import spectral

SHAPES = [(4, 7), (6, 3, 3, 3), (8, 2), (1, 5)]


def formula(weights: list[Tensor]) -> Tensor:
    total = torch.zeros(())
    for weight in weights:
        rows = weight.flatten(1)
        total = total + ((rows @ rows.T) * (1 - torch.eye(len(rows)))).square().sum()
    return total


def test_value_and_gradient_are_the_formulas() -> None:
    weights = [torch.randn(shape, requires_grad=True) for shape in SHAPES]
    found, wanted = orthogonal_penalty(weights), formula(weights)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    pairs = zip(
        torch.autograd.grad(0.3 * found, weights), torch.autograd.grad(0.3 * wanted, weights), strict=True
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_orthogonal_filters_of_any_length_cost_nothing() -> None:
    rows = torch.linalg.qr(torch.randn(6, 6))[0] * torch.tensor([0.1, 1, 2, 3, 4, 5])[:, None]
    assert orthogonal_penalty([rows]) < 1e-9
    two = torch.tensor([[1.0, 0.0], [0.6, 0.8]], requires_grad=True)  # their product is 0.6, counted twice
    penalty = orthogonal_penalty([two])
    assert penalty.item() == pytest.approx(0.72)
    (gradient,) = torch.autograd.grad(penalty, two)
    torch.testing.assert_close(gradient, 4 * 0.6 * torch.tensor([[0.6, 0.8], [1.0, 0.0]]))


def test_it_is_computed_in_full_precision_under_autocast() -> None:
    weight = torch.randn(8, 20, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        inside = orthogonal_penalty([weight])
    assert torch.equal(inside, orthogonal_penalty([weight]))


def test_it_is_of_weights_with_two_axes_that_are_not_left_out() -> None:
    shared = nn.Embedding(3, 4)
    conv, norm, out = spectral(nn.Conv2d(2, 3, 3)), nn.BatchNorm2d(3), nn.Linear(3, 2)
    net = nn.Sequential(shared, conv, norm, out)
    found = filters(net, without=[shared, None])
    assert {tuple(p.shape) for p in found} == {(3, 2, 3, 3), (2, 3)}
    assert found[0] is conv.parametrizations.weight.original
    assert len(filters(net)) == 3
