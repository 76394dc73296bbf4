"""Vectors for the port's power iteration: one step of it from what is written finds the value used here."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kinema.systems.shared.port import HELD, read_network, write_network


def written(weight: Tensor, u: Tensor, v: Tensor) -> dict[str, Tensor]:
    names = {"original": weight, "0._u": F.normalize(u, dim=0), "0._v": F.normalize(v, dim=0)}
    return write_network({f"layer.{HELD}{name}": value for name, value in names.items()})


def one_step(port: dict[str, Tensor]) -> float:
    """σ as the port has it, in use and in training."""
    matrix, u = port["layer.weight"].flatten(1), port["layer.u0"][0]
    v = F.normalize(u @ matrix, dim=0)
    u = F.normalize(matrix @ v, dim=0)
    return float(u @ matrix @ v)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 2, 3, 3), (8, 8)])
@pytest.mark.parametrize("moved", [0.0, 0.05, 0.3])
def test_the_value_is_kept_where_weights_have_moved(shape: tuple[int, ...], moved: float) -> None:
    weight = torch.randn(shape)
    left, values, right = torch.linalg.svd(weight.flatten(1))
    weight = weight + moved * torch.randn(shape)
    sigma = float(left[:, 0] @ weight.flatten(1) @ right[0])
    port = written(weight, left[:, 0], right[0])
    assert one_step(port) == pytest.approx(sigma, rel=2e-5)
    assert port["layer.sv0"].item() == pytest.approx(sigma, rel=1e-5)
    assert (sigma == pytest.approx(values[0].item(), rel=1e-5)) == (moved == 0)
    ours = read_network(port)
    u, v = (ours[f"layer.{HELD}0.{name}"] for name in ("_u", "_v"))
    assert float(u @ weight.flatten(1) @ v) == pytest.approx(sigma, rel=2e-5)


def test_where_nothing_can_be_kept_the_nearest_value_is_found() -> None:
    row = torch.tensor([[3.0, 4.0]])  # its only value is 5, and what was used is 3
    assert one_step(written(row, torch.ones(1), torch.tensor([1.0, 0.0]))) == pytest.approx(5)
    zero = written(torch.zeros(3, 4), torch.ones(3), torch.ones(4))
    assert all(value.isfinite().all() for value in zero.values())
    assert zero["layer.u0"].norm().item() == pytest.approx(1)
