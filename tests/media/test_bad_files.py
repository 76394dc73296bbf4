"""Files cut off, empty, mislabelled or made to hurt: one clear sentence, no memory spent, nothing run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kinema.core.errors import MediaError
from kinema.core.results import Image, Video
from kinema.media import Limits, probe, read_image, read_provenance, read_video, save, stream
from kinema.media.chunks import png_chunk

from .conftest import PROVENANCE, moving_square, write_clip

NAMES = ["a.mp4", "a.mov", "a.webm", "a.gif", "a.apng", "a.npz", "a.png", "a.jpg"]


def refused(path: Path, match: str, limits: Limits | None = None) -> None:
    """Every door says no, in one line that names the file."""
    for read in (read_video, probe, lambda p, limits=limits: list(stream(p, limits))):
        with pytest.raises(MediaError, match=match) as error:
            read(path, limits)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated(tmp_path: Path, name: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    data = save(Video(noise), tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(part * len(data))])
    with pytest.raises(MediaError, match=r"truncated|not a complete|broken"):
        read_video(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_empty_text_and_random_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    refused(path, "empty")
    path.write_text("this is not a film\n" * 50)
    refused(path, "nothing that kinema reads")
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    refused(path, "nothing that kinema reads")


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    secret = write_clip(tmp_path / "secret.mp4", moving_square(2))
    for k, text in enumerate((
        f"ffconcat version 1.0\nfile {secret}\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n{secret}",
    )):  # fmt: skip
        path = tmp_path / f"{k}.mp4"
        path.write_text(text)
        refused(path, "nothing that kinema reads")


def test_missing_loops_devices_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "none.mp4", "does not exist")
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    refused(loop, "cannot be opened")
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "not a regular file")
    refused(Path("/dev/zero"), "not a regular file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no pictures")
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops" / "1.png").symlink_to("1.png")
    with pytest.raises(MediaError, match=r"1\.png' cannot be opened"):
        read_video(tmp_path / "loops")
    with pytest.raises(MediaError):
        read_video(str(tmp_path / "nul\0byte.mp4"))


def test_folder_with_pictures_of_two_sizes_or_a_broken_one(tmp_path: Path) -> None:
    for k, size in enumerate(((8, 8), (8, 8), (9, 8))):
        Pillow.new("RGB", size).save(tmp_path / f"{k}.png")
    with pytest.raises(MediaError, match=r"2\.png' is 9x8"):
        read_video(tmp_path)
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    with pytest.raises(MediaError, match=r"2\.png' is truncated"):
        read_video(tmp_path)


def png_bomb(side: int) -> bytes:
    head = side.to_bytes(4) + side.to_bytes(4) + b"\x08\x02\0\0\0"
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", b"\x78\x9c" + bytes(64)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def gif_bomb(side: int) -> bytes:
    size = struct.pack("<HH", side, side)
    return b"GIF89a" + size + b"\0\0\0" + b"\x2c\0\0\0\0" + size + b"\0\x02\x02\x44\x01\0\x3b"


def npz_bomb(side: int) -> bytes:
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (4, side, side, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("frames.npy", header.getvalue() + bytes(100))
    return out.getvalue()


def test_gif_frame_that_leaves_its_canvas(tmp_path: Path) -> None:
    data = bytearray(save(Video(moving_square(3, 8, 8)), tmp_path / "a.gif").read_bytes())
    second = data.index(b"\x2c\0\0\0\0\x08\0\x08\0", data.index(b"\x2c\0\0\0\0\x08\0\x08\0") + 1)
    data[second + 1] = 200  # to the right of a canvas 8 pixels wide
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(MediaError, match="larger than the canvas"):
        read_video(tmp_path / "a.gif")


@pytest.mark.parametrize(("name", "make"), [("a.png", png_bomb), ("a.gif", gif_bomb), ("a.npz", npz_bomb)])
@pytest.mark.parametrize("side", [9_000, 60_000])
def test_bombs_cost_no_memory(tmp_path: Path, name: str, make: Callable[[int], bytes], side: int) -> None:
    path = tmp_path / name
    path.write_bytes(make(side))
    probe(save(Image(moving_square(1)[0]), tmp_path / "warm.png"))  # imports are not what is measured
    tracemalloc.start()
    refused(path, "limit is")
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    if name == "a.png":
        with pytest.raises(MediaError, match="limit is"):
            read_image(path)


def test_limits_of_every_kind(tmp_path: Path) -> None:
    clip = Video(moving_square(20), Fraction(10))
    for name in ("a.mp4", "a.webm", "a.gif", "a.apng", "a.npz", "folder"):
        path = save(clip, tmp_path / name)
        refused(path, r"Limits\.pixels", Limits(pixels=64 * 48 - 1))
        refused(path, r"Limits\.frames", Limits(frames=19))
        refused(path, r"Limits\.seconds", Limits(seconds=1.9))
        read_video(path, Limits(pixels=64 * 48, frames=20, seconds=2.0))
        if name != "folder":
            refused(path, r"Limits\.bytes", Limits(bytes=path.stat().st_size - 1))
        with pytest.raises(MediaError, match=r"when decoded.*kinema\.media\.stream"):
            read_video(path, Limits(bytes=150_000))


def test_decoder_itself_refuses_a_film_whose_header_lies(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4", np.zeros((2, 512, 512, 3), np.uint8)).read_bytes()
    assert data.count(struct.pack(">HH", 512, 512)) >= 1
    (tmp_path / "a.mp4").write_bytes(data.replace(struct.pack(">HH", 512, 512), struct.pack(">HH", 16, 16)))
    with pytest.raises(MediaError, match=r"broken|limit is"):
        read_video(tmp_path / "a.mp4", Limits(pixels=64 * 64))


class Payload:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.touched,)


def test_npz_with_pickled_objects_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "executed"
    payload = np.empty(1, object)
    payload[0] = Payload(touched)
    np.savez(tmp_path / "a.npz", frames=payload)
    refused(tmp_path / "a.npz", "Python objects")
    np.savez(tmp_path / "b.npz", frames=moving_square(2), provenance=payload, fps=payload)
    refused(tmp_path / "b.npz", "Python objects")
    with pytest.raises(MediaError, match="Python objects"):
        read_provenance(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(pickle.dumps(Payload(touched)))
    refused(tmp_path / "c.npz", "nothing that kinema reads")
    assert not touched.exists()


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"frames": np.zeros((2, 4, 4, 3), np.float32)}, "expected uint8"),
        ({"frames": np.zeros((2, 4, 4, 2), np.uint8)}, "expected uint8"),
        ({"frames": np.zeros((2, 4, 4, 3), np.uint8, order="F")}, "C order"),
        ({"frames": np.zeros((0, 4, 4, 3), np.uint8)}, "no frames"),
        ({"frames": np.zeros((4, 4), np.uint8)}, "expected uint8"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, "'frames'; it has x.npy, y.npy"),
    ],
)
def test_npz_that_is_no_clip(tmp_path: Path, arrays: dict[str, np.ndarray], match: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", match)


def test_film_without_pictures_and_picture_where_a_film_is(tmp_path: Path, clip: Video) -> None:
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        sound = out.add_stream("aac", rate=48_000)
        sound.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 48_000, 0
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    refused(tmp_path / "sound.mp4", "no video")
    with pytest.raises(MediaError, match="not a picture; expected png"):
        read_image(save(clip, tmp_path / "a.mp4"))


def test_no_provenance_is_said(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm", "a.gif", "a.apng", "a.npz", "a.png", "a.jpg", "folder"):
        path = save(Video(moving_square(3)), tmp_path / name)
        with pytest.raises(MediaError, match="carries no provenance"):
            read_provenance(path)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_a_media_error_or_a_picture(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = save(Video(moving_square(3, 16, 16), provenance=dict(PROVENANCE)), folder / name)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for read in (read_video, read_image, read_provenance, probe):
        try:
            read(path, Limits(pixels=10**6, frames=1000))
        except MediaError as error:
            assert "\n" not in str(error)  # noqa: PT017 - reading well is as good
