"""ONNX: writing a network, comparing it with PyTorch, and letting it compute in the network's place."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from kinema.apps import weights
from kinema.core.errors import KinemaError, UsageError, WeightsError

OPSET = 18
"""group norm came as one operator with 21, which many runtimes lack: with 18 it is written as older ones"""


def write_onnx(
    module: Any, examples: tuple[Any, ...], inputs: list[str], outputs: list[str], path: Path
) -> None:
    """Export with a free batch size (the first axis of every input)."""
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError:
        raise UsageError("export to ONNX needs the extra `export`: pip install 'kinema[export]'.") from None
    batch = torch.export.Dim("batch")
    with quiet():
        torch.onnx.export(
            module,
            examples,
            path,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in examples),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's progress, warnings and remarks on packages that are not there."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def session(folder: Path) -> Any:
    """The ONNX model of a folder, ready to run on the CPU."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("an exported folder needs onnxruntime: pip install 'kinema[export]'.") from None
    try:
        return onnxruntime.InferenceSession(str(folder / weights.ONNX), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise WeightsError(f"{folder / weights.ONNX} is truncated or not an ONNX model ({error}).") from None


def compare(module: Any, examples: tuple[Any, ...], inputs: list[str], model: Any) -> float:
    """Largest difference of the outputs, on the examples and on a batch one larger."""
    import torch

    largest = 0.0
    for given in (examples, tuple(torch.cat([x, x[:1]]) for x in examples)):
        with torch.no_grad():
            wanted = module(*given)
        try:
            got = model.run(None, {name: x.numpy() for name, x in zip(inputs, given, strict=True)})
        except Exception as error:  # onnxruntime's errors have no common class
            raise KinemaError(
                f"onnxruntime does not run the exported model with batch {len(given[0])}: {error}"
            ) from None
        for a, b in zip([wanted] if torch.is_tensor(wanted) else wanted, got, strict=True):
            largest = max(largest, float((a - torch.from_numpy(b)).abs().max()))
    return largest


def attach_onnx(system: Any, folder: Path) -> Any:
    """Let the exported module of `system` compute by onnxruntime."""
    import torch

    module, _, inputs, _ = system.export_module()
    model = session(folder)

    def forward(*given: Any) -> Any:
        feeds = {name: x.detach().cpu().float().numpy() for name, x in zip(inputs, given, strict=True)}
        try:
            made = [torch.from_numpy(array) for array in model.run(None, feeds)]
        except Exception as error:  # onnxruntime's errors have no common class
            raise UsageError(_misfit(feeds, model) or f"the exported network failed: {error}") from None
        return made[0] if len(made) == 1 else tuple(made)

    module.forward = forward
    return system


def _misfit(feeds: dict[str, Any], model: Any) -> str:
    """Which input has sizes that the exported model does not take, if one has; batches may have any."""
    for put in model.get_inputs():
        wanted, given = list(put.shape[1:]), list(feeds[put.name].shape[1:])
        if wanted != given:
            return (
                f"the exported network takes {put.name} of {wanted}, not of {given}: only what it was "
                "exported with, so ask for the trained number of frames, or load the run itself."
            )
    return ""
