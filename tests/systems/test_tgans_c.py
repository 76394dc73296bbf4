"""TGANs-C: its losses against slow references, its variants, its traps, and its answers to wrong requests."""

import math
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from kinema.core.errors import UsageError
from kinema.core.results import Batch, Video
from kinema.core.system import Progress
from kinema.data import open_clips, parse_caption
from kinema.engine import train
from kinema.metrics.digits import caption_fidelity, digit_judge
from kinema.ops.augment import DRAWS, augment
from kinema.systems.tgans_c.bench import BATCH, default_step, faithful_step
from kinema.systems.tgans_c.config import PRESETS, Config, Request
from kinema.systems.tgans_c.losses import (
    coherence,
    condition_share,
    contrast,
    critic_terms,
    generator_terms,
    sameness,
)
from kinema.systems.tgans_c.system import TGANsC
from kinema.systems.tgans_c.text import (
    UNK,
    TextDecoder,
    TextEncoder,
    Vocabulary,
    collect_words,
    reconstruction,
)

TINY = replace(PRESETS["tiny"]().config, contrast=0.0)
CAPTION = "digit 7 is moving left and right ."


@pytest.fixture(scope="module")
def data() -> Any:
    return open_clips("sbmg", frames=16, size=32, channels=1)


def build(data: Any, **changes: Any) -> TGANsC:
    torch.manual_seed(0)
    return TGANsC(TGANsC.adapt(replace(TINY, text_steps=0, **changes), data))


def at(step: int, rows: slice = slice(0, 8), batch: int = 8) -> Progress:
    return Progress(step, 100, batch, rows, torch.Generator().manual_seed(step), torch.device("cpu"))


# ---- losses ----


def logits(seed: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        h: torch.randn(5, n, generator=g, dtype=torch.float64)
        for h, n in (("video", 1), ("frame", 16), ("motion", 15))
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slow_mean(values: Tensor, of: Any) -> float:
    return sum(of(float(v)) for v in values.flatten()) / values.numel()


def test_critic_loss_is_the_papers() -> None:
    true, wrong, fake = logits(0), logits(1), logits(2)
    got = critic_terms("log", true, wrong, fake)
    for head in true:
        want = -slow_mean(true[head], lambda v: math.log(sigmoid(v)))
        want -= slow_mean(wrong[head], lambda v: math.log(1 - sigmoid(v)))
        want -= slow_mean(fake[head], lambda v: math.log(1 - sigmoid(v)))
        assert got[head].item() == pytest.approx(
            want / 3 / 3, abs=1e-12
        )  # a third of three pairs; three heads


def test_generator_loss_is_the_papers() -> None:
    fake = logits(3)
    got = generator_terms("log", fake, None)
    for head in fake:
        assert got[head].item() == pytest.approx(
            -slow_mean(fake[head], lambda v: math.log(sigmoid(v))) / 3, abs=1e-12
        )


def test_cc_weighs_its_heads_by_two_thirds_and_its_coherence_by_one(data: Any) -> None:
    """A third of [two heads' terms, and the temporal coherence constraint in place of the third]."""
    system, batch = (
        build(data, variant="cc", heads="concat", loss="log", diversity=0.0, contrast=0.0),
        data.batch(range(4)),
    )
    system.eval()
    s = system.sentences(batch["caption"])
    fake = system.generator(torch.randn(4, *system.generator.noise_shape), s).detach()
    got = system.generator_losses(batch, fake, s, at(0, slice(0, 4), 4))
    seen = system.critics.features(fake, 0)
    for head, value in system.critics.logits(seen, s).items():
        want = -slow_mean(value.detach().double(), lambda v: math.log(sigmoid(v))) / 3
        assert got[head].item() == pytest.approx(want, rel=1e-5)
    steps = [(b - a).square().sum((1, 2, 3)) for a, b in pairwise(seen.frames.unbind(1))]
    assert got["coherence"].item() == pytest.approx(torch.stack(steps).mean().item() / 3, rel=1e-5)
    for heads in (1, 2):
        some = dict(list(logits(3).items())[:heads])
        for head, term in generator_terms("log", some, None).items():
            want = -slow_mean(some[head], lambda v: math.log(sigmoid(v))) / heads
            assert term.item() == pytest.approx(want, abs=1e-12)


def test_hinge_and_relativistic_by_hand() -> None:
    true, wrong, fake = logits(0), logits(1), logits(2)
    hinge = critic_terms("hinge", true, wrong, fake)["frame"].item() * 3
    want = slow_mean(true["frame"], lambda v: max(0, 1 - v))
    want += sum(slow_mean(false["frame"], lambda v: max(0, 1 + v)) for false in (wrong, fake)) / 2
    assert hinge == pytest.approx(want / 2, abs=1e-12)
    pairs = torch.stack([fake["frame"] - true["frame"]])
    got = critic_terms("relativistic", true, None, fake)["frame"].item() * 3
    assert got == pytest.approx(-slow_mean(pairs, lambda v: math.log(sigmoid(-v))) / 2, abs=1e-12)
    fool = generator_terms("relativistic", fake, true)["frame"].item() * 3
    assert fool == pytest.approx(-slow_mean(pairs, lambda v: math.log(sigmoid(v))), abs=1e-12)


def test_smoothing_is_the_cross_entropy_to_the_smoothed_label() -> None:
    true, fake = logits(0), logits(2)
    plain, smooth = (
        critic_terms("log", true, None, fake),
        critic_terms("log", true, None, fake, smoothing=0.1),
    )
    want = -slow_mean(true["video"], lambda v: 0.9 * math.log(sigmoid(v)) + 0.1 * math.log(1 - sigmoid(v)))
    want += slow_mean(true["video"], lambda v: math.log(sigmoid(v)))
    assert (smooth["video"] - plain["video"]).item() * 6 == pytest.approx(want, abs=1e-12)


def test_coherence_is_the_mean_squared_step() -> None:
    maps = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64)
    slow = sum(float(((maps[b, i] - maps[b, i - 1]) ** 2).sum()) for b in range(2) for i in range(1, 4)) / (
        2 * 3
    )
    assert coherence(maps).item() == pytest.approx(slow, rel=1e-6)


