"""Conditional norms against a loop over items and their classes."""

import torch
from torch import nn

from kinema.nn.conditional import ConditionalNorm, PlainNorm, Table
from kinema.nn.norm import BatchNorm2d, spectral


def test_every_item_has_the_scale_and_shift_of_its_class() -> None:
    norm = ConditionalNorm(BatchNorm2d(3, affine=False), Table(4, 3), Table(4, 3)).double()
    x = torch.randn(5, 3, 2, 4, dtype=torch.float64) * 3 + 1
    classes = [2, 0, 2, 3, 1]
    y = norm(x, nn.functional.one_hot(torch.tensor(classes), 4).double())
    for channel in range(3):
        values = x[:, channel]
        mean = values.sum() / values.numel()
        variance = ((values - mean) ** 2).sum() / values.numel()
        for item, k in enumerate(classes):
            scale, shift = 1 + norm.gain.weight[k, channel], norm.bias.weight[k, channel]
            wanted = (x[item, channel] - mean) / torch.sqrt(variance + 1e-5) * scale + shift
            torch.testing.assert_close(y[item, channel], wanted, atol=1e-12, rtol=0)


def test_in_use_the_running_statistics_count_and_mixtures_of_classes_get_mixed_rows() -> None:
    norm = ConditionalNorm(BatchNorm2d(2, affine=False), Table(3, 2), Table(3, 2)).eval()
    norm.norm.running_mean += torch.tensor([1.0, -2.0])
    norm.norm.running_var *= torch.tensor([4.0, 9.0])
    x, share = torch.randn(1, 2, 2, 2), torch.tensor([[0.25, 0.0, 0.75]])
    rows = [0.25 * table.weight[0] + 0.75 * table.weight[2] for table in (norm.gain, norm.bias)]
    for c, (mean, variance) in enumerate([(1, 4), (-2, 9)]):
        wanted = (x[0, c] - mean) / (variance + 1e-5) ** 0.5 * (1 + rows[0][c]) + rows[1][c]
        torch.testing.assert_close(norm(x, share)[0, c], wanted)


def test_the_condition_may_be_any_code_that_products_turn_into_scales() -> None:
    gain, bias = (spectral(nn.Linear(6, 3, bias=False)) for _ in range(2))
    norm = ConditionalNorm(nn.Identity(), gain, bias)
    x, code = torch.randn(2, 3, 2, 2), torch.randn(2, 6)
    wanted = torch.stack([
        x[i] * (1 + gain.weight @ code[i])[:, None, None] + (bias.weight @ code[i])[:, None, None]
        for i in range(2)
    ])  # fmt: skip
    torch.testing.assert_close(norm(x, code), wanted, atol=1e-6, rtol=1e-5)


def test_gradients_reach_maps_tables_and_condition() -> None:
    norm = ConditionalNorm(BatchNorm2d(2, affine=False), Table(3, 2), Table(3, 2)).double()
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    share = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, share: norm(x, share), (x, share))
    found = torch.autograd.grad(norm(x, share).square().sum(), [norm.gain.weight, norm.bias.weight])
    assert all((gradient != 0).all() for gradient in found)


def test_a_norm_of_its_own_reads_no_condition() -> None:
    inner = BatchNorm2d(2)
    x = torch.randn(3, 2, 2, 2)
    assert torch.equal(PlainNorm(inner)(x, None), inner(x))
