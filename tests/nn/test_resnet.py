"""Residual classifiers: sizes and names of the published ones, the initial branch, and every norm."""

import pytest
import torch
from torch import nn

from kinema.nn.resnet import DEPTHS, Basic, Bottleneck, ResNet


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_fifty_layers_have_the_published_size_and_names(norm: str) -> None:
    with torch.device("meta"):
        net = ResNet(50, 1000, norm)
    assert sum(p.numel() for p in net.parameters()) == 25_557_032
    names = [name for name, _ in net.named_parameters()]
    assert names[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert names[-2:] == ["fc.weight", "fc.bias"]
    first = [name for name in names if name.startswith("layer1.0.")]
    layers = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1"]
    assert list(dict.fromkeys(n.removeprefix("layer1.0.").rsplit(".", 1)[0] for n in first)) == layers
    blocks = [len(net.get_submodule(f"layer{k}")) for k in (1, 2, 3, 4)]
    assert blocks == [3, 4, 6, 3]
    assert [n for n in names if "downsample.0" in n] == [
        f"layer{k}.0.downsample.0.weight" for k in (1, 2, 3, 4)
    ]
    assert len(names) == 161
    assert net.fc.in_features == 2048


def test_strides_stand_where_the_published_ones_have_them() -> None:
    with torch.device("meta"):
        net = ResNet(50, 10)
    assert (net.conv1.kernel_size, net.conv1.stride, net.conv1.padding) == ((7, 7), (2, 2), (3, 3))
    block = net.get_submodule("layer2.0")
    assert [getattr(block, f"conv{k}").stride for k in (1, 2, 3)] == [(1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize("depth", DEPTHS[:-1])
def test_small_ones_have_so_many_layers(depth: int) -> None:
    net = ResNet(depth, 10)
    shortcuts = [m for name, m in net.named_modules() if name.endswith("downsample.0")]
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) - len(shortcuts) == depth
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert net.features(torch.randn(2, 3, 32, 32)).shape == (2, 64)


@pytest.mark.parametrize("norm", ["bn", "gn:groups=4", "ln", "in:affine", "rms"])
def test_every_branch_begins_as_nothing(norm: str) -> None:
    net = ResNet(8, 10, norm, width=8)
    blocks = [m for m in net.modules() if isinstance(m, Basic | Bottleneck)]
    assert len(blocks) == 3
    for block in blocks:
        assert not block.bn2.weight.any()
        assert block.bn1.weight.eq(1).all()
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(blocks[0](x), x.relu())
    names = {name for name, _ in net.named_buffers()}
    assert bool(names) == (norm == "bn")


def test_gradients_reach_the_first_layer_once_the_branches_count() -> None:
    net = ResNet(8, 10, "gn:groups=4", channels=1, width=8)
    for module in net.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)
    net(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_without_a_norm_it_can_still_be_built() -> None:
    assert ResNet(8, 4, "none", width=8)(torch.randn(2, 3, 16, 16)).shape == (2, 4)
