"""Human ranking: a page that shows clips of several methods without their names, and mean ranks from answers.

The protocol of Pan et al. (arXiv 1804.08264): subjects rank the methods from 1 (best) by reality, relevance
to the caption, and coherence over time. The key that names the methods lies beside the folder, not in it.
"""

import csv
import html
import json
import string
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinema.core.errors import DataError, UsageError
from kinema.core.results import Video
from kinema.media import save
from kinema.metrics.report import Row

CRITERIA = {
    "reality": "How real do the clips look?",
    "relevance": "How well do they show the sentence?",
    "coherence": "How smooth and steady are they over time?",
}


def write_sheet(
    clips: Mapping[str, NDArray[np.uint8]],
    captions: Sequence[str],
    folder: Path,
    *,
    seed: int = 0,
    fps: Fraction = Fraction(8),
) -> Path:
    """Write `folder`/index.html with its clips, and the key as `folder`-key.json; returns the key's path.

    Args:
        clips: method -> uint8 (N, T, H, W, 3), clip i of each made for caption i.
        captions: N sentences.
        folder: new or empty.
        seed: of the order in which the methods stand in each question.
        fps: frames a second.
    """
    methods = sorted(clips)
    if not 2 <= len(methods) <= 26:
        raise UsageError(f"a ranking compares 2 to 26 methods, not {len(methods)}.")
    for method in methods:
        if len(clips[method]) != len(captions):
            raise UsageError(f"{method} has {len(clips[method])} clips for {len(captions)} captions.")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder for the ranking.")
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rng, items = np.random.default_rng(seed), []
    for i, caption in enumerate(captions):
        order = [methods[int(k)] for k in rng.permutation(len(methods))]
        for letter, method in zip(string.ascii_lowercase, order, strict=False):
            clip = Video(_rgb(clips[method][i]), fps, provenance={"synthetic": True})  # and not by whom
            save(clip, folder / "clips" / f"{i + 1:03d}{letter}.gif")
        items.append({"item": i + 1, "caption": caption, "order": order})
    (folder / "index.html").write_text(_page(captions, len(methods)), encoding="utf-8")
    key = folder.with_name(f"{folder.name}-key.json")
    facts = {"criteria": list(CRITERIA), "methods": methods, "items": items}
    key.write_text(json.dumps(facts, indent=1) + "\n")
    return key


def score_answers(key: Path, answers: Sequence[Path]) -> list[Row]:
    """Mean rank of each method by each criterion, best method first; 1 is the best rank.

    Args:
        key: written by `write_sheet`.
        answers: one CSV a subject with columns item, criterion, a, b, …; a line holds each rank once.
    """
    if not answers:
        raise UsageError("no answers were given; each subject's page saves a CSV file.")
    facts = json.loads(key.read_text(encoding="utf-8"))
    orders = {item["item"]: item["order"] for item in facts["items"]}
    ranks: dict[str, dict[str, list[int]]] = {m: {c: [] for c in facts["criteria"]} for m in facts["methods"]}
    for path in answers:
        for item, criterion, line in _answers(path, orders, facts["criteria"], len(facts["methods"])):
            for method, rank in zip(orders[item], line, strict=True):
                ranks[method][criterion].append(rank)
    rows = []
    for method, found in ranks.items():
        means = {c: float(np.mean(r)) if r else float("nan") for c, r in found.items()}
        count = sum(map(len, found.values()))
        protocol = {"metric": "mean rank, 1 is best", "subjects": len(answers), "questions": len(orders)}
        rows.append(Row(method, means, count, protocol))
    return sorted(rows, key=lambda row: float(np.nanmean(list(row.metrics.values()))))


def _answers(
    path: Path, orders: Mapping[int, Sequence[str]], criteria: Sequence[str], methods: int
) -> list[tuple[int, str, list[int]]]:
    """The lines (item, criterion, ranks) of one subject; every item and criterion at most once."""
    letters, found, seen = string.ascii_lowercase[:methods], [], set()
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.DictReader(file), 2):
            where = f"{path}, line {number}"
            try:
                item, criterion = int(line["item"]), line["criterion"]
                ranks = [int(line[letter]) for letter in letters]
            except (KeyError, TypeError, ValueError):
                columns = ", ".join(["item", "criterion", *letters])
                raise DataError(f"{where}: expected columns {columns} with whole numbers.") from None
            if item not in orders or criterion not in criteria:
                raise DataError(f"{where}: item {item}, criterion '{criterion}' is not in the key.")
            if (item, criterion) in seen:
                raise DataError(f"{where}: item {item} was ranked by {criterion} before.")
            if sorted(ranks) != list(range(1, methods + 1)):
                raise DataError(f"{where}: ranks must be 1 to {methods}, each once, not {ranks}.")
            seen.add((item, criterion))
            found.append((item, criterion, ranks))
    if not found:
        raise DataError(f"{path} holds no answers.")
    return found


def _rgb(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(clip, 3, -1) if clip.shape[-1] == 1 else clip


def _page(captions: Sequence[str], methods: int) -> str:
    letters = string.ascii_lowercase[:methods]
    questions = "\n".join(_question(i + 1, caption, letters) for i, caption in enumerate(captions))
    return _PAGE.replace("{{letters}}", letters).replace("{{questions}}", questions)


def _question(item: int, caption: str, letters: str) -> str:
    figures = "".join(
        f'<figure><img src="clips/{item:03d}{x}.gif" alt="clip {x}"><figcaption>{x}</figcaption></figure>'
        for x in letters
    )
    rows = "".join(_ranks(item, name, asked, letters) for name, asked in CRITERIA.items())
    return f"<section><h2>{item}. {html.escape(caption)}</h2>{figures}<table>{rows}</table></section>"


def _ranks(item: int, criterion: str, asked: str, letters: str) -> str:
    cells = "".join(
        f'<td>{x} <input type="number" min="1" max="{len(letters)}" required data-letter="{x}"></td>'
        for x in letters
    )
    return f'<tr data-item="{item}" data-criterion="{criterion}"><th>{asked}</th>{cells}</tr>'


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ranking of clips</title>
<style>
body { font: 16px sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }
figure { display: inline-block; margin: 0 1em 1em 0; text-align: center }
img { width: 12em; image-rendering: pixelated; background: #000 }
th { text-align: left; font-weight: normal; padding-right: 1em }
tr.wrong { background: #fdd }
input { width: 3em }
</style>
<h1>Ranking of clips</h1>
<p>All clips are synthetic. For each sentence and question give every clip a rank, 1 for the best, each once.
Then save your answers and send the file back.</p>
<form>
{{questions}}
<p><button>Save my answers</button> <output></output></p>
</form>
<script>
document.querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  const letters = [..."{{letters}}"];
  const lines = [["item", "criterion", ...letters].join(",")];
  let wrong = 0;
  for (const row of document.querySelectorAll("tr")) {
    const ranks = letters.map(x => Number(row.querySelector(`[data-letter=${x}]`).value));
    const bad = [...ranks].sort((p, q) => p - q).some((rank, i) => rank !== i + 1);
    row.classList.toggle("wrong", bad);
    wrong += bad;
    lines.push([row.dataset.item, row.dataset.criterion, ...ranks].join(","));
  }
  document.querySelector("output").textContent = wrong ? `${wrong} lines need every rank once.` : "Saved.";
  if (wrong) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\\n") + "\\n"], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
});
</script>
</html>
"""
