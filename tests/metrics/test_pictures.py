"""Pictures of classes: the judge learns, and the scores tell what is near, of its class, and various."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kinema.apps.plots import write_plots
from kinema.core.errors import UsageError
from kinema.data import MovingShapes, open_pictures
from kinema.metrics import pictures as metric
from kinema.metrics.measures import untrained
from kinema.metrics.picture_judge import PictureJudge, picture_judge
from kinema.metrics.pictures import pictures
from kinema.metrics.report import to_json
from kinema.metrics.truncation import truncation

SIZE, N = 16, 300


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A judge that learns for a few seconds, kept for all tests."""
    monkeypatch.setattr("kinema.metrics.picture_judge.SEEN", 30_000)
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path_factory.getbasetemp() / "judges"))
    picture_judge.cache_clear()


class Copier:
    """Gives real training pictures of the classes asked for, changed by `change`."""

    name = "copier"
    config = SimpleNamespace(conditional=True)

    def __init__(self, change: Any = None) -> None:
        self.data = open_pictures("mirrored", size=SIZE)
        self.change = change or (lambda pixels: pixels)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> Any:
        rows = []
        for caption, seed in zip(captions, seeds, strict=True):
            own = np.flatnonzero(self.data.labels == self.data.captions.index(caption))
            rows.append(own[seed % len(own)])
        return self.change(self.data.pixels(rows))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Any:
    noise = Copier(lambda pixels: np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8))
    monkeypatch.setattr(metric, "untrained", lambda system, data: noise)

    def score(change: Any = None) -> dict[str, dict[str, float]]:
        data = open_pictures("mirrored", size=SIZE, split="val")
        found = pictures(Copier(change), data, n=N, seed=0, log=lambda line: None)
        return {row.name: row.metrics for row in found}

    return score


def red(pixels: Any) -> Any:
    """Every picture in one hue."""
    bright = pixels.max(-1, keepdims=True)
    return np.concatenate([bright, np.full_like(bright, 26), np.full_like(bright, 26)], -1)


def torn(pixels: Any) -> Any:
    """The right halves are of other pictures."""
    half = pixels.shape[3] // 2
    return np.concatenate([pixels[:, :, :, :half], np.roll(pixels, 1, 0)[:, :, :, half:]], 3)


def test_scores_of_real_pictures_one_hue_and_torn_halves(scored: Any) -> None:
    rows = scored()
    real, held_out, noise = rows["copier"], rows["real, held out"], rows["untrained"]
    assert held_out["label right"] > 0.8
    assert real["label right"] > 0.8
    assert rows["real, classes shuffled"]["label right"] < 0.3
    assert real["FD-judge"] < 3 * held_out["FD-judge"] < 0.1 * noise["FD-judge"]
    assert (real["halves agree"], held_out["halves agree"]) == (1.0, 1.0)
    assert real["hues"] > 0.95
    assert noise["halves agree"] == 0.0
    collapsed = scored(red)["copier"]
    assert collapsed["hues"] == 0.0
    assert collapsed["halves agree"] == 1.0
    mixed = scored(torn)["copier"]
    assert mixed["halves agree"] < 0.5
    assert mixed["hues"] > 0.95


class Truncator(Copier):
    """Knows fewer pictures of each class, the smaller the truncation."""

    thresholds = (0.1, 1.0, 2.0)

    def truncated(self, captions: Sequence[str], seeds: Sequence[int], truncation: float) -> Any:
        yield self.generate(captions, [seed % max(1, int(300 * truncation)) for seed in seeds])


def test_truncation_weighs_quality_against_variety(tmp_path: Path) -> None:
    data, said = open_pictures("mirrored", size=SIZE, split="val"), []
    rows = truncation(Truncator(), data, n=N, seed=0, log=said.append)
    names = [f"copier, truncation {t}" for t in (2, 1, 0.1)]
    assert [row.name for row in rows] == ["copier", *names, "real, held out"]
    assert rows[0].metrics == rows[1].metrics  # 2 bounds nothing here
    assert rows[3].metrics["recall"] < rows[0].metrics["recall"]
    assert rows[3].metrics["label right"] > 0.8
    assert rows[3].metrics["FD-judge"] > rows[0].metrics["FD-judge"]
    curves = rows[0].protocol["by truncation"]
    assert list(curves) == ["FD-judge", "label right", "precision", "recall"]
    assert curves["recall"] == [
        [t, row.metrics["recall"]] for t, row in zip((0.1, 1, 2), rows[3:0:-1], strict=True)
    ]
    assert "by truncation" not in rows[1].protocol

    written = write_plots(to_json(rows)["rows"], ["copier"], tmp_path / "found.json")
    drawn = {path.name: path.read_text() for path in written}
    assert {f"found-{k}-by-truncation.svg" for k in ("fd-judge", "label-right", "recall")} < set(drawn)
    assert "truncation 2</text>" in drawn["found-recall-by-truncation.svg"]
    assert "real, held out" in drawn["found-recall-by-truncation.svg"]
    with pytest.raises(UsageError, match="no noise that is truncated"):
        truncation(Copier(), data, n=N, seed=0, log=said.append)


def test_a_judge_is_made_once_and_the_same_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path))
    monkeypatch.setattr("kinema.metrics.picture_judge.SEEN", 500)
    first = PictureJudge("digits:300", 16, 1)
    monkeypatch.setattr(PictureJudge, "fitted", lambda self, epochs: pytest.fail("it is in the cache"))
    again = PictureJudge("digits:300", 16, 1)
    pixels = first.train.pixels(range(5))
    np.testing.assert_array_equal(first(pixels).logits, again(pixels).logits)
    assert first(pixels).features.shape == (5, 128)
    assert not first.mirrored  # a 2 in a mirror is none
    assert PictureJudge("digits:300", 16, 1).describe() == first.describe()


def test_clips_are_refused_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="reads pictures of classes: --data cifar10"):
        pictures(Copier(), MovingShapes(10, size=16), n=2, seed=0, log=print)


def test_the_judge_of_cifar10_comes_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((1, 1, 32, 32, 3), np.uint8)
    cifar = SimpleNamespace(captions=[str(k) for k in range(10)], pixels=lambda rows: blank, where="cifar10")
    monkeypatch.setattr("kinema.metrics.picture_judge.open_pictures", lambda *args, **kwargs: cifar)
    monkeypatch.setattr(PictureJudge, "fitted", lambda self, epochs: pytest.fail("it need not be trained"))
    judge = PictureJudge("cifar10", 32, 3)
    seen = judge(np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32, 3), np.uint8))
    assert seen.logits.shape == (2, 10)
    assert np.isfinite(seen.logits).all()
    assert judge.describe()["weights"] == "7d20c9a1d6a15095"


def test_few_pictures_train_a_judge_too() -> None:
    few = open_pictures("mirrored:60", size=SIZE)
    assert PictureJudge("mirrored:60", SIZE, 3).accuracy(few) > 0.5


def test_the_untrained_twin_is_settled_on_as_many_pictures_as_there_are() -> None:
    shown: list[int] = []

    class Blank(Copier):
        def __init__(self, config: Any = None) -> None:
            super().__init__()

        def eval(self) -> "Blank":
            return self

        def settle(self, batches: Any) -> None:
            shown.extend(len(batch["label"]) for batch in batches)

    untrained(Blank(), open_pictures("mirrored:24", size=SIZE))
    assert shown == [16, 8]