def test_sameness_is_one_for_equal_clips_and_zero_for_clips_as_far_apart_as_real_ones() -> None:
    real, fake = torch.randn(3, 1, 2, 4, 4), torch.randn(3, 1, 2, 4, 4, requires_grad=True)
    assert sameness(fake, fake.detach(), real).item() == 1
    assert sameness(fake, real, real).item() == 0
    halfway = sameness(fake, (fake.detach() + real) / 2, real)
    assert halfway.item() == pytest.approx(0.5, abs=1e-6)
    (pull,) = torch.autograd.grad(halfway, fake)
    assert pull.abs().sum() > 0


def test_condition_share_is_zero_for_critics_that_ignore_the_caption() -> None:
    true = logits(0)
    assert condition_share(true, true).item() == 0
    assert condition_share(true, logits(1)).item() > 0.5


# ---- the step ----


@pytest.mark.parametrize("generator", ["canonical", "dcgan", "vgan", "frames", "layered"])
@pytest.mark.parametrize("variant", ["frame", "c1", "c2", "cc", "ca"])
def test_every_generator_with_every_variant_and_updates(data: Any, generator: str, variant: str) -> None:
    for updates in ("alternating", "simultaneous"):
        system = build(
            data, generator=generator, variant=variant, updates=updates, heads="concat", critic_norm="batch"
        )
        for losses in system.step(data.batch(range(4)), at(0, slice(0, 4), 4)):
            for player, terms in losses.items():
                heads = {
                    "frame": {"frame"},
                    "c1": {"video"},
                    "c2": {"video", "frame"},
                    "cc": {"video", "frame"},
                }
                wanted = heads.get(variant, {"video", "frame", "motion"})
                extra = {"coherence", "mask", "sameness", "caption_share"}
                assert terms.keys() - extra == wanted
                assert ("coherence" in terms) == (player == "generator" and variant == "cc")
                assert ("mask" in terms) == (player == "generator" and generator == "vgan")


def test_wrong_captions_reach_the_critic_only_through_the_caption(data: Any) -> None:
    system = build(data)
    batch = data.batch(range(4))
    critics, s = system.critics, system.sentences(batch["caption"])
    seen = critics.features(batch["video"])
    same = critics.logits(seen, s)
    again = critics.logits(seen, system.sentences(batch["caption"]))
    wrong = critics.logits(seen, system.sentences(batch["wrong"]))
    for head in same:
        assert torch.equal(same[head], again[head])
        assert not torch.allclose(same[head], wrong[head])
    names, parameters = zip(*critics.named_parameters(), strict=True)
    loss = wrong["video"].sum() - same["video"].sum()  # what does not see the caption cancels
    grads = dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))
    blind = grads["video.head.real.bias"]
    seeing = next(grad for name, grad in grads.items() if name.startswith("video.head.fits"))
    assert blind is None or blind.abs().max() < 1e-5
    assert seeing is not None
    assert seeing.abs().max() > 1e-4


