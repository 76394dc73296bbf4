"""A trained network's norms become other norms, in place, calibrated on data if there is some.

Wu & He, "Group Normalization", ECCV 2018, arXiv:1803.08494. Where other norms take a batch norm's place as
they are, a trained network breaks; scales and shifts that give every channel the mean and spread which it had
mend much of it.
"""

import fnmatch
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parallel import DataParallel, DistributedDataParallel

from kinema.core.errors import UsageError, nearest
from kinema.nn.factory import BATCH, make_norm, parsed

PLAIN: dict[type[nn.Module], int | None] = {
    nn.BatchNorm1d: 1,
    nn.BatchNorm2d: 2,
    nn.BatchNorm3d: 3,
    nn.SyncBatchNorm: None,
    nn.GroupNorm: None,
    **{kind: dim for dim, kind in BATCH.items()},
}
"""norms that can be replaced -> axes of space and time, where the class says them"""
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
"""every norm there is"""
TARGETS = ("bn", "gn", "ln", "in")
HOOKS = ("_forward_", "_backward_", "_is_full_backward_hook")
SMALL = 1e-6
"""spread of a channel below which there is nothing to scale"""

log = logging.getLogger("kinema")


class Converted(NamedTuple):
    """What became of one layer."""

    layer: str
    """its name, which stays"""
    was: str
    now: str
    groups: int | None
    """of a group norm"""
    calibrated: bool


class Moments(NamedTuple):
    """Mean and spread of every channel (C) over all batches."""

    mean: Tensor
    spread: Tensor


def convert_norm(
    model: nn.Module,
    spec: str,
    *,
    keep_affine: bool = True,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    calibrate: Iterable[Any] | None = None,
    dim: int = 2,
) -> list[Converted]:
    """Replace the batch and group norms of a network by others; its scales and shifts stay the same objects.

    So an optimiser that knows them goes on. Device, dtype, hooks, `requires_grad` and the mode of a layer
    stay, running statistics go. Copies for averages, wrappers and compiled graphs are made afterwards.

    Args:
        model: changed in place.
        spec: as in `make_norm`, but "none".
        keep_affine: keep the values of scales and shifts; else they begin anew at 1 and 0.
        only: patterns of names of layers, such as "layer1.*"; none: all.
        exclude: patterns of layers that stay as they are.
        calibrate: batches, each what `model` takes, or a tuple of it. Layer by layer, front to back, scales
            and shifts are set so that every channel has over them the mean and spread that it had in the
            old network in eval mode. Gone through once for each layer, so a generator is kept in a list.
        dim: axes of space and time of maps, where a group norm becomes a batch norm.

    Returns:
        What became of each layer, in the order of their names in the network.

    Raises:
        UsageError: nothing matches, or a layer cannot be replaced. The network is then as it was.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16))
        >>> convert_norm(net, "gn:groups=4")[0]
        Converted(layer='1', was='BatchNorm2d', now='GroupNorm', groups=4, calibrated=False)
    """
    found = chosen(model, only, exclude)
    kind, _ = parsed(spec)
    if kind not in TARGETS:
        raise UsageError(f"norms become {', '.join(TARGETS)}, not '{spec}'.")
    batches = None if calibrate is None else list(calibrate)
    if batches is not None and not batches:
        raise UsageError("calibrate holds no batch; give at least one, or none to leave scales as they are.")
    if kind == "bn" and batches is None:
        log.warning("batch norms begin without running statistics: calibrate them, or train before use.")
    old = {} if batches is None else measured(model, found, batches)
    new: dict[int, nn.Module] = {}
    for name, layer in found.items():
        if id(layer) not in new:
            new[id(layer)] = replaced(layer, spec, keep_affine, dim)
        parent, _, attribute = name.rpartition(".")
        model.get_submodule(parent)._modules[attribute] = new[id(layer)]
    for key, before in old.items():
        settle(model, new[key], before, batches or [])
    return [
        Converted(
            name,
            type(layer).__name__,
            type(now := new[id(layer)]).__name__,
            getattr(now, "num_groups", None),
            id(layer) in old and now.weight is not None,
        )
        for name, layer in found.items()
    ]


def chosen(model: nn.Module, only: Sequence[str], exclude: Sequence[str]) -> dict[str, nn.Module]:
    """Name -> norm that is to be replaced; a norm with several names stands under each.

    Raises:
        UsageError: as `convert_norm`.
    """
    check_unwrapped(model)
    norms = {n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, NORMS[:2])}
    if "" in norms:
        raise UsageError(f"the network is itself a {type(model).__name__}; make the other with make_norm.")
    if not norms:
        raise UsageError(f"{type(model).__name__} has no batch norm or group norm to replace.")
    for pattern in (*only, *exclude):
        if not fnmatch.filter(norms, pattern):
            raise UsageError(f"no norm is called '{pattern}'; {nearest(pattern, norms)}.")

    def wanted(name: str) -> bool:
        taken = not only or any(fnmatch.fnmatchcase(name, p) for p in only)
        return taken and not any(fnmatch.fnmatchcase(name, p) for p in exclude)

    found: dict[str, nn.Module] = {name: layer for name, layer in norms.items() if wanted(name)}
    if not found:
        raise UsageError("exclude leaves out every norm that only names.")
    for name, layer in found.items():
        check_replaceable(model, name, layer)
    return found


