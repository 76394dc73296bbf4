"""`kinema train NAME`: checks everything first, then trains; the same command goes on where it stopped."""

import dataclasses
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from kinema import __version__
from kinema.apps import options, say, weights
from kinema.apps.report import read_json, write_report
from kinema.apps.run import check_writable
from kinema.apps.tensorboard import Mirror
from kinema.core.config import Preset, RunSettings, apply, to_dict
from kinema.core.errors import UsageError, nearest
from kinema.systems import load_class, load_presets

TRAIN_PRESET = "small"
CAPTIONS = 6
"""sentences that a run keeps, so that its weights can be shown when the data is gone"""


@dataclass(frozen=True)
class Options:
    """What to train, on what, and where the run is kept."""

    preset: str = TRAIN_PRESET
    """named starting point; `kinema list NAME` shows them"""
    data: str | None = None
    """folder of clips, pictures or faces, or the name of a set (sbmg, shapes:500, …); else the preset's"""
    out: Path | None = None
    """run folder; default: runs/NAME-PRESET"""
    set: Annotated[tuple[tuple[str, ...], ...], tyro.conf.arg(metavar="KEY=VALUE …")] = ()
    """change the preset: any setting that `kinema list NAME` shows"""
    swap_axes: bool = False
    """the folder was made by the older public script of moving digits, whose directions are exchanged"""
    tensorboard: bool = False
    """mirror the log for TensorBoard in the run folder; needs the extra `log`"""
    json: bool = False
    """print the outcome as JSON"""


def main(args: list[str]) -> int:
    """Parse, check, train, report."""
    if options.wants_help(args):
        print("kinema train NAME [flags]: `kinema list` shows systems, `kinema train NAME --help` the flags.")
        return 0
    name, rest = options.first_word(args, "the system to train", "train tgans-c --preset small --out runs/a")
    flags, config, settings = read_flags(name, rest)
    out = flags.out or Path("runs") / f"{name}-{flags.preset}"
    check_writable(out, folder=True)
    where = {"where": flags.data or preset_of(name, flags.preset).data, "swap_axes": flags.swap_axes}
    kind = load_class(name)
    data = open_data(where, config, "train", kind.reads)
    config = kind.adapt(config, data)
    about = {
        "system": name,
        "version": __version__,
        "commit": commit(),
        "preset": flags.preset,
        "config": to_dict(config),
        "data": about_data(where, data),
    }
    views = [Mirror(out)] if flags.tensorboard else []
    outcome = carry_out(kind, config, settings, data, out, about, views)
    if os.environ.get("RANK", "0") == "0":  # torchrun numbers its processes; one speaks
        report(outcome, out, kind.reads, flags.json)
    return 0


def preset_of(name: str, preset: str) -> Preset[Any]:
    """The named preset of a system; a wrong name is answered with the nearest."""
    presets = load_presets(name)
    if preset not in presets:
        raise UsageError(f"{name} has no preset '{preset}'; {nearest(preset, presets)}.")
    made: Preset[Any] = presets[preset]()
    return made


def read_flags(name: str, args: list[str]) -> tuple[Options, Any, RunSettings]:
    """The options, the preset's config and its settings, both changed by --set."""
    load_presets(name)  # an unknown system is named before its flags are read
    flags = options.parse(Options, args, f"train {name}")
    preset = preset_of(name, flags.preset)
    settings, config = apply(options.assignments(flags.set), preset.settings, preset.config)
    return flags, config, settings


def open_data(
    data: dict[str, Any], config: Any, split: Literal["train", "val", "all"], reads: str = "clips"
) -> Any:
    """The data set that a run's description names, in the shape that its config asks for."""
    from kinema.data import open_clips, open_faces, open_pictures

    if reads == "faces":
        return open_faces(data["where"], size=config.size, split=split)
    check_channels(config)
    if reads == "pictures":
        return open_pictures(data["where"], size=config.size, channels=config.channels, split=split)
    return open_clips(
        data["where"],
        frames=config.frames,
        size=config.size,
        channels=config.channels,
        split=split,
        captions=getattr(config, "conditional", True),
        swap_axes=data.get("swap_axes", False),
        frame_steps=getattr(config, "frame_steps", ()),
    )


