"""Norms by name: what each name builds, that group norm is PyTorch's, and that errors name what is near."""

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kinema.core.errors import UsageError
from kinema.nn.factory import groups_for, make_norm, parsed
from kinema.nn.more_norms import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d, FrozenBatchNorm, RMSNorm
from kinema.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

SHAPES = {1: (3, 12, 5), 2: (3, 12, 4, 5), 3: (3, 12, 2, 4, 3)}


@pytest.mark.parametrize(("dim", "kind"), [(1, BatchNorm1d), (2, BatchNorm2d), (3, BatchNorm3d)])
def test_batch_norm_of_every_dimension_with_its_settings(dim: int, kind: Any) -> None:
    norm = make_norm("bn:eps=1e-4,momentum=0.01", 12, dim=dim)
    assert type(norm) is kind
    assert (norm.eps, norm.momentum, norm.num_features) == (1e-4, 0.01, 12)
    norm = make_norm("bn", 12, dim=dim, affine=False)
    assert (norm.eps, norm.momentum, norm.weight) == (1e-5, 0.1, None)
    assert norm(torch.randn(SHAPES[dim])).shape == SHAPES[dim]


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ("syncbn", {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}),
        ("brn", {1: BatchRenorm1d, 2: BatchRenorm2d, 3: BatchRenorm3d}),
        ("frozenbn", dict.fromkeys(SHAPES, FrozenBatchNorm)),
        ("rms", dict.fromkeys(SHAPES, RMSNorm)),
        ("in:affine", dict.fromkeys(SHAPES, nn.GroupNorm)),
    ],
)
def test_the_other_names_of_every_dimension(spec: str, kinds: dict[int, Any]) -> None:
    for dim, kind in kinds.items():
        norm = make_norm(spec, 12, dim=dim)
        assert type(norm) is kind
        assert norm(torch.randn(SHAPES[dim])).shape == SHAPES[dim]
        assert sorted(name for name, _ in norm.named_parameters()) == ["bias", "weight"]
        bare = make_norm(spec, 12, dim=dim, affine=False)
        assert not list(bare.parameters())
        assert bare(torch.randn(SHAPES[dim])).shape == SHAPES[dim]


def test_settings_reach_batch_renormalisation_and_instance_norm_has_a_scale_if_asked() -> None:
    norm: Any = make_norm("brn:r=1.5,d=0.5,warmup=100,momentum=0.1,eps=1e-3", 12)
    assert (norm.r, norm.d, norm.warmup, norm.momentum, norm.eps) == (1.5, 0.5, 100, 0.1, 1e-3)
    norm = make_norm("brn", 12)
    assert (norm.r, norm.d, norm.warmup, norm.momentum) == (3, 5, 5000, 0.01)
    assert make_norm("in", 12).weight is None
    assert make_norm("in:affine,eps=0.1", 12).eps == 0.1


def slow(x: Tensor, groups: int, eps: float) -> Tensor:
    """Group norm item by item and group by group, over all places and times."""
    out = torch.empty_like(x)
    size = x.shape[1] // groups
    for item in range(len(x)):
        for group in range(groups):
            part = x[item, group * size : (group + 1) * size]
            mean = part.sum() / part.numel()
            variance = ((part - mean) ** 2).sum() / part.numel()
            out[item, group * size : (group + 1) * size] = (part - mean) / torch.sqrt(variance + eps)
    return out


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    ("spec", "groups", "eps"),
    [("gn:groups=4", 4, 1e-5), ("gn:channels=2,eps=0.1", 6, 0.1), ("ln", 1, 1e-5), ("in", 12, 1e-5)],
)
def test_group_norm_is_pytorchs_and_the_formula(dim: int, spec: str, groups: int, eps: float) -> None:
    x = torch.randn(SHAPES[dim], dtype=torch.float64) * 3 + 2
    norm = make_norm(spec, 12, dim=dim).double()
    assert isinstance(norm, nn.GroupNorm)
    torch.testing.assert_close(norm(x), slow(x, groups, eps), atol=1e-12, rtol=0)
    theirs = nn.functional.group_norm(x.float(), groups, eps=eps)
    torch.testing.assert_close(norm.float()(x.float()), theirs, atol=1e-6, rtol=0)
    assert not list(make_norm(spec, 12, dim=dim, affine=False).parameters())


