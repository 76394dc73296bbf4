"""Human comparison: a sheet on which clips of runs are ranked blindly, and the mean ranks of the answers."""

import json
from pathlib import Path
from typing import Any

from kinema.apps import say
from kinema.apps.loading import Loaded, load
from kinema.apps.run import check_writable
from kinema.core.errors import DataError, UsageError


def write(first: Loaded, others: tuple[str, ...], data: Any, flags: Any) -> int:
    """`evaluate A --against B --ranking DIR`: the page, its clips, and the key beside the folder."""
    from kinema.metrics.ranking import write_sheet

    if not others:
        raise UsageError("a ranking compares at least two runs; name the others with --against.")
    check_writable(flags.ranking, folder=True)
    runs = [first, *(load(other, device=flags.device) for other in others)]
    if len({run.weights for run in runs}) < len(runs):
        raise UsageError("a ranking compares different runs; one was named twice.")
    known = data.captions
    captions = [known[i * len(known) // flags.questions % len(known)] for i in range(flags.questions)]
    seeds = [flags.seed * len(captions) + i for i in range(len(captions))]
    clips = {run.weights: run.generate(captions, seeds) for run in runs}
    key = write_sheet(clips, captions, flags.ranking, seed=flags.seed)
    facts = {"page": str(flags.ranking / "index.html"), "key": str(key), "methods": list(clips)}
    score = f"kinema evaluate {key} --answers ANSWERS.csv"
    say.result(facts, f"{facts['page']}: give the folder to people; then `{score}`", flags.json)
    return 0


def score(key: Path, flags: Any) -> int:
    """`evaluate KEY --answers A.csv …`: mean ranks."""
    from kinema.metrics.ranking import score_answers
    from kinema.metrics.report import table, to_json

    try:
        rows = score_answers(key, flags.answers)
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise DataError(f"{key} or the answers cannot be read as a ranking ({error}).") from None
    say.result(to_json(rows), table(rows), flags.json)
    return 0
