"""Items are made some at a time, with the system in use and afterwards as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinema.nn.sampling import in_parts, in_use, to_uint8


def test_parts_together_are_the_whole() -> None:
    net, video = nn.Conv3d(2, 3, 1), torch.rand(7, 2, 2, 4, 4) * 2 - 1
    sizes, states = [], []

    def make(some: slice) -> Tensor:
        sizes.append(len(video[some]))
        states.append(net.training or torch.is_grad_enabled())
        return net(video[some])

    made = in_parts(net, make, 7, 3)
    assert made.shape == (7, 2, 4, 4, 3)
    assert sizes == [3, 3, 1]
    assert not any(states)
    assert np.array_equal(made, to_uint8(net(video).detach()))


@pytest.mark.parametrize("training", [True, False])
def test_a_system_is_afterwards_as_it_was_even_if_something_failed(training: bool) -> None:
    net = nn.Sequential(nn.BatchNorm1d(2)).train(training)

    def fail() -> None:
        with in_use(net):
            assert not net[0].training
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert net.training == net[0].training == training
    assert torch.is_grad_enabled()
