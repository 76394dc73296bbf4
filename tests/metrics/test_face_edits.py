from types import SimpleNamespace

import numpy as np
import pytest

from kinema.core.errors import DataError, UsageError
from kinema.data.action_units import UNITS
from kinema.data.face_units import measured, read_units, reliability
from kinema.data.faces import Faces
from kinema.data.heads import Heads
from kinema.metrics.face_edits import Trial, copied, correlation, face_edits, ranks
from kinema.systems import load_class, load_presets

HEADS = Heads(16, 64, "val")
ROWS = np.arange(16)


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(HEADS, ROWS)


def test_a_copy_changes_nothing_and_the_truth_all(trial: Trial) -> None:
    copy = trial.scores(copied, full=True)
    assert copy["change r"] == 0
    assert abs(copy["units r"]) < 0.5
    assert copy["to truth"] == pytest.approx(1)
    assert copy["return"] == 0
    assert copy["background"] > 60
    truth = trial.against_truth(trial.truth, None)
    assert truth["to truth"] == 0
    assert trial.judge(trial.truth)["units r"] > 0.7
    assert trial.judge(trial.truth)["units error"] < copy["units error"] / 2


def test_an_edit_that_knows_the_truth_scores_as_it(trial: Trial) -> None:
    def perfect(pixels, units):
        made = np.stack([HEADS.rendered(i, u).pixels for i, u in zip(ROWS[: len(units)], units, strict=True)])
        kept = 1 - (np.abs(made.astype(float) - pixels).mean(-1) > 1)
        return made, kept.astype(np.float32)

    found = trial.scores(perfect, full=True)
    assert found["monotone"] > 0.9
    assert found["elsewhere"] < 0.2
    assert found["mask ratio"] > 6
    assert found["return"] == 0
    assert found["units r"] > 0.7


def test_all_repainted_has_a_poor_background(trial: Trial) -> None:
    def grey(pixels, units):
        return np.full_like(pixels, 128), np.zeros(pixels.shape[:3], np.float32)

    found = trial.scores(grey, full=False)
    assert found["background"] < 25
    assert found["mask ratio"] == pytest.approx(1)
    assert found["units r"] == 0
    assert found["change r"] > 0.2  # which is why it is not the first number


def test_rows_of_a_run_stand_beside_their_baselines() -> None:
    system = load_class("ganimation")(load_presets("ganimation")["tiny"]().config).eval()
    heads = Heads(10, 32, "val")
    rows = face_edits(system, heads, n=8, seed=0, log=lambda text: None)
    assert [row.name for row in rows] == ["ganimation", "untrained", "the input, copied", "the true render"]
    assert all(row.samples == 8 for row in rows)
    assert set(rows[0].protocol["by unit"]) == set(UNITS)


def test_a_folder_of_faces_has_no_truth() -> None:
    faces = Faces(HEADS.pixels(ROWS)[:, 0], HEADS.units, "faces.", "folder")
    system = SimpleNamespace(name="copier", edited=copied, config=None)
    found = Trial(faces, ROWS).scores(system.edited, full=True)
    assert set(found) == {"units r", "change r", "units error", "return", "kept", "monotone"}


def test_what_is_no_set_of_faces_or_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="faces with action units"):
        face_edits(None, [], n=8, seed=0, log=print)
    with pytest.raises(DataError, match="8 faces or more, not 3"):
        face_edits(SimpleNamespace(name="x", edited=copied), Heads(3, 32), n=8, seed=0, log=print)


def test_the_reader_reads_persons_it_has_not_seen() -> None:
    """As well as the file says, on heads of other persons than those it was measured on."""
    heads = Heads(120, 64, "val", seed=5)
    found, known = read_units(heads.pixels(range(120))[:, 0]), reliability()
    r = {name: correlation(found[:, k], heads.units[:, k]) for k, name in enumerate(UNITS)}
    assert np.mean(list(r.values())) > 0.8
    assert all(abs(r[name] - known[name]) < 0.25 for name in UNITS)
    assert found.min() >= 0
    assert found.max() <= 1


def test_crops_of_any_size_are_read() -> None:
    large = Heads(4, 128, "val").pixels(range(4))[:, 0]
    small = Heads(4, 64, "val").pixels(range(4))[:, 0]
    assert np.abs(read_units(large) - read_units(small)).mean() < 0.05


def test_photographs_take_each_unit_from_who_reads_it_better() -> None:
    crops = HEADS.pixels(ROWS)[:, 0]
    both = measured(crops, np.full((16, 17), 0.77, np.float32))
    smile, dimple = UNITS.index("AU12"), UNITS.index("AU14")
    assert (both[:, smile] == np.float32(0.77)).all()
    assert np.array_equal(both[:, dimple], read_units(crops)[:, dimple])


def test_ranks_and_correlations() -> None:
    assert ranks(np.array([5.0, 1.0, 5.0])).tolist() == [1.5, 0.0, 1.5]
    assert correlation(np.arange(4.0), np.ones(4)) == 0
    assert correlation(np.arange(4.0), 2 * np.arange(4.0)) == pytest.approx(1)
