"""Moving average, learning rate, log and health, each by itself."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import Game, numbers, run

from kinema.core.results import Batch, Video
from kinema.core.system import Player
from kinema.engine.ema import Ema, decay
from kinema.engine.health import Health, spectra, spread
from kinema.engine.loader import Order, part
from kinema.engine.log import Log, clock
from kinema.engine.step import learning_rate
from kinema.nn.norm import spectral, spectral_layers


def test_the_average_follows_its_closed_form() -> None:
    net, half = nn.Linear(1, 1, bias=False), 64.0
    player = Player([net], 0.1, ema_halflife_images=half)
    with torch.no_grad():
        net.weight.fill_(1.0)
    ema = Ema(net, {"net": player})
    expected = 1.0
    for step in range(1, 400):
        value = float(step)
        with torch.no_grad():
            net.weight.fill_(value)
        ema.update(step * 8, 8)
        keep = 0.5 ** (8 / min(half, 0.05 * step * 8))
        expected = keep * expected + (1 - keep) * value
        assert ema.values["weight"].item() == pytest.approx(expected, rel=1e-5)
    with ema.applied():
        assert net.weight.item() == pytest.approx(expected, rel=1e-5)
    assert net.weight.item() == 399.0


@given(st.floats(1, 1e6), st.integers(1, 512))
def test_after_its_half_life_half_of_the_average_is_old(half: float, batch: int) -> None:
    assert decay(half, 10**9, batch) ** (half / batch) == pytest.approx(0.5)
    assert decay(half, 0, batch) == pytest.approx(0.0, abs=1e-12)


def test_the_run_averages_only_what_asks_for_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = Game()
    assert all(k.startswith("generator") for k in Ema(system, system.players()).values)


def test_learning_rate_stays_and_then_falls_to_zero() -> None:
    player = Player([], 0.4, decay_from=0.5)
    assert [learning_rate(player, s, 8) for s in (0, 4, 6, 8)] == pytest.approx([0.4, 0.4, 0.2, 0.0])
    assert learning_rate(Player([], 0.4), 7, 8) == 0.4


def test_the_run_uses_the_falling_learning_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    original = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), original(self))[1]
    )
    run(tmp_path / "run", type("Falling", (Game,), {"decay_from": 0.0}), steps=4)
    assert rates[2::3] == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])  # critic, critic, generator
    assert rates[0::3] == [1e-2] * 4


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 20))
def test_rows_of_all_processes_make_the_batch(items: int, batch: int, step: int) -> None:
    order = Order(items, batch, 0)
    cut = batch // 2
    whole = order.indices(step, slice(0, batch))
    assert order.indices(step, slice(0, cut)) + order.indices(step, slice(cut, batch)) == whole
    assert len(whole) == batch
    if batch <= items and (step * batch) // items == ((step + 1) * batch - 1) // items:
        assert len(set(whole)) == batch


def test_only_what_has_one_entry_per_item_is_cut() -> None:
    batch = {"video": torch.arange(4), "caption": list("abcd"), "scale": torch.tensor(2.0), "name": "abcd"}
    own = part(batch, 4, slice(1, 3))
    assert own["video"].tolist() == [1, 2]
    assert (own["caption"], own["name"], float(own["scale"])) == (["b", "c"], "abcd", 2.0)


def test_lines_hold_means_by_name(tmp_path: Path) -> None:
    out = io.StringIO()
    log = Log(tmp_path, 10, silent=False, out=out)
    log.add({"critic/hinge": 1.0})
    log.add({"critic/hinge": 2.0, "critic/gradient_norm": 5.0})
    log.line(2, 8, 0.5)
    log.add({"critic/hinge": 4.0})
    log.line(3, 8, 0.7)
    log.note(3, "look")
    (tmp_path / "metrics.jsonl").open("a").write('{"step": 4, "cri')
    first, second, note = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()[:3]]
    assert (first["step"], first["images"], first["critic/hinge"], first["critic/gradient_norm"]) == (
        2,
        16,
        1.5,
        5.0,
    )
    assert second["critic/hinge"] == 4.0
    assert note == {"step": 3, "note": "look"}
    assert "step 2/10" in out.getvalue()
    assert "critic/hinge 1.5" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    log.rewind(2)
    assert [json.loads(x)["step"] for x in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2]


def test_a_terminal_gets_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    log = Log(tmp_path, 10, silent=False, out=out)
    log.add({"critic/hinge": 1.25})
    log.line(2, 8, 0.5)
    log.say("a word [in brackets]")
    log.close()
    assert "step 2 of 10" in out.getvalue()
    assert "critic/hinge" in out.getvalue()
    assert "1.25" in out.getvalue()
    assert "a word [in brackets]" in out.getvalue()


def test_clock() -> None:
    assert [clock(0), clock(59.6), clock(3725)] == ["0:00:00", "0:01:00", "1:02:05"]


def players() -> dict[str, Player]:
    return {"critic": Player([], 1.0), "generator": Player([], 1.0)}


def test_a_saturated_critic_is_reported_once_until_it_recovers() -> None:
    health = Health(players())
    won = {"critic/hinge": 1e-5, "critic/r1": 3.0, "generator/hinge": 4.0}
    said = [health.losses(won) for _ in range(4)]
    assert [len(s) for s in said] == [0, 0, 1, 0]
    assert "critic is saturated: critic/hinge stays near zero" in said[2][0]
    assert not health.losses({**won, "critic/hinge": 1.0})
    assert [len(health.losses(won)) for _ in range(3)] == [0, 0, 1]
    assert not any(Health({"net": Player([], 1.0)}).losses({"net/loss": 0.0}) for _ in range(5))


def clips(spread: float) -> Batch:
    chance = np.random.default_rng(0)
    return Batch(
        [Video((128 + spread * chance.uniform(-1, 1, (3, 4, 4, 3))).astype(np.uint8)) for _ in range(5)]
    )


def test_a_worry_of_the_system_is_said_once_until_it_is_gone() -> None:
    health = Health({})
    assert health.worries({"mask": "all is kept", "eyes": "closed"}) == ["all is kept", "closed"]
    assert health.worries({"mask": "all is still kept"}) == []
    assert health.worries({}) == []
    assert health.worries({"mask": "again"}) == ["again"]


def test_collapse_is_seen_in_previews_that_are_all_alike() -> None:
    real = {"video": torch.rand(5, 1, 3, 4, 4) * 2 - 1}
    health = Health(players())
    for _ in range(4):
        assert not health.preview(clips(2), real)  # nothing was trained yet
    health.losses({f"{name}/term": 1.0 for name in players()})
    assert not health.preview(clips(2), real)  # untrained networks are all alike
    assert not health.preview(clips(100), real)
    assert "collapse" in health.preview(clips(2), real)[0]
    assert not health.preview(clips(2), real)
    few = Health(players())
    few.losses({f"{name}/term": 1.0 for name in players()})
    assert not any(few.preview(Batch(clips(0).items[:3]), real) for _ in range(4))


def test_classes_that_are_each_drawn_once_and_again_have_collapsed() -> None:
    chance = np.random.default_rng(0)
    classes = [chance.integers(0, 256, (1, 4, 4, 3), np.uint8) for _ in range(3)]
    items = [Video(frames) for frames in classes for _ in range(4)]
    labels = [str(k) for k in range(3) for _ in range(4)]
    assert spread(Batch(items, labels=labels)) == 0
    assert spread(Batch(items)) > 0.3


def test_spectra_are_those_of_the_weights_before_they_are_divided() -> None:
    system = nn.ModuleDict(
        {
            "critic": nn.Sequential(spectral(nn.Linear(6, 5)), nn.ReLU(), spectral(nn.Linear(5, 1))),
            "generator": nn.Linear(2, 2),
        }
    )
    found = spectra(system)
    assert found["spectra"].keys() == {"critic.0", "critic.2"}
    raw = [weight for _, weight in spectral_layers(system)]
    for values, weight in zip(found["spectra"].values(), raw, strict=True):
        assert values == pytest.approx(torch.linalg.svdvals(weight)[:3].tolist(), rel=0.05)
    first, second = found["spectra"].values()
    assert found["critic spectrum/σ0"] == max(first[0], second[0])
    assert found["critic spectrum/σ2"] == first[2]
    assert spectra(nn.Linear(2, 2)) == {}


def test_growing_singular_values_are_reported() -> None:
    net = nn.Linear(6, 5)
    health = Health(players())
    assert not health.weights({"critic": list(net.parameters())})
    with torch.no_grad():
        net.weight.mul_(5)
    assert not health.weights({"critic": list(net.parameters())})
    with torch.no_grad():
        net.weight.mul_(5)
    assert (
        "critic: a weight's largest singular value has grown 25-fold"
        in health.weights({"critic": list(net.parameters())})[0]
    )


def test_the_run_prints_its_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Won(Game):
        def step(self, batch: object, progress: object) -> object:
            for losses in super().step(batch, progress):  # type: ignore[arg-type]
                yield {p: {k: v * 1e-9 for k, v in terms.items()} for p, terms in losses.items()}

    system, _ = run(tmp_path / "run", Won, steps=4)
    assert "critic is saturated" in capsys.readouterr().err
    assert numbers(system)


def test_players_that_a_run_never_came_to_are_named() -> None:
    health = Health(players())
    first, *rest = players()
    health.losses({f"{first}/term": 1.0})
    (said,) = health.end()
    assert all(name in said for name in rest)
    assert first not in said.split(" was never")[0]
    health.losses({f"{name}/term": 1.0 for name in rest})
    assert not health.end()
