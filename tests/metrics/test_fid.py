"""FID with an Inception that a user brings: its names and numbers, the protocol, what is refused."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinema.core.errors import UsageError, WeightsError
from kinema.data import MovingShapes, open_pictures
from kinema.metrics import fid as metric
from kinema.metrics import inception
from kinema.metrics.foreign import Foreign
from kinema.metrics.frechet import frechet_distance
from kinema.metrics.inception import Inception, InceptionExtractor, enlarged
from kinema.metrics.inception_score import inception_score
from kinema.metrics.kid import kid

FEATURES = [7483.4985, 335.18359, 404.25739, 3508.3286]
LOGITS = [21498.805, 101916.56, -78465.703, 68522.297]
MEANS = [8737.8584, 8769.1877]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights by chance, that keep the size of what passes; the same everywhere."""
    chance, found = np.random.RandomState(0), {}
    for name, value in Inception().state_dict().items():
        numbers = torch.from_numpy(chance.standard_normal(value.shape).astype(np.float32))
        if name.endswith("conv.weight"):
            found[name] = numbers * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            found[name] = 0.5 + numbers.abs()
        elif not name.endswith("num_batches_tracked"):
            found[name] = 0.1 * numbers
    return found


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.RandomState(1).randint(0, 256, (2, 1, 40, 40, 3), np.uint8)


def test_the_network_gives_what_that_of_torch_fidelity_gives(
    state: dict[str, Tensor], pictures: np.ndarray
) -> None:
    """The numbers are those of torch-fidelity 0.4.0 with these weights."""
    features, logits = InceptionExtractor(Foreign("a.pth", "", state)).extract(pictures)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert features[0, ::512] == pytest.approx(FEATURES, rel=1e-5)
    assert logits[1, ::252] == pytest.approx(LOGITS, rel=1e-5)
    assert features.mean(1) == pytest.approx(MEANS, rel=1e-5)


