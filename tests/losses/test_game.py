"""The terms of a game against the formulas written out, and what is judged, penalised and drawn when."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kinema.core.errors import UsageError
from kinema.core.system import Progress
from kinema.losses.game import Game, check
from kinema.ops.augment import DRAWS, augment


@dataclass(frozen=True)
class Rules:
    loss: str = "log"
    r1: float = 0.0
    r1_every: int = 16
    gamma: tuple[float, float] = (2.0, 1.0)
    augment: tuple[str, ...] = ()
    augment_target: float | None = None


KINDS = ("colour", "translation", "cutout")
RULES = [
    Rules(),
    Rules("hinge", r1=0.5, r1_every=2),
    Rules("relativistic", r1=0.5, r1_every=2),
    Rules("r3gan"),
    Rules("r3gan", augment=KINDS),
    Rules("log", augment=KINDS),
]


def at(step: int, rows: slice = slice(0, 4)) -> Progress:
    return Progress(step, 100, 4, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


def critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 4, 4, 2, 1), nn.Tanh(), nn.Conv3d(4, 1, 4, 2, 1))


def clips(seed: int) -> Tensor:
    return torch.rand(4, 3, 4, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def generated() -> tuple[Tensor, Tensor]:
    """A weight of the generator, and clips that depend on it."""
    scale = torch.tensor(0.9, requires_grad=True)
    return scale, clips(2) * scale


def penalty(net: nn.Module, x: Tensor, changes: Any) -> float:
    """½ |∂D/∂x|² item by item, mean over items; D is the mean over places."""
    total = 0.0
    for i in range(len(x)):
        item = x[i : i + 1].detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(changes(item, i)).mean(), item)
        total += 0.5 * slope.square().sum().item()
    return total / len(x)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_terms_equal_the_formulas_in_turn_and_at_once(rules: Rules, generated: Any) -> None:
    net, real, (scale, fake), step = critic(), clips(1), generated, 30
    chance = at(step).rand(DRAWS)

    def changed(items: Tensor, i: int) -> Tensor:
        return augment(items, chance[i : i + 1], rules.augment)

    def judged(items: Tensor) -> Tensor:
        return net(torch.cat([changed(items[i : i + 1], i) for i in range(4)]))

    true, false = judged(real), judged(fake)
    wanted: dict[str, Any] = {
        "log": {"real": softplus(-true).mean(), "fake": softplus(false).mean()},
        "hinge": {"real": (1 - true).relu().mean(), "fake": (1 + false).relu().mean()},
        "relativistic": {"fake": softplus(false - true).mean()},
        "r3gan": {"pairs": softplus(false - true).mean()},
    }[rules.loss]
    fool = {"log": softplus(-false).mean(), "hinge": -false.mean()}.get(
        rules.loss, softplus(true - false).mean()
    )
    if rules.loss == "r3gan":
        gamma = 1 + (1 + torch.tensor(0.3 * torch.pi).cos().item()) / 2
        wanted |= {"r1": gamma * penalty(net, real, changed), "r2": gamma * penalty(net, fake, changed)}
    elif rules.r1:
        wanted["r1"] = 0.5 * 2 * penalty(net, real, changed)

    in_turn = Game(rules, at(step)).critic_terms(net, real, fake)
    at_once, fooled = Game(rules, at(step)).both(net, real, fake)
    alone = Game(rules, at(step)).generator_term(net, fake, real)
    for terms in (in_turn, at_once):
        assert {k: v.item() for k, v in terms.items()} == pytest.approx(
            {k: float(torch.as_tensor(v).detach()) for k, v in wanted.items()}, rel=1e-4
        )
    (slope,) = torch.autograd.grad(fool, scale, retain_graph=True)
    for term in (fooled, alone):
        assert term.item() == pytest.approx(fool.item(), rel=1e-5)
        assert torch.autograd.grad(term, scale, retain_graph=True)[0].item() == pytest.approx(
            slope.item(), rel=1e-4
        )
    for terms in (in_turn, at_once):
        gradients = torch.autograd.grad(sum(terms.values()), list(net.parameters()), retain_graph=True)
        assert all((g != 0).any() for g in gradients[:-1])


def test_the_generators_terms_leave_no_graph_to_the_real_judgement(generated: Any) -> None:
    """A critic that were moved by them would be moved by the real clips, too."""
    _, fake = generated
    for rules in (Rules("relativistic"), Rules("r3gan")):
        real = clips(1).requires_grad_()
        for term in (
            Game(rules, at(0)).generator_term(critic(), fake, real),
            Game(rules, at(0)).both(critic(), real, fake)[1],
        ):
            assert torch.autograd.grad(term, real, allow_unused=True, retain_graph=True) == (None,)


def test_penalties_come_in_their_turn_and_those_of_r3gan_always() -> None:
    net, real, fake = critic(), clips(1), clips(2)
    for rules, turns in ((Rules(r1=1.0, r1_every=3), [0, 3]), (Rules("r3gan"), [0, 1, 2, 3]), (Rules(), [])):
        found = [k for k in range(4) if "r1" in Game(rules, at(k)).critic_terms(net, real, fake)]
        assert found == turns
    once, thrice = (
        Game(Rules(r1=1.0, r1_every=n), at(0)).critic_terms(net, real, fake)["r1"].item() for n in (1, 3)
    )
    assert thrice == pytest.approx(3 * once)


@pytest.mark.parametrize("way", ["critic_terms", "both"])
def test_what_is_penalised_is_judged_without_autocast(way: str, generated: Any) -> None:
    net, seen = critic(), []

    def judge(items: Tensor) -> Tensor:
        seen.append((net(items).dtype, items.requires_grad))
        return net(items).float()

    half, full = torch.bfloat16, torch.float32
    for rules, wanted in (
        (Rules(), [half, half]),
        (Rules(r1=1.0), [full, half]),
        (Rules("r3gan"), [full, full, half][: 3 if way == "both" else 2]),
    ):
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            getattr(Game(rules, at(0)), way)(judge, clips(1), generated[1])
        assert [dtype for dtype, _ in seen] == wanted
        assert seen[0][1] == (wanted[0] == full)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_micro_batches_see_the_chance_of_the_whole_batch(rules: Rules, generated: Any) -> None:
    net, real, fake = critic(), clips(1), generated[1]

    def numbers(rows: slice) -> dict[str, float]:
        game = Game(rules, at(0, rows))
        terms = game.critic_terms(net, real[rows], fake[rows])
        terms["fool"] = game.generator_term(net, fake[rows], real[rows])
        both, fool = game.both(net, real[rows], fake[rows])
        return {
            k: v.item() for k, v in (terms | {f"both {k}": v for k, v in both.items()} | {"?": fool}).items()
        }

    whole, first, rest = numbers(slice(0, 4)), numbers(slice(0, 1)), numbers(slice(1, 4))
    assert whole == pytest.approx({k: first[k] / 4 + rest[k] * 3 / 4 for k in whole}, rel=1e-4)


def test_every_method_draws_its_changes_anew_and_none_without_augment() -> None:
    net, real, fake = critic(), clips(1), clips(2)
    progress = at(0)
    game = Game(Rules(augment=KINDS), progress)
    first, second = (game.critic_terms(net, real, fake)["real"].item() for _ in range(2))
    assert first != second
    progress, untouched = at(0), at(0)
    Game(Rules(), progress).both(net, real, fake)
    assert torch.equal(progress.rand(2), untouched.rand(2))


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (Rules(r1=-1.0), "r1 is a number from 0 on, but -1.0"),
        (Rules(r1=float("nan")), "r1 is a number"),
        (Rules(r1_every=0), "r1_every is at least 1, not 0"),
        (Rules(gamma=(1.0, -1.0)), r"gamma is two numbers from 0 on, but \(1.0, -1.0\)"),
        (Rules(augment=("color",)), "augment is some of colour, translation, cutout, not 'color'"),
        (Rules(augment=("cutout", "cutout")), "augment names a change once, not cutout, cutout"),
        (Rules("r3gan", r1=1.0), "penalties of its own, weighted by gamma: r1=0"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: Rules, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(rules)
