"""Nets as PyTorch's exporters write them: in, equal to PyTorch, trained on.

The files and what they compute were made by ``files/make.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.onnx.read import Imported
from symgraph.scan.op import is_scan

_FOLDER = Path(__file__).parent / "files"
_NETS = ("lstm", "bilstm", "gru", "rnn", "cnn", "encoder", "normalised")
_FILES = [f"{net}{suffix}" for net in _NETS for suffix in ("", "_dynamo")]
# The new exporter writes recurrent nets for the example's size alone, the old one attention.
_SIZES = dict.fromkeys(_FILES, 2) | dict.fromkeys(
    ("lstm_dynamo", "bilstm_dynamo", "gru_dynamo", "rnn_dynamo", "encoder"), 1
)


def _load(name: str) -> tuple[Imported, Any]:
    arrays = np.load(_FOLDER / f"{name.removesuffix('_dynamo')}.npz")
    return sg.import_onnx(_FOLDER / f"{name}.onnx"), arrays


@pytest.mark.parametrize("name", _FILES)
def test_a_file_computes_what_pytorch_did(name: str) -> None:
    imported, arrays = _load(name)
    for backend in ("native", "numpy"):
        f = sg.compile(list(imported.inputs.values()), imported.outputs["y"], backend=backend)
        for k in range(_SIZES[name]):
            np.testing.assert_allclose(f(arrays[f"x{k}"]), arrays[f"y{k}"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", _FILES)
def test_a_file_is_trained_on(name: str) -> None:
    imported, arrays = _load(name)
    y = imported.outputs["y"]
    goal = sg.tensor("goal", [None] * y.ndim)
    loss = sg.square(y - goal).mean()
    updates = nn.adam(loss, list(imported.params.values()), 0.02)
    step = sg.compile([*imported.inputs.values(), goal], loss, updates=updates)
    shift = 0.3 * np.random.default_rng(0).normal(size=arrays["y0"].shape[-1])
    wanted = (1.3 * (arrays["y0"] + shift)).astype("float32")
    first = step(arrays["x0"], wanted)
    for _ in range(60):
        last = step(arrays["x0"], wanted)
    assert last < first / 100


@pytest.mark.parametrize(("name", "n_loops"), [("lstm", 1), ("bilstm", 4), ("gru", 1), ("rnn", 1)])
def test_recurrent_layers_are_loops_over_symbolic_sizes(name: str, n_loops: int) -> None:
    imported, _ = _load(name)
    (x,) = imported.inputs.values()
    assert [str(size) for size in x.type.shape] == ["T", "B", "5"]
    y = imported.outputs["y"]
    assert sum(is_scan(v) for v in sg.ancestors(y)) == n_loops
    assert y.type.shape[:2] == x.type.shape[:2]
