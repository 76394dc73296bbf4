"""`kinema run NAME`: make something with a system. The flags are the fields of its `Request`."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.apps import options, say, weights
from kinema.apps.loading import Loaded, load, memory_in_words
from kinema.core.errors import MediaError, UsageError
from kinema.core.results import Batch, Image, Result
from kinema.systems import load_request

if TYPE_CHECKING:
    from kinema.core.system import Extent

EVERY_SECONDS = 5.0
"""between remarks on how far a long run is"""


@dataclass(frozen=True)
class Options:
    """Where weights come from and results go."""

    weights: str | None = None
    """bundled name, run folder or exported folder; default: the system's first bundled weights"""
    out: Path | None = None
    """file to write, its suffix chooses the format (mp4 webm gif apng png npz); without suffix a folder"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    precision: str = "auto"
    """auto (bf16 where the hardware has it), bf16 or fp32"""
    json: bool = False
    """print what was made as JSON"""


@dataclass(frozen=True)
class Captions:
    """For systems that read sentences."""

    captions: Path | None = None
    """text file with one caption a line, in place of or after --caption"""


def main(args: list[str]) -> int:
    """Parse, check, run, write."""
    if options.wants_help(args):
        print(
            "kinema run NAME [flags]: NAME is a system, bundled weights or a run folder;\n"
            "`kinema run NAME --help` shows its flags."
        )
        return 0
    name, rest = options.first_word(
        args, "the system or its weights", 'run tgans-c --caption "…" --out clip.mp4'
    )
    flags, request, lines = read_flags(name, rest)
    if flags.out:
        check_ending(flags.out)
        check_writable(flags.out)
    request = by_ending(request, flags.out)
    loaded = load(flags.weights or name, device=flags.device, precision=flags.precision)
    if flags.weights and loaded.name != system_of(name):
        raise UsageError(f"{flags.weights} holds weights of {loaded.name}, not of {system_of(name)}.")
    check_lines(loaded.system, lines)
    check_fits(flags.out, loaded.system.extent(request))
    started = time.perf_counter()
    result, out = make(loaded, request, flags.out)
    said = result.labels if loaded.system.answers and isinstance(result, Batch) else []
    report(result, out, time.perf_counter() - started, flags.json, said)
    return 0


def make(loaded: Loaded, request: Any, out: Path | None) -> tuple[Result, Path]:
    """Run and write; memory that is not there ends in a sentence, and a long run says how far it is."""
    import torch

    from kinema.engine.devices import bounded_memory

    with memory_in_words(), bounded_memory(torch.device(loaded.device)):
        with progress(loaded.system, loaded.system.extent(request).clips):
            result = loaded.run_request(request)
        return result, result.save(out or default_out(loaded.name, result))


@contextmanager
def progress(system: Any, clips: int) -> Iterator[None]:
    """Say every few seconds how many clips or frames have left the last of the networks that `run` needs."""
    networks = getattr(system, "serving", ())[-1:]
    made, told = 0, time.monotonic()

    def count(network: Any, given: tuple[Any, ...], _: Any) -> None:
        nonlocal made, told
        if any(module.training for module in network.modules()):
            return  # statistics are being taken; nothing of it is shown
        made += len(given[0])
        if time.monotonic() - told >= EVERY_SECONDS:
            told = time.monotonic()
            say.remark(f"{made} of {clips} clips made" if made <= clips else f"{made} frames made")

    hooks = [getattr(system, name).register_forward_hook(count) for name in networks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def system_of(name: str) -> str:
    """The system meant by a system's name, bundled weights or a folder."""
    from kinema.systems import SYSTEMS

    return name if name in SYSTEMS else str(weights.read_about(weights.find(name)[0])["system"])


def read_flags(name: str, args: list[str]) -> tuple[Options, Any, dict[str, str]]:
    """The general options and the request, from the flags after the name, and the lines of --captions."""
    kind = load_request(system_of(name))
    has_caption = "caption" in {field.name for field in dataclasses.fields(kind)}
    parts = {"options": (Options, None), "request": (kind, None)} | (
        {"texts": (Captions, None)} if has_caption else {}
    )
    flags = options.parse(options.together(f"Run {name}.", **parts), args, f"run {name}")
    request, lines = flags.request, {}
    if has_caption and flags.texts.captions:
        lines = read_captions(flags.texts.captions)
        request = dataclasses.replace(request, caption=(*request.caption, *lines.values()))
    if has_caption and not request.caption:
        raise UsageError('a caption is needed: --caption "…" (repeatable) or --captions FILE.')
    return flags.options, request, lines


def read_captions(path: Path) -> dict[str, str]:
    """Place in the file -> sentence, one a line; empty lines are left out."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the captions file {path} cannot be read: {error}") from None
    if not any(lines):
        raise UsageError(f"the captions file {path} has no sentence in it.")
    return {f"{path}, line {number}": line for number, line in enumerate(lines, 1) if line}


def check_lines(system: Any, lines: dict[str, str]) -> None:
    """Let the vocabulary of a system that has one read the file first, so that an error names its line."""
    for place, sentence in lines.items() if hasattr(system, "vocabulary") else ():
        try:
            system.vocabulary.check(sentence)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None


def by_ending(request: Any, out: Path | None) -> Any:
    """Where a request gives a picture or a clip, a file for clips decides for a clip."""
    from kinema.media.write import CLIPS

    frames = getattr(request, "clip_frames", None)
    clip = out is not None and out.suffix.lower() in filter(None, CLIPS)
    if frames is None or request.frames is not None or not clip:
        return request
    return dataclasses.replace(request, frames=frames)


def check_ending(out: Path) -> None:
    """Find out before the long work whether there is a format of this name, or a folder to be filled."""
    from kinema.media.place import check_replaceable
    from kinema.media.write import CLIPS, PICTURES

    if out.suffix.lower() not in (known := (*CLIPS, *PICTURES)):
        endings = " ".join(filter(None, known))
        raise UsageError(
            f"{out} ends in '{out.suffix}'; formats are {endings}, or a folder without an ending."
        )
    if not out.suffix and out.exists():
        check_replaceable(out)


def check_fits(out: Path | None, wanted: "Extent") -> None:
    """Find out before the long work whether one file holds so many clips of this shape."""
    if wanted.clips < 2:
        return  # one fits; that there are none, the system says itself
    from kinema.media import check_sheet

    check_sheet(out or Path("clips.mp4"), *wanted)


def check_writable(out: Path, folder: bool = False) -> None:
    """Find out before the long work whether `out` can be written."""
    place = out if folder else out.parent
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise MediaError(
            f"{out} cannot be written, because folder {place} is not writable ({error.strerror})."
        ) from None


def default_out(system: str, result: Result) -> Path:
    """A file in the current folder, named after the system."""
    return Path(f"{system}.png" if isinstance(result, Image) else f"{system}.mp4")


def report(result: Result, out: Path, seconds: float, as_json: bool, said: Sequence[str] = ()) -> None:
    """Say what was written, and what the system answered."""
    kind, clips = type(result).__name__.lower(), len(result) if isinstance(result, Batch) else 1
    facts = {"out": str(out), "kind": kind, "count": clips, "seconds": round(seconds, 3)}
    if said:
        facts["answers"] = list(said)
    still = all(len(clip.frames) == 1 for clip in result) if isinstance(result, Batch) else kind == "image"
    what = "picture" if still else "clip"
    text = f"{out}  ({clips} {what if clips == 1 else what + 's'}, {seconds:.1f} s)"
    say.result({**facts, "provenance": result.provenance}, "\n".join([*said, text]), as_json)
