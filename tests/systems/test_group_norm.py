"""The room of group normalization: its counts, its update, its use, norms exchanged on the command line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kinema
from kinema.apps.cli import main
from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Image
from kinema.core.system import Progress
from kinema.data import open_pictures
from kinema.metrics.classification import classification
from kinema.nn.convert_norm import NORMS, convert_norm
from kinema.nn.resnet import ResNet
from kinema.systems import load_class, load_presets
from kinema.systems.group_norm.bench import folded
from kinema.systems.group_norm.config import PRESETS, Config, Request
from kinema.systems.group_norm.system import GroupNorm, moved

DIGITS = tuple("0123456789")
TINY = replace(PRESETS["tiny"]().config, classes=DIGITS)


def progress(items: int = 8) -> Progress:
    return Progress(0, 100, items, slice(0, items), torch.Generator().manual_seed(0), torch.device("cpu"))


@pytest.mark.parametrize("norm", ["gn", "bn"])
def test_the_paper_s_network_has_the_published_number_of_parameters(norm: str) -> None:
    with torch.device("meta"):
        system = GroupNorm(Config(classes=tuple(map(str, range(1000))), norm=norm))
    assert sum(p.numel() for p in system.parameters()) == 25_557_032
    groups = {m.num_groups for m in system.modules() if isinstance(m, torch.nn.GroupNorm)}
    assert groups == ({32} if norm == "gn" else set())


def test_scales_of_last_norms_begin_at_zero_if_asked_for() -> None:
    for zero in (True, False):
        block = GroupNorm(replace(TINY, gamma_zero=zero)).classifier.layer1[0]
        assert block.bn2.weight.unique().tolist() == [0.0 if zero else 1.0]
        assert block.bn1.weight.unique().tolist() == [1.0]
    GroupNorm(replace(TINY, norm="none"))  # which has no scales


@pytest.mark.parametrize("norms", [True, False])
def test_the_decay_is_half_the_squares_of_what_it_counts(norms: bool) -> None:
    system = GroupNorm(replace(TINY, weight_decay=0.2, decay_norms=norms, shift=0.0))
    batch = open_pictures("digits", size=32, channels=1).batch(range(8))
    terms = next(system.step(batch, progress()))["classifier"]
    weights = [p for n, p in system.named_parameters() if norms or not ("bn" in n or "downsample.1" in n)]
    assert (len(weights) == len(list(system.parameters()))) == norms
    assert float(terms["decay"].detach()) == pytest.approx(
        0.1 * sum(float(p.detach().square().sum()) for p in weights)
    )
    wanted = F.cross_entropy(system.classifier(batch["image"]), batch["label"])
    torch.testing.assert_close(terms["cross_entropy"], wanted)


def test_pictures_are_moved_as_a_slow_reference_moves_them() -> None:
    x, chance = torch.randn(6, 3, 8, 8), torch.rand(6, 3)
    made = moved(x, chance, 0.25, mirror=True)
    for picture, found, (down, right, flip) in zip(x, made, chance.tolist(), strict=True):
        dy, dx = int(down * 5) - 2, int(right * 5) - 2
        for r in range(8):
            for c in range(8):
                column = min(max(c + dx, 0), 7)
                column = 7 - column if flip < 0.5 else column
                assert torch.equal(found[:, r, c], picture[:, min(max(r + dy, 0), 7), column])
    assert torch.equal(moved(x, chance, 0.0, mirror=False), x)


def test_a_picture_gets_its_class_alone_and_among_others(tmp_path: Path) -> None:
    system = GroupNorm(TINY)
    shown = open_pictures("digits", size=28, channels=1, split="val").pixels([3, 700])[:, 0]
    files = [str(Image(np.repeat(x, 3, 2)).save(tmp_path / f"{i}.png")) for i, x in enumerate(shown)]
    both, alone = system.run(Request(tuple(files))), system.run(Request((files[1],)))
    assert both.labels[1] == alone.labels[0]
    assert both.labels[0].split()[0] in DIGITS
    assert both[1].frames.shape == (1, 32, 32, 3)
    with pytest.raises(UsageError, match="no picture was given"):
        system.run(Request())
    with pytest.raises(MediaError, match=r"nothing\.png"):
        system.run(Request((str(tmp_path / "nothing.png"),)))


def test_rows_are_the_system_untrained_and_chance() -> None:
    data = open_pictures("digits", size=32, channels=1, split="val")
    rows = classification(GroupNorm(TINY), data, n=50, seed=0, log=print)
    assert [row.name for row in rows] == ["group-norm", "untrained", "chance"]
    assert rows[2].metrics == {"error": 0.9, "cross-entropy": pytest.approx(np.log(10))}
    assert rows[0].samples == 50
    with pytest.raises(UsageError, match="the classifier's are others"):
        classification(GroupNorm(replace(TINY, classes=("a", "b"))), data, n=5, seed=0, log=print)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("a",)}, "two classes or more"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"depth": 50, "size": 16}, "pictures of 32 pixels or more"),
        ({"depth": 9}, "depth is one of 8, 14, 20, 32, 50 layers"),
        ({"shift": 0.7}, "shift is a share"),
        ({"norm": "gm"}, "no norm is called 'gm'"),
    ],
)
def test_what_cannot_be_built_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        GroupNorm(replace(TINY, **changes))


def test_norms_are_exchanged_and_answers_printed_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--set", "norm=bn", "--set", "depth=14"]
    assert main(["train", "group-norm", "--preset", "tiny", *small, "--out", "bn"]) == 0
    capsys.readouterr()
    command = ["convert-norm", "bn", "--to", "gn:groups=2", "--out", "gn"]
    assert main([*command, "--calibrate", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {layer["now"] for layer in facts["layers"]} == {"GroupNorm"}
    assert all(layer["calibrated"] for layer in facts["layers"])
    assert kinema.load("gn").system.config.norm == "gn:groups=2"
    assert main(command) == 1
    assert "gn is not empty" in capsys.readouterr().err
    more = ["--set", "depth=14", "--set", "init_from=gn", "--set", "steps=1"]
    assert main(["train", "group-norm", "--preset", "tiny", *more, "--out", "tuned"]) == 0
    Image(np.zeros((40, 40, 3), np.uint8)).save("black.png")
    capsys.readouterr()
    assert main(["run", "group-norm", "--weights", "gn", "--image", "black.png", "--out", "seen.png"]) == 0
    assert capsys.readouterr().out.partition(" (")[0] in DIGITS
    assert main(["convert-norm", "g3an", "--to", "gn", "--out", "no"]) == 2
    assert "no setting `norm`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["group-norm", "biggan"])
def test_group_norm_is_exported_as_operators_that_every_runtime_has(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from kinema.apps.onnx import compare, session, write_onnx

    config = replace(load_presets(name)["tiny"]().config, classes=DIGITS, norm="gn:groups=2")
    module, examples, inputs, outputs = load_class(name)(config).eval().export_module()
    assert any(isinstance(m, torch.nn.GroupNorm) for m in module.modules())
    write_onnx(module, examples, inputs, outputs, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert [(use.domain, use.version <= 18) for use in model.opset_import] == [("", True)]
    operators = {node.op_type for node in model.graph.node}
    assert "GroupNormalization" not in operators
    assert "InstanceNormalization" in operators
    assert not model.functions
    assert compare(module, examples, inputs, session(tmp_path)) < 1e-4


def test_folding_batch_norm_leaves_no_norm_and_the_same_answers() -> None:
    net = ResNet(20, 10, "bn", gamma_zero=False)
    x = torch.randn(4, 3, 16, 16)
    net(x)
    made = folded(net.eval())
    assert not any(isinstance(m, NORMS) for m in made.modules())
    torch.testing.assert_close(made(x), net(x), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_calibration_recovers_what_a_raw_swap_loses(tmp_path: Path) -> None:
    def error(of: str) -> float:
        assert main(["evaluate", of, "--out", f"{of}.json"]) == 0
        return float(json.loads(Path(f"{of}.json").read_text())["rows"][0]["metrics"]["error"])

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        small = ["train", "group-norm", "--preset", "small"]
        assert main([*small, "--set", "norm=bn", "--set", "steps=800", "--out", "bn"]) == 0
        for name, count in (("raw", "0"), ("calibrated", "8")):
            command = ["convert-norm", "bn", "--to", "gn:groups=8", "--out", name, "--calibrate", count]
            assert main(command) == 0
        tune = ["init_from=calibrated", "lr=0.02", "decay_from=0", "steps=281"]
        assert main([*small, *(word for t in tune for word in ("--set", t)), "--out", "tuned"]) == 0
        bn, raw, calibrated, tuned = (error(name) for name in ("bn", "raw", "calibrated", "tuned"))
    assert raw - calibrated >= 0.5 * (raw - bn)
    assert tuned <= bn + 0.01


def test_generators_change_their_norms_too() -> None:
    config = replace(load_presets("sagan")["tiny"]().config, classes=("a", "b"))
    system = load_class("sagan")(config).eval()
    shown = [system.codes(range(4), ["a", "b", "a", "b"], None)]
    report = convert_norm(system.generator, "gn:groups=2", calibrate=shown)
    assert [c.layer for c in report if c.calibrated] == ["output_layer.0"]  # others' scales are a class's
    assert len(report) > 1
    wanted = load_class("sagan")(replace(config, norm="gn:groups=2"))
    wanted.load_state_dict(system.state_dict())
