"""`kinema bench NAME`: the paper's way of computing against the default way, in one process, taking turns."""

import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, say
from kinema.apps.loading import pick_device
from kinema.core.errors import UsageError
from kinema.systems import load_bench


@dataclass(frozen=True)
class Options:
    """Measure a system: faithful path (fp32, eager, contiguous) against default path."""

    name: tyro.conf.Positional[str]
    """the system"""
    repeats: int = 5
    """measurements of each path, of which the median counts; one more warms up"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    json: bool = False
    """print the table as JSON"""


def main(args: list[str]) -> int:
    """Measure all jobs of the system and print the table."""
    flags = options.parse(Options, args, "bench")
    if flags.repeats < 1:
        raise UsageError(f"repeats is at least 1, not {flags.repeats}.")
    jobs = load_bench(flags.name)  # an unknown system is named here
    import torch

    from kinema.engine.devices import choose_precision

    device = pick_device(flags.device)
    precision = choose_precision("auto", torch.device(device))
    rows = []
    for job, shape, faithful, default in jobs(device, precision):
        say.remark(f"measuring {job} ({shape}) …")
        rows.append({"job": job, "shape": shape, **measure(faithful, default, flags.repeats, device)})
    facts = {"machine": machine(device), "rows": rows}
    head = ["job", "shape", "faithful_s", "default_s", "ratio", "difference", "peak_mb"]
    table = say.columns(head, [[row[key] for key in head] for row in rows])
    clock = "process seconds" if device == "cpu" else "device seconds"
    say.result(facts, f"{table}\n{facts['machine']}; medians of {flags.repeats}, {clock}", flags.json)
    return 0


def measure(
    faithful: Callable[[], Any], default: Callable[[], Any], repeats: int, device: str
) -> dict[str, Any]:
    """Both paths in turns, so that a slow moment of the machine meets both."""
    clock = process_seconds if device == "cpu" else device_seconds
    difference = largest_difference(faithful(), default())  # and warms both up
    seconds: tuple[list[float], list[float]] = ([], [])
    peaks: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for path, times, peak in zip((faithful, default), seconds, peaks, strict=True):
            reset_peak(device)
            times.append(clock(path))
            peak.append(peak_megabytes(device))
    slow, fast = (statistics.median(times) for times in seconds)
    return {
        "faithful_s": slow,
        "default_s": fast,
        "ratio": slow / max(fast, 1e-9),
        "difference": difference,
        "peak_mb": max(peaks[1]),
        "faithful_peak_mb": max(peaks[0]),
    }


def process_seconds(work: Callable[[], Any]) -> float:
    """CPU time of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def device_seconds(work: Callable[[], Any]) -> float:
    """Time on the GPU, from first to last kernel."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000


def reset_peak(device: str) -> None:
    """Forget the highest memory use so far (on Linux and on GPUs)."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:  # no Linux: the peak is that of the whole process
        return


def peak_megabytes(device: str) -> float:
    """Highest memory use since `reset_peak`, of the whole process or on the GPU."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return whole_peak_megabytes()


def whole_peak_megabytes() -> float:
    """Highest memory use since the process began; not a number where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def largest_difference(a: Any, b: Any) -> float | None:
    """Of the outputs of two paths, relative to the largest number in each; None without numbers."""
    import numpy as np
    import torch

    if isinstance(a, dict):
        a, b = list(a.values()), list(b.values())
    if isinstance(a, list | tuple):
        found = [d for d in map(largest_difference, a, b) if d is not None]
        return max(found, default=None)
    if isinstance(a, torch.Tensor):
        a, b = a.detach().double().cpu().numpy(), b.detach().double().cpu().numpy()
    if isinstance(a, np.ndarray | float | int):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-30))
    return None


def machine(device: str) -> str:
    """What the numbers belong to, in one line."""
    import os

    import torch

    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
