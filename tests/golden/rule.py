"""The rule from which the weights and inputs of the stored reference outputs follow: every value from its
key and shape."""

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

RUNNING_VARIANCE, RUNNING_MEAN = ("running_var", "stored_var"), ("running_mean", "stored_mean")


def weights(model: dict[str, Any]) -> dict[str, Tensor]:
    """The reference's state dict: one generator per key, float64 draws, cast to float32."""
    gains = model["fill"]
    out = {}
    for key, shape in model["keys"]:
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith(RUNNING_VARIANCE):
            value = rng.uniform(0.5, 1.5, shape) * gains.get("running_var_scale", 1.0)
        elif key.endswith(RUNNING_MEAN) or key.endswith("bias"):
            value = rng.normal(0, 0.1, shape)
        elif key.endswith("num_batches_tracked"):
            value = np.zeros(shape)
        elif len(shape) == 1:  # scale of a norm
            value = rng.uniform(0.5, 1.5, shape)
        else:
            transposed = key in gains.get("transposed_keys", [])
            fan_in = int(np.prod(shape)) / shape[1 if transposed else 0]
            gain = gains.get("transposed_gain", gains["gain"]) if transposed else gains["gain"]
            value = rng.normal(0, 1, shape) * (
                gains.get("gain_overrides", {}).get(key, gain) / np.sqrt(fan_in)
            )
        out[key] = torch.from_numpy(np.asarray(value).astype(np.float32))
    return out


def inputs(net: dict[str, Any]) -> list[Tensor]:
    """The inputs of a net, drawn in order from one generator."""
    rng, out = np.random.default_rng(12345), []
    for _, distribution, shape in net["inputs"]:
        kind, _, rest = distribution.partition("(")
        low, high = (float(v) for v in rest.rstrip(")").split(","))
        out.append(torch.from_numpy(getattr(rng, kind)(low, high, shape).astype(np.float32)))
    return out
