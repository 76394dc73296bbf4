"""Weights of public ports of BigGAN, both ways for that of its first author (ajbrock/BigGAN-PyTorch).

There a checkpoint is the state dict of a generator (`G.pth`, or `G_ema.pth` with averaged weights), or of a
discriminator (`D.pth`). Deep and plain networks, three kinds of batch norm and classes with or without a
shared embedding are known by names and shapes.

The generators of BigGAN-deep that the paper's authors published are known by Hugging Face's port
(huggingface/pytorch-pretrained-BigGAN), which is read. Its first maps are (4, 4, C), its condition is the
noise and then the class, and of its head's channels only the first three are used.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.nn.residual import UP
from kinema.systems.biggan.config import Config
from kinema.systems.shared.port import HELD, State, read_port, write_port

SPECTRAL = {"weight_orig": "original", "weight_u": "0._u", "weight_v": "0._v"}
STATISTICS = {"running_means": "means", "running_vars": "variances"}
ATTENTION = {"theta": "theta", "phi": "phi", "g": "g", "o_conv": "o"}


def read(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """Their checkpoint, one state dict or two by name -> our configuration and state dict.

    Raises:
        WeightsError: it holds something else than networks of this layout.
    """
    return read_port(checkpoint, "BigGAN", _config)


def write(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our state dict -> their networks, "G" and "D"; the reverse of `read`."""
    return write_port(state)


def _config(found: dict[str, State], values: dict[str, Any]) -> Config:
    """How wide the noise and the embedding of classes are, and where the noise goes."""
    if "generator" not in found:
        return Config(**values, hierarchical=False)  # which the noise of any width fits
    state = found["generator"]
    first = state["linear.weight"].shape[1]
    if "shared.weight" not in state:
        return Config(**values, noise=first, shared=None, hierarchical=False)
    shared = state["shared.weight"].shape[1]
    if values["deep"]:
        return Config(**values, noise=first - shared, shared=shared)
    chunked = state["blocks.0.0.bn1.gain.weight"].shape[1] > shared
    noise = first * len(UP[values["size"]]) if chunked else first
    return Config(**values, noise=noise, shared=shared, hierarchical=chunked)


def read_hugging_face(checkpoint: Mapping[str, Any]) -> tuple[Config, State]:
    """A state dict of Hugging Face's port (a generator) -> our configuration and state dict.

    σ of its head is that of all its channels. Here `_u` of the three that are kept is scaled so that they are
    divided by the same; the first update of a training takes their own.

    Raises:
        WeightsError: it holds something else.
    """
    theirs = {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if "generator.gen_z.weight_orig" not in theirs or "embeddings.weight" not in theirs:
        raise WeightsError(f"it has no 'generator.gen_z.weight_orig' (its keys: {list(checkpoint)[:4]} …).")
    layers = sorted({int(key.split(".")[2]) for key in theirs if key.startswith("generator.layers.")})
    attended = [i for i in layers if f"generator.layers.{i}.gamma" in theirs]
    try:
        config = _hugging_face_config(theirs, len(layers) - len(attended), attended)
        ours: State = {"generator.shared.weight": theirs["embeddings.weight"].T.contiguous()}
        for key, value in theirs.items():
            if key != "embeddings.weight":
                ours[_hugging_face_name(key, attended)] = value
        return config, _arranged(ours)
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"the checkpoint looks like BigGAN-deep, but {error} is missing or misshapen."
        ) from None


def _hugging_face_config(theirs: State, blocks: int, attended: list[int]) -> Config:
    """Sizes from the shapes of the weights; two blocks to a stage."""
    shared, classes = theirs["embeddings.weight"].shape
    rows, condition = theirs["generator.gen_z.weight_orig"].shape
    size = 4 << blocks // 2
    return Config(
        size=size,
        width=rows // 16 // UP[size][0],
        noise=condition - shared,
        shared=shared,
        classes=tuple(map(str, range(classes))),
        attention=tuple(4 << (at - n) // 2 for n, at in enumerate(attended)),
        deep=True,
        noise_first=True,
        norm="bn:eps=1e-4",
        truncations=len(theirs["generator.bn.running_means"]),
    )


def _hugging_face_name(key: str, attended: list[int]) -> str:
    """Their name of a tensor -> ours.

    Example:
        >>> _hugging_face_name("generator.layers.9.bn_0.scale.weight_u", [8])
        'generator.blocks.8.0.bn1.gain.parametrizations.weight.0._u'
    """
    start, _, last = key.rpartition(".")
    last = HELD + SPECTRAL[last] if last in SPECTRAL else STATISTICS.get(last, last)
    if not start.startswith("generator.layers."):
        heads = {"gen_z": "linear", "bn": "output_layer.0", "conv_to_rgb": "output_layer.2"}
        return f"generator.{heads[start.removeprefix('generator.')]}.{last}"
    number, *path = start.removeprefix("generator.layers.").split(".")
    block = int(number) - sum(at < int(number) for at in attended)
    if int(number) in attended:  # behind the block before it
        where = f"generator.blocks.{block - 1}.1"
        return ".".join([where, *(ATTENTION[part.removeprefix("snconv1x1_")] for part in path), last])
    layer, _, index = path[0].partition("_")
    where = f"generator.blocks.{block}.0.{layer}{int(index) + 1}"
    if layer == "bn":
        where += {"scale": ".gain", "offset": ".bias"}[path[1]] if len(path) > 1 else ".norm"
    return f"{where}.{last}"


def _arranged(ours: State) -> State:
    """Values as ours are: seeds (C, 4, 4), one number of attention, a head of three, statistics in use."""
    linear, head = f"generator.linear.{HELD}", f"generator.output_layer.2.{HELD}"
    for key in ("generator.linear.bias", f"{linear}original", f"{linear}0._u"):
        ours[key] = ours[key].unflatten(0, (4, 4, -1)).movedim(2, 0).flatten(0, 2).contiguous()
    weight, u, v = (ours[head + name] for name in ("original", "0._u", "0._v"))
    sigma = u @ weight.flatten(1) @ v
    kept = weight[:3].flatten(1) @ v
    ours[f"{head}original"], ours[f"{head}0._u"] = weight[:3].clone(), kept * sigma / kept.dot(kept)
    ours["generator.output_layer.2.bias"] = ours["generator.output_layer.2.bias"][:3].clone()
    for key in list(ours):
        if key.endswith(".gamma"):
            ours[key] = ours[key].reshape(())
        elif key.endswith(".means"):  # the widest truncation is what no truncation uses
            norm = key.removesuffix("means")
            ours[f"{norm}running_mean"] = ours[key][-1].clone()
            ours[f"{norm}running_var"] = ours[f"{norm}variances"][-1].clone()
            ours[f"{norm}num_batches_tracked"] = torch.tensor(0)
    return ours


LAYOUTS = {"port": read, "hugging-face": read_hugging_face}
