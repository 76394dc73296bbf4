"""The short ways of computing blocks give what the plain ones give, with their gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.nn.conditional import ConditionalNorm, Table
from kinema.nn.norm import BatchNorm2d, spectral
from kinema.nn.residual import DownBlock, UpBlock, conv_of_doubled, doubled, halved, halved_conv


def same(one: Callable[[Tensor], Tensor], two: Callable[[Tensor], Tensor], x: Tensor, *of: Tensor) -> None:
    """Two functions agree in float64 in values and in the gradients by the input and by tensors."""
    weight = torch.randn_like(two(x))
    found = [torch.autograd.grad((f(x) * weight).sum(), [x, *of]) for f in (one, two)]
    torch.testing.assert_close(one(x), two(x), atol=1e-12, rtol=0)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=0)
        assert a.abs().max() > 0


@pytest.mark.parametrize("held", [lambda layer: layer, spectral], ids=["plain", "spectral"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 3, 2, 2)])
def test_convolutions_beside_a_change_of_size(
    held: Callable[[nn.Module], nn.Module], shape: tuple[int, ...]
) -> None:
    layer = held(nn.Conv2d(3, 5, 3, padding=1).double())
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    of = list(layer.parameters())
    same(lambda x: conv_of_doubled(layer, x), lambda x: layer(doubled(x)), x, *of)
    same(lambda x: halved_conv(layer, x), lambda x: halved(layer(x)), x, *of)


def test_doubled_and_halved_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert doubled(x)[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]]
    assert halved(x)[0, 0].tolist() == [[3]]


def conditional(channels: int) -> ConditionalNorm:
    return ConditionalNorm(
        BatchNorm2d(channels, affine=False), Table(4, channels), Table(4, channels)
    ).double()


@pytest.mark.parametrize(("ins", "outs"), [(6, 3), (3, 6), (4, 4)])
def test_a_block_that_doubles(ins: int, outs: int) -> None:
    """Main way and shortcut as the paper draws them, the size changed first."""
    block = UpBlock(ins, outs, conditional, spectral).double()
    classes = torch.eye(4, dtype=torch.float64)[:3]

    def plain(x: Tensor) -> Tensor:
        h = block.conv1(F.interpolate(F.relu(block.bn1(x, classes)), scale_factor=2, mode="nearest"))
        h = block.conv2(F.relu(block.bn2(h, classes)))
        return h + block.conv_sc(F.interpolate(x, scale_factor=2, mode="nearest"))

    x = torch.randn(3, ins, 4, 4, dtype=torch.float64, requires_grad=True)
    of = [block.conv1.bias, block.conv_sc.bias, block.conv_sc.parametrizations.weight.original]
    same(lambda x: block(x, classes), plain, x, *of)


@pytest.mark.parametrize("first", [True, False])
def test_a_block_that_halves(first: bool) -> None:
    block = DownBlock(3, 5, spectral, first=first).double()

    def plain(x: Tensor) -> Tensor:
        h = F.relu(block.conv1(x if first else x.relu()))
        return F.avg_pool2d(block.conv2(h), 2) + F.avg_pool2d(block.conv_sc(x), 2)

    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    same(block, plain, x, *block.parameters())
    assert torch.equal(x.detach(), before)  # no ReLU in place: the shortcut reads what came


def test_a_block_that_keeps_its_shape_adds_what_came() -> None:
    block = DownBlock(5, 5, spectral, down=False)
    assert block.conv_sc is None
    x = torch.randn(2, 5, 4, 4)
    wanted = x + block.conv2(F.relu(block.conv1(F.relu(x))))
    torch.testing.assert_close(block(x), wanted)
    wider = DownBlock(5, 6, spectral, down=False)
    assert wider(x).shape == (2, 6, 4, 4)
    torch.testing.assert_close(
        wider(x), wider.conv_sc(x) + wider.conv2(F.relu(wider.conv1(F.relu(x)))), atol=1e-6, rtol=1e-5
    )
