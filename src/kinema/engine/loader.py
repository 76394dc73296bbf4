"""Which items a step sees, and a thread that fetches them ahead of the step.

The order is a pure function of (seed, step): the permutations of all epochs, one after the other, in batches.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Any]


class Data(Protocol):
    """What the engine needs of a data set."""

    def __len__(self) -> int: ...
    def batch(self, indices: Sequence[int]) -> Batch:
        """Tensors and lists whose first axis is the items."""
        ...


def seed_for(seed: int, *place: int) -> int:
    """A seed that is well mixed also for neighbouring steps."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])


class Order:
    """The items of each step."""

    def __init__(self, items: int, batch: int, seed: int) -> None:
        self.items, self.batch = items, batch
        self.epoch = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(items))

    def indices(self, step: int, rows: slice) -> list[int]:
        """The `rows` of the items of `step`."""
        places = range(step * self.batch, (step + 1) * self.batch)[rows]
        return [int(self.epoch(place // self.items)[place % self.items]) for place in places]


class Loader:
    """Batches of consecutive steps, up to `ahead` of them fetched before they are asked for."""

    def __init__(self, data: Data, order: Order, rows: slice, first: int, last: int, ahead: int = 2) -> None:
        self.data, self.order, self.rows, self.last, self.ahead = data, order, rows, last, ahead
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="kinema-loader")
        self.seek(first)

    def seek(self, step: int) -> None:
        """Go on with `step`."""
        self.next_step = step
        self.waiting: deque[Future[Batch]] = deque()

    def __next__(self) -> Batch:
        """The batch of the next step; errors of the data set surface here."""
        while len(self.waiting) <= self.ahead and self.next_step < self.last:
            indices = self.order.indices(self.next_step, self.rows)
            self.waiting.append(self.pool.submit(self.data.batch, indices))
            self.next_step += 1
        return self.waiting.popleft().result()

    def close(self) -> None:
        """Drop what is waiting and end the thread."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of a batch."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def part(batch: Batch, items: int, rows: slice) -> Batch:
    """The `rows` of everything in a batch of `items` that has one entry per item."""

    def cut(value: Any) -> Any:
        per_item = isinstance(value, list | tuple) or (
            isinstance(value, Tensor | np.ndarray) and value.ndim > 0
        )
        return value[rows] if per_item and len(value) == items else value

    return {key: cut(value) for key, value in batch.items()}
