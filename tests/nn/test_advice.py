"""Norms that will make trouble are named before a training; others are not."""

import pytest
from torch import nn

from kinema.nn.advice import norm_warnings
from kinema.nn.factory import make_norm


@pytest.mark.parametrize(
    ("player", "layer", "items", "words"),
    [
        ("generator", nn.BatchNorm2d(16), 4, ["statistics of 1 batch norms over 4 items"]),
        ("generator", nn.BatchNorm2d(16), 8, []),
        ("critic", make_norm("frozenbn", 16), 1, []),
        ("image_critic", nn.BatchNorm2d(16), 8, ["image_critic has batch norm"]),
        (
            "critic",
            nn.GroupNorm(4, 16),
            1,
            ["1 group norms with fewer than 8 channels in a group, down to 4"],
        ),
        ("critic", nn.GroupNorm(2, 16), 1, []),
        ("critic", nn.GroupNorm(16, 16), 1, []),
    ],
)
def test_what_is_said_of_a_norm(player: str, layer: nn.Module, items: int, words: list[str]) -> None:
    said = norm_warnings({player: [nn.Sequential(nn.Linear(1, 1), layer)]}, items)
    assert len(said) == len(words)
    assert all(word in text for word, text in zip(words, said, strict=True))
