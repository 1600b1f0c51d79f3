"""Torch modules as ONNX files, checked against PyTorch before anyone relies on them."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

OPSET = 17
PARITY_ROWS = (1, 2, 257)
"""Batch sizes compared: a lone row, the smallest batch, and an odd one."""


def export_checked(module: nn.Module, inputs: Callable[[int], dict[str, Tensor]], output: str, path: Path) -> float:
    """Write a module with the number of rows left open, and compare it.

    Parameters
    ----------
    inputs
        Random inputs of so many rows, by name and in the order of the module's parameters.
    output
        Name of what the module returns.

    Returns
    -------
    The largest absolute difference between ONNX Runtime and PyTorch.
    """
    module.eval()
    device = next(module.parameters()).device
    example = inputs(PARITY_ROWS[-1])
    # the TorchScript exporter: one file with the weights inside, and 80 times quicker than dynamo's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it says at length that dynamo is the default now
        torch.onnx.export(
            module,
            tuple(value.to(device) for value in example.values()),
            str(path),
            input_names=list(example),
            output_names=[output],
            dynamic_axes={name: {0: "rows"} for name in (*example, output)},
            opset_version=OPSET,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    used = {node.name for node in session.get_inputs()}
    largest = 0.0
    for rows in PARITY_ROWS:
        example = inputs(rows)
        with torch.inference_mode():
            expected = module(*(value.to(device) for value in example.values())).cpu().numpy()
        (actual,) = session.run([output], {key: value.numpy() for key, value in example.items() if key in used})
        largest = max(largest, float(np.abs(actual - expected).max()))
    return largest
