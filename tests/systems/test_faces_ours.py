"""What is ours in the training of faces: steps that come first, and noise on what the critic sees."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from .test_faces import BATCH, at, build, updates


def test_first_steps_teach_reading_and_copying() -> None:
    system = build(first_steps=3, critic_steps=2, flip=False)
    first = updates(system)
    assert [[*update] for update in first] == [["critic"], ["generator"]]
    assert set(first[0]["critic"]) == {"units", "error"}
    own = system.chosen(BATCH["action_units"])
    read = system.critic(system.noisy(BATCH["image"], at())).units
    assert first[0]["critic"]["units"] == pytest.approx(
        system.config.lambda_au * F.mse_loss(read, own).item(), rel=1e-4
    )
    faces = BATCH["image"][::2]
    # the targets are drawn behind the noise, as in the step
    progress = at()
    system.noisy(BATCH["image"], progress)
    painted = system.paint(faces, system.targets(BATCH, progress)[::2]).colour
    expected = system.config.lambda_cycle * F.l1_loss(painted, faces).item()
    assert first[1]["generator"]["colour"] == pytest.approx(expected, rel=1e-4)


def test_in_first_steps_the_generator_learns_as_often_as_later() -> None:
    system = build(first_steps=3, critic_steps=2)
    players = [[*losses] for step in range(3) for losses in system.step(BATCH, at(step))]
    assert players == [["critic"], ["generator"], ["critic"], ["critic"], ["generator"]]
    assert len(list(system.step(BATCH, at(3)))) == 3


def test_noise_becomes_less_and_is_none_without() -> None:
    noisy, grey = build(critic_noise=(0.4, 0.0)), torch.zeros(4, 3, 64, 64)
    spreads = [float(noisy.noisy(grey, at(step)).std()) for step in (0, 50)]  # of 100
    assert np.allclose(spreads, [0.4, 0.2], atol=0.01)
    assert build(critic_noise=(0.0, 0.0)).noisy(grey, at()) is grey


def test_the_generator_is_judged_through_noise() -> None:
    plain, noisy = (build(critic_noise=noise, flip=False) for noise in ((0.0, 0.0), (0.5, 0.5)))
    clean, blurred = (updates(system) for system in (plain, noisy))
    assert clean[-1]["generator"]["fool"] != pytest.approx(blurred[-1]["generator"]["fool"], rel=1e-3)
    assert clean[0]["critic"]["real"] != pytest.approx(blurred[0]["critic"]["real"], rel=1e-3)


def test_rows_of_noise_are_those_of_the_whole_step() -> None:
    system, grey = build(critic_noise=(0.3, 0.3)), torch.zeros(4, 3, 8, 8)
    whole = system.noisy(grey, at())
    assert torch.equal(system.noisy(grey[2:], at(rows=slice(2, 4))), whole[2:])
    assert torch.equal(system.noisy(grey[1::2], at(), slice(1, None, 2)), whole[1::2])
