"""Models in onnxruntime, and what is in them: what the tests of exports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

import symgraph as sg

__all__ = ["check_model", "node_counts", "nodes_of", "run_model", "session_of"]


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a model, those of graphs within nodes and of functions too."""
    pending = [model.graph.node, *(function.node for function in model.functions)]
    while pending:
        for node in pending.pop():
            yield node
            pending += [each.g.node for each in node.attribute if each.HasField("g")]


def node_counts(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each op there are, graphs within nodes and functions included."""
    return Counter(node.op_type for node in nodes_of(model))


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The model in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_model(model: onnx.ModelProto, arrays: Sequence[np.ndarray]) -> list[Any]:
    """What onnxruntime gives for these inputs, in order."""
    session = session_of(model)
    names = [given.name for given in session.get_inputs()]
    results: Any = session.run(None, dict(zip(names, arrays, strict=True)))
    return results


def check_model(
    inputs: Sequence[sg.Variable],
    outputs: Sequence[sg.Variable],
    cases: Sequence[Sequence[np.ndarray]],
    tolerance: float = 2e-5,
    **options: Any,
) -> onnx.ModelProto:
    """The outputs as a model, after comparing what onnxruntime gives with the NumPy backend.

    The tolerance is relative to the largest value where that is above 1.
    """
    model = sg.export_onnx(list(outputs), inputs=list(inputs), **options)
    function = sg.compile(list(inputs), list(outputs), backend="numpy", unused="ignore")
    session = session_of(model)
    names = [given.name for given in session.get_inputs()]
    for arrays in cases:
        theirs: Any = session.run(None, dict(zip(names, arrays, strict=True)))
        for ours, found in zip(function(*arrays), theirs, strict=True):
            assert found.shape == np.shape(ours)
            assert found.dtype == np.asarray(ours).dtype
            size = np.max(np.abs(ours), initial=1.0)
            np.testing.assert_allclose(found, ours, rtol=0, atol=tolerance * size)
    return model
