"""The weights that ship: whole, of a recorded clean commit, and for the networks of this version."""

import pytest

import kinema
from kinema.apps import weights


@pytest.mark.parametrize("name", weights.bundled())
def test_bundled_weights_are_what_they_say(name: str) -> None:
    folder = weights.bundled()[name]
    about = weights.read_about(folder)
    assert weights.hash_of(folder) == about["weights_sha256"]
    assert "-dirty" not in about["commit"]
    assert about["commit"] in (folder / "card.md").read_text("utf-8")
    assert about["scores"]
    assert folder.joinpath(weights.FILE).stat().st_size < 8_000_000
    held = weights.read_tensors(folder / weights.FILE)
    state = kinema.load(name).system.state_dict()
    assert {key: tuple(held[key].shape) for key in held} == {key: tuple(state[key].shape) for key in held}


def test_every_system_has_one_first_choice() -> None:
    found = [weights.read_about(folder) for folder in weights.bundled().values()]
    chosen = sorted(about["system"] for about in found if about["default"])
    assert chosen == sorted({about["system"] for about in found})
