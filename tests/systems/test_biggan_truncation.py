"""Statistics for every truncation: rows by hand, float errors on the grid, and what noise belongs to them."""

from dataclasses import replace

import pytest
import torch

from kinema.core.errors import UsageError
from kinema.systems.biggan.config import Config, Request
from kinema.systems.biggan.system import BigGAN
from kinema.systems.biggan.truncation import at

SMALL = Config(
    size=32, width=4, noise=8, shared=4, classes=("a", "b"), attention=(), deep=True, truncations=51
)


def test_between_two_rows_the_nearer_one_counts_more() -> None:
    rows = torch.arange(51.0)[:, None].square()
    assert at(rows, 0.405).item() == pytest.approx(0.75 * 20**2 + 0.25 * 21**2)
    assert at(rows, 0.405, compat=True).item() == pytest.approx(0.25 * 20**2 + 0.75 * 21**2)
    assert at(rows, 0.999).item() == pytest.approx(0.05 * 49**2 + 0.95 * 50**2)


@pytest.mark.parametrize("compat", [True, False])
def test_every_truncation_on_the_grid_is_its_own_row(compat: bool) -> None:
    rows = torch.arange(51.0)[:, None]
    assert [at(rows, 0.02 * k, compat).item() for k in range(51)] == list(range(51))
    assert [at(rows, k / 50, compat).item() for k in range(51)] == list(range(51))
    assert at(rows, 1.0, compat).item() == 50


def test_requests_take_the_rows_and_leave_the_networks_as_they_were() -> None:
    system = BigGAN(SMALL)
    for name, buffer in system.generator.named_buffers():
        if name.endswith("means"):
            buffer.copy_(torch.linspace(0, 1, 51)[:, None].expand_as(buffer))
    norm = system.generator.output_layer[0]
    before = system.state_dict()
    with system.standing(0.3, Request()):
        torch.testing.assert_close(norm.running_mean, torch.full((16,), 0.3))
    assert norm.running_mean.eq(0).all()
    assert system.state_dict().keys() == before.keys()
    one, two = (system.run(Request(label=("a",), n=2, truncation=(t,))) for t in (0.2, 1.0))
    assert any((x.frames != y.frames).any() for x, y in zip(one, two, strict=True))


def test_noise_is_cut_at_two_and_then_made_smaller() -> None:
    system = BigGAN(SMALL)
    wide, narrow = (torch.stack([system.noise(seed, t) for seed in range(200)]) for t in (1.0, 0.25))
    assert 1.9 < wide.abs().max() <= 2
    assert torch.equal(narrow, 0.25 * wide)
    assert torch.stack([system.noise(seed, None) for seed in range(200)]).abs().max() > 2


def test_what_cannot_be() -> None:
    system = BigGAN(SMALL)
    with pytest.raises(UsageError, match=r"truncation from 0 to 1 \(the widest\), not 1\.5"):
        system.run(Request(truncation=(1.5,)))
    plain = BigGAN(Config(size=32, width=4, noise=8, classes=("a", "b"), attention=()))
    with pytest.raises(UsageError, match="compat is of weights with statistics for every truncation"):
        plain.run(Request(truncation=(0.5,), compat=True))
    with pytest.raises(UsageError, match=r"2 or more .* not 1 with norm=bn"):
        BigGAN(Config(size=32, classes=("a", "b"), attention=(), truncations=1))
    with pytest.raises(UsageError, match="not 51 with norm=gn"):
        BigGAN(Config(size=32, classes=("a", "b"), attention=(), truncations=51, norm="gn"))


def test_weights_with_rows_are_looked_at_up_to_one() -> None:
    assert BigGAN(SMALL).thresholds == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert BigGAN(replace(SMALL, truncations=0)).thresholds[-1] == 2
