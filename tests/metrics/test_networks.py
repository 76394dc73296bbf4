"""FVD and video FID with networks that a user brings: counts, names, protocols, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from kinema.core.errors import UsageError, WeightsError
from kinema.data import MovingDigits, MovingShapes
from kinema.metrics import fvd as protocols
from kinema.metrics import resnext
from kinema.metrics.foreign import Foreign, filled
from kinema.metrics.frechet import frechet_distance
from kinema.metrics.i3d import I3D, I3DExtractor, prepared, same

DATA = MovingShapes(24, size=16, split="val")


class Shown:
    """Generates the clips of a set."""

    name = "shown"

    def __init__(self, clips: MovingShapes) -> None:
        self.clips = clips

    def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
        return self.clips.pixels([seed % len(self.clips) for seed in seeds])


class Means(nn.Module):
    """400 numbers of a prepared video."""

    def forward(self, video: Tensor) -> Tensor:
        return video.mean((1, 3, 4)).repeat(1, 25)


class Flagged(nn.Module):
    """The same, that can prepare the video itself, as the file of StyleGAN-V can."""

    def forward(
        self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
    ) -> Tensor:
        if not return_features:
            return x.float().mean((2, 3, 4))
        x = x.float()
        if rescale:
            x = 2 * x / 255 - 1
        width = 1.0 if resize else float(x.shape[-1]) / 224
        return (width * x.mean((1, 3, 4)))[:, :16].repeat(1, 25)


class Wide(nn.Module):
    def forward(self, video: Tensor) -> Tensor:
        return torch.zeros(video.shape[0], 1024)


def scripted(module: nn.Module) -> Foreign:
    return Foreign("net.pt", "ab12", torch.jit.script(module))


def options(log: list[str]) -> dict:
    return {"n": 12, "seed": 0, "log": log.append}


def test_i3d_has_the_known_size_and_names() -> None:
    state = I3D().state_dict()
    assert sum(v.numel() for k, v in state.items() if k.endswith(("weight", "bias"))) == 12_697_264
    assert state["Mixed_4f.b2b.conv3d.weight"].shape == (128, 32, 3, 3, 3)
    assert state["Mixed_5c.b3b.bn.running_var"].shape == (128,)
    assert state["logits.conv3d.bias"].shape == (400,)


def test_same_padding_is_that_of_tensorflow() -> None:
    x = torch.ones(1, 1, 5, 6, 7)
    assert same(x, (3, 3, 3), (2, 2, 2)).shape[2:] == (5 + 2, 6 + 1, 7 + 2)
    odd = same(x, (1, 3, 1), (1, 2, 1))
    assert odd[0, 0, 0, :, 0].tolist() == [1, 1, 1, 1, 1, 1, 0]  # the odd one comes last


def test_i3d_reads_its_own_state_dict_from_several_gpus_without_counters() -> None:
    torch.manual_seed(1)
    net = I3D().eval()
    state = {f"module.{k}": v for k, v in net.state_dict().items() if "num_batches" not in k}
    extractor = I3DExtractor(Foreign("i3d.pth", "cd34", state))
    clips = DATA.pixels([0])
    features, logits = extractor.extract(clips)
    assert features.shape == (1, 400)
    assert features is logits
    with torch.inference_mode():
        video = prepared(torch.from_numpy(clips).permute(0, 4, 1, 2, 3))
        assert torch.allclose(net(video), torch.from_numpy(logits), atol=1e-5)
    assert (video.min(), video.max()) == (pytest.approx(-0.82, abs=0.1), pytest.approx(1))
    assert extractor.describe()["i3d"] == "cd34"
    assert extractor.describe()["read_as"] == "state dict"


def test_frames_are_resized_without_antialias_and_corners_apart() -> None:
    row = torch.arange(4).mul(60).to(torch.uint8)
    video = row.expand(1, 3, 16, 4, 4)
    line = (prepared(video)[0, 0, 0, 0] + 1) * 127.5
    places = ((torch.arange(224) + 0.5) / 56 - 0.5).clamp(0, 3) * 60
    assert torch.allclose(line, places, atol=1e-3)


def test_the_three_protocols_differ_in_what_they_say() -> None:
    said: list[str] = []
    file = scripted(Means())
    found = {
        name: getattr(protocols, name)(Shown(DATA), DATA, i3d=file, **options(said))
        for name in ("fvd", "fvd_cd", "fvd_stylegan_v")
    }
    first, cd, style = (found[name] for name in found)
    assert [row.name for row in first] == ["shown", "real, held out", "real, frozen"]
    assert [row.samples for row in first] == [12, 12, 12]
    assert any("2048" in line for line in said)
    for rows, ddof in ((first, 1), (cd, 0), (style, 0)):
        assert rows[0].protocol["ddof"] == ddof
        assert rows[0].protocol["i3d"] == "ab12"
        assert rows[0].protocol["clip_seed"] == 0
        assert "warning" in rows[0].protocol
    assert first[0].metrics["FVD"] == pytest.approx(0, abs=1e-9)  # it shows the reference itself
    assert list(style[1].metrics) == ["fvd12_16f", "fvd12_16f at infinity"]
    features = [I3DExtractor(file).extract(DATA.pixels(rows))[0] for rows in (range(12), range(12, 24))]
    assert first[1].metrics["FVD"] == pytest.approx(frechet_distance(*features))
    assert cd[1].metrics["FVD cd-fvd"] == pytest.approx(frechet_distance(*features, 0))
    assert first[2].metrics["FVD"] > first[1].metrics["FVD"]


def test_a_file_that_prepares_by_itself_is_told_what_to_do() -> None:
    clips, file = DATA.pixels(range(5)), scripted(Flagged())
    outside, inside = I3DExtractor(file), I3DExtractor(file, inside=True)
    assert "by the file itself" in inside.describe()["input"]
    assert "by the file itself" not in outside.describe()["input"]
    whole = inside.extract(clips)[0]
    assert np.allclose(whole, outside.extract(clips)[0], atol=1e-3)
    assert np.allclose(whole[:, :16], clips.mean((2, 3, 4)) / 127.5 - 1, atol=1e-5)
    assert not I3DExtractor(scripted(Means()), inside=True).inside


def test_windows_are_consecutive_random_and_thinned() -> None:
    clips = np.broadcast_to(np.arange(130, dtype=np.uint8)[None, :, None, None, None], (40, 130, 1, 1, 1))
    sixteen = protocols.window(clips, 16, 1, 0)[..., 0, 0, 0].astype(int)
    assert (np.diff(sixteen) == 1).all()
    assert len(np.unique(sixteen[:, 0])) > 10
    thin = protocols.window(clips, 128, 8, 0)[..., 0, 0, 0].astype(int)
    assert thin.shape == (40, 16)
    assert (np.diff(thin) == 8).all()
    assert set(thin[:, 0]) == {0, 1, 2}


def test_long_clips_get_the_protocols_of_128_frames() -> None:
    data = MovingShapes(8, size=8, frames=128, split="val")
    log: list[str] = []
    rows = protocols.fvd_stylegan_v(Shown(data), data, n=4, seed=0, log=log.append, i3d=scripted(Flagged()))
    names = [row.protocol["metric"] for row in rows[::3]]
    assert names == ["fvd4_16f", "fvd4_128f", "fvd4_128f_subsample8f"]


def test_what_is_no_i3d_is_named() -> None:
    clips = DATA.pixels(range(2))
    with pytest.raises(WeightsError, match="gives \\(2, 1024\\) where \\(2, 400\\)"):
        I3DExtractor(scripted(Wide())).extract(clips)
    with pytest.raises(WeightsError, match="does not take videos"):
        I3DExtractor(scripted(nn.Linear(3, 400))).extract(clips)
    with pytest.raises(WeightsError, match="lacks 'Conv3d_1a"):
        I3DExtractor(Foreign("a.pth", "", {"fc.weight": torch.zeros(1)}))
    state = I3D().state_dict() | {"logits.conv3d.bias": torch.zeros(157)}
    with pytest.raises(WeightsError, match=r"shape \(157,\) in place of \(400,\)"):
        I3DExtractor(Foreign("charades.pth", "", state))
    short = MovingDigits(8, size=16, frames=8, split="val")
    with pytest.raises(UsageError, match="16 frames or more"):
        I3DExtractor(scripted(Means())).extract(short.pixels([0]))


def test_resnext_has_the_size_of_the_papers_and_reads_its_checkpoint() -> None:
    net = resnext.ResNeXt101().eval()
    assert sum(p.numel() for p in net.parameters()) == 47_521_216
    state = {f"module.{k}": v for k, v in net.state_dict().items() if "num_batches" not in k}
    assert state["module.layer1.0.conv1.weight"].shape == (128, 64, 1, 1, 1)
    assert state["module.layer1.0.conv2.weight"].shape == (128, 4, 3, 3, 3)
    assert state["module.layer3.22.conv3.weight"].shape == (1024, 512, 1, 1, 1)
    assert state["module.layer4.0.downsample.0.weight"].shape == (2048, 1024, 1, 1, 1)
    head = {"module.fc.weight": torch.zeros(400, 2048), "module.fc.bias": torch.zeros(400)}
    checkpoint = {"arch": "resnext-101", "epoch": 1, "state_dict": state | head}
    extractor = resnext.ResNeXtExtractor(Foreign("resnext.pth", "ef56", checkpoint))
    clips = DATA.pixels([0])
    features, logits = extractor.extract(clips)
    assert (features.shape, logits) == ((1, 2048), None)
    with torch.inference_mode():
        assert torch.allclose(net(resnext.prepared(clips)), torch.from_numpy(features), atol=1e-5)
    assert extractor.describe()["resnext"] == "ef56"


def test_resnext_gets_sixteen_centre_frames_by_pillow_without_the_mean() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 21, 24, 24, 3), np.uint8)
    video = resnext.prepared(clips)
    assert video.shape == (2, 3, 16, 112, 112)
    frame = Image.fromarray(clips[1, 2 + 5]).resize((112, 112), Image.Resampling.BILINEAR)
    want = np.asarray(frame, np.float64) - (114.7748, 107.7354, 99.4750)
    assert np.allclose(video[1, :, 5].permute(1, 2, 0), want, atol=1e-4)


def test_video_fid_is_against_all_training_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, video: Tensor) -> Tensor:
            return self.scale * video.mean((3, 4)).flatten(1)

    monkeypatch.setattr(resnext, "ResNeXt101", Small)
    train, said = MovingShapes(70, size=16), []
    file = Foreign("r.pth", "77", {"state_dict": Small().state_dict()})
    rows = resnext.video_fid(
        Shown(DATA), DATA, n=30, seed=0, log=said.append, resnext=file, train=lambda: train
    )
    assert [row.name for row in rows] == ["shown", "real, held out", "real, frozen"]
    assert rows[0].protocol["reference_clips"] == 70
    assert rows[0].protocol["resnext"] == "77"
    assert [row.samples for row in rows] == [30, 24, 24]  # as many as asked for, and all there are
    extractor = resnext.ResNeXtExtractor(file)
    made = DATA.pixels([i % 24 for i in range(30)])
    features = [extractor.extract(clips)[0] for clips in (train.pixels(range(70)), made)]
    assert rows[0].metrics["video FID"] == pytest.approx(frechet_distance(*features), rel=1e-6)


def test_what_fills_no_network_is_named() -> None:
    with pytest.raises(WeightsError, match="TorchScript program; expected a state dict of a line"):
        filled(nn.Linear(1, 1), scripted(Wide()), "a line")
    with pytest.raises(WeightsError, match=r"has the unknown 'other' \(1 differences\)"):
        filled(nn.Linear(1, 1), Foreign("f", "", {**nn.Linear(1, 1).state_dict(), "other": 1}), "a line")