def test_unconditional_system_ignores_captions(data: Any) -> None:
    system = build(data, conditional=False)
    clips = system.generate(["digit 1 is moving up and down .", CAPTION], [5, 5])
    assert np.abs(clips[0].astype(int) - clips[1]).max() <= 1  # rows of one product may round differently
    (losses,) = system.step(data.batch(range(4)), at(0, slice(0, 4), 4))
    assert "caption_share" not in losses["critic"]
    assert set(system.players()) == set(losses) == {"critic", "generator"}
    assert isinstance(system.run(Request(caption=("whatever is said",))), Video)


def test_a_batch_of_one_is_refused_with_a_sentence(data: Any) -> None:
    with pytest.raises(UsageError, match="batch and micro_batch are at least 2"):
        next(build(data).step(data.batch([0]), at(0, slice(0, 1), 1)))


def test_words_are_those_of_the_data() -> None:
    """What a caption of the training data says is known, whatever its punctuation."""
    said = ["A dog runs!", 'is it a "3-D" cat?', "(small) man's hat"]
    vocabulary = Vocabulary(collect_words(said))
    for caption in said:
        vocabulary.check(caption)
    assert UNK not in vocabulary.encode(said)[0]


def test_contrast_is_the_cross_entropy_over_rival_captions() -> None:
    g = torch.Generator().manual_seed(3)
    scores = {h: torch.randn(4, 4, generator=g, dtype=torch.float64) for h in ("video", "frame")}
    captions = ["a", "b", "a", "c"]  # clips 0 and 2 are no rivals of each other
    expected = 0.0
    for table in scores.values():
        for i, own in enumerate(captions):
            rivals = [j for j, other in enumerate(captions) if j == i or other != own]
            expected -= (table[i, i].exp() / sum(table[i, j].exp() for j in rivals)).log().item() / 8
    assert contrast(scores, captions).item() == pytest.approx(expected, abs=1e-12)
    assert contrast({"video": torch.randn(2, 2)}, ["a", "a"]).item() == 0  # nothing to confuse


def test_contrast_reads_what_the_logits_read(data: Any) -> None:
    """A sentence moves the score of a clip by exactly what it moves the mean logit."""
    critics, batch = build(data, contrast=1.0).critics, data.batch(range(3))
    s = torch.randn(2, 3, TINY.sentence)
    seen = critics.features(batch["video"])
    first, second = (critics.logits(seen, part) for part in s)
    for head, table in critics.matches(seen, s.flatten(0, 1)).items():
        moved = first[head].mean(1) - second[head].mean(1)
        torch.testing.assert_close(table[:, :3].diag() - table[:, 3:].diag(), moved, atol=1e-4, rtol=1e-4)


def test_contrast_reaches_critic_and_generator(data: Any) -> None:
    (losses,) = build(data, contrast=0.5).step(data.batch(range(8)), at(0))
    assert {"contrast"} <= set(losses["critic"]) & set(losses["generator"])
    (plain,) = build(data).step(data.batch(range(8)), at(0))
    assert "contrast" not in plain["critic"] | plain["generator"]
    for change in ({"heads": "concat"}, {"conditional": False}):
        with pytest.raises(UsageError, match="contrast needs projection heads and captions"):
            build(data, contrast=1.0, **change)


