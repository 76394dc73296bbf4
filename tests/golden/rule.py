"""The rule from which the weights and inputs of the stored reference outputs follow: every value from its
key and shape."""

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

RUNNING_VARIANCE = ("running_var", "stored_var", "running_vars")
RUNNING_MEAN = ("running_mean", "stored_mean", "running_means")


def weights(model: dict[str, Any]) -> dict[str, Tensor]:
    """The reference's state dict: one generator per key, float64 draws, cast to float32."""
    gains = model["fill"]
    out: dict[str, Tensor] = {}
    for key, shape in model["keys"]:
        rng, last = np.random.default_rng(zlib.crc32(key.encode())), key.rpartition(".")[2]
        if key.endswith(RUNNING_VARIANCE):
            value = rng.uniform(0.5, 1.5, shape) * gains.get("running_var_scale", 1.0)
        elif key.endswith(RUNNING_MEAN) or last.startswith("bias"):
            value = rng.normal(0, 0.1, shape)
        elif key.endswith("num_batches_tracked"):
            value = np.zeros(shape)
        elif last == "sv0":
            value = np.ones(shape)
        elif last in ("weight_u", "weight_v", "u0"):
            value = rng.normal(0, 1, shape)
            value = value / np.sqrt((value**2).sum())
        elif key.endswith("gamma") and int(np.prod(shape)) == 1:
            value = np.full(shape, 0.5)
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
    for key in [k.removesuffix("orig") for k in out if k.endswith("weight_orig")]:
        fit_spectral(out, key, gains)
    return out


def fit_spectral(state: dict[str, Tensor], key: str, gains: dict[str, Any]) -> None:
    """Power iteration, so that u and v belong to W."""
    matrix = state[f"{key}orig"].double().numpy()
    if key.removesuffix("weight_") in gains["spectral_dim1_prefixes"]:
        matrix = np.moveaxis(matrix, 1, 0)  # transposed convolutions: rows are output channels
    matrix = matrix.reshape(matrix.shape[0], -1)
    u = state[f"{key}u"].double().numpy()
    for _ in range(gains["spectral_norm_iterations"]):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    state[f"{key}u"], state[f"{key}v"] = (torch.from_numpy(x.astype(np.float32)) for x in (u, v))


def inputs(net: dict[str, Any]) -> list[Tensor]:
    """The inputs of a net, drawn in order from one generator."""
    rng, out = np.random.default_rng(12345), []
    for _, distribution, shape in net["inputs"]:
        kind, _, rest = distribution.partition("(")
        low, high = (float(v) for v in rest.rstrip(")").split(","))
        if kind == "integers":
            out.append(torch.from_numpy(rng.integers(int(low), int(high), shape)))
        else:
            out.append(torch.from_numpy(getattr(rng, kind)(low, high, shape).astype(np.float32)))
    return out
