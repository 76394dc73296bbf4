"""`kinema evaluate`: scores with samples and protocol; with --against, a duel of two runs."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from kinema.apps import options, ranking, say, weights
from kinema.apps.loading import Loaded, load
from kinema.apps.report import SCORES, last_step, read_lines, write_report
from kinema.apps.train import open_data
from kinema.core.errors import DataError, UsageError, check_seed, nearest
from kinema.core.files import write_text

BATCH = 50


@dataclass(frozen=True)
class Options:
    """Score a run, or bundled weights, on clips that they have not seen."""

    run: tyro.conf.Positional[str]
    """run folder or bundled name"""
    metrics: tuple[str, ...] = ()
    """names of metrics, repeatable; default: those of the system that the clips allow"""
    n: int = 1000
    """generated clips"""
    seed: int = 0
    """of the noise and of the choice of clips"""
    data: str | None = None
    """real clips to compare with; default: the validation part of the training data"""
    against: tuple[str, ...] = ()
    """another run, repeatable: who wins by the generative adversarial metric"""
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
    if flags.answers:
        return ranking.score(Path(flags.run), flags)
    loaded = load(flags.run, device=flags.device)
    data = real_clips(loaded, flags.data)
    if flags.ranking:
        return ranking.write(loaded, flags.against, data, flags)
    from kinema.metrics.report import table, to_json

    if flags.against:
        rows = [duel(loaded, load(other, device=flags.device), data, flags) for other in flags.against]
        say.result(to_json(rows), duel_text(rows, loaded.weights, flags.against), flags.json)
        return 0
    rows = scores(loaded, data, flags)
    facts = to_json(rows)
    keep(flags.run, facts)
    say.result(facts, table(rows), flags.json)
    return 0


def real_clips(loaded: Loaded, where: str | None) -> Any:
    """The validation part of the data that the run was trained on, or of another set."""
    about = loaded.about.get("data") or {}
    if where is None and "where" not in about:
        raise UsageError(
            f"{loaded.weights} does not say what it was trained on; name real clips with --data."
        )
    data = open_data({"where": where} if where else about, loaded.system.config, "val")
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
    return str(open_data(loaded.about["data"], loaded.system.config, "train").hash)


def scores(loaded: Loaded, data: Any, flags: Options) -> list[Any]:
    """The rows of all metrics asked for; of the system's own, those that cannot be measured are left out."""
    from kinema.metrics import METRICS

    names = flags.metrics or type(loaded.system).metrics
    for name in names:
        if name not in METRICS:
            raise UsageError(f"no metric is called '{name}'; nearest: {nearest(name, METRICS)}.")
    rows: list[Any] = []
    for name in names:
        module, _, function = METRICS[name].partition(":")
        measure = getattr(importlib.import_module(module), function)
        try:
            rows += measure(loaded, data, n=flags.n, seed=flags.seed, log=say.remark)
        except (UsageError, DataError) as error:
            if flags.metrics:
                raise
            say.remark(f"{name} is left out: {error}")
    if not rows:
        known = ", ".join(METRICS)
        raise DataError(
            f"no metric of {loaded.name} can be measured on these clips; --metrics takes {known}."
        )
    return rows


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
