"""Processes that train together: started by torchrun, joined by gloo on CPUs and nccl on GPUs.

Only the loop knows about them. Gradients are summed by hand (as in NVlabs/stylegan3 `training_loop.py`), so
no wrapper module gets between a system and its networks, and gradient penalties work.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """place among the processes of this machine, which is also the number of its GPU"""
    owned: bool = False
    """whether `leave` has to take the group down"""

    @property
    def leads(self) -> bool:
        """Only the leading process writes files and speaks."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the values of the leading one."""
        if self.size > 1:
            for tensor in tensors:
                value = tensor.detach().contiguous()
                dist.broadcast(value, 0)
                tensor.data.copy_(value)

    def leave(self) -> None:
        """Take the process group down if `join` made it."""
        if self.owned and dist.is_initialized():
            dist.destroy_process_group()


def join(device: str) -> World:
    """Join the process group that torchrun's environment variables describe; alone without them."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    owned = not dist.is_initialized()
    if owned:
        gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        dist.init_process_group("nccl" if gpu else "gloo")
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")), owned)
