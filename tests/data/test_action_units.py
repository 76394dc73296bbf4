"""Names of action units, and texts that ask for them."""

import pytest

from kinema.core.errors import UsageError
from kinema.data.action_units import EXPRESSIONS, MEANING, UNITS, said, unit_called


def test_seventeen_in_openfaces_order() -> None:
    numbers = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]
    assert [f"AU{n:02}" for n in numbers] == list(UNITS) == list(MEANING)
    assert all(set(units) <= set(UNITS) for units in EXPRESSIONS.values())


def test_texts_become_intensities() -> None:
    assert said(["AU12=0.9"]) == {"AU12": 0.9}
    assert said(["AU12=0.9,AU26=0.3", "au1"]) == {"AU12": 0.9, "AU26": 0.3, "AU01": 1.0}
    assert said([], ["happy"]) == {"AU06": 1.0, "AU12": 1.0, "AU25": 1.0}
    assert said([], ["sad=0.2", "angry=.6"])["AU04"] == 0.6
    assert said(["AU04=0.1"], ["angry"])["AU04"] == 0.1
    assert said([], ["neutral"]) == dict.fromkeys(UNITS, 0.0)
    assert said([], ["happy=0.5,neutral"])["AU12"] == 0.5


@pytest.mark.parametrize(
    ("units", "expressions", "words"),
    [
        (["AU13=0.5"], [], "no action unit is called 'AU13'; nearest: AU"),
        (["smile"], [], "no action unit is called 'smile'"),
        ([], ["hapy=1"], "no expression is called 'hapy'; nearest: happy"),
        (["AU12=1.1"], [], "a number from 0 to 1"),
        (["AU12=-0.1"], [], "a number from 0 to 1"),
        (["AU12=nan"], [], "a number from 0 to 1"),
        (["AU12=much"], [], "a number from 0 to 1, as in AU12=0.8"),
        (["AU12="], [], "a number from 0 to 1"),
        ([""], [], "no action unit is called ''"),
    ],
)
def test_what_is_wrong_is_said(units: list[str], expressions: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        said(units, expressions)
    assert words in str(caught.value)


def test_spellings_of_a_unit() -> None:
    assert [unit_called(name) for name in ("AU4", "au04", "04", " AU45 ")] == ["AU04", "AU04", "AU04", "AU45"]
