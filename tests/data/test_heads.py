import numpy as np
import pytest

from kinema.core.errors import UsageError
from kinema.data.action_units import UNITS
from kinema.data.face_sets import open_faces
from kinema.data.head_mesh import MOVES, expressed, mesh, normals
from kinema.data.heads import OF_ONE, Heads, features, landmarks
from kinema.data.making import make

SIZE = 48


def raised(**units: float) -> np.ndarray:
    return np.array([units.get(name, 0.0) for name in UNITS], np.float32)


def test_an_item_is_a_function_of_seed_and_number() -> None:
    few, many = Heads(4, SIZE), Heads(50, SIZE)
    assert np.array_equal(few.pixels([3, 1]), many.pixels([3, 1]))
    assert np.array_equal(few.units, many.units[:4])
    assert not np.array_equal(few.pixels([0]), Heads(4, SIZE, seed=1).pixels([0]))


def test_persons_of_validation_are_not_those_of_training() -> None:
    train, val = Heads(8, SIZE), Heads(8, SIZE, "val")
    first = {id(train.head(i).look) for i in range(8)}
    assert len(first) == 8 / OF_ONE
    assert not any(
        np.array_equal(train.head(i).neutral, val.head(k).neutral) for i in range(8) for k in range(8)
    )


def test_all_are_training_and_validation() -> None:
    both = Heads(None, SIZE, "all")
    assert np.array_equal(
        both.pixels([0, 4000]),
        np.concatenate([Heads(1, SIZE).pixels([0]), Heads(1, SIZE, "val").pixels([0])]),
    )


def test_what_was_not_asked_for_stays() -> None:
    """A blink moves the eyes' surroundings and nothing below the nose; an open jaw leaves the brows."""
    heads = Heads(4, SIZE, "val")
    still = heads.rendered(0, raised()).pixels.astype(int)
    for units, part in ((raised(AU45=1), slice(SIZE // 2, None)), (raised(AU26=1), slice(0, SIZE // 6))):
        changed = np.abs(heads.rendered(0, units).pixels - still).max(-1)
        assert changed.max() > 60
        assert changed[part].max() <= 2


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_seen(unit: str) -> None:
    heads = Heads(4, 64, "val")
    still, moved = (heads.rendered(1, units).pixels.astype(int) for units in (raised(), raised(**{unit: 1})))
    assert (np.abs(moved - still).max(-1) > 12).sum() >= 12, f"{unit} changes too little"


def test_units_add_up() -> None:
    neutral, _ = features(0, 0)
    both = expressed(neutral, raised(AU12=0.5, AU26=0.7))
    apart = expressed(neutral, raised(AU12=0.5)) + expressed(neutral, raised(AU26=0.7)) - neutral
    assert np.allclose(both, apart, atol=1e-5)
    assert set(MOVES) == set(UNITS)


def test_normals_point_out_of_a_head() -> None:
    m = mesh()
    nose = landmarks()["nose"]
    assert normals(m.vertices)[nose, 2] > 0
    assert np.allclose(np.linalg.norm(normals(m.vertices), axis=1), 1, atol=1e-4)


def test_the_head_covers_the_middle_and_not_the_upper_corners() -> None:
    cover = np.mean([Heads(12, SIZE).rendered(i, raised()).cover for i in range(12)], 0)
    assert cover[SIZE // 2, SIZE // 2] == 1
    assert cover[0, 0] < 0.9


def test_intensities_are_in_range_and_every_unit_varies() -> None:
    units = Heads(600, SIZE).units
    assert units.min() == 0
    assert units.max() <= 1
    assert units.std(0).min() > 0.1
    assert 0.03 < (units.max(1) == 0).mean() < 0.15


def test_batches_are_what_a_system_reads() -> None:
    batch = Heads(12, SIZE).batch([5, 2])
    assert batch["image"].shape == (2, 3, SIZE, SIZE)
    assert batch["action_units"].shape == (2, 17)
    assert -1 <= batch["image"].min() < batch["image"].max() <= 1


def test_a_size_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="8 pixels or more, not 4"):
        Heads(1, 4)


def test_written_heads_are_read_back(tmp_path) -> None:
    make("heads", 6, tmp_path / "set", size=SIZE)
    train, val = (open_faces(tmp_path / "set", size=SIZE, split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (5, 1)
    assert np.array_equal(train.pixels(range(5)), Heads(5, SIZE).pixels(range(5)))
    assert np.allclose(val.units, Heads(1, SIZE, "val").units, atol=1e-4)
