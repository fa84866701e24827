"""A backend that lowers few ops: the pipeline writes the others in terms of those."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.base import Backend, load_backend
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.variable import node
from symgraph.ops.conv import windows

NUMPY = load_backend("numpy")
# What is neither elementwise nor has an expansion, or lies below those: a backend lowers this.
STRUCTURAL = {
    *("input", "shared", "parameter", "constant", "item", "scan", "size", "check_size", "in_range"),
    *("broadcast_to", "rearrange", "reshape", "concatenate", "slice", "iota"),
    *("gather", "scatter_set", "scatter_add", "flat_nonzero"),
    *("sum", "max", "min", "argmax", "argmin", "cumsum", "matmul"),
    *("sort", "argsort", "searchsorted", "polygamma"),
    *("debug_print", "debug_assert"),
}
# What no backend sees: opened before, made for ONNX alone, or a number by then.
NEVER_LOWERED = {"composite", "recurrent", "whole", "room"}


class MinimalBackend(Backend):
    """NumPy's, without the ops that others can stand for."""

    name = "minimal"

    def has_lowering(self, op):
        return op.formula is not None or op.name in STRUCTURAL

    def prepare(self, graph: Graph, *, threads=1, profile=False):
        pending = [graph]
        while pending:
            for v in pending.pop().nodes:
                assert self.has_lowering(v.op), v
                pending += [p for p in v.params if isinstance(p, Graph)]
        return NUMPY.prepare(graph, threads=threads, profile=profile)


MINIMAL = MinimalBackend()


def test_what_a_backend_has_to_lower():
    own = {op.name: op for op in OPS.values() if op.is_own}
    needed = {op.name for op in own.values() if op.formula is None and op.expand is None}
    assert needed - NEVER_LOWERED == STRUCTURAL


def check(outputs, given, references=None):
    """The same values and dtypes as NumPy's backend; as the references, where there are some."""
    found = sg.compile(list(given), outputs, backend=MINIMAL)(*given.values())
    expected = sg.compile(list(given), outputs, backend="numpy")(*given.values())
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
        if references is not None:
            np.testing.assert_allclose(ours, references[i], rtol=1e-6, atol=1e-6)


