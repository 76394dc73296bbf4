"""What depends on the machine, decided once per run: device, precision, layout, and what if memory ends."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from kinema.core.config import RunSettings
from kinema.core.errors import KinemaError, UsageError
from kinema.engine.distributed import World

CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""folder, limit and use of a container's memory, versions 2 and 1"""

Context = Callable[[], AbstractContextManager[object]]


def choose_device(name: str, world: World) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device; under torchrun `cuda` is the GPU of the place."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"device is auto, cpu, cuda or cuda:N, not '{name}'.")
    if name == "cpu":
        return torch.device("cpu")
    index = int(name[5:]) if name[5:].isdigit() else world.local_rank
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"device={name} needs GPU {index}; there are {torch.cuda.device_count()}. device=cpu works."
        )
    torch.cuda.set_device(index)
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda", index)


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is native: AMX or AVX512-BF16 on a CPU, compute capability 8.0 on a GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return any(
        getattr(torch.cpu, f"_is_{unit}_supported", lambda: False)() for unit in ("amx_tile", "avx512_bf16")
    )


def choose_precision(name: str, device: torch.device) -> Context:
    """The context in which networks are computed: bf16 autocast or nothing.

    Casts are not cached: a cached cast would add up the gradients of several uses of a weight in bf16.
    """
    if name not in ("auto", "bf16", "fp32"):
        raise UsageError(f"precision is auto, bf16 or fp32, not '{name}'.")
    if name == "fp32" or (name == "auto" and not has_bf16(device)):
        return nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def channels_last(module: nn.Module) -> None:
    """Lay out the weights of 2-D and 3-D convolutions channels last; their outputs follow."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.dim() in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.dim()])


@contextmanager
def bounded_memory(device: torch.device) -> Iterator[None]:
    """On a Linux CPU, let memory that is not there fail where it is asked for.

    Without a bound the kernel promises more than it has and then kills the process, which can say nothing.
    """
    free = free_memory()
    if device.type != "cpu" or free is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    share = free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    limit = _in_kib("/proc/self/status", "VmData") * 1024 + share
    lower = [limit, *(bound for bound in before if bound != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(lower), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def free_memory() -> int | None:
    """Bytes that this process could still have, by the machine and by its control group; None if unknown."""
    try:
        found = [_in_kib("/proc/meminfo", "MemAvailable") * 1024]
    except (OSError, KeyError):
        return None
    for folder, most, now in CONTROL_GROUPS:
        try:
            found.append(int((folder / most).read_text()) - int((folder / now).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(0, min(found))


def _in_kib(path: str, name: str) -> int:
    """A line such as `name:  123 kB` of a file under /proc."""
    lines = dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0])


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception is one of the ways in which PyTorch and Python say that memory ended."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = ("can't allocate memory", "out of memory", "bad_alloc")
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in said)


def out_of_memory(settings: RunSettings, items: int, fits: Callable[[int], bool] | None) -> KinemaError:
    """The error that says which micro-batch would do; `fits` tries one, None where trying is not possible."""
    torch.cuda.empty_cache()
    said = f"Out of memory with {items} items at a time (batch={settings.batch})"
    while items > 1:
        items = (items + 1) // 2
        if fits is None:
            return KinemaError(f"{said}; try --set micro_batch={items}: the same batch in pieces.")
        if fits(items):
            return KinemaError(f"{said}; {items} at a time fit: add --set micro_batch={items}.")
    return KinemaError(
        f"{said}, and one item alone does not fit; choose a smaller preset, size or fewer frames."
    )
