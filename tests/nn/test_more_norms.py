"""RMS norm, frozen batch norm and batch renormalisation against slow formulas in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kinema.nn.factory import make_norm
from kinema.nn.norm import cumulative_statistics

SHAPES = {1: (4, 3, 5), 2: (4, 3, 2, 3), 3: (4, 3, 2, 2, 3)}


def lively(spec: str, dim: int) -> Any:
    """In float64, with scales, shifts and running statistics that are not those of the beginning."""
    norm: Any = make_norm(spec, 3, dim=dim).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.5, -0.5, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        if hasattr(norm, "running_mean"):
            norm.running_mean.copy_(torch.tensor([2.5, 1.0, -2.0]))
            norm.running_var.copy_(torch.tensor([8.0, 100.0, 0.25]))
    return norm


def maps(dim: int) -> Tensor:
    return (torch.randn(SHAPES[dim], dtype=torch.float64) * 3 + 2).requires_grad_()


def scaled(parts: list[Tensor], norm: Any) -> Tensor:
    """Channels, each with its scale and shift."""
    return torch.stack([p * w + b for p, w, b in zip(parts, norm.weight, norm.bias, strict=True)], 1)


@pytest.mark.parametrize("dim", SHAPES)
def test_rms_norm_divides_every_item_by_its_root_mean_square(dim: int) -> None:
    norm, x = lively("rms:eps=0.1", dim), maps(dim)
    roots = [math.sqrt(float((item**2).sum()) / item.numel() + 0.1) for item in x.detach()]
    size = torch.tensor(roots, dtype=torch.float64).view(-1, *(1,) * dim)
    wanted = scaled([x[:, c] / size for c in range(3)], norm)
    torch.testing.assert_close(norm(x), wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(norm(-x) - norm(x), -2 * (norm(x) - norm(0 * x)))  # no mean is taken away
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize("dim", SHAPES)
def test_frozen_batch_norm_is_a_linear_function_of_each_channel(dim: int) -> None:
    norm, x = lively("frozenbn:eps=0.1", dim).train(), maps(dim)
    before = {name: value.clone() for name, value in norm.named_buffers()}
    kept = zip(norm.running_mean.tolist(), norm.running_var.tolist(), strict=True)
    wanted = scaled([(x[:, c] - mean) / math.sqrt(var + 0.1) for c, (mean, var) in enumerate(kept)], norm)
    torch.testing.assert_close(norm(x), wanted, atol=1e-12, rtol=0)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert all(g.any() for g in torch.autograd.grad(norm(x).square().sum(), [norm.weight, norm.bias]))
    with cumulative_statistics(nn.Sequential(norm)):  # which is for those that move
        norm(x)
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())
    theirs = make_norm("bn:eps=0.1", 3, dim=dim).double().eval()
    theirs.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), theirs(x))


def renormalised(x: Tensor, norm: Any, r_max: float, d_max: float) -> Tensor:
    """Channel by channel; r and d are numbers, so constants to the gradient. Moves the running statistics."""
    parts = []
    for c in range(3):
        part = x[:, c]
        mean = part.sum() / part.numel()
        var = ((part - mean) ** 2).sum() / part.numel()
        kept_mean, kept = float(norm.running_mean[c]), math.sqrt(float(norm.running_var[c]) + norm.eps)
        spread = torch.sqrt(var + norm.eps)
        r = min(max(float(spread.detach()) / kept, 1 / r_max), r_max)
        d = min(max((float(mean.detach()) - kept_mean) / kept, -d_max), d_max)
        parts.append((part - mean) / spread * r + d)
        unbiased = var.detach() * part.numel() / (part.numel() - 1)
        norm.running_mean[c] += norm.momentum * (mean.detach() - norm.running_mean[c])
        norm.running_var[c] += norm.momentum * (unbiased - norm.running_var[c])
    return scaled(parts, norm)


@pytest.mark.parametrize("dim", SHAPES)
@pytest.mark.parametrize(
    ("seen", "r_max", "d_max"), [(0, 1, 0), (10, 1, 0), (30, 1 + 4 / 7, 2.5), (50, 1 + 8 / 7, 5), (90, 3, 5)]
)
def test_batch_renormalisation_is_the_formula_within_limits_that_open(
    dim: int, seen: int, r_max: float, d_max: float
) -> None:
    spec = "brn:momentum=0.2,warmup=10"
    ours, slow, x = lively(spec, dim), lively(spec, dim), maps(dim)
    ours.num_batches_tracked += seen
    made, wanted = ours(x), renormalised(x, slow, r_max, d_max)
    torch.testing.assert_close(made, wanted, atol=1e-6, rtol=0)  # the share of the way is a float32
    pull = torch.randn_like(made)
    found = torch.autograd.grad((made * pull).sum(), [x, *ours.parameters()])
    right = torch.autograd.grad((wanted * pull).sum(), [x, *slow.parameters()])
    for mine, other in zip(found, right, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(ours.running_mean, slow.running_mean)
    torch.testing.assert_close(ours.running_var, slow.running_var)
    assert ours.num_batches_tracked == seen + 1


def test_within_its_limits_batch_renormalisation_trains_on_what_it_gives_in_use() -> None:
    norm, x = lively("brn:r=100,d=100,warmup=1", 2), maps(2)
    norm.num_batches_tracked += 8
    wanted = norm.eval()(x)
    torch.testing.assert_close(norm.train()(x), wanted, atol=1e-6, rtol=1e-6)
    assert (lively("bn", 2)(x) - wanted).abs().max() > 0.1  # batch norm does not


def test_in_use_batch_renormalisation_is_batch_norm_and_statistics_are_taken_anew_alike() -> None:
    ours, theirs, x = lively("brn:warmup=1", 2), lively("bn", 2), maps(2)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    ours.num_batches_tracked += 8
    for norm in (ours, theirs):
        with cumulative_statistics(nn.Sequential(norm)):
            torch.testing.assert_close(norm(x), lively("bn", 2)(x))
            norm(2 * x)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.running_mean, 1.5 * x.detach().mean((0, 2, 3)))
