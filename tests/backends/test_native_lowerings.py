"""Lowerings that are given to ops from outside: views, writers, ops that have an expansion too."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.lowering.image import lower
from symgraph.backends.llvm.lowering.records import LOWERINGS, Lowering
from symgraph.core.op import OPS, Op
from symgraph.core.variable import node

BACKENDS = ["native", "numpy"]


def _view_diagonal(v, source):
    *outer, row, column = source.strides
    return source.seen(v.type.shape, (*outer, row + column))


_DIAGONAL = Op(
    "test_lowered_diagonal",
    lambda inputs: inputs[0].type.with_shape(inputs[0].type.shape[:-1]),
    lambda arrays: np.diagonal(arrays[0], axis1=-2, axis2=-1),
    traits=frozenset({"view"}),
)
_DOUBLE = Op(
    "test_lowered_double",
    lambda inputs: inputs[0].type,
    lambda arrays: arrays[0] * 2,
    expand=lambda v: v.inputs[0] + v.inputs[0],
)


def _write_double(scope, v):
    if v.dtype.kind != "f":
        return False
    place, result = scope.place(v.inputs[0]), scope.result(v)
    scope.builder.copy(place, result, v.type.shape, v.dtype)
    scope.builder.add(place, result, v.type.shape, v.dtype)
    return True


@pytest.fixture(autouse=True)
def lowerings(monkeypatch):
    monkeypatch.setitem(LOWERINGS, _DIAGONAL, Lowering(view=_view_diagonal))
    monkeypatch.setitem(LOWERINGS, _DOUBLE, Lowering(write=_write_double))


def _diagonal(x):
    return node(_DIAGONAL, (x,))


def _double(x):
    return node(_DOUBLE, (x,))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_view_is_read_where_it_lies(backend, n):
    x = sg.tensor("x", ("B", "n", "n"))
    once, turned = _diagonal(x), _diagonal(x.transpose((0, 2, 1))[::-1])
    outputs = [once, once * 2, turned + 1, sg.concatenate([once, turned], axis=1)]
    f = sg.compile([x], outputs, backend=backend)
    data = np.random.default_rng(0).normal(size=(3, n, n)).astype("float32")
    first = np.einsum("bii->bi", data)
    second = first[::-1]
    expected = [first, first * 2, second + 1, np.concatenate([first, second], axis=1)]
    for found, wanted in zip(f(data), expected, strict=True):
        np.testing.assert_allclose(found, wanted, 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_view_of_what_a_loop_computes(backend):
    x, h = sg.tensor("x", ("T", "n", "n")), sg.tensor("h", ("n",))
    total = sg.scan(lambda x_t, h: h + _diagonal(sg.exp(x_t)), x, h, ())
    f = sg.compile([x, h], total, backend=backend)
    for steps, n in ((3, 2), (1, 1), (0, 3)):
        data = np.random.default_rng(2).normal(size=(steps, n, n)).astype("float32")
        expected = np.cumsum(np.einsum("tii->ti", np.exp(data)), axis=0)
        np.testing.assert_allclose(f(data, np.zeros(n, "float32")), expected, 1e-5)


def test_a_view_takes_no_kernel():
    x = sg.tensor("x", ("n", "n"))
    report = sg.compile([x], sg.exp(_diagonal(x)).sum()).report
    assert (report.kernels, report.distinct_kernels) == (1, 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_a_writer_goes_before_an_expansion(backend, dtype):
    x = sg.tensor("x", ("n",), dtype)
    f = sg.compile([x], _double(x[::-1]), backend=backend)
    for n in (0, 1, 5):
        data = np.arange(n).astype(dtype)
        np.testing.assert_array_equal(f(data), 2 * data[::-1])
    if backend == "native":
        left_to_python = [each.node.op for each in lower(f.graph).python_nodes]
        assert left_to_python == ([] if dtype == "float64" else [_DOUBLE])


def test_an_expansion_is_used_where_there_is_no_lowering(monkeypatch):
    monkeypatch.delitem(LOWERINGS, _DOUBLE)
    x = sg.tensor("x", ("n",))
    assert not any(v.op is _DOUBLE for v in sg.compile([x], _double(x)).graph.nodes)


@pytest.mark.parametrize(
    "shapes",
    [
        ((4, 1), (1, 3)),
        ((1,), (7,)),
        ((2, 1, 3), (6, 1)),
        ((7,), (1, 1)),
        ((0, 1), (1, 3)),
        ((2, 1), (1, 0)),
    ],
)
def test_indices_broadcast_natively(shapes):
    """Rows, their gradient and stored rows, by index arrays of different shapes; in a loop too."""
    random = np.random.default_rng(0)
    table = random.normal(size=(5, 4, 3, 2)).astype("float32")
    arrays = [
        random.integers(-size, size, shape) for size, shape in zip((4, 3), shapes, strict=True)
    ]
    x = sg.tensor("x", ("a", "b", "c", "d"))
    i, j = (
        sg.tensor(name, [1 if s == 1 else f"{name}{s}" if s else 0 for s in shape], "int64")
        for name, shape in zip("ij", shapes, strict=True)
    )
    rows = x[:, i, j]
    step = sg.scan(lambda x_t: x_t[i, j].sum(axis=0), x)
    f = sg.compile([x, i, j], [rows, sg.grad(sg.square(rows).sum(), x), step])
    assert f._executable._python_nodes is None
    found, gradient, stepped = f(table, *arrays)
    wanted = table[:, arrays[0], arrays[1]]
    np.testing.assert_array_equal(found, wanted)
    slope = np.zeros_like(table)
    np.add.at(slope, (slice(None), *arrays), 2 * wanted)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)
    np.testing.assert_allclose(stepped, wanted.sum(axis=1), rtol=1e-5, atol=1e-6)


def test_wrong_indices_are_found_though_none_is_used():
    x, i, j = (
        sg.tensor("x", (4, 3)),
        sg.tensor("i", ("n", 1), "int64"),
        sg.tensor("j", (1, "m"), "int64"),
    )
    f = sg.compile([x, i, j], x[i, j])
    values = np.ones((4, 3), "float32")
    assert f(values, np.zeros((2, 1), int), np.zeros((1, 0), int)).shape == (2, 0)
    with pytest.raises(sg.IndexRangeError, match="index 9 is outside axis 0"):
        f(values, np.full((2, 1), 9), np.zeros((1, 0), int))
    with pytest.raises(sg.IndexRangeError, match="index -4 is outside axis 1"):
        f(values, np.zeros((0, 1), int), np.full((1, 2), -4))


def test_what_python_makes_of_another_dtype_is_stored_as_the_op_says():
    def widened(values):
        return np.asarray(values[0], "float64") + 1

    op = Op("widened", lambda inputs: inputs[0].type, evaluate=widened)
    x = sg.tensor("x", (5,))
    try:
        value = np.arange(5, dtype="float32")
        found = sg.compile([x], sg.tanh(node(op, (x,)) * 1.5))(value)
    finally:
        del OPS["widened"]
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, np.tanh((value + 1) * 1.5), 1e-5)
