"""`kinema evaluate`: scores with samples and protocol, of one run or of several beside each other.

With --against, a duel of two runs.
"""

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, ranking, say, weights
from kinema.apps.loading import Loaded, load
from kinema.apps.plots import write_plots
from kinema.apps.report import SCORES, last_step, read_lines, write_report
from kinema.apps.run import check_writable
from kinema.apps.train import open_data
from kinema.core.errors import DataError, UsageError, WeightsError, check_seed, nearest
from kinema.core.files import write_text

BATCH = 50


@dataclass(frozen=True)
class Options:
    """Score runs, or bundled weights, on clips that they have not seen."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """run folders or bundled names; several are scored on the same clips, seeds and counts, in one table"""
    metrics: tuple[str, ...] = ()
    """names of metrics, repeatable; default: those of the system that the clips allow"""
    n: int = 1000
    """generated clips"""
    seed: int = 0
    """of the noise and of the choice of clips"""
    data: str | None = None
    """real clips to compare with; default: the validation part of the training data"""
    i3d: Path | None = None
    """network of FVD, which cannot be shipped: I3D as a TorchScript file or as a state dict"""
    resnext: Path | None = None
    """network of video FID, which cannot be shipped: a checkpoint of 3-D ResNeXt-101"""
    inception: Path | None = None
    """network of FID, which cannot be shipped: weights-inception-2015-12-05-6726825d.pth"""
    against: tuple[str, ...] = ()
    """another run, repeatable: who wins by the generative adversarial metric"""
    out: Path | None = None
    """write the rows as JSON into this file, and pictures of them beside it (SVG)"""
    ranking: Path | None = None
    """write into this folder a page on which people rank clips of the runs blindly"""
    questions: int = 20
    """sentences on that page"""
    answers: tuple[Path, ...] = ()
    """files that people saved on that page, repeatable; RUN is then the key beside its folder"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    json: bool = False
    """print the rows as JSON"""


def main(args: list[str]) -> int:
    """Load, score, print, and keep the rows in the run folder."""
    flags = options.parse(Options, args, "evaluate")
    if flags.n < 2 or flags.questions < 1:
        raise UsageError(
            f"n is at least 2 clips and questions at least 1, not {flags.n} and {flags.questions}."
        )
    check_seed(flags.seed)
    first = one_run(flags)
    if flags.answers:
        return ranking.score(Path(first), flags)
    if flags.out:
        if flags.out.is_dir():
            raise UsageError(f"{flags.out} is a folder; name a file, such as {flags.out / 'scores.json'}.")
        check_writable(flags.out)
    loaded = load(first, device=flags.device)
    data = real_clips(loaded, flags.data)
    if flags.ranking:
        return ranking.write(loaded, flags.against, data, flags)
    from kinema.metrics.report import table, to_json

    if flags.against:
        rows = [duel(loaded, load(other, device=flags.device), data, flags) for other in flags.against]
        say.result(to_json(rows), duel_text(rows, loaded.weights, flags.against), flags.json)
        return 0
    runs = [loaded, *(load(other, device=flags.device) for other in flags.runs[1:])]
    check_alike(runs)
    rows = scores(runs, data, flags)
    facts = to_json(rows)
    say.result(facts, table(rows), flags.json)
    if len(runs) == 1:
        keep(first, facts)
    if flags.out:
        write(facts, [run.weights for run in runs] if len(runs) > 1 else [loaded.name], flags.out)
    return 0


def one_run(flags: Options) -> str:
    """The first run; what is asked of a single one is not asked of several."""
    if not flags.runs:
        raise UsageError("name a run, for example `kinema evaluate runs/a`.")
    if len(flags.runs) > 1 and (flags.against or flags.ranking or flags.answers):
        raise UsageError(
            "--against, --ranking and --answers take one RUN; several are compared without them."
        )
    if flags.out and (flags.against or flags.ranking or flags.answers):
        raise UsageError("--out keeps scores; it does not go with --against, --ranking and --answers.")
    return flags.runs[0]


