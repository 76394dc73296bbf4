"""A trained network's norms become other norms, in place, calibrated on data if there is some.

Wu & He, "Group Normalization", ECCV 2018, arXiv:1803.08494. Where other norms take a batch norm's place as
they are, a trained network breaks; scales and shifts that give every channel the mean and spread which it had
mend much of it.
"""

import fnmatch
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parallel import DataParallel, DistributedDataParallel

from kinema.core.errors import UsageError, nearest
from kinema.nn.calibrate_norm import measured, settle
from kinema.nn.factory import BATCH, RENORM, make_norm, parsed
from kinema.nn.more_norms import FrozenBatchNorm, RMSNorm

PLAIN: dict[type[nn.Module], int | None] = {
    nn.BatchNorm1d: 1,
    nn.BatchNorm2d: 2,
    nn.BatchNorm3d: 3,
    nn.SyncBatchNorm: None,
    nn.GroupNorm: None,
    FrozenBatchNorm: None,
    RMSNorm: None,
    **{kind: dim for table in (BATCH, RENORM) for dim, kind in table.items()},
}
"""norms that can be replaced -> axes of space and time, where the class says them"""
REPLACED = (_BatchNorm, FrozenBatchNorm, nn.GroupNorm, RMSNorm)
NORMS = (*REPLACED, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
"""every norm there is"""
TARGETS = ("bn", "brn", "frozenbn", "gn", "ln", "in:affine", "rms")
RUNNING = ("bn", "brn", "frozenbn")
HOOKS = ("_forward_", "_backward_", "_is_full_backward_hook")

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
    stay, and running statistics if the new norm has some. Copies for averages, wrappers and compiled graphs
    are made afterwards.

    Args:
        model: changed in place.
        spec: as in `make_norm`, but neither "none" nor "in", which have no scale.
        keep_affine: keep the values of scales and shifts; else they begin anew at 1 and 0.
        only: patterns of names of layers, such as "layer1.*"; none: all.
        exclude: patterns of layers that stay as they are.
        calibrate: batches, each what `model` takes, or a tuple of it. Layer by layer, front to back, scales
            and shifts are set so that every channel has over them the mean and spread that it had in the
            old network in eval mode. Gone through once for each layer, so a generator is kept in a list.
        dim: axes of space and time of maps, where a group or RMS norm becomes a batch norm.

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
    batches = None if calibrate is None else list(calibrate)
    check_target(spec, found, batches)
    old = {} if batches is None else measured(model, found, batches)
    new = swapped(model, found, spec, keep_affine, dim)
    for key, before in old.items():
        settle(model, new[key], before, batches or [])
    if bare := sum(getattr(new[key], "weight", None) is None for key in old):
        log.warning("norms without a scale of their own stay as swapped: %d of %d.", bare, len(old))
    return [reported(name, layer, new[id(layer)], id(layer) in old) for name, layer in found.items()]


def check_target(spec: str, found: dict[str, nn.Module], batches: Sequence[Any] | None) -> None:
    """Refuse norms that cannot take the places of those that were found; warn of what is to be done."""
    kind, settings = parsed(spec)
    if kind == "none" or (kind == "in" and not settings.get("affine")):
        raise UsageError(f"norms become {', '.join(TARGETS)}, not '{spec}'.")
    if batches is not None and not batches:
        raise UsageError("calibrate holds no batch; give at least one, or none to leave scales as they are.")
    bare = [name for name, layer in found.items() if getattr(layer, "running_mean", None) is None]
    if kind not in RUNNING or not bare or batches is not None:
        return
    if kind == "frozenbn":
        raise UsageError(f"'{bare[0]}' has no running statistics to freeze: give batches to calibrate on.")
    log.warning("batch norms begin without running statistics: calibrate them, or train before use.")


def swapped(
    model: nn.Module, found: dict[str, nn.Module], spec: str, keep_affine: bool, dim: int
) -> dict[int, nn.Module]:
    """Put the new norms in their places; gives them by the ids of the old ones."""
    new: dict[int, nn.Module] = {}
    for name, layer in found.items():
        if id(layer) not in new:
            new[id(layer)] = replaced(model, layer, spec, keep_affine, dim)
        parent, _, attribute = name.rpartition(".")
        model.get_submodule(parent)._modules[attribute] = new[id(layer)]
    return new


def reported(name: str, was: nn.Module, now: Any, settled: bool) -> Converted:
    """What became of a layer."""
    groups = getattr(now, "num_groups", None)
    return Converted(name, type(was).__name__, type(now).__name__, groups, settled and now.weight is not None)


def chosen(model: nn.Module, only: Sequence[str], exclude: Sequence[str]) -> dict[str, nn.Module]:
    """Name -> norm that is to be replaced; a norm with several names stands under each.

    Raises:
        UsageError: as `convert_norm`.
    """
    check_unwrapped(model)
    norms = {n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, REPLACED)}
    if "" in norms:
        raise UsageError(f"the network is itself a {type(model).__name__}; make the other with make_norm.")
    if not norms:
        raise UsageError(f"{type(model).__name__} has no batch norm, group norm or RMS norm to replace.")
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


def replaced(model: nn.Module, layer: Any, spec: str, keep_affine: bool, dim: int) -> nn.Module:
    """The norm of that name with the parameters, running statistics, hooks and mode of `layer`."""
    channels: int = getattr(layer, "num_features", None) or layer.num_channels
    running = getattr(layer, "running_mean", None)
    held = next((x for x in (layer.weight, running, *model.parameters()) if x is not None), None)
    new: Any = make_norm(spec, channels, dim=PLAIN[type(layer)] or dim, affine=False)
    if held is not None:
        new.to(held.device, held.dtype)
    if running is not None and getattr(new, "running_mean", None) is not None:
        new.running_mean.copy_(running)
        new.running_var.copy_(layer.running_var)
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
