"""Quality against variety: the scores of pictures whose noise is truncated more and more.

Brock et al., arXiv 1809.11096, section 3.1, draw FID against the Inception score so; here they
are FD-judge, the class asked for, precision and recall, each over the truncation.
"""

from typing import Any

import numpy as np

from kinema.core.errors import UsageError
from kinema.metrics.measures import Log, generated_parts
from kinema.metrics.pictures import beside
from kinema.metrics.report import Row

DRAWN = ("FD-judge", "label right", "precision", "recall")
"""numbers that become curves"""


def truncation(system: Any, data: Any, *, n: int, seed: int, log: Log) -> list[Row]:
    """The numbers of the metric `pictures` without truncation, and with ever smaller ones.

    A picture has the same class and seed in every row, and batch norms the statistics of the truncation. The
    first row carries the curves; lines of held-out real pictures stand beside them.
    """
    thresholds = getattr(getattr(system, "system", system), "thresholds", None)
    if thresholds is None:
        raise UsageError(f"{system.name} has no noise that is truncated; sagan and biggan have.")
    given, name = beside(data, n, seed, np.random.default_rng(seed), log), system.name
    m = len(given.asked)
    captions, seeds = [data.captions[k] for k in given.asked], [seed * 1_000_003 + i for i in range(m)]
    rows = {name: given.scores(generated_parts(system, data, m, seed, log))}
    for t in sorted(thresholds, reverse=True):
        log(f"{m} pictures of noise truncated at {t:g}, after the statistics for it")
        rows[f"{name}, truncation {t:g}"] = given.scores(system.truncated(captions, seeds, t))
    rows["real, held out"] = given.scores([given.other], given.labels)
    curves: dict[str, Any] = {name: {}, "real, held out": {}}
    for number in (k for k in DRAWN if k in rows[name]):
        curves[name][number] = [[t, rows[f"{name}, truncation {t:g}"][number]] for t in sorted(thresholds)]
        ends = min(thresholds), max(thresholds)
        curves["real, held out"][number] = [[t, rows["real, held out"][number]] for t in ends]
    protocol = {"metric": "truncation", **given.protocol}
    found = {key: protocol | {"by truncation": curves[key]} for key in curves}
    return [Row(key, numbers, m, found.get(key, protocol)) for key, numbers in rows.items()]