def check_alike(runs: Sequence[Loaded]) -> None:
    """Refuse to compare a run with itself, or runs whose clips differ in shape."""
    names = [run.weights for run in runs]
    if len(set(names)) < len(names):
        raise UsageError("a comparison is of different runs; one was named twice.")
    shapes = {run.weights: shape_of(run) for run in runs}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UsageError(f"the runs make clips of different shapes (frames, size, channels): {said}.")
    sets = {json.dumps((run.about.get("data") or {}).get("hash")) for run in runs}
    if len(sets) > 1:
        say.remark("warning: the runs were trained on different data; the clips are those of the first.")


def shape_of(run: Loaded) -> tuple[Any, ...]:
    """Frames, size and channels of its clips."""
    return tuple(getattr(run.system.config, name, None) for name in ("frames", "size", "channels"))


def write(facts: dict[str, Any], runs: Sequence[str], out: Path) -> None:
    """The rows as a file, and their pictures beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps(facts, indent=1) + "\n")
    pictures = write_plots(facts["rows"], runs, out)
    say.remark(f"{out} and beside it {', '.join(path.name for path in pictures)}")


def real_clips(loaded: Loaded, where: str | None) -> Any:
    """The validation part of the data that the run was trained on, or of another set."""
    about = loaded.about.get("data") or {}
    if where is None and "where" not in about:
        raise UsageError(
            f"{loaded.weights} does not say what it was trained on; name real clips with --data."
        )
    data = open_data({"where": where} if where else about, loaded.system.config, "val", loaded.system.reads)
    if where is None and about.get("hash") not in (None, trained_hash(loaded, data)):
        say.remark(
            f"warning: '{about['where']}' has changed since {loaded.weights} was trained on it, "
            "so clips that it knows may be among those that it is scored on."
        )
    return data


def trained_hash(loaded: Loaded, data: Any) -> str:
    """The hash that the training data has now, given its validation part."""
    from kinema.data import FolderClips

    if isinstance(data, FolderClips):
        return data.split_hash("train")
    return str(open_data(loaded.about["data"], loaded.system.config, "train", loaded.system.reads).hash)


def scores(runs: Sequence[Loaded], data: Any, flags: Options) -> list[Any]:
    """The rows of all metrics asked for, or of those that the systems share, as far as they can be measured.

    Several runs get the same count, seed and real clips; a metric that one of them lacks is left out for all.
    """
    from kinema.metrics import METRICS, NEEDS

    common = [name for name in runs[0].system.metrics if all(name in run.system.metrics for run in runs)]
    names = flags.metrics or common
    for name in names:
        if name not in METRICS:
            raise UsageError(f"no metric is called '{name}'; {nearest(name, METRICS)}.")
    rows: list[Any] = []
    for name in names:
        module, _, function = METRICS[name].partition(":")
        measure = getattr(importlib.import_module(module), function)
        try:
            given = {need: provide(need, runs[0], flags) for need in NEEDS.get(name, ())}
            found = [measure(run, data, n=flags.n, seed=flags.seed, log=say.remark, **given) for run in runs]
        except (UsageError, DataError) as error:
            if flags.metrics:
                raise
            say.remark(f"{name} is left out: {error}")
        else:
            rows += found[0] if len(runs) == 1 else side_by_side(runs, found)
    if not rows:
        known, whose = ", ".join(METRICS), " and ".join(dict.fromkeys(run.name for run in runs))
        raise DataError(f"no metric of {whose} can be measured on these clips; --metrics takes {known}.")
    return rows


def provide(need: str, run: Loaded, flags: Options) -> Any:
    """What a metric takes besides: a network of the user's, or what opens the training clips."""
    if need == "train":
        where = {"where": flags.data} if flags.data else run.about.get("data") or {}
        return lambda: open_data(where, run.system.config, "train", run.system.reads)
    file: Path | None = getattr(flags, need)
    if file is None:
        raise UsageError(f"this metric needs a network that cannot be shipped: name its file with --{need}.")
    return foreign(file)


def foreign(file: Path) -> Any:
    """A network of the user's: a state dict, of which nothing is run, or a TorchScript program."""
    import torch

    from kinema.apps.checkpoints import is_torchscript, read_checkpoint
    from kinema.metrics.foreign import Foreign

    if not file.is_file():
        raise UsageError(f"there is no file {file}.")
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if not is_torchscript(file):
        return Foreign(str(file), sha256, read_checkpoint(file))
    try:
        return Foreign(str(file), sha256, torch.jit.load(str(file), map_location="cpu"))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{file} looks like TorchScript, but cannot be loaded ({reason}).") from None


