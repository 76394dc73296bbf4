"""What is wrong with a folder of clips, said before anything long starts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kinema.core.errors import MediaError
from kinema.data.captions import meaning, words
from kinema.data.folder import MOST_BROKEN, no_captions
from kinema.data.layout import Entry, Layout, Problem, read_layout
from kinema.data.prepare import Seen, prepare
from kinema.data.sources import split_list
from kinema.data.timelapse import is_timelapse, short_videos, too_short
from kinema.media import probe

FEW_CLIPS = 200
LONG_CAPTION = 40


@dataclass
class CheckReport:
    """What `check` found; `ok` says whether training would start."""

    ok: bool
    clips: int
    """clips that can be used"""
    problems: list[Problem]
    """(file, reason) of everything that would be skipped"""
    captions: int
    """distinct sentences; 0 where the system needs none"""
    words: int
    """distinct words"""
    sizes: dict[str, int]
    """"width x height" -> number of clips"""
    lengths: dict[int, int]
    """frames -> number of clips"""
    advice: list[str] = field(default_factory=list)
    """what to do, most important first"""


def check(
    folder: str | Path,
    *,
    frames: int = 16,
    size: int = 48,
    channels: int = 1,
    captions: bool = True,
    frame_steps: tuple[int, ...] = (),
) -> CheckReport:
    """Decode every clip of a folder as training would, and report.

    Args:
        folder: holds the clips and their list; ":list.txt" may be appended as for `open_clips`.
        frames: frames that a clip must have.
        size: side of the frames that the network wants.
        channels: 1 or 3.
        captions: whether the system needs captions.
        frame_steps: as for `FolderClips`.

    Raises:
        DataError: the folder is missing, is a file, or holds no clips.
    """
    if is_timelapse(Path(folder)):
        return _check_timelapse(Path(folder), frames, captions)
    layout = read_layout(*split_list(Path(folder)))
    with ThreadPoolExecutor() as pool:
        results = list(
            pool.map(lambda e: prepare(e, frames, size, channels, frame_steps)[1:], layout.entries)
        )
    uncaptioned = captions and bool(layout.entries) and not layout.captioned()
    problems = list(layout.problems)
    good: list[Entry] = []
    for entry, (_, reason) in zip(layout.entries, results, strict=True):
        reason = reason or ("has no caption" if captions and not entry.captions and not uncaptioned else "")
        if reason:
            problems.append(Problem(entry.name, reason))
        else:
            good.append(entry)
    seen = [s for s, _ in results if s is not None]
    texts = {text for entry in good for text in entry.captions} if captions else set()
    total = len(layout.entries) + len(layout.problems)
    stops = (
        [no_captions(layout.folder)] if uncaptioned else list(_stops(layout, problems, total, good, captions))
    )
    return CheckReport(
        ok=not stops,
        clips=len(good),
        problems=problems,
        captions=len(texts),
        words=len({word for text in texts for word in words(text)}),
        sizes=dict(Counter(f"{s.width}x{s.height}" for s in seen).most_common()),
        lengths=dict(sorted(Counter(s.frames for s in seen).items())),
        advice=stops
        + list(_unnamed(layout))
        + list(_hints(seen, good, frames, size, frame_steps))
        + list(_on_words(good) if captions else ()),
    )


def _check_timelapse(folder: Path, frames: int, captions: bool) -> CheckReport:
    """What a Sky Time-lapse folder holds; only the first picture of each short video is looked at."""
    videos = short_videos(folder, "all")
    problems = too_short(videos, frames)
    sizes: Counter[str] = Counter()
    for name, pictures in videos.items():
        if len(pictures) >= frames:
            try:
                info = probe(pictures[0])
                sizes[f"{info.width}x{info.height}"] += 1
            except MediaError as error:
                problems.append(Problem(name, str(error)))
    clips = sum(len(pictures) // frames for pictures in videos.values())
    parts = {part: any(name.startswith(part) for name in videos) for part in ("sky_train", "sky_test")}
    advice = [
        f"{part} is missing or empty; it holds <long video>/<short video>/<pictures>."
        for part in parts
        if not parts[part]
    ]
    if not clips:
        advice.insert(0, f"No short video has {frames} frames: take longer ones or train with fewer frames.")
    if captions:
        advice.insert(0, "Time-lapses have no captions, and this system needs them.")
    lengths = dict(sorted(Counter(map(len, videos.values())).items()))
    return CheckReport(
        bool(clips) and parts["sky_train"] and not captions,
        clips,
        problems,
        0,
        0,
        dict(sizes.most_common()),
        lengths,
        advice,
    )


def _stops(
    layout: Layout, problems: list[Problem], total: int, good: list[Entry], captions: bool
) -> Iterator[str]:
    """Reasons why training would not start."""
    if len(problems) > MOST_BROKEN * total or not good:
        place = layout.source or "the folder"
        yield f"{len(problems)} of {total} clips cannot be used: mend them or take them out of {place}."
    elif captions and len({meaning(text) for entry in good for text in entry.captions}) < 2:
        yield "All captions say the same; at least two different ones are needed."


def _unnamed(layout: Layout) -> Iterator[str]:
    """Clips that training would not look at."""
    if layout.unnamed:
        some = ", ".join(layout.unnamed[:3]) + (", …" if len(layout.unnamed) > 3 else "")
        yield f"{len(layout.unnamed)} clips are not named in {layout.source} and will not be used ({some})."


def _hints(
    seen: Sequence[Seen], good: list[Entry], frames: int, size: int, frame_steps: tuple[int, ...]
) -> Iterator[str]:
    """What is allowed but worth knowing."""
    sizes = {(s.width, s.height) for s in seen}
    if len(sizes) > 1:
        yield f"Clips have {len(sizes)} sizes; the middle square of each becomes {size}x{size}."
    elif any(w != h for w, h in sizes):
        yield f"Clips are not square; the middle square is used, scaled to {size}x{size}."
    small = sum(min(s.width, s.height) < size for s in seen)
    if small:
        yield f"{small} clips are smaller than {size}x{size} and get enlarged; train at a smaller size."
    needed = (frames - 1) * min(frame_steps, default=1) + 1
    short = sum(s.frames < needed for s in seen)
    if short:
        fewer = "fewer frames, or with frame_steps=1" if needed > frames else "fewer frames"
        yield f"{short} clips have fewer than {needed} frames; take longer ones or train with {fewer}."
    if not frame_steps and any(s.frames > 4 * frames for s in seen):
        yield f"Some clips have over {4 * frames} frames; {frames} are taken evenly: cut for smooth motion."
    if 0 < len(good) < FEW_CLIPS:
        yield f"{len(good)} clips are few and will be learned by heart; {FEW_CLIPS} or more are better."
    if good and not any(e.split for e in good):
        yield 'No clip is marked "split": "train" or "val"; a tenth of them is kept for validation.'


def _on_words(good: list[Entry]) -> Iterator[str]:
    """What is allowed in captions but worth knowing."""
    count = Counter(word for e in good for text in e.captions for word in words(text))
    rare = sorted(word for word, n in count.items() if n == 1)
    if rare:
        shown = ", ".join(rare[:5])
        yield f"{len(rare)} words occur once ({shown}); a network cannot learn what one example shows."
    long = sum(len(words(text)) > LONG_CAPTION for e in good for text in e.captions)
    if long:
        yield f"{long} captions are longer than {LONG_CAPTION} words; short ones are learned better."
