"""Norms that take each other's place: what stays, what is refused, and what calibration mends."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.core.errors import UsageError
from kinema.nn.calibrate_norm import Sums
from kinema.nn.convert_norm import convert_norm
from kinema.nn.norm import BatchNorm2d, without_shift
from kinema.nn.resnet import ResNet


def trained(norm: str = "bn", depth: int = 8) -> ResNet:
    """A network whose norms look trained: scales of both signs, shifts, running statistics."""
    torch.manual_seed(0)
    net = ResNet(depth, 10, norm, channels=3, width=8)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "bn" in name or "downsample.1" in name:
                p.normal_(1.0 if name.endswith("weight") else 0.0, 0.5)
    for _ in range(20):
        net(1 + 2 * torch.randn(16, 3, 16, 16))
    return net.eval()


def batches(n: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [1 + 2 * torch.randn(16, 3, 16, 16, generator=generator) for _ in range(n)]


def test_a_round_trip_keeps_every_parameter_bit_by_bit_and_by_name() -> None:
    net = trained()
    before = {name: (id(p), p.detach().clone()) for name, p in net.named_parameters()}
    there = convert_norm(net, "gn:groups=4")
    assert [c.now for c in there] == ["GroupNorm"] * 9
    assert [c.groups for c in there][:3] == [4, 4, 4]
    assert not any("running" in key for key in net.state_dict())
    back = convert_norm(net, "bn")
    assert [(c.was, c.now, c.groups) for c in back] == [("GroupNorm", "BatchNorm2d", None)] * 9
    after = dict(net.named_parameters())
    assert list(after) == list(before)
    for name, (identity, value) in before.items():
        assert id(after[name]) == identity
        assert torch.equal(after[name], value)


def test_the_converted_network_is_the_one_built_so_and_an_optimiser_goes_on() -> None:
    net, wanted = trained(), ResNet(8, 10, "gn:groups=4", channels=3, width=8)
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    convert_norm(net, "gn:groups=4")
    wanted.load_state_dict(net.state_dict())
    x = batches()[0]
    assert torch.equal(net(x), wanted(x))
    before = net.bn1.weight.detach().clone()
    net(x).square().sum().backward()
    optimiser.step()
    assert not torch.equal(net.bn1.weight, before)


@pytest.mark.parametrize("spec", ["gn:groups=4", "ln", "in:affine", "rms", "bn", "frozenbn"])
def test_calibration_gives_every_channel_its_mean_and_spread(spec: str) -> None:
    before_it = "gn:groups=2" if spec.endswith("bn") else "bn"
    net = trained(before_it)
    names = [c.layer for c in convert_norm(trained(before_it), "gn:groups=8")]

    def moments() -> dict[str, Any]:
        sums = {name: Sums() for name in names}
        hooks = [
            net.get_submodule(name).register_forward_hook(lambda _, __, out, s=s: s.add(out))
            for name, s in sums.items()
        ]
        with torch.no_grad():
            for x in batches():
                net(x)
        for hook in hooks:
            hook.remove()
        return {name: s.moments() for name, s in sums.items()}

    before = moments()
    assert all(c.calibrated for c in convert_norm(net, spec, calibrate=batches()))
    after = moments()
    for name in names:
        spread = before[name].spread
        assert ((after[name].mean - before[name].mean).abs() < 1e-3 * spread.max()).all(), name
        torch.testing.assert_close(after[name].spread, spread, rtol=2e-3, atol=1e-5)


def test_calibration_keeps_signs_and_answers_nearer_than_a_raw_swap() -> None:
    x = batches(5)[-1]
    wanted = trained()(x).detach()
    raw, calibrated = trained(), trained()
    signs = torch.sign(raw.bn1.weight)
    convert_norm(raw, "gn:groups=4")
    convert_norm(calibrated, "gn:groups=4", calibrate=batches())
    assert torch.equal(torch.sign(calibrated.bn1.weight), signs)
    errors = [float((net(x) - wanted).square().mean().detach()) for net in (raw, calibrated)]
    assert errors[1] < 0.5 * errors[0]


def test_sums_are_the_moments_of_all_batches_together() -> None:
    parts = [100 + torch.randn(n, 3, 4, dtype=torch.float64) for n in (5, 1, 7)]
    sums, whole = Sums(), torch.cat(parts).movedim(1, 0).flatten(1)
    for part in parts:
        sums.add(part)
    mean, spread = sums.moments()
    torch.testing.assert_close(mean, whole.mean(1).float())
    torch.testing.assert_close(spread, whole.std(1, correction=0).float())


def test_hooks_modes_dtype_and_frozen_parameters_stay() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False))
    net = net.double().eval()
    net[1].train()
    net[1].weight.requires_grad_(False)
    seen = []
    net[1].register_forward_hook(lambda *_: seen.append(1))
    convert_norm(net, "gn:groups=2")
    assert [m.training for m in net] == [False, True, False]
    assert not net[1].weight.requires_grad
    assert net[1].bias.requires_grad
    assert net[2].weight is None
    assert net(torch.randn(2, 3, 4, 4).double()).dtype == torch.float64
    convert_norm(net, "bn")
    assert net(torch.randn(2, 3, 4, 4).double()).dtype == torch.float64
    assert seen == [1, 1]


def test_a_frozen_batch_norm_answers_as_the_batch_norm_that_it_was(caplog: pytest.LogCaptureFixture) -> None:
    net, x = trained(), batches()[0]
    wanted, parameters = net(x).detach(), list(net.parameters())
    assert {c.now for c in convert_norm(net, "frozenbn")} == {"FrozenBatchNorm"}
    assert all(p is q for p, q in zip(net.parameters(), parameters, strict=True))
    torch.testing.assert_close(net.train()(x), wanted)
    assert {c.now for c in convert_norm(net, "brn")} == {"BatchRenorm2d"}
    torch.testing.assert_close(net.eval()(x), wanted)
    assert not caplog.messages  # statistics stayed


def test_a_norm_with_two_names_stays_one_and_a_missing_shift_stays_missing() -> None:
    shared = without_shift(BatchNorm2d(8))
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    report = convert_norm(net, "gn:groups=2")
    assert [c.layer for c in report] == ["a", "b.0"]
    assert net["a"] is net["b"][0]
    assert net["a"].bias is None
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(net["a"](x), F.group_norm(x, 2, net["a"].weight))


def test_only_exclude_and_fresh_scales() -> None:
    net = trained()
    report = convert_norm(net, "gn:groups=4", only=["layer*"], exclude=["*.bn2"], keep_affine=False)
    assert {c.layer.rpartition(".")[2] for c in report} == {"bn1", "1"}
    assert isinstance(net.bn1, BatchNorm2d)
    assert torch.equal(net.layer1[0].bn1.weight, torch.ones(8))
    assert torch.equal(net.layer1[0].bn1.bias, torch.zeros(8))
    assert not torch.equal(net.layer1[0].bn2.weight, torch.ones(8))


class Fancy(nn.BatchNorm2d):
    """With something more, for all we know."""


def fused() -> nn.Module:
    from torch.ao.nn.intrinsic.qat import ConvBn2d
    from torch.ao.quantization import get_default_qat_qconfig

    return nn.Sequential(ConvBn2d(3, 8, 1, qconfig=get_default_qat_qconfig()))


@pytest.mark.parametrize(
    ("net", "spec", "chosen", "words"),
    [
        (
            lambda: nn.Sequential(nn.Linear(3, 3)),
            "gn",
            {},
            "Sequential has no batch norm, group norm or RMS norm",
        ),
        (lambda: nn.BatchNorm2d(4), "gn", {}, "itself a BatchNorm2d"),
        (lambda: nn.Sequential(nn.LazyBatchNorm2d()), "gn", {}, "'0' does not know its channels yet"),
        (lambda: nn.Sequential(Fancy(4)), "gn", {}, "'0' is a Fancy, which may do more"),
        (lambda: nn.DataParallel(nn.Sequential(nn.BatchNorm2d(4))), "gn", {}, "then wrap it"),
        (fused, "gn", {}, "part of a fused ConvBn2d"),
        (trained, "none", {}, "norms become bn, brn, frozenbn, gn, ln, in:affine, rms, not 'none'"),
        (trained, "in", {}, "norms become .* in:affine, rms, not 'in'"),
        (lambda: trained("gn"), "frozenbn", {}, "'bn1' has no running statistics to freeze"),
        (trained, "gm", {}, "no norm is called 'gm'"),
        (trained, "gn", {"only": ["layer9.*"]}, r"no norm is called 'layer9\.\*'"),
        (trained, "gn", {"exclude": ["*"]}, "leaves out every norm"),
        (trained, "gn", {"calibrate": []}, "calibrate holds no batch"),
    ],
)
def test_what_cannot_be_converted_is_said_and_left_as_it_was(
    net: Any, spec: str, chosen: dict[str, Any], words: str
) -> None:
    model = net()
    before = [type(m) for m in model.modules()]
    with pytest.raises(UsageError, match=words):
        convert_norm(model, spec, **chosen)
    assert [type(m) for m in model.modules()] == before


def test_norms_without_a_scale_cannot_be_calibrated_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8, affine=False), nn.BatchNorm2d(8)).eval()
    with caplog.at_level("WARNING", logger="kinema"):
        found = convert_norm(net, "gn:groups=2", calibrate=[torch.randn(4, 3, 5, 5)])
    assert [layer.calibrated for layer in found] == [False, True]
    assert "stay as swapped: 1 of 2" in caplog.text
