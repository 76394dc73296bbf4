"""The seventeen action units of a face: their order, what they mean, and texts that name them. Torch-free.

An action unit is a movement of facial muscles, numbered by the Facial Action Coding System (Ekman and
Friesen, 1978). The seventeen, and their order, are those whose intensity OpenFace 2 measures and GANimation
(Pumarola et al., "GANimation: anatomically-aware facial animation from a single image", arXiv:1807.09251) is
trained on. Their intensity is 0 to 1 here; OpenFace writes 0 to 5, which `openface` divides as it reads.
"""

from collections.abc import Sequence

from kinema.core.errors import UsageError, nearest

MEANING = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU45": "blink",
}
UNITS = tuple(MEANING)
EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "happy": ("AU06", "AU12", "AU25"),
    "sad": ("AU01", "AU04", "AU15"),
    "surprised": ("AU01", "AU02", "AU05", "AU26"),
    "afraid": ("AU01", "AU02", "AU04", "AU05", "AU07", "AU20", "AU26"),
    "angry": ("AU04", "AU05", "AU07", "AU23"),
    "disgusted": ("AU09", "AU15", "AU17"),
    "contemptuous": ("AU14",),
    "neutral": (),
}
"""expression -> units that it raises, one-sided ones on both sides"""


def said(units: Sequence[str] = (), expressions: Sequence[str] = ()) -> dict[str, float]:
    """The intensities that texts ask for: the larger one of two expressions, but what `units` say.

    Args:
        units: such as "AU12=0.9" or "AU12=0.9,AU26=0.3"; "AU12" is 1.
        expressions: such as "happy=0.8", "happy" (1), or "neutral", which names every unit as 0.

    Raises:
        UsageError: a name is unknown, or an intensity is no number from 0 to 1.

    Example:
        >>> said(["au25=0"], ["happy=0.8"])
        {'AU06': 0.8, 'AU12': 0.8, 'AU25': 0.0}
    """
    found: dict[str, float] = {}
    for name, intensity in _pairs(expressions):
        known = name.lower()
        if known not in EXPRESSIONS:
            raise UsageError(f"no expression is called '{name}'; {nearest(known, EXPRESSIONS)}.")
        if known == "neutral":
            found = dict.fromkeys(UNITS, 0.0) | found
        for unit in EXPRESSIONS[known]:
            found[unit] = max(intensity, found.get(unit, 0.0))
    for name, intensity in _pairs(units):
        found[unit_called(name)] = intensity
    return found


def unit_called(name: str) -> str:
    """The unit of a name in any spelling: "au1", "AU01", "01".

    Raises:
        UsageError: none of the seventeen has it.
    """
    digits = name.strip().upper().removeprefix("AU")
    known = f"AU{digits:0>2}"
    if known not in MEANING:
        raise UsageError(f"no action unit is called '{name}'; {nearest(known, UNITS)}.")
    return known


def _pairs(texts: Sequence[str]) -> list[tuple[str, float]]:
    """(name, intensity) of every part of every text."""
    found = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, value = part.partition("=")
        try:
            intensity = float(value) if equals else 1.0
        except ValueError:
            intensity = float("nan")
        if not 0 <= intensity <= 1:
            raise UsageError(f"'{part}': the intensity is a number from 0 to 1, as in {name or 'AU12'}=0.8.")
        found.append((name.strip(), intensity))
    return found
