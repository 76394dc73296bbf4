"""Networks that cannot be shipped: a file of the user's, whose hash is in every report, becomes one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinema.core.errors import UsageError, WeightsError

Clips = NDArray[np.uint8]  # (N, T, H, W, C)


@dataclass(frozen=True)
class Foreign:
    """A file with a trained network, already read."""

    file: str
    sha256: str
    content: dict[str, Any] | nn.Module
    """a state dict (or a dict with one under "state_dict"), or a TorchScript module"""


def filled(net: nn.Module, given: Foreign, what: str, head: str = "") -> nn.Module:
    """`net` with the tensors of a state dict, for use; every name and shape must agree.

    Names may begin with "module.", as those saved from several GPUs do, and counters of batch norm may lack.

    Args:
        net: the empty network.
        given: what the user named.
        what: what it has to be, for the error.
        head: prefix of tensors that are not needed.
    """
    if isinstance(given.content, nn.Module):
        raise WeightsError(f"{given.file} is a TorchScript program; expected a state dict of {what}.")
    found = given.content.get("state_dict", given.content)
    state = {str(key).removeprefix("module."): value for key, value in found.items()}
    if head:
        state = {key: value for key, value in state.items() if not key.startswith(head)}
    wanted = net.state_dict()
    state = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")} | state
    wrong = [f"lacks '{key}'" for key in wanted if not isinstance(state.get(key), Tensor)]
    wrong += [f"has the unknown '{key}'" for key in state if key not in wanted]
    wrong += [
        f"has '{key}' of shape {tuple(state[key].shape)} in place of {tuple(value.shape)}"
        for key, value in wanted.items()
        if isinstance(state.get(key), Tensor) and state[key].shape != value.shape
    ]
    if wrong:
        raise WeightsError(f"{given.file} {wrong[0]} ({len(wrong)} differences): it is not {what}.")
    net.load_state_dict(state)
    return net.eval()


def rgb(clips: Clips, some: int) -> Iterator[Tensor]:
    """Clips as uint8 tensors (n, 3, T, H, W), some at a time; grey is repeated."""
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[4] not in (1, 3):
        raise UsageError(f"clips are uint8 (N, T, H, W, 1 or 3), not {clips.dtype} {clips.shape}.")
    for start in range(0, len(clips), some):
        part = torch.from_numpy(np.ascontiguousarray(clips[start : start + some]))
        yield part.permute(0, 4, 1, 2, 3).expand(-1, 3, -1, -1, -1)