def test_penalty_comes_every_so_many_steps_with_its_weight(data: Any) -> None:
    system = build(data, r1=0.1, r1_every=4)
    terms = [next(system.step(data.batch(range(4)), at(k, slice(0, 4), 4)))["critic"] for k in (0, 1, 4)]
    assert ["r1" in t for t in terms] == [True, False, True]
    strong = build(data, r1=0.2, r1_every=4)
    other = next(strong.step(data.batch(range(4)), at(0, slice(0, 4), 4)))["critic"]
    assert other["r1"].item() == pytest.approx(2 * terms[0]["r1"].item(), rel=1e-4)


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_r3gan_pairs_every_false_clip_and_penalises_both_kinds(data: Any, updates: str) -> None:
    system = build(data, loss="r3gan", critic_norm="none", gamma=(2.0, 1.0), updates=updates, diversity=0.0)
    batch, step = data.batch(range(8)), 50  # half of the run: gamma is 1.5
    own = system.step(batch, at(step))
    critic = next(own)["critic"]
    with torch.no_grad():
        s = system.sentences(batch["caption"])
        wrong = system.sentences(batch["wrong"])
        fake = system.generator(at(step).randn(*system.generator.noise_shape), s)

    def logits_of(x: Tensor, sentence: Tensor) -> dict[str, Tensor]:
        return system.critics.logits(system.critics.features(x, step), sentence)

    true, rejected, false = logits_of(batch["video"], s), logits_of(batch["video"], wrong), logits_of(fake, s)
    for head in true:
        want = sum(softplus(other[head] - true[head]).mean() for other in (rejected, false)) / 2 / len(true)
        assert critic[head].item() == pytest.approx(want.item(), rel=1e-4)

    def slope(clips: Tensor, sentence: Tensor) -> float:
        total = 0.0
        for i in range(8):
            x = clips[i : i + 1].clone().requires_grad_()
            mean = torch.stack([v.mean() for v in logits_of(x, sentence[i : i + 1]).values()]).mean()
            total += torch.autograd.grad(mean, x)[0].square().sum().item()
        return total / 16

    real = batch["video"]
    assert critic["r1"].item() == pytest.approx(1.5 * slope(real, s), rel=1e-3)
    assert critic["r2"].item() == pytest.approx(1.5 * (slope(fake, s) + slope(real, wrong)) / 2, rel=1e-3)
    weights = list(system.critics.parameters())
    grads = torch.autograd.grad(critic["r2"], weights, allow_unused=True, retain_graph=True)
    assert any(g is not None and g.abs().sum() > 0 for g in grads)
    assert not any(math.isnan(v.item()) for losses in own for v in losses["generator"].values())


def test_critics_see_real_and_generated_clips_changed_alike(data: Any) -> None:
    kinds = ("translation", "cutout")
    system = build(data, augment=kinds, loss="hinge", critic_norm="none")
    batch, fake = data.batch(range(8)), data.batch(range(8, 16))["video"]
    s = system.sentences(batch["caption"])
    terms, _ = system.critic_losses(batch, fake, s, None, at(3))
    chance = at(3).rand(DRAWS)
    plain = build(data, loss="hinge", critic_norm="none")
    before = {**batch, "video": augment(batch["video"], chance, kinds)}
    wanted, _ = plain.critic_losses(before, augment(fake, chance, kinds), s, None, at(3))
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({k: v.item() for k, v in wanted.items()})
    adaptive = build(data, augment=kinds, augment_target=0.6, loss="hinge", critic_norm="none")
    untouched, (_, true, _) = adaptive.critic_losses(batch, fake, s, None, at(3))
    assert untouched["frame"].item() != pytest.approx(terms["frame"].item())
    signs = torch.stack([true[h].sign().mean() for h in true])
    assert untouched["sure"].item() == pytest.approx(signs.mean().item())
    assert untouched["strength"].item() == 0.0


def test_text_encoder_is_frozen_unless_finetuned(data: Any) -> None:
    for finetune in (False, True):
        system = build(data, finetune_text=finetune, updates="alternating")
        before = system.text_encoder.embedding.weight
        found = []
        for losses in system.step(data.batch(range(4)), at(0, slice(0, 4), 4)):
            if "generator" in losses:
                loss = sum(losses["generator"].values())
                grad = torch.autograd.grad(loss, before, allow_unused=True)[0] if finetune else None
                found.append(grad is not None and bool(grad.abs().sum() > 0))
        assert found == [finetune]
        owned = {id(p) for p in system.players()["generator"].parameters()}
        assert (id(before) in owned) is finetune


def test_legacy_heads_see_only_the_first_four_places(data: Any) -> None:
    system = build(data, size=48, heads="concat", critic_norm="none", legacy_2x2=True)
    maps = torch.randn(1, 2, 8 * TINY.width, 3, 3)
    other = maps.clone()
    other[..., 2, :] = 9.0
    s = torch.zeros(1, TINY.sentence)
    head = system.critics.frames.frame
    assert torch.equal(head(maps, s), head(other, s))


# ---- text ----


def test_both_paths_of_the_benchmark_compute_the_same(data: Any) -> None:
    faithful = {"generator": "canonical", "heads": "concat", "critic_norm": "batch", "loss": "log"}
    system = build(data, **faithful, diversity=0.0, updates="alternating", frame_stride=1).eval()
    batch = data.batch(range(BATCH))
    slow, fast = faithful_step(system, batch), default_step(system, batch, nullcontext)
    assert slow.keys() == fast.keys()
    for name, value in slow.items():
        assert value.item() == pytest.approx(fast[name].item(), abs=1e-5)