def test_the_network_agrees_with_torch_fidelity_itself(
    state: dict[str, Tensor], pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec("torch_fidelity")
    if found is None:
        pytest.skip("torch-fidelity is no dependency, because it needs torchvision")
    package = ModuleType("torch_fidelity")  # its own opening imports torchvision; this part does without
    package.__path__ = list(found.submodule_search_locations or [])
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    theirs = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    torch.save(state, tmp_path / "state.pth")
    net = theirs.FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=str(tmp_path / "state.pth"),
    )
    with torch.inference_mode():
        wanted = [part.numpy() for part in net(torch.from_numpy(pictures[:1, 0]).permute(0, 3, 1, 2))]
    ours = InceptionExtractor(Foreign("a.pth", "", state)).extract(pictures[:1])
    for a, b in zip(ours, wanted, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_pictures_are_enlarged_as_tensorflow_1_did_it() -> None:
    row = torch.arange(4.0).mul(60)
    line = enlarged(row.expand(1, 3, 6, 4))[0, 0, 0]
    assert torch.allclose(line, (torch.arange(299) * 4 / 299).clamp(max=3) * 60, atol=1e-3)
    column = enlarged(row.view(1, 1, 4, 1).expand(1, 3, 4, 6))[0, 0, :, 0]
    assert torch.equal(column, line)


class Small(nn.Module):
    """Takes the place of the network: mean colours, and classes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 7)

    def features(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


class Shown:
    """Makes pictures of its classes from the seed alone."""

    name = "shown"
    config = SimpleNamespace(conditional=True)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        made = [np.random.RandomState(seed).randint(0, 256, (1, 1, 1, 3)) for seed in seeds]
        return np.broadcast_to(np.array(made, np.uint8), (len(seeds), 1, 16, 16, 3))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """A file for that network; sets come in pieces of seven, and subsets are of twenty."""
    monkeypatch.setattr(inception, "Inception", Small)
    for name, value in (("PIECE", 7), ("SUBSET", 20)):
        monkeypatch.setattr(metric, name, value)
    return Foreign("a.pth", "6726825d77", Small().state_dict())


def test_pictures_stand_against_all_training_pictures(
    small: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, train = open_pictures("digits", size=16, split="val"), open_pictures("digits:90", size=16)
    said: list[str] = []
    given: Any = {"n": 40, "seed": 3, "log": said.append, "inception": small, "train": lambda: train}
    rows = {row.name: row for row in metric.fid(Shown(), data, **given)}
    assert {name: row.samples for name, row in rows.items()} == {
        "shown": 40,
        "real, held out": 40,
        "real, training": 90,
    }
    assert "Inception has read 90 of 90 training pictures" in said
    assert any("50,000" in line for line in said)
    protocol = rows["shown"].protocol
    assert (protocol["inception"], protocol["reference"], protocol["ddof"]) == ("6726825d77", 90, 1)
    assert "TensorFlow 1" in protocol["input"]

    extractor = InceptionExtractor(small)
    real, _ = extractor.extract(train.pixels(range(90)))
    fake, logits = extractor.extract(Shown().generate([], [3_000_009 + i for i in range(40)]))
    found = rows["shown"].metrics
    assert found["FID"] == pytest.approx(frechet_distance(fake, real), rel=1e-6)
    assert found["KID"] == pytest.approx(1000 * kid(fake, real, size=20)[0], rel=1e-6)
    assert (found["IS"], found["IS deviation"]) == pytest.approx(inception_score(logits), rel=1e-9)
    assert rows["real, held out"].metrics["FID"] < 0.1 * found["FID"]

    monkeypatch.setattr(metric, "_read", lambda *of: pytest.fail("they are in the cache"))
    again = metric.fid(Shown(), data, **given)
    assert [row.metrics for row in again] == [row.metrics for row in rows.values()]


def test_kid_keeps_a_part_by_chance_and_few_pictures_have_no_kid(
    small: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Shown().generate([], range(30))
    monkeypatch.setattr(metric, "KEPT", 21)
    seen = metric.Seen.of(InceptionExtractor(small), np.array_split(pictures, 4), 30)
    assert seen.moments.count == 30
    whole = InceptionExtractor(small).extract(pictures)[0]
    rows = np.sort(np.random.default_rng(0).permutation(30)[:21])
    assert np.array_equal(seen.features, whole[rows])
    assert "KID" in seen.against(seen)
    few = metric.Seen.of(InceptionExtractor(small), [pictures[:9]], 9)
    assert list(few.against(seen)) == ["FID"]


def test_what_is_no_inception_of_fid_is_named(state: dict[str, Tensor]) -> None:
    usual = state | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    with pytest.raises(WeightsError, match=r"shape \(1000, 2048\) in place of \(1008, 2048\)"):
        InceptionExtractor(Foreign("torchvision.pth", "", usual))
    scripted = Foreign("stylegan.pt", "", torch.jit.script(nn.Linear(1, 1)))
    with pytest.raises(
        WeightsError, match="TorchScript program; expected a state dict of the Inception of FID"
    ):
        InceptionExtractor(scripted)
    clips = np.zeros((1, 2, 8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="not clips of 2 frames"):
        InceptionExtractor(Foreign("a.pth", "", state)).extract(clips)


def test_other_files_and_clips_are_told(small: Foreign) -> None:
    said: list[str] = []
    data = open_pictures("digits:20", size=16, split="val")
    other = Foreign("mine.pth", "00", dict(small.content))  # type: ignore[arg-type]
    given: Any = {"n": 2, "seed": 0, "log": said.append, "train": lambda: open_pictures("digits:20", size=16)}
    metric.fid(Shown(), data, inception=other, **given)
    assert any("mine.pth is not the published file" in line for line in said)
    with pytest.raises(UsageError, match="FID is of pictures"):
        metric.fid(Shown(), MovingShapes(4, size=16), inception=small, **given)
