"""What a run tells: metrics.jsonl, which is the truth, and how it is shown: a live table or plain lines."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from kinema.core.files import disk_errors, write_text

METRICS = "metrics.jsonl"


class Log:
    """Averages the terms between two lines and shows them. A silent one (other processes) writes nothing."""

    def __init__(self, folder: Path, steps: int, silent: bool, out: TextIO | None = None) -> None:
        self.path, self.steps, self.silent = folder / METRICS, steps, silent
        self.out = out or sys.stderr
        self.sums: dict[str, tuple[float, int]] = {}
        self.mark = (time.monotonic(), 0)
        self.view = None if silent or not self.out.isatty() else _Live(self.out)

    def add(self, terms: Mapping[str, float]) -> None:
        """Take part in the next line's averages."""
        for name, value in terms.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)

    def line(self, step: int, batch: int, seconds: float) -> dict[str, float]:
        """Write and show one line; returns the averages."""
        now, (before, first) = time.monotonic(), self.mark
        rate = (step - first) * batch / max(now - before, 1e-9)
        self.mark = (now, step)
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        general = {
            "step": step,
            "images": step * batch,
            "seconds": round(seconds, 3),
            "images_per_second": round(rate, 2),
        }
        self.append({**general, **{k: float(f"{v:.6g}") for k, v in means.items()}})
        left = (self.steps - step) * batch / rate if rate else 0.0
        if self.view:
            self.view.show(step, self.steps, rate, left, means)
        elif not self.silent:
            losses = "  ".join(f"{k} {v:.4g}" for k, v in means.items() if not k.endswith("/gradient_norm"))
            self.say(f"step {step}/{self.steps}  {rate:.1f} items/s  {clock(left)} left  {losses}")
        return means

    def note(self, step: int, text: str) -> None:
        """Something in words: shown, and kept beside the numbers."""
        self.append({"step": step, "note": text})
        self.say(text)

    def say(self, text: str) -> None:
        """Show a line of text."""
        if self.view:
            self.view.say(text)
        elif not self.silent:
            self.out.write(text + "\n")
            self.out.flush()

    def append(self, entry: dict[str, Any]) -> None:
        """One line of JSON."""
        if not self.silent:
            with disk_errors(self.path.parent), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`, which will be done again, and lines cut short by a kill."""
        self.sums, self.mark = {}, (time.monotonic(), step)
        if self.silent or not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("step", 0) <= step:
                kept.append(line + "\n")
        write_text(self.path, "".join(kept))

    def close(self) -> None:
        """End the live table."""
        if self.view:
            self.view.close()


class _Live:
    """A table that stays at the bottom of the terminal."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.live = Live(console=Console(file=out), auto_refresh=False)

    def show(self, step: int, steps: int, rate: float, left: float, means: Mapping[str, float]) -> None:
        from rich.table import Table

        table = Table(
            title=f"step {step} of {steps} · {rate:.1f} items/s · {clock(left)} left", title_justify="left"
        )
        table.add_column("loss")
        table.add_column("mean", justify="right")
        for name, value in means.items():
            table.add_row(name, f"{value:.4g}")
        self.live.start()
        self.live.update(table, refresh=True)

    def say(self, text: str) -> None:
        self.live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self.live.stop()


def clock(seconds: float) -> str:
    """A duration as h:mm:ss.

    Example:
        >>> clock(3725)
        '1:02:05'
    """
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{s:02d}"


def environment(device: torch.device, processes: int) -> dict[str, Any]:
    """The machine and the programs that a run's numbers belong to."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": gpu or platform.processor() or platform.machine(),
        "device": str(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "command": sys.argv,
    }
