"""Weights of the authors' code (sergeytulyakov/mocogan), both ways.

A checkpoint is the state dict of one network, or a dict of several under any names; each is known by its
keys. Names are ours, but for the last layer of the video critic by patches: it counts as one more where noise
stood before it. The authors saved whole modules, which is a program to run and is refused like everywhere:
save `module.state_dict()` of them where their code still runs.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.systems.mocogan.config import Config

State = dict[str, Tensor]
PREFIXES = {"generator": "generator.", "image": "critics.image.", "video": "critics.video."}
"""part -> where it is in our state dict"""
LAST = {"main.12.weight": "main.11.weight"}
"""of a video critic by patches: their name where noise stood before it -> ours"""


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint -> our configuration and state dict (of the networks that it holds).

    A file does not name its categories: they become "0", "1" and so on. A generator without its categorical
    critic is taken to have 50 numbers of content, as theirs have.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    nested = any(isinstance(value, Mapping) for value in checkpoint.values())
    named = (
        {k: v for k, v in checkpoint.items() if isinstance(v, Mapping)} if nested else {"file": checkpoint}
    )
    found: dict[str, State] = {}
    for name, theirs in named.items():
        part = _part(theirs)
        if part is None or part in found:
            raise WeightsError(
                f"'{name}' is not a further network of MoCoGAN (its keys: {list(theirs)[:4]} …)."
            )
        found[part] = dict(theirs)
    if "video" in found and _last(found["video"]) in LAST:
        found["video"] = {LAST.get(key, key): value for key, value in found["video"].items()}
    ours = {PREFIXES[part] + key: value for part, state in found.items() for key, value in state.items()}
    try:
        return _config(found), ours
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"the checkpoint looks like MoCoGAN, but {error} is missing or misshapen."
        ) from None


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> their networks by part; the reverse of `read`."""
    return {
        part: {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        for part, prefix in PREFIXES.items()
        if any(key.startswith(prefix) for key in state)
    }


def _part(state: Mapping[str, Tensor]) -> str | None:
    """Which network this is."""
    if "recurrent.weight_ih" in state:
        return "generator"
    first = state.get("main.1.weight")
    if first is None or first.dim() not in (4, 5) or "main.4.weight" not in state:
        return None
    return "image" if first.dim() == 4 else "video"


def _last(state: Mapping[str, Tensor]) -> str:
    """The name of the last convolution."""
    return [key for key, value in state.items() if value.dim() > 3][-1]


def _config(found: Mapping[str, State]) -> Config:
    """Kinds and sizes from the names and shapes of the weights."""
    values: dict[str, Any] = {"classes": ()}
    for part in ("image", "video"):
        if part in found:
            state = found[part]
            first, layers = state["main.1.weight"], sum(value.dim() > 3 for value in state.values())
            plain = layers == 5  # four that halve 64 to 4, and one over what is left
            values |= {"critic_width": first.shape[0], "channels": first.shape[1]}
            values[f"{part}_critic"] = "plain" if plain else "patch"
            judged = state[_last(state)].shape[0] - 1
            if part == "video" and judged:
                values |= {"video_critic": "categorical", "classes": tuple(map(str, range(judged)))}
    if "generator" in found:
        values |= _generator(found["generator"], len(values["classes"]))
    return Config(**values, conditional=bool(values["classes"]))


def _generator(state: State, classes: int) -> dict[str, Any]:
    """What the weights of a generator say about it; `classes` of them are known already."""
    convolutions = [value for value in state.values() if value.dim() == 4]
    motion = state["recurrent.weight_hh"].shape[1]
    rest = convolutions[0].shape[0] - motion
    if not classes and rest > Config.content:
        classes = rest - Config.content
    return {
        "motion": motion,
        "content": rest - classes,
        "classes": tuple(map(str, range(classes))),
        "width": convolutions[-1].shape[0],
        "channels": convolutions[-1].shape[1],
        "size": 2 << len(convolutions),
    }


LAYOUTS = {"official": read}