def check_unwrapped(model: nn.Module) -> None:
    """Refuse networks whose norms are held by something else besides."""
    for module in model.modules():
        if isinstance(module, DistributedDataParallel | DataParallel | torch.jit.ScriptModule) or hasattr(
            module, "_orig_mod"
        ):
            what = type(module).__name__
            raise UsageError(f"{what} holds on to the norms within: convert the network, then wrap it.")


def check_replaceable(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Refuse a norm that does more than its class says."""
    parent = type(model.get_submodule(name.rpartition(".")[0]))
    if "nn.intrinsic" in parent.__module__ or "nn.quantized" in parent.__module__:
        raise UsageError(
            f"'{name}' is part of a fused {parent.__name__}: convert before fusing, or exclude it."
        )
    if isinstance(layer, LazyModuleMixin):
        raise UsageError(f"'{name}' does not know its channels yet: run the network once, then convert it.")
    if type(layer) not in PLAIN:
        raise UsageError(
            f"'{name}' is a {type(layer).__name__}, which may do more than normalise: exclude it, "
            "or put a plain norm in its place first."
        )


def replaced(layer: Any, spec: str, keep_affine: bool, dim: int) -> nn.Module:
    """The norm of that name with the parameters, hooks and mode of `layer`."""
    channels: int = getattr(layer, "num_features", None) or layer.num_channels
    held = next((x for x in (layer.weight, getattr(layer, "running_mean", None)) if x is not None), None)
    new: Any = make_norm(spec, channels, dim=PLAIN[type(layer)] or dim, affine=False)
    if held is not None:
        new.to(held.device)
    new.affine = layer.affine
    for name, fresh in (("weight", 1.0), ("bias", 0.0)):
        parameter = getattr(layer, name)
        if parameter is not None and not keep_affine:
            nn.init.constant_(parameter, fresh)
        new.register_parameter(name, parameter)
    for name, value in vars(layer).items():
        if name.startswith(HOOKS):
            setattr(new, name, value)
    return new.train(layer.training)


# ---- calibration ----


def measured(model: nn.Module, found: dict[str, nn.Module], batches: Sequence[Any]) -> dict[int, Moments]:
    """What the norms give now, by their ids, in the order in which the network uses them."""
    sums: dict[int, Sums] = {}

    def note(layer: nn.Module, _: Any, out: Tensor) -> None:
        sums.setdefault(id(layer), Sums()).add(out)

    hooks = [layer.register_forward_hook(note) for layer in {id(m): m for m in found.values()}.values()]
    try:
        through(model, batches)
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in found.items():
        if id(layer) not in sums:
            log.warning("'%s' was not used on the given batches, so it is not calibrated.", name)
    return {key: each.moments() for key, each in sums.items()}


@torch.no_grad()
def settle(model: nn.Module, layer: Any, wanted: Moments, batches: Sequence[Any]) -> None:
    """Give every channel of a layer the mean and spread that are wanted; what comes before it is settled."""
    sums = Sums()

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].float()
        sums.add(x if isinstance(layer, _BatchNorm) else F.group_norm(x, layer.num_groups, eps=layer.eps))
        raise _Enough

    hook = layer.register_forward_pre_hook(note, prepend=True)
    try:
        through(model, batches)
    finally:
        hook.remove()
    mean, spread = sums.moments()
    if isinstance(layer, _BatchNorm):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(spread.square())
        mean, spread = torch.zeros_like(mean), spread / (spread.square() + layer.eps).sqrt()
    if layer.weight is None:
        return
    still = spread < SMALL
    sign = torch.where(layer.weight < 0, -1.0, 1.0)
    scale = torch.where(still, 0.0, sign * wanted.spread / spread.clamp_min(SMALL))
    layer.weight.copy_(scale)
    if layer.bias is not None:
        layer.bias.copy_(wanted.mean - scale * mean)


class _Enough(Exception):
    """The layer in question was reached; what comes behind it need not be computed."""


@torch.no_grad()
def through(model: nn.Module, batches: Sequence[Any]) -> None:
    """Show the network, in eval mode, all batches."""
    with evaluating(model):
        for batch in batches:
            try:
                model(*(batch if isinstance(batch, tuple | list) else (batch,)))
            except _Enough:
                continue


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, all modules are in eval mode; afterwards each is in its own."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class Sums:
    """Count, mean and squared distance from it of every channel, batch after batch.

    Chan, Golub & LeVeque 1983: parts are joined by their means, which does not cancel as E[x²] - E[x]² does.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Maps (B, C, …)."""
        x = x.detach().double().movedim(1, 0).flatten(1)  # (C, N)
        count, mean = x.shape[1], x.mean(1)
        squares = (x - mean[:, None]).square().sum(1)
        if self.count:
            apart, total = mean - self.mean, self.count + count
            squares = self.squares + squares + apart.square() * (self.count * count / total)
            mean = self.mean + apart * (count / total)
        self.count, self.mean, self.squares = self.count + count, mean, squares

    def moments(self) -> Moments:
        """Of all that was added."""
        return Moments(self.mean.float(), (self.squares / self.count).sqrt().float())
