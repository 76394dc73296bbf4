"""Imported weights give the reference's numbers, and the networks have the sizes of the published tables."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden import rule
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.systems.tgans_c import convert
from kinema.systems.tgans_c.config import Config
from kinema.systems.tgans_c.generators import VGAN
from kinema.systems.tgans_c.system import TGANsC

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "tgans-c.json").read_text())["nets"]
STORED = np.load(GOLDEN / "tgans-c.npz")
HEADS = {
    part: rule.weights(FACTS["heads"]["models"][part]) for part in ("frame_map", "frame", "motion", "video")
}
GENERATOR = rule.weights(FACTS["G"]["models"]["G"])


def imported(checkpoint: dict[str, object]) -> TGANsC:
    config, state = convert.read(checkpoint)
    system = TGANsC(config)
    _, unexpected = system.load_state_dict(state, strict=False)
    assert not unexpected
    return system


def agree(net: str, name: str, value: Tensor) -> None:
    about = FACTS[net]["outputs"][name]
    flat = value.detach().float().contiguous().reshape(-1)
    np.testing.assert_allclose(flat[:: about["stride"]], STORED[f"{net}/{name}"], rtol=0, atol=about["atol"])
    assert abs(flat.double().mean().item() - about["mean"]) < about["atol"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_generator_equals_the_reference(mode: str) -> None:
    generator = imported({"gen": GENERATOR}).generator.train(mode == "train")
    agree("G", f"{mode}.clip", generator(*rule.inputs(FACTS["G"])))
    if mode == "train":
        agree("G", "train.after.G.input_map.1.running_mean", generator.input_map[1].running_mean)
        agree("G", "train.after.G.seq.7.running_var", generator.seq[7].running_var)


def test_critics_equal_the_reference_in_eval_mode_with_frames_folded() -> None:
    system = imported(HEADS).eval()
    video, s = rule.inputs(FACTS["heads"])
    video = video if video.shape[1] == 3 else video.transpose(1, 2)
    seen = system.critics.features(video)
    logits = system.critics.logits(seen, s)
    agree("heads", "eval.frame_map", seen.frames.transpose(0, 1))
    agree("heads", "eval.frame_logits", logits["frame"].T)
    agree("heads", "eval.motion_logits", logits["motion"].T)
    agree("heads", "eval.video_logits_before_batch_mean", logits["video"])
    agree("heads", "eval.video_batch_mean", logits["video"].mean())


def test_critics_equal_the_reference_in_train_mode_frame_by_frame() -> None:
    system = imported(HEADS).train()
    video, s = rule.inputs(FACTS["heads"])
    critic = system.critics.frames
    maps = torch.stack([critic.maps(frame.unsqueeze(2)) for frame in video.unbind(2)])  # (T, B, 1, C, h, w)
    agree("heads", "train.frame_map", maps[:, :, 0])
    agree("heads", "train.frame_logits", torch.stack([critic.frame(m, s)[:, 0] for m in maps]))
    moved = maps[1:] - maps[:-1]
    agree("heads", "train.motion_logits", torch.stack([critic.motion(m, s)[:, 0] for m in moved]))
    head = system.critics.video
    agree("heads", "train.video_logits_before_batch_mean", head.head(head.maps(video), s))
    agree("heads", "train.after.frame_map.frame_map.4.running_mean", critic.frame_map[4].running_mean)
    agree("heads", "train.after.frame_map.frame_map.7.running_var", critic.frame_map[7].running_var)
    fresh = (
        imported(HEADS).train().critics.frames.frame
    )  # the reference maps the sentence once for all frames
    fresh.sent_map(s)
    agree("heads", "train.after.frame.sent_map.1.running_var", fresh.sent_map[1].running_var)
    agree("heads", "train.after.frame.predictor.1.running_mean", critic.frame.predictor[1].running_mean)
    agree("heads", "train.after.motion.motion_map.1.running_mean", critic.motion.mix[1].running_mean)
    agree("heads", "train.after.video.pred.1.running_var", head.head.predictor[1].running_var)


def test_import_and_export_are_each_others_reverse() -> None:
    theirs = {"generator": GENERATOR, **HEADS}
    config, ours = convert.read(HEADS)
    assert config.legacy_2x2
    back = convert.write(ours | convert.read({"generator": GENERATOR})[1])
    assert back.keys() == theirs.keys()
    for part, state in theirs.items():
        assert back[part].keys() == state.keys()
        assert all(torch.equal(back[part][key], state[key]) for key in state)


def test_generator_alone_may_be_a_bare_state_dict() -> None:
    config, _ = convert.read(GENERATOR)
    assert (config.width, config.size, config.frames, config.noise, config.channels) == (16, 48, 16, 100, 3)


def test_optimisers_and_foreign_text_encoders_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    optimiser = {"state": {}, "param_groups": [{"lr": 1e-4}]}
    whole = {"optG": optimiser, "optD": optimiser, "gen": GENERATOR, "cond": {"emb.weight": torch.zeros(3)}}
    assert convert.read(whole)[1].keys() == convert.read(GENERATOR)[1].keys()
    assert all(name in caplog.text for name in ("optG", "optD", "cond"))
    with pytest.raises(WeightsError, match="'again' is a second generator"):
        convert.read({"gen": GENERATOR, "again": GENERATOR})
    with pytest.raises(WeightsError, match="looks like TGANs-C"):
        convert.read({"seq.0.weight": torch.zeros(1, 8, 2, 6, 6), "seq.12.weight": 5})


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"a": {"nothing.weight": torch.zeros(1)}},
        {"seq.0.weight": torch.zeros(1, 8, 2, 6, 6), "x": torch.zeros(1)},
    ],
)
def test_foreign_keys_are_named(checkpoint: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.weight|seq\.12"):
        imported(checkpoint)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_networks_have_the_published_sizes() -> None:
    system = TGANsC(Config(words=tuple(str(i) for i in range(23)), legacy_2x2=True))
    assert count(system.generator) == 24_263_548
    assert count(system.critics.video) == 11_489_280
    assert count(system.critics.frames.frame_map) == 2_756_480
    assert count(system.critics.frames.frame) == count(system.critics.frames.motion) == 725_760
    assert count(system.text_encoder.embedding) == 6_912
    assert count(system.text_encoder.both_ways) == 1_052_672
    assert count(system.text_encoder.forward_only) == 788_480
    assert count(system.text_decoder.recurrent) == 526_336
    assert count(system.text_decoder.to_words) == 6_939
    rival = VGAN(Config(size=64, frames=32, sentence=0))
    assert count(rival.static) == 3_577_667
    assert count(rival) - count(rival.static) == 12_667_716
