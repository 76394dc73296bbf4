"""Batch norm over processes and spectral norm: values, gradients twice, and the pace of the vectors."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from kinema.nn import norm as norms
from kinema.nn.more_norms import BatchRenorm2d
from kinema.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    advance_spectral,
    singular_values,
    spectral,
    spectral_layers,
    top_singular_value,
    without_shift,
)

SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    BatchNorm1d: (6, 5),
    BatchNorm2d: (6, 5, 3, 2),
    BatchNorm3d: (6, 5, 2, 3, 2),
}
SHARED = {**SHAPES, BatchRenorm2d: (6, 5, 3, 2)}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_on_one_process_it_is_pytorchs_own(kind: Any, affine: bool) -> None:
    x = torch.randn(SHAPES[kind])
    ours, theirs = kind(5, affine=affine), kind.__mro__[2](5, affine=affine)
    assert type(theirs).__module__.startswith("torch.")
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def twice(norm: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Gradients of a gradient penalty through the norm, with respect to its input and its parameters."""
    y = norm(x)
    slope = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)[0]
    return list(torch.autograd.grad((slope.square() * x.cos()).sum(), [x, *norm.parameters()]))


def one_of_two(rank: int, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)
    results = []
    for kind, shape in SHARED.items():
        whole = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32) * 3 + 100
        x = whole[rank * 3 : rank * 3 + 3].clone().requires_grad_()
        norm = kind(5)
        gradients = twice(norm, x)
        y, half = norm(x).detach(), kind(5)(x.bfloat16())
        results.append((y, gradients, norm.state_dict(), half.dtype))
    torch.save(results, f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.distributed
def test_two_processes_normalise_as_one_with_both_halves(tmp_path: Any) -> None:
    commands = [[sys.executable, __file__, str(rank), str(tmp_path)] for rank in (0, 1)]
    started = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for (kind, shape), a, b in zip(SHARED.items(), first, second, strict=True):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 + 100
        norm = kind(5)
        gradients = twice(norm, x.requires_grad_())
        torch.testing.assert_close(torch.cat([a[0], b[0]]), norm(x).detach(), atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(torch.cat([a[1][0], b[1][0]]), gradients[0], atol=1e-4, rtol=1e-3)
        for mine, other, both in zip(a[1][1:], b[1][1:], gradients[1:], strict=True):
            torch.testing.assert_close(mine + other, both, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(a[2]["running_mean"], norm.running_mean)
        torch.testing.assert_close(a[2]["running_var"], norm.running_var, rtol=1e-4, atol=1e-5)
        assert a[2]["num_batches_tracked"] == 2
        assert a[3] == torch.bfloat16


@pytest.mark.parametrize("kind", SHAPES)
def test_a_norm_without_shift_is_one_whose_shift_is_zero(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, plain, norm = torch.randn(SHAPES[kind]), kind(5), without_shift(kind(5))
    for of in (plain, norm):
        nn.init.constant_(of.weight, 1.5)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
    assert torch.equal(norm(x), plain(x))
    alone = norms.statistics(x)
    monkeypatch.setattr(norms, "processes", lambda: 2)  # which takes the path that several processes share
    monkeypatch.setattr(norms, "statistics", lambda x: alone)
    torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm(x), 1.5 * norms.F.batch_norm(x, None, None, training=True))


with torch.random.fork_rng():
    torch.manual_seed(0)
    LAYERS = [
        nn.Linear(6, 4),
        nn.Conv2d(3, 5, 3),
        nn.Conv3d(2, 4, 2),
        nn.ConvTranspose2d(3, 5, 4),
        nn.ConvTranspose3d(3, 5, 2),
    ]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda m: type(m).__name__)
def test_the_largest_singular_value_becomes_one(layer: nn.Module) -> None:
    torch.manual_seed(0)
    layer = spectral(copy.deepcopy(layer))
    advance_spectral(layer, 200)
    weight = layer.weight.detach()
    matrix = weight.movedim(1 if "Transpose" in type(layer).__name__ else 0, 0).flatten(1)
    assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1.0, abs=1e-4)


def test_values_and_keys_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 5, 3)
    ours = spectral(copy.deepcopy(plain))
    theirs = nn.utils.parametrizations.spectral_norm(copy.deepcopy(plain))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.weight, theirs.eval().weight)


def test_forward_leaves_the_vectors_and_advance_moves_them() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(spectral(nn.Linear(6, 6)), nn.Linear(6, 6), spectral(nn.Linear(6, 1)))
    assert len(spectral_layers(net)) == 2
    layer = spectral_layers(net)[0][0]
    before = layer._u.clone()
    net(torch.randn(2, 6))
    assert torch.equal(before, layer._u)
    weight = spectral_layers(net)[0][1].detach()
    advance_spectral(net)
    v = nn.functional.normalize(weight.t() @ before, dim=0)
    torch.testing.assert_close(layer._u, nn.functional.normalize(weight @ v, dim=0))


def test_the_norm_is_computed_in_full_precision_and_differentiated_through() -> None:
    torch.manual_seed(0)
    layer = spectral(nn.Linear(6, 4))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weight.dtype == torch.float32
    double = spectral(nn.Linear(4, 3).double())
    raw = spectral_layers(double)[0][1]
    normalised = spectral_layers(double)[0][0]
    assert torch.autograd.gradcheck(normalised, (raw,))
    assert torch.autograd.gradgradcheck(normalised, (raw,))


def test_power_iteration_finds_the_largest_singular_value() -> None:
    weight = torch.randn(7, 3, 2, 2)
    assert top_singular_value(weight, 50) == pytest.approx(
        float(torch.linalg.matrix_norm(weight.flatten(1), 2)), 1e-3
    )


def test_several_singular_values_are_those_of_the_decomposition() -> None:
    for shape in ((7, 3, 2, 2), (24, 8, 3, 3), (1, 9), (2, 5)):
        weight = torch.randn(shape)
        wanted = torch.linalg.svdvals(weight.flatten(1))[:3].tolist()
        assert singular_values(weight, iterations=200) == pytest.approx(wanted, rel=1e-3)
        assert singular_values(weight) == pytest.approx(wanted, rel=0.05)


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), sys.argv[2])