@pytest.mark.slow
def test_three_minutes_teach_direction(tmp_path: Path) -> None:
    preset = PRESETS["small"]()
    learnt, held_out = (open_clips("sbmg", frames=16, size=32, channels=1, split=s) for s in ("train", "val"))
    system = TGANsC(TGANsC.adapt(replace(preset.config, size=32, decay_from=None), learnt))
    settings = replace(preset.settings, steps=10**6, minutes=3, device="cpu")
    train(system, learnt, settings, tmp_path, write_config={"system": "tgans-c"})
    captions = held_out.batch(range(200))["caption"]
    labels = np.array([parse_caption(c) for c in captions])
    scores = caption_fidelity(system.generate(captions, range(200)), labels, digit_judge(32))
    assert scores["direction"] > 0.8  # chance is a half


def test_padding_does_not_change_a_sentence() -> None:
    vocabulary = Vocabulary(collect_words([CAPTION, "digit 1 ."]))
    encoder = TextEncoder(len(vocabulary), 16).eval()
    alone = encoder(*vocabulary.encode(["digit 1 ."]))
    padded = encoder(*vocabulary.encode(["digit 1 .", CAPTION]))[:1]
    torch.testing.assert_close(alone, padded)


def test_auto_encoder_learns_to_say_a_sentence_again(data: Any) -> None:
    vocabulary = Vocabulary(data.vocabulary)
    encoder, decoder = TextEncoder(len(vocabulary), 32), TextDecoder(len(vocabulary), 32)
    words, lengths = vocabulary.encode(data.captions[:4])
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    for _ in range(240):
        loss = reconstruction(encoder, decoder, words, lengths)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


# ---- use ----


def test_run_gives_one_clip_or_a_batch(data: Any) -> None:
    system = build(data)
    one = system.run(Request((CAPTION,), seed=3))
    assert isinstance(one, Video)
    assert one.frames.shape == (16, 32, 32, 3)
    many = system.run(Request((CAPTION, "digit 1 is moving up and down ."), n=2, seed=3))
    assert isinstance(many, Batch)
    assert len(many) == 4
    assert np.array_equal(many[0].frames, one.frames)
    assert not np.array_equal(many[0].frames, many[1].frames)
    assert not np.array_equal(many[0].frames, system.run(Request((CAPTION,), seed=4)).frames)


def test_a_clip_does_not_depend_on_its_company(data: Any) -> None:
    system = build(data)
    captions = [data.captions[i % 20] for i in range(20)]
    together = system.generate(captions, list(range(20)), batch=7)
    alone = np.concatenate([system.generate([c], [i]) for i, c in enumerate(captions)])
    assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(()), "no caption was given"),
        (Request(("",)), "caption is empty"),
        (Request(("digit seven is moving up and down .",)), "'seven'; (nearest|known): "),
        (Request(("digit " * 100,)), "100 words"),
        (Request((CAPTION,), frames=32), "frames 16, not 32"),
        (Request((CAPTION,), size=64), "size 32, not 64"),
        (Request((CAPTION,), n=0), "at least 1"),
        (Request((CAPTION,), seed=10**22), "seed is a number"),
        (Request((CAPTION,), seed=-1), "seed is a number"),
    ],
)
def test_wrong_requests_get_one_clear_sentence(data: Any, request_: Request, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(data).run(request_)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"size": 40}, "multiples of 16"),
        ({"frames": 0}, "multiples of 16"),
        ({"width": 0}, "width is at least 1"),
        ({"frame_stride": 0}, "frame_stride is at least 1"),
        ({"frame_stride": 16}, "fewer than two of 16 frames"),
        ({"r1_every": 0}, "r1_every is at least 1"),
        ({"lr": -1.0}, "lr is a number from 0 on"),
        ({"lr": math.nan}, "lr is a number from 0 on"),
        ({"betas": (2.0, 3.0)}, "betas are two numbers from 0 to below 1"),
        ({"decay_from": -1.0}, "decay_from is a fraction of the run"),
        ({"ema_halflife_images": -5.0}, "ema_halflife_images is more than 0"),
        ({"smoothing": 3.0, "loss": "log"}, "smoothing is a number from 0 to below 1"),
        ({"text_steps": -3}, "text_steps is a number from 0 on"),
        ({"smoothing": 0.1, "loss": "hinge"}, "belongs to the log loss"),
        ({"channels": 0}, "1 or 3 channels, not 0"),
        ({"legacy_2x2": True, "size": 16}, "legacy_2x2 belongs to"),
        ({"layers": 2}, "layers=2 belongs to generator=layered"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TGANsC(replace(Config(), **setting))
