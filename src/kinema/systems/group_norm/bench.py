"""ResNet-20 with group and with batch norm: what each costs, and what folding batch norm would save.

The faithful path is fp32, eager and contiguous. In the last row the other path has every batch norm folded
into its convolution, which no command of kinema does, but a deployment may; groups cannot be folded.
"""

import copy
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kinema.nn.resnet import ResNet
from kinema.systems.shared.bench import Job, Precision


def jobs(device: str, precision: Precision) -> list[Job]:
    """Steps without the optimiser, and logits in use, of 32 pictures of 32x32."""
    x, label = torch.rand(32, 3, 32, 32, device=device) * 2 - 1, torch.arange(32, device=device) % 10

    def row(name: str, work: Any, slow: nn.Module, other: nn.Module) -> Job:
        fast = copy.deepcopy(other).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Job(name, "32x3x32x32", partial(work, slow, nullcontext), partial(work, fast, precision))

    step, run, out = partial(_step, x=x, label=label), partial(_run, x=x), []
    for norm in ("gn:groups=8", "bn"):
        torch.manual_seed(0)
        net = ResNet(20, 10, norm, gamma_zero=False).to(device)
        net(x)  # batch norm has met something
        used = copy.deepcopy(net).eval()
        out += [row(f"step, {norm}", step, net, net), row(f"run, {norm}", run, used, used)]
    return [*out, row("run, bn folded", run, used, folded(used))]


def folded(net: nn.Module) -> nn.Module:
    """A copy, of a network in eval mode, whose batch norms are part of the convolutions."""
    net = copy.deepcopy(net)
    for block in net.modules():
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):
            if isinstance(getattr(block, norm, None), nn.BatchNorm2d):
                setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    return net


def _step(net: nn.Module, precision: Precision, x: Tensor, label: Tensor) -> dict[str, Tensor]:
    with precision():
        loss = F.cross_entropy(net(x).float(), label)
    torch.autograd.grad(loss, list(net.parameters()))
    return {"loss": loss.detach()}


@torch.no_grad()
def _run(net: nn.Module, precision: Precision, x: Tensor) -> dict[str, Tensor]:
    with precision():
        return {"logits": net(x)}
