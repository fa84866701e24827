"""Models of ONNX run by onnxruntime, in child processes where an op could end the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime

__all__ = ["run", "run_named"]


def run(model: onnx.ModelProto, *arrays: np.ndarray, **inputs: np.ndarray) -> list[Any]:
    """The outputs for the inputs, by position or by name."""
    names = [end.name for end in model.graph.input]
    return run_named(model, {**dict(zip(names, arrays, strict=False)), **inputs})


def run_named(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    """The outputs for inputs by their names."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, dict(inputs)))
