"""Weights of the public re-implementation (miguelmartin75/txt2vid), both ways.

The paper's authors released none. That code keeps five networks: generator, video critic, frame map, frame
head, motion head. A checkpoint is a dict of their state dicts under any names, or one state dict alone; each
part is known by its keys. What else a checkpoint holds (optimisers, a text encoder of another kind) is left
out and named, so imported weights need a text encoder trained beside them before they can read a caption.
"""

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.tgans_c.config import Config

State = dict[str, Tensor]
log = logging.getLogger("kinema")

# part -> (a key that only this part has, our prefix, (their name, our name) pairs)
PARTS: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "generator": ("seq.0.weight", "generator.", (("", ""),)),
    "video": ("x_map.0.weight", "critics.video.", (
        ("cond_map.", "head.sent_map."), ("pred.", "head.predictor."), ("x_map.", "x_map."),
    )),
    "motion": ("motion_map.0.weight", "critics.frames.motion.", (
        ("motion_map.", "mix."), ("sent_map.", "sent_map."), ("predictor.", "predictor."),
    )),
    "frame": ("predictor.0.weight", "critics.frames.frame.", (
        ("frame_map.", "mix."), ("sent_map.", "sent_map."), ("predictor.", "predictor."),
    )),
    "frame_map": ("frame_map.9.weight", "critics.frames.", (("frame_map.", "frame_map."),)),
}  # fmt: skip


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint -> our configuration and state dict (of the parts that it holds).

    Raises:
        WeightsError: nothing in it is a part of this layout, a part is there twice, or has an unknown key.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    named = (
        {k: v for k, v in checkpoint.items() if isinstance(v, Mapping)} if nested else {"file": checkpoint}
    )
    found: dict[str, Mapping[str, Tensor]] = {}
    left_out: list[str] = []
    for name, state in named.items():
        part = next((p for p, (sign, _, _) in PARTS.items() if sign in state), None)
        if part in found:
            raise WeightsError(f"'{name}' is a second {part}, and a TGANs-C checkpoint has one.")
        if part is None:
            left_out.append(f"'{name}' (its keys: {list(state)[:4]} …)")
        else:
            found[part] = state
    if not found:
        raise WeightsError(f"this is not a TGANs-C checkpoint; it holds {', '.join(left_out)}.")
    if left_out:
        log.warning("left out, being no part of TGANs-C: %s", ", ".join(left_out))
    ours: State = {}
    for part, state in found.items():
        _, prefix, pairs = PARTS[part]
        for key, value in state.items():
            theirs, mine = next(((t, m) for t, m in pairs if key.startswith(t)), (None, ""))
            if theirs is None:
                raise WeightsError(f"the {part} part has a key '{key}' that this layout does not know.")
            flat = part == "video" and key in ("pred.0.weight", "pred.3.weight")
            ours[prefix + mine + key[len(theirs) :]] = value.squeeze(2) if flat else value
    try:
        return _config(found, ours), ours
    except (KeyError, IndexError, AttributeError) as error:
        raise WeightsError(
            f"the checkpoint looks like TGANs-C, but {error} is missing or has another shape."
        ) from None


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> their parts by name; the reverse of `read`. The text networks have no place there.

    Raises:
        WeightsError: a network has layers that theirs lack.
    """
    out: dict[str, State] = {}
    for part, (_, prefix, pairs) in PARTS.items():
        other = [p for _, p, _ in PARTS.values() if p.startswith(prefix) and p != prefix]
        for key, value in state.items():
            if not key.startswith(prefix) or any(key.startswith(p) for p in other):
                continue
            rest = key[len(prefix) :]
            theirs, mine = next(((t, m) for t, m in pairs if rest.startswith(m)), (None, ""))
            if theirs is None:
                raise WeightsError(f"their {part} part has no '{rest}'.")
            name = theirs + key[len(prefix + mine) :]
            flat = part == "video" and name in ("pred.0.weight", "pred.3.weight")
            out.setdefault(part, {})[name] = value.unsqueeze(2) if flat else value
    return out


def _config(found: Mapping[str, Any], ours: State) -> Config:
    """Sizes from the shapes of the weights."""
    values: dict[str, Any] = {"variant": "ca" if "motion" in found else "c2" if "frame" in found else "c1"}
    if "generator" in found:
        first, last = ours["generator.seq.0.weight"], ours["generator.seq.12.weight"]
        values |= {"width": first.shape[1] // 8, "frames": 8 * first.shape[2], "size": 8 * first.shape[3]}
        values |= {"channels": last.shape[1], "sentence": 256, "noise": first.shape[0] - 256}
    if "video" in found:
        first, last = ours["critics.video.x_map.0.weight"], ours["critics.video.head.predictor.3.weight"]
        values |= {"channels": first.shape[1], "size": 16 * last.shape[2]} | {
            "width": values.get("width", first.shape[0])
        }
    if "frame" in found:
        values["legacy_2x2"] = ours["critics.frames.frame.predictor.3.weight"].shape[-1] == 2
    return Config(**values)


LAYOUTS = {"txt2vid": read}
