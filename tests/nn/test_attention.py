"""Self-attention against its formula written out, the axis of the softmax, and that it begins as nothing."""

import math

import pytest
import torch
from torch import Tensor, nn

from kinema.nn.attention import SelfAttention


def made(pooled: bool, channels: int = 16, gamma: float = 0.7) -> SelfAttention:
    layer = SelfAttention(channels, pooled)
    nn.init.constant_(layer.gamma, gamma)
    return layer


def slow(layer: SelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """The formula place by place, for one picture (C, H, W): the result, and the map (places, keys)."""
    _, height, width = x.shape

    def maps(conv: nn.Module) -> Tensor:
        return torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], x)

    theta, phi, g = maps(layer.theta), maps(layer.phi), maps(layer.g)
    if layer.pooled:
        phi, g = (t.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).amax((2, 4)) for t in (phi, g))
    keys = [(i, j) for i in range(phi.shape[1]) for j in range(phi.shape[2])]
    out, rows = x.clone(), []
    for i in range(height):
        for j in range(width):
            shares = [math.exp((theta[:, i, j] * phi[:, k, m]).sum().item()) for k, m in keys]
            rows.append([share / sum(shares) for share in shares])
            found = sum(row * g[:, k, m] for row, (k, m) in zip(rows[-1], keys, strict=True))
            out[:, i, j] += layer.gamma * (layer.o.weight[:, :, 0, 0] @ found)
    return out, torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("pooled", [True, False])
def test_the_fused_form_the_explicit_form_and_the_formula_agree(pooled: bool) -> None:
    x = torch.randn(2, 16, 6, 4)
    layer = made(pooled)
    fused, (explicit, weights) = layer(x), layer.explicit(x)
    torch.testing.assert_close(fused, explicit, atol=1e-5, rtol=0)
    double = made(pooled).double()
    double.load_state_dict(layer.state_dict())
    for k in range(2):
        wanted, rows = slow(double, x[k].double())
        torch.testing.assert_close(fused[k].double(), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(weights[k].double(), rows, atol=1e-6, rtol=0)
        torch.testing.assert_close(double(x[None, k].double())[0], wanted, atol=1e-12, rtol=0)


def plain(weight: list[list[float]]) -> nn.Conv2d:
    conv = nn.Conv2d(len(weight[0]), len(weight), 1, bias=False)
    conv.weight.data = torch.tensor(weight)[:, :, None, None]
    return conv


def test_every_place_shares_itself_out_over_the_keys() -> None:
    """Made by hand: two places, scores θᵀφ = [[ln 3, 0], [ln 3, 0]], so each row is (3/4, 1/4).

    Over the other axis all four shares were 1/2.
    """
    layer = SelfAttention(8, pooled=False, normed=False)
    first = [1.0] + [0.0] * 7
    layer.theta, layer.phi = plain([[0.0, 1.0] + [0.0] * 6]), plain([[math.log(3)] + [0.0] * 7])
    layer.g, layer.o = plain([first] * 8), plain([first] + [[0.0] * 8] * 7)
    nn.init.ones_(layer.gamma)
    x = torch.zeros(1, 8, 1, 2)
    x[0, 0], x[0, 1] = torch.tensor([1.0, 0.0]), 1.0  # φ is ln 3 and 0, θ is 1 and 1, values are 1 and 0
    y, weights = layer.explicit(x)
    torch.testing.assert_close(weights, torch.tensor([[[0.75, 0.25], [0.75, 0.25]]]))
    torch.testing.assert_close(y[0, 0, 0], torch.tensor([1.75, 0.75]))
    torch.testing.assert_close(layer(x), y)


@pytest.mark.parametrize("pooled", [True, False])
def test_it_begins_as_the_identity_but_gamma_moves(pooled: bool) -> None:
    x = torch.randn(2, 8, 4, 4)
    layer = SelfAttention(8, pooled)
    y = layer(x)
    assert torch.equal(y, x)
    (gradient,) = torch.autograd.grad((y * x).sum(), layer.gamma)
    assert gradient != 0


def test_the_forms_have_the_sizes_of_the_published_ones() -> None:
    def count(layer: nn.Module) -> int:
        return sum(p.numel() for p in layer.parameters())

    assert count(SelfAttention(256)) == 32 * 256 * 2 + 2 * 128 * 256 + 1 == 81_921
    assert count(SelfAttention(256, pooled=False)) == 32 * 256 * 2 + 2 * 256 * 256 + 1
    assert SelfAttention(16).parts(torch.randn(3, 16, 4, 6))[2].shape == (3, 6, 8)
    assert SelfAttention(16, pooled=False).parts(torch.randn(3, 16, 4, 6))[2].shape == (3, 24, 16)


@pytest.mark.parametrize("pooled", [True, False])
def test_gradients(pooled: bool) -> None:
    layer = made(pooled, 8).double()
    x = torch.randn(1, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    layer, x = layer.float(), x.detach().float().requires_grad_()
    of, weight = [x, layer.theta.parametrizations.weight.original, layer.gamma], torch.randn_like(x)
    fused, explicit = (torch.autograd.grad((y * weight).sum(), of) for y in (layer(x), layer.explicit(x)[0]))
    for a, b in zip(fused, explicit, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_without_spectral_norm_the_weights_are_as_they_are() -> None:
    layer = SelfAttention(8, normed=False)
    assert set(layer.state_dict()) == {
        "gamma",
        "theta.weight",
        "phi.weight",
        "g.weight",
        "o.weight",
    }
