"""Initial weights: what each way promises, also under spectral norm, and that biases begin at zero."""

import math

import pytest
import torch
from torch import nn

from kinema.nn.conditional import Table
from kinema.nn.initial import filled, keeping_sizes
from kinema.nn.norm import spectral, spectral_layers

KINDS = [nn.Linear(40, 24), nn.Conv2d(6, 24, 3)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("held", [True, False])
def test_orthogonal_rows(kind: nn.Module, held: bool) -> None:
    layer = nn.Conv2d(6, 24, 3) if isinstance(kind, nn.Conv2d) else nn.Linear(40, 24)
    layer = spectral(layer) if held else layer
    net = nn.Sequential(layer).apply(filled("orthogonal"))
    raw = spectral_layers(net)[0][1] if held else net[0].weight
    rows = raw.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(24), atol=1e-5, rtol=0)
    assert not net[0].bias.any()


@pytest.mark.parametrize(
    ("how", "spread"), [("normal", 0.02), ("xavier", math.sqrt(2 / (60 + 200)))]
)  # of uniform numbers in ±√(6 / (in + out))
@pytest.mark.parametrize("held", [True, False])
def test_sizes_of_random_weights(how: str, spread: float, held: bool) -> None:
    layer = spectral(nn.Linear(60, 200)) if held else nn.Linear(60, 200)
    layer.apply(filled(how))
    raw = (spectral_layers(layer)[0][1] if held else layer.weight).detach()
    assert raw.std().item() == pytest.approx(spread, rel=0.03)
    assert abs(raw.mean().item()) < 0.03 * spread
    bound = math.sqrt(6 / 260)
    assert (raw.abs().max() <= bound) if how == "xavier" else (raw.abs().max() > 3 * spread)


def test_vectors_of_the_power_iteration_follow_the_new_weight() -> None:
    layer = spectral(nn.Conv2d(4, 6, 3)).apply(filled("xavier"))
    (norm, raw) = spectral_layers(layer)[0]
    largest = torch.linalg.matrix_norm(raw.detach().flatten(1), 2)
    assert norm.sigma(raw).item() == pytest.approx(largest.item(), rel=0.02)


def test_tables_and_norms_are_left_alone() -> None:
    table, norm = Table(3, 4), nn.BatchNorm2d(4)
    before = table.weight.detach().clone()
    nn.Sequential(table, norm).apply(filled("orthogonal"))
    assert torch.equal(table.weight, before)
    assert norm.weight.detach().eq(1).all()


def test_layers_that_keep_sizes() -> None:
    layer = nn.Conv2d(64, 64, 3)
    keeping_sizes(layer)
    wanted = math.sqrt(2 / (1 + 0.2**2) / (64 * 9))
    assert layer.weight.std().item() == pytest.approx(wanted, rel=0.02)
    assert not layer.bias.any()
