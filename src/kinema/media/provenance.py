"""The note that every written file carries: where it comes from, as JSON.

One text per file, `{"provenance": {...}, "fps": "30000/1001"}`, kept where the format has room for words: the
comment of mp4, mov and webm, a comment block of GIF, an iTXt chunk of PNG and APNG, the comment of JPEG, an
entry of npz, a file provenance.json of a folder. The rate is there because GIF and webm can only round it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MOST = 2**20
"""characters; a longer text is somebody else's"""


@dataclass(frozen=True)
class Note:
    """What a file says about itself."""

    provenance: dict[str, Any] | None = None
    fps: Fraction | None = None


def pack(provenance: Mapping[str, Any] | None, fps: Fraction | None = None) -> str:
    """The text to write; a provenance that says anything also says that the picture is synthetic."""
    note: dict[str, Any] = {}
    if provenance:
        note["provenance"] = {"synthetic": True, **provenance}
    if fps is not None:
        note["fps"] = str(fps)
    return json.dumps(note, default=str, ensure_ascii=True) if note else ""


def unpack(text: str | None) -> Note:
    """The note in a text; an empty note if the text is not ours."""
    if not text or len(text) > MOST or not text.lstrip().startswith("{"):
        return Note()
    try:
        note = json.loads(text)
        provenance = note.get("provenance")
        fps = Fraction(note["fps"]) if isinstance(note.get("fps"), str) else None
    except (ValueError, RecursionError, ZeroDivisionError):
        return Note()
    return Note(provenance if isinstance(provenance, dict) else None, fps if fps and fps > 0 else None)


def agreed_rate(measured: Fraction, stated: Fraction | None, frames: int) -> Fraction:
    """The stated rate if by it the clip lasts as long as by its times, to 1 % or GIF's 1/100 s."""
    if stated is None:
        return measured
    lasts = frames / measured
    return stated if abs(frames / stated - lasts) <= max(lasts, Fraction(1)) / 100 else measured


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of least denominator in [low, high] (Stern-Brocot descent)."""
    whole = -(-low.numerator // low.denominator)
    if whole <= high:
        return Fraction(whole)
    base = whole - 1
    return base + 1 / simplest(1 / (high - base), 1 / (low - base))