def check_channels(config: Any) -> None:
    """Refuse what no file can be read as."""
    if config.channels not in (1, 3):
        raise UsageError(f"data is read with 1 or 3 channels, not {config.channels}.")


def about_data(where: dict[str, Any], data: Any) -> dict[str, Any]:
    """What config.json says of the data, so that it is found from every folder and known to be the same."""
    from kinema.data import located

    return {
        **where,
        "where": located(where["where"]),
        "hash": data.hash,
        "describe": data.describe,
        "clips": len(data),
        "captions": evenly(data.captions),
    }


def evenly(captions: Sequence[str]) -> list[str]:
    """Some of the sentences of a set."""
    step = max(1, len(captions) // CAPTIONS)
    return list(captions[::step][:CAPTIONS])


def commit() -> str | None:
    """The state of the source that runs, when it is a git checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--match", "v*"]
    try:
        tracked = subprocess.run(
            [*command[:3], "ls-files", "--", "train.py"], capture_output=True, text=True, check=True
        )
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() if tracked.stdout else None


def carry_out(
    kind: Any,
    config: Any,
    settings: RunSettings,
    data: Any,
    out: Path,
    about: dict[str, Any],
    views: Sequence[Callable[[Path], None]] = (),
) -> Any:
    """Build the system from the seed and hand it to the engine; report and views follow every saved state."""
    import torch

    from kinema.engine import train
    from kinema.engine.state import STATE

    torch.manual_seed(settings.seed)
    system = kind(config)
    begun = begin(system, settings, out)
    kept = read_json(out / "config.json").get("init_from")
    about = {**about, "init_from": kept if begun is None else begun.record}
    averages = None
    if begun is not None and settings.keep_optimiser:
        averages = begun.folder / STATE, begun.names
    advise(system, settings)

    def on_save(folder: Path) -> None:
        for write in (write_report, *views):
            write(folder)

    return train(system, data, settings, out, on_save=on_save, write_config=about, averages=averages)


def advise(system: Any, settings: RunSettings) -> None:
    """Say what is known to go wrong with norms of these networks at this batch."""
    from kinema.nn.advice import norm_warnings

    processes = int(os.environ.get("WORLD_SIZE", "1"))  # of torchrun; batch norms share their statistics
    share = settings.batch // processes
    items = min(share, settings.micro_batch or share) * processes
    modules = {name: player.modules for name, player in system.players().items()}
    for warning in norm_warnings(modules, items) if os.environ.get("RANK", "0") == "0" else ():
        say.remark(f"warning: {warning}")


def begin(system: Any, settings: RunSettings, out: Path) -> weights.Begun | None:
    """Fill in what a run begins with and say what that is; None where it has begun, or has nothing."""
    from kinema.engine.state import STATE

    if (out / STATE).exists():
        return None
    if settings.init_from is not None:
        begun = weights.begin_with(system, settings.init_from)
        if settings.keep_optimiser and not (begun.folder / STATE).exists():
            raise UsageError(f"keep_optimiser needs a run folder with its {STATE}; {begun.folder} has none.")
        return begun
    if settings.keep_optimiser:
        raise UsageError("keep_optimiser goes with init_from=RUN, the run whose optimisers are meant.")
    if system.inherits:
        raise UsageError(
            f"{system.inherits[0]} has to be trained already: add --set init_from=RUN, the run that did so."
        )
    return None


def report(outcome: Any, out: Path, reads: str, as_json: bool) -> None:
    """Say how far the run came and where to look."""
    state = "the time is up; the same command goes on" if outcome.stopped else "done"
    amount = f"{outcome.steps} steps, {outcome.images} {reads}, {outcome.seconds:.0f} s in all"
    text = f"{out}: {state} — {amount}; see {out / 'report.html'}"
    say.result({"out": str(out), **dataclasses.asdict(outcome)}, text, as_json)
