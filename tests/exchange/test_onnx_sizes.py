"""One model for all sizes: their names at its ends, and what comes of sizes of 0, 1 and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

pytest.importorskip("onnxruntime")
from onnx_runs import run

SIZES = ((1, 1), (6, 3), (100, 16), (0, 4))
RANDOM = np.random.default_rng(5)
W = sg.shared(RANDOM.standard_normal((4, 5)).astype("float32"), "W")


def shape(end: Any) -> list[int | str | None]:
    dims = end.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims]


def centred(x: sg.Variable) -> sg.Variable:
    return x - sg.mean(x, axis=0)


def attention(x: sg.Variable) -> sg.Variable:
    keys = sg.softmax(sg.transpose(x, (1, 2, 0)) @ sg.transpose(x, (1, 0, 2)), axis=-1)
    return sg.transpose(x, (1, 0, 2)) @ keys


def recurrent(x: sg.Variable) -> sg.Variable:
    return sg.scan(
        lambda row, h: sg.tanh(row @ W + h), sequences=x, outputs_info=sg.zeros((x.shape[1], 5))
    )


T_B = ["T", "B"]
PROGRAMS: list[tuple[str, Callable[[sg.Variable], sg.Variable], list[int | str | None]]] = [
    ("dense", lambda x: sg.tanh(x @ W), [*T_B, 5]),
    ("rows", lambda x: sg.reshape(x, (-1, 4)) @ W, [None, 5]),
    ("centred", centred, [*T_B, 4]),
    ("sum", lambda x: sg.sum(x, axis=(0, 2)), ["B"]),
    ("differences", lambda x: x[1:] - x[:-1], [None, "B", 4]),
    ("reversed", lambda x: x[::-1, :, ::2], [*T_B, 2]),
    ("every other", lambda x: x[::2], [None, "B", 4]),
    ("joined", lambda x: sg.concatenate([x, x], axis=0), [None, "B", 4]),
    ("numbers", lambda x: sg.arange(x.shape[0]) * x.shape[1], ["T"]),
    ("running sums", lambda x: sg.cumsum(x, axis=0), [*T_B, 4]),
    ("sorted", lambda x: sg.sort(x, axis=0), [*T_B, 4]),
    ("folded", lambda x: sg.reshape(x, (x.shape[0], x.shape[1], 2, 2)), [*T_B, 2, 2]),
    ("flat", lambda x: sg.reshape(x, (x.shape[0], x.shape[1] * 4)), ["T", None]),
    ("attention", attention, ["B", "T", 4]),
    ("recurrent", recurrent, [*T_B, 5]),
    ("layer", nn.LSTM(4, 3), [*T_B, 3]),
    ("any", lambda x: sg.any(x > 1, axis=0), ["B", 4]),
    ("gradient", lambda x: sg.grad(sg.sum(sg.tanh(x @ W)), x), [*T_B, 4]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "expected"), [p[1:] for p in PROGRAMS], ids=[p[0] for p in PROGRAMS]
)
def test_one_model_for_all_sizes(program: Callable, expected: list[int | str | None]) -> None:
    x = sg.tensor("x", ("T", "B", 4))
    y = program(x)
    model = sg.export_onnx(y)
    assert shape(model.graph.input[0]) == ["T", "B", 4]
    assert shape(model.graph.output[0]) == expected
    f = sg.compile([x], y, backend="numpy")
    for t, b in SIZES:
        value = RANDOM.standard_normal((t, b, 4)).astype("float32")
        np.testing.assert_allclose(run(model, value)[0], f(value), 1e-5, 1e-5)


def test_sizes_that_are_known_or_open() -> None:
    x = sg.tensor("x", (3, None, "N"))
    model = sg.export_onnx([x * 2, x.shape[1], x.shape[2] + 1])
    assert [shape(end) for end in (*model.graph.input, *model.graph.output)] == [
        [3, None, "N"], [3, None, "N"], [], [],
    ]  # fmt: skip
    value = np.zeros((3, 0, 7), "float32")
    doubled, open_size, more = run(model, value)
    assert doubled.shape == (3, 0, 7)
    assert (open_size, more) == (0, 8)
    assert open_size.dtype == np.int64


def test_arithmetic_on_sizes_is_written_where_it_is_read() -> None:
    x = sg.tensor("x", ("T", "B"))
    y = sg.reshape(sg.concatenate([x, x], 1), (x.shape[0] * 2, x.shape[1], 1))
    model = sg.export_onnx(y)
    assert "Unsqueeze" not in {node.op_type for node in model.graph.node}
    for t, b in ((0, 3), (2, 0), (3, 2)):
        value = RANDOM.standard_normal((t, b)).astype("float32")
        expected = np.concatenate([value, value], 1).reshape(2 * t, b, 1)
        np.testing.assert_array_equal(run(model, value)[0], expected)
