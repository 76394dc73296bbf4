"""The MSVD layout: clips beside a CSV or JSON file of sentences, and a list that picks some of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kinema.core.errors import DataError
from kinema.data import open_clips

CORPUS = """VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description
mv89psg6zh4,33,46,588702,unverified,55,Slovene,Papagaj se umiva.
mv89psg6zh4,33,46,362812,clean,23,English,A bird is bathing in a sink.
mv89psg6zh4,33,46,968828,unverified,84,English,"A bird, it seems, is washed."
WTf5EgVY5uU,124,128,1,clean,9,English,A woman cuts onions.
"""


@pytest.fixture
def msvd(tmp_path: Path, clip: Callable[..., Path]) -> Path:
    for name in ("mv89psg6zh4_33_46.gif", "WTf5EgVY5uU_124_128.npz", "third_1_2.npz"):
        clip(name, height=24)
    return tmp_path


def captions(folder: Path | str) -> list[str]:
    clips = open_clips(folder, size=8, split="all")
    return clips.batch(range(len(clips)))["caption"]


def test_the_corpus_file_names_clips_by_three_columns_and_keeps_english(msvd: Path) -> None:
    (msvd / "video_corpus.csv").write_text(CORPUS)
    assert captions(msvd) == [
        "A bird is bathing in a sink.",
        "A woman cuts onions.",
        "A bird, it seems, is washed.",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "mv89psg6zh4_33_46,a bird .\nthird_1_2,a third .\n"),
        ("list.csv", "clip id,sentence\nmv89psg6zh4_33_46,a bird .\nthird_1_2.npz,a third .\n"),
        ("list.json", json.dumps({"mv89psg6zh4_33_46": ["a bird ."], "third_1_2": "a third ."})),
        ("list.json", json.dumps([{"clip": "mv89psg6zh4_33_46", "sentence": "a bird ."},
                                  {"clip": "third_1_2.npz", "sentence": "a third ."}])),
    ],
)  # fmt: skip
def test_simple_lists(name: str, text: str, msvd: Path) -> None:
    (msvd / name).write_text(text)
    assert captions(msvd) == ["a bird .", "a third ."]


def test_a_text_file_picks_the_cooking_part_and_may_name_its_split(msvd: Path) -> None:
    (msvd / "list.csv").write_text(
        "mv89psg6zh4_33_46,a bird .\nthird_1_2,a third .\nWTf5EgVY5uU_124_128,onions .\n"
    )
    (msvd / "cooking.txt").write_text("WTf5EgVY5uU_124_128 train\nthird_1_2 test\n")
    assert captions(f"{msvd}:cooking.txt") == ["onions .", "a third ."]
    val = open_clips(f"{msvd}:cooking.txt", size=8, split="val")
    assert val.captions == ["a third ."]
    assert val.batch([0])["wrong"] == [
        "onions ."
    ]  # one sentence alone has no wrong one: taken from the other split


def test_lists_that_cannot_be_used(msvd: Path) -> None:
    (msvd / "list.json").write_text("{broken")
    with pytest.raises(DataError, match=r"list.json' is not JSON"):
        captions(msvd)
    (msvd / "list.json").write_text("3")
    with pytest.raises(DataError, match="should map clip names to sentences"):
        captions(msvd)
    (msvd / "list.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot be read as text"):
        captions(msvd)
    (msvd / "list.json").unlink()
    (msvd / "a.csv").write_text("third_1_2,x\n")
    (msvd / "b.csv").write_text("third_1_2,y\n")
    with pytest.raises(DataError, match=r"more than one list of sentences \(a.csv, b.csv\)"):
        captions(msvd)
    (msvd / "b.csv").unlink()
    for text, reason in (
        ("none_1_2", "is named in some.txt but"),
        ("third_1_2 dev2", "has the split 'dev2'"),
    ):
        (msvd / "some.txt").write_text(text)
        with pytest.raises(DataError, match=reason):
            captions(f"{msvd}:some.txt")
    with pytest.raises(DataError, match=r"missing.txt' cannot be read"):
        captions(f"{msvd}:missing.txt")