AWKWARD = np.array([[0.0, -1.5, 2.0, 0.0], [-0.0, 3.0, np.nan, np.inf], [1.0, -2.0, 0.5, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (3, 1), (0, 4), (3, 0), (0, 0)])
@pytest.mark.parametrize("known", [True, False])
def test_totals_and_running_products(dtype, shape, known):
    with np.errstate(all="ignore"):
        values = np.nan_to_num(AWKWARD) if dtype[0] != "f" else AWKWARD
        array = values[: shape[0], : shape[1]].clip(0 if dtype[0] in "bu" else -9).astype(dtype)
        x = sg.tensor("x", shape if known else (None, None), dtype)
        outputs, references = [], []
        for axis in (0, 1):
            outputs += [sg.cumprod(x, axis), sg.prod(x, axis)]
            references += [np.cumprod(array, axis), np.prod(array, axis)]
        for axis, keepdims in product((0, 1, None), (False, True)):
            outputs += [f(x, axis, keepdims=keepdims) for f in (sg.any, sg.all, sg.prod)]
            references += [f(array, axis=axis, keepdims=keepdims) for f in (np.any, np.all)]
            references.append(np.prod(array, axis=axis, keepdims=keepdims))
        check(outputs, {x: array}, references)


PARTS = [
    np.s_[1:],
    np.s_[:, 1],
    np.s_[-1, ::2],
    np.s_[::-1, 1:4:2],
    np.s_[0, -2],
    np.s_[2:1],
    np.s_[:, :, 1],
    np.s_[1, :, ::-1],
    np.s_[::2, 0, 1:],
    np.s_[:, ::3, ::2],
    np.s_[:],
]


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_parts_set_and_added_to(part, dtype):
    array = np.arange(60).reshape(3, 5, 4).astype(dtype)
    values = (np.arange(array[part].size).reshape(array[part].shape) * 3 % 5).astype(dtype)
    for shape in ((3, 5, 4), ("a", "b", "c"), (None, 5, None)):
        x = sg.tensor("x", shape, dtype)
        y = sg.tensor("y", values.shape if shape[0] == 3 else [None] * values.ndim, dtype)
        stored, added = array.copy(), array.copy()
        stored[part] = values
        added[part] += values
        check([x.set(part, y), x.add_at(part, y)], {x: array, y: values}, [stored, added])


@pytest.mark.parametrize("length", [0, 1, 4])
def test_parts_with_bounds_that_are_computed(length):
    x, i = sg.tensor("x", ("n", 3)), sg.scalar("i", "int64")
    outputs = [x.set(slice(i, None), 1.0), x.add_at(slice(None, -i, 2), x[:-i:2])]
    outputs.append(sg.grad((outputs[0] * outputs[1]).sum(), x))
    array = np.arange(3.0 * length).reshape(length, 3).astype("float32")
    for start in (1, 2, 9):
        stored, added = array.copy(), array.copy()
        stored[start:] = 1
        added[:-start:2] += array[:-start:2]
        check(outputs[:2], {x: array, i: start}, [stored, added])
        check(outputs, {x: array, i: start})


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_windows_and_their_adjoints(size, stride, dilation):
    for dtype, known, axis in product(("float32", "int64", "bool"), (True, False), (0, 1)):
        for length in {(size - 1) * dilation + 1, 6, 7}:
            shape = (2, length) if axis else (length, 2)
            array = (np.arange(2 * length).reshape(shape) % 5 - 2).astype(dtype)
            x = sg.tensor("x", shape if known else (None, None), dtype)
            parts = windows(x, axis, size, stride, dilation)
            starts = range(0, length - (size - 1) * dilation, stride)
            rows = [[array.take(s + k * dilation, axis) for k in range(size)] for s in starts]
            expected = np.moveaxis(np.array(rows), (0, 1), (axis, axis + 1))
            outputs = [parts]
            if dtype == "float32":
                outputs += [sg.grad((parts * parts * parts).sum(), x)]  # adds up repeated elements
            check(outputs, {x: array}, [expected] if len(outputs) == 1 else None)


def test_a_window_that_is_larger_than_the_axis_is_an_error():
    for stride in (1, 2, 3):
        x = sg.vector("x")
        f = sg.compile([x], windows(x, 0, 3, stride), backend=MINIMAL)
        assert f([1.0, 2.0, 3.0]).shape == (1, 3)
        for length in range(3):
            with pytest.raises(sg.errors.CallError, match="a window over 3 elements is larger"):
                f(np.zeros(length))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_the_linear_recurrence(n):
    b = np.array([-0.0, 1, 2, np.inf, 1])[:n]
    a = np.array([np.nan, 0, -2, 1, 0.5])[:n]
    expected = list(b[:1])
    for i in range(1, n):
        expected.append(b[i] + a[i] * expected[-1])
    x, y = sg.tensor("x", (None, 2), "float64"), sg.tensor("y", (None, 2), "float64")
    given = {x: np.stack([b, b], 1), y: np.stack([a, a], 1)}
    states = node(OPS["linear_recurrence"], (x, y), (0,))
    check([states], given, [np.array([expected, expected]).T.reshape(n, 2)])
    (found,) = sg.compile([x, y], [states], backend=MINIMAL)(*given.values())
    np.testing.assert_array_equal(np.signbit(found[:1]), np.ones((min(n, 1), 2), bool))


def test_gradients_and_loops():
    x = sg.tensor("x", ("T", 4))

    def step(row, h):
        parts = windows(row * h, 0, 2, 2)
        return h.set(slice(1, 3), parts.prod(axis=1)) + sg.cumprod(row), sg.any(parts > 1)

    h, flags = sg.scan(step, x, [sg.ones(4), None])
    cost = (h * h).sum() + sg.prod(x, 0).sum()
    gradient = sg.grad(cost, x)
    second = sg.grad(sg.square(gradient).sum(), x)
    for n in (0, 1, 3):
        array = np.linspace(-1.5, 1.5, 4 * n).reshape(n, 4).astype("float32")
        array[:, 1:2] = 0
        check([h, flags, gradient, second], {x: array})
