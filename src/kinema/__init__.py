"""kinema makes pictures move with adversarial networks: published systems, trained, measured, one use.

    import kinema
    video = kinema.load("tgans-c").run(caption="digit 7 is moving left and right .", seed=1)
    video.save("seven.mp4")

Importing this imports no torch; `load` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.core import results as _results

if TYPE_CHECKING:
    from kinema.apps.loading import Loaded

# PyTorch takes large tensors in large pages (Linux): a training step on a CPU waits less for memory.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(what: str | Path, *, device: str = "auto", precision: str = "auto") -> Loaded:
    """Load trained weights, ready to run.

    Args:
        what: the name of bundled weights (`kinema list --weights`), a system's name for its first bundled
            weights, a run folder, an exported folder, or `hf://user/repo`.
        device: auto, cpu, cuda or cuda:N.
        precision: auto (bf16 where the hardware has it), bf16 or fp32.

    Returns:
        The loaded system; `.run(**request)` gives an `Image`, a `Video` or a `Batch` with its provenance.
    """
    from kinema.apps.loading import load as load_weights

    return load_weights(what, device=device, precision=precision)


def _write(result: _results.Result, path: Path) -> Path:
    """Save a result through the one door to files, imported when the first file is written."""
    from kinema import media

    return media.save(result, path)


_results.writer = _write