def side_by_side(runs: Sequence[Loaded], found: Sequence[list[Any]]) -> list[Any]:
    """Rows of one metric of several runs: the runs by name, then what stands beside them, once."""
    own: list[Any] = []
    beside: dict[str, Any] = {}
    for run, rows in zip(runs, found, strict=True):
        facts = {"run": run.weights, "run_sha256": run.weights_hash}
        for row in rows:
            if row.name.startswith(run.name):
                name = run.weights + row.name.removeprefix(run.name)
                own.append(replace(row, name=name, protocol={**row.protocol, **facts}))
            elif repr(row.metrics) != repr(beside.setdefault(row.name, row).metrics):
                beside[f"{row.name}, {run.weights}"] = replace(row, name=f"{row.name}, {run.weights}")
    return [*own, *beside.values()]


def keep(run: str, facts: dict[str, Any]) -> None:
    """Write the rows beside the weights of a run folder and show them in its report."""
    folder, name = weights.find(run)
    if name in weights.bundled() or not (folder / "metrics.jsonl").exists():
        return
    step = last_step(read_lines(folder))
    write_text(folder / SCORES, json.dumps({"step": step, **facts}, indent=1) + "\n")
    write_report(folder)


def duel(first: Loaded, second: Loaded, data: Any, flags: Options) -> Any:
    """Generative adversarial metric: each critic judges real clips and the other's samples."""
    from kinema.metrics.gam import gam
    from kinema.metrics.report import Row

    shapes = [(s.config.frames, s.config.size, s.config.channels) for s in (first.system, second.system)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"{first.weights} and {second.weights} make clips of different shapes: {shapes}.")
    for loaded in (first, second):
        if loaded.about.get("modules") is not None or not hasattr(loaded.system, "judge"):
            raise UsageError(
                f"{loaded.weights} has no critic to judge with; the metric needs whole run folders."
            )
    n = min(flags.n, len(data))
    errors = {
        "test_1": error_on_real(first, data, n),
        "test_2": error_on_real(second, data, n),
        "samples_1": error_on_samples(first, second, data, n, flags.seed),
        "samples_2": error_on_samples(second, first, data, n, flags.seed),
    }
    verdict = {name: float(value) for name, value in gam(**errors, n=n).items()}
    protocol = {"metric": "GAM", "data": data.describe, "clip_seed": flags.seed}
    return Row(f"{first.weights} against {second.weights}", verdict, n, protocol)


def duel_text(rows: list[Any], first: str, others: Sequence[str]) -> str:
    """The table, and in words who wins each duel."""
    from kinema.metrics.report import table

    numbers, said = [], []
    for row, second in zip(rows, others, strict=True):
        verdicts = ("a tie", f"the first wins, {first}", f"the second wins, {second}")
        said.append(f"{row.name}: {verdicts[int(row.metrics['winner'])]}")
        numbers.append(replace(row, metrics={k: v for k, v in row.metrics.items() if k != "winner"}))
    return "\n".join([table(numbers), *said])


def error_on_real(judge: Loaded, data: Any, n: int) -> float:
    """Share of real clips with their captions that the critic takes for generated."""
    wrong = 0
    for start in range(0, n, BATCH):
        batch = data.batch(range(start, min(start + BATCH, n)))
        wrong += int((judge.system.judge(batch["video"], batch["caption"]) <= 0).sum())
    return wrong / n


def error_on_samples(judge: Loaded, maker: Loaded, data: Any, n: int, seed: int) -> float:
    """Share of the other's samples that the critic takes for real."""
    import torch

    wrong, channels = 0, judge.system.config.channels
    for start in range(0, n, BATCH):
        indices = range(start, min(start + BATCH, n))
        captions = data.batch(indices)["caption"]
        pixels = torch.from_numpy(maker.generate(captions, [seed * n + i for i in indices]))
        video = pixels[..., :channels].permute(0, 4, 1, 2, 3).float() / 127.5 - 1  # (B, C, T, H, W)
        wrong += int((judge.system.judge(video, captions) > 0).sum())
    return wrong / n
