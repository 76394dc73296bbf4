"""A view of a run's metrics.jsonl for TensorBoard; the file stays the truth."""

from pathlib import Path

from kinema.apps.report import read_lines
from kinema.core.errors import UsageError

FOLDER = "tensorboard"


class Mirror:
    """Writes what metrics.jsonl gained since the last call into the run's folder `tensorboard`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--tensorboard needs the extra `log`: pip install 'kinema[log]'.") from None
        resumed = (folder / FOLDER).is_dir()
        self.lines = len(read_lines(folder)) if resumed and folder.is_dir() else 0
        self.open = SummaryWriter

    def __call__(self, folder: Path) -> None:
        """Add the new lines of the run in `folder`."""
        lines = read_lines(folder)
        with self.open(str(folder / FOLDER)) as events:
            for line in lines[self.lines :]:
                for name, value in line.items():
                    if "/" in name and isinstance(value, int | float):
                        events.add_scalar(name, value, line["step"])
        self.lines = len(lines)
