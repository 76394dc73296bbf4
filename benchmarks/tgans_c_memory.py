"""Peak memory of training TGANs-C at full width, batch 64, whole and in micro-batches of 16.

    python benchmarks/tgans_c_memory.py

Each run is a process of its own, two steps of `kinema train`. Batch norm takes its statistics from a
micro-batch, so the two runs see slightly different statistics; everything else is the same sum.
"""

import os
import subprocess
import sys
import tempfile

COMMON = ["--preset", "paper", "--set", "text_steps=0", "--set", "steps=2", "--set", "batch=64"]


def peak_megabytes(*settings: str) -> float:
    """Peak resident memory of a training run in its own process."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "kinema",
            "train",
            "tgans-c",
            *COMMON,
            *chosen,
            "--out",
            f"{folder}/run",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Measure both and print the ratio."""
    whole, parts = peak_megabytes(), peak_megabytes("micro_batch=16")
    print(
        f"batch 64 whole: {whole:.0f} MB; in micro-batches of 16: {parts:.0f} MB; ratio {whole / parts:.2f}"
    )


if __name__ == "__main__":
    main()
