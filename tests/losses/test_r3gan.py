"""R3GAN's terms against the formulas written out, and what they ask of their caller."""

import math

import pytest
import torch
from torch import Tensor, nn

from kinema.losses import r3gan


def critic() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.Tanh(), nn.Conv2d(4, 1, 4, 2, 1)).double()


def penalty(net: nn.Module, x: Tensor, step: float = 1e-5) -> float:
    """½ Σ (∂D/∂x)² by central differences, mean over items; D is the mean over places."""
    total = 0.0
    with torch.no_grad():
        for item in x:
            for k in range(item.numel()):
                moved = []
                for sign in (1, -1):
                    other = item.clone().reshape(-1)
                    other[k] += sign * step
                    moved.append(net(other.reshape(1, *item.shape)).mean().item())
                total += 0.5 * ((moved[0] - moved[1]) / (2 * step)) ** 2
    return total / len(x)


def test_terms_equal_the_formulas() -> None:
    net = critic()
    real, fake = (torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    true, false = net(real), net(fake)
    terms = r3gan.critic_terms(true, false, real, fake, gamma=0.7)
    pairs = list(zip(true.flatten().tolist(), false.flatten().tolist(), strict=True))
    wanted = sum(math.log(1 + math.exp(-(t - f))) for t, f in pairs) / len(pairs)
    assert terms["pairs"].item() == pytest.approx(wanted, abs=1e-12)
    assert terms["r1"].item() == pytest.approx(0.7 * penalty(net, real), rel=1e-6)
    assert terms["r2"].item() == pytest.approx(0.7 * penalty(net, fake), rel=1e-6)
    wanted = sum(math.log(1 + math.exp(-(f - t))) for t, f in pairs) / len(pairs)
    assert r3gan.generator_term(false, true).item() == pytest.approx(wanted, abs=1e-12)


def test_penalties_move_the_critic_and_the_generator_is_reached() -> None:
    net = critic()
    real, fake = (torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    terms = r3gan.critic_terms(net(real), net(fake), real, fake, gamma=1)
    for name in ("r1", "r2"):
        gradients = torch.autograd.grad(terms[name], [net[0].weight, net[2].weight], retain_graph=True)
        assert all((gradient != 0).any() for gradient in gradients)
    (gradient,) = torch.autograd.grad(r3gan.generator_term(net(fake), net(real).detach()), fake)
    assert (gradient != 0).all()


def test_half_precision_is_refused() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    with pytest.raises(ValueError, match=r"float32 logits, not torch\.bfloat16"):
        r3gan.critic_terms(x.sum(1), x.sum(1).bfloat16(), x, x, gamma=1)


def test_gamma_falls_on_half_a_cosine() -> None:
    found = [r3gan.annealed((2.0, 0.2), fraction) for fraction in (0, 1 / 3, 0.5, 1)]
    assert found == pytest.approx([2, 0.2 + 1.8 * 0.75, 1.1, 0.2])