def test_one_group_is_layer_norm_and_a_group_for_each_channel_is_instance_norm() -> None:
    x = torch.randn(3, 12, 4, 5)
    layer = nn.functional.layer_norm(x, (12, 4, 5))
    torch.testing.assert_close(make_norm("ln", 12)(x), layer, atol=1e-6, rtol=0)
    torch.testing.assert_close(make_norm("gn:groups=1", 12)(x), layer, atol=1e-6, rtol=0)
    torch.testing.assert_close(make_norm("in", 12)(x), nn.functional.instance_norm(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("channels", "settings", "groups"),
    [
        (64, {}, 32),  # the paper's
        (48, {}, 24),  # the largest divisor not above 32
        (20, {"groups": 8}, 5),
        (64, {"channels": 16}, 4),
        (32, {}, 16),  # never a channel in a group, which is instance norm
        (16, {"groups": 64}, 8),
        (7, {"groups": 3}, 1),
        (7, {"groups": 7}, 1),
        (8, {"channels": 16}, 1),
        (1, {}, 1),
    ],
)
def test_how_many_groups(
    channels: int, settings: dict[str, int], groups: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kinema"):
        assert groups_for(channels, settings) == groups
    wanted = channels // settings["channels"] if "channels" in settings else settings.get("groups", 32)
    said = [f"group norm of {channels} channels takes {groups} groups, not {wanted}"]
    assert caplog.messages == (said if groups != wanted else [])


@pytest.mark.parametrize(("spec", "groups"), [("gn:groups=4", 4), ("ln", 1), ("in", 12)])
@pytest.mark.parametrize("mean", [0, 100])
def test_statistics_of_half_precision_are_taken_in_full(spec: str, groups: int, mean: float) -> None:
    x = (torch.randn(3, 12, 8, 8) * 3 + mean).bfloat16()
    wanted = slow(x.double(), groups, 1e-5)
    made = make_norm(spec, 12).bfloat16()(x)
    assert made.dtype == torch.bfloat16
    assert (made.double() - wanted).norm() < 1e-2 * wanted.norm()


@pytest.mark.parametrize("spec", ["gn:groups=4", "ln", "in:affine", "rms", "frozenbn"])
@pytest.mark.parametrize("training", [True, False])
def test_an_items_result_does_not_depend_on_its_batch(spec: str, training: bool) -> None:
    norm = make_norm(spec, 12).train(training)
    x = torch.randn(5, 12, 6, 6)
    whole = norm(x)
    assert all(torch.equal(norm(x[i : i + 1])[0], whole[i]) for i in range(5))
    assert torch.equal(norm(torch.cat([x[:1], 1e3 * x[1:]]))[0], whole[0])


def test_none_is_nothing() -> None:
    x = torch.randn(2, 3)
    assert make_norm("none", 3)(x) is x


def test_a_name_is_taken_apart() -> None:
    assert parsed("gn") == ("gn", {})
    assert parsed("gn:groups=8,eps=1e-6") == ("gn", {"groups": 8, "eps": 1e-6})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("gnn", "no norm is called 'gnn'; nearest: gn"),
        ("layer", "no norm is called 'layer'; known: bn, brn, frozenbn, gn, in, ln, none, rms"),
        ("gn:group=8", "norm 'gn:group=8': 'gn' has groups, channels, eps, not 'group'"),
        ("none:eps=1", "norm 'none:eps=1': 'none' has no settings, not 'eps'"),
        ("gn:groups=many", "norm 'gn:groups=many': groups is a number, not 'many'"),
        ("gn:groups=0", "norm 'gn:groups=0': groups is more than 0, not 0"),
        ("bn:eps=nan", "norm 'bn:eps=nan': eps is more than 0, not nan"),
        ("gn:eps=inf", "norm 'gn:eps=inf': eps is more than 0, not inf"),
        ("bn:momentum=2", "norm 'bn:momentum=2': momentum is more than 0 and at most 1, not 2"),
        ("brn:r=0.5", "norm 'brn:r=0.5': r is 1 or more, not 0.5"),
        ("brn:warmup=0", "norm 'brn:warmup=0': warmup is more than 0, not 0"),
        ("syncbn:groups=2", "norm 'syncbn:groups=2': 'syncbn' has eps, momentum, not 'groups'"),
        ("in:affine=1", "norm 'in:affine=1': affine stands alone, without '=1'"),
        ("ln:affine", "norm 'ln:affine': 'ln' has eps, not 'affine'"),
        ("bn:", "norm 'bn:': 'bn' has eps, momentum, not ''"),
    ],
)
def test_what_is_not_known(spec: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        make_norm(spec, 8)
    assert says in str(error.value)
