"""Norms by name: values against a slow reference, independence of the batch, and what names mean."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import UsageError
from kinema.nn.factory import make_norm
from kinema.nn.resnet import ResNet


def reference(x: Tensor, groups: int) -> Tensor:
    """Each item and group on its own, in float64."""
    out = torch.empty_like(x, dtype=torch.float64)
    for b, item in enumerate(x.double()):
        for part, place in zip(item.chunk(groups), out[b].chunk(groups), strict=True):
            place.copy_((part - part.mean()) / (part.var(correction=0) + 1e-5).sqrt())
    return out


@pytest.mark.parametrize("shape", [(3, 16), (3, 16, 7), (3, 16, 5, 4), (2, 16, 3, 4, 2)])
@pytest.mark.parametrize(("spec", "groups"), [("gn:groups=4", 4), ("gn:channels=8", 2), ("ln", 1)])
def test_groups_are_normalised_as_a_slow_reference_does(
    shape: tuple[int, ...], spec: str, groups: int
) -> None:
    x = 3 + 2 * torch.randn(shape)
    norm = make_norm(spec, 16, dim=max(1, len(shape) - 2))
    torch.testing.assert_close(norm(x).double(), reference(x, groups), rtol=0, atol=2e-6)


def test_statistics_of_bf16_maps_are_taken_in_fp32() -> None:
    x = 30 + torch.randn(2, 16, 32, 32)
    made = make_norm("gn:groups=4", 16)(x.bfloat16()).detach().double()
    wanted = reference(x.bfloat16().float(), 4)
    assert float((made - wanted).norm() / wanted.norm()) < 1e-2


def test_one_group_is_layer_norm_and_a_channel_in_a_group_is_instance_norm() -> None:
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(make_norm("ln", 6)(x), F.layer_norm(x, x.shape[1:]))
    torch.testing.assert_close(make_norm("in", 6)(x), F.instance_norm(x))


@pytest.mark.parametrize("norm", ["gn:groups=4", "ln", "in"])
def test_an_item_is_the_same_in_every_company(norm: str) -> None:
    net, x = ResNet(8, 10, norm), torch.randn(8, 3, 16, 16)
    layers = [m for m in net.modules() if isinstance(m, nn.GroupNorm)]
    maps = torch.randn(8, layers[0].num_channels, 16, 16)
    other = torch.cat([maps[:1], 1e3 * torch.randn_like(maps[1:])])
    assert torch.equal(layers[0](maps)[0], layers[0](other)[0])
    assert torch.equal(net(x)[0], net(torch.cat([x[:1], 1e3 * torch.randn_like(x[1:])]))[0])
    assert torch.equal(net.train()(x), net.eval()(x))


@pytest.mark.parametrize(
    ("spec", "channels", "groups"),
    [("gn", 64, 32), ("gn", 48, 24), ("gn", 16, 8), ("gn:groups=5", 16, 4), ("gn:channels=16", 64, 4)],
)
def test_groups_divide_the_channels_and_hold_more_than_one(spec: str, channels: int, groups: int) -> None:
    assert make_norm(spec, channels).num_groups == groups


@pytest.mark.parametrize(
    ("spec", "words"),
    [("gm", "no norm is called 'gm'"), ("gn:group=3", "not 'group'"), ("gn:groups=x", "is a number")],
)
def test_wrong_names_are_answered(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_norm(spec, 8)
