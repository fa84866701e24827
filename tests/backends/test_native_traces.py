"""Traces of gradient loops: written backward, and over the rows that these loops have read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.backends.base import load_backend
from symgraph.backends.llvm.analysis import traces, values
from symgraph.backends.llvm.lowering.records import LOWERINGS
from symgraph.errors import VerifyError
from symgraph.scan.op import SCAN
from symgraph.testing import guarded

SIZES = [0, 1, 2, 7]


@pytest.fixture
def laid(monkeypatch):
    """The traces that share their room, by the size of a record, of what is compiled meanwhile."""
    found = []

    def lay(*arguments):
        layout = honest(*arguments)
        found.extend(view.strides[0] for v, view in layout.views.items() if v in layout.rooms)
        return layout

    honest = traces.lay_traces
    monkeypatch.setattr(values, "lay_traces", lay)
    return found


def _agree(inputs, outputs, arguments, **options):
    """Guarded native results, and those of the reference."""
    with guarded():
        f = sg.compile(inputs, outputs, **options)
    expected = sg.compile(inputs, outputs, backend="numpy")
    for each in arguments:
        for got, wanted in zip(f(*each), expected(*each), strict=True):
            np.testing.assert_allclose(got, wanted, 1e-9, 1e-12)


def _rows(n, *shape, seed=0):
    return np.random.default_rng([n, seed]).normal(size=(n, *shape))


def _weights(*shapes):
    draw = np.random.default_rng(1)
    return [sg.shared(draw.normal(size=shape) / 2) for shape in shapes]


def _gated(parts, units=4):
    """A cell whose gates have so many widths, and whose gradient keeps all of them."""
    width = sum(parts)
    W, U = _weights((3, width), (units, width))
    mixes = _weights(*[(part, units) for part in parts])

    def step(x_t, h):
        z = x_t @ W + h @ U
        stops = np.cumsum(parts)
        gates = [sg.tanh(z[:, stop - n : stop]) for n, stop in zip(parts, stops, strict=True)]
        return sum(gate @ mix for gate, mix in zip(gates, mixes, strict=True)) * 0.5

    return step, [W, U], mixes


def _sequence():
    return sg.tensor("x", ("T", "B", 3), "float64")


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_cells_write_over_what_they_have_read(cell, reverse, threads, laid):
    x = _sequence()
    layer = nn.Recurrent(cell(3, 4, rng=0, dtype="float64"), reverse=reverse)
    gradients = sg.grad(sg.square(layer(x)).sum(), [*layer.params, x])
    _agree([x], gradients, [[_rows(n, 2, 3)] for n in SIZES], threads=threads)
    assert laid


@pytest.mark.parametrize("parts", [(2,), (3, 3), (1, 4, 2), (4, 4, 4, 4)])
def test_gates_of_any_width_are_records(parts, laid):
    x = _sequence()
    step, params, _ = _gated(parts)
    h = sg.scan(step, x, sg.zeros((x.shape[1], 4), "float64"))
    gradients = sg.grad(sg.square(h).sum(), params)
    _agree([x], gradients, [[_rows(n, 2, 3)] for n in SIZES])
    assert laid


def test_what_somebody_else_reads_stays(laid):
    x = _sequence()
    step, params, mixes = _gated((3, 3))
    h = sg.scan(step, x, sg.zeros((x.shape[1], 4), "float64"))
    # The gradient of what multiplies a gate reads the gate once more, after the loop.
    gradients = sg.grad(sg.square(h).sum(), [*params, *mixes])
    _agree([x], gradients, [[_rows(n, 2, 3)] for n in SIZES])
    assert not laid


def _two_results(x, h0, U):
    def step(x_t, h):
        gate = sg.tanh(x_t + h @ U)
        return gate * h + x_t, gate

    return sg.scan(step, x, (h0, None))


def test_a_trace_that_is_a_result_stays(laid):
    x = sg.tensor("x", ("T", "B", 4), "float64")
    (U,) = _weights((4, 4))
    h, gates = _two_results(x, sg.zeros((x.shape[1], 4), "float64"), U)
    arguments = [[_rows(n, 2, 4)] for n in SIZES]
    gradient = sg.grad(sg.square(h).sum(), U)
    _agree([x], [gradient], arguments)
    assert len(laid) == 1
    for others in ([gates], [gates[::-1]], [gates[1:]], [gates.sum()], [h]):
        _agree([x], [gradient, *others], arguments)
    assert len(laid) == 2  # who reads the states does not read the gates


@pytest.mark.parametrize("orders", [1, 2, 3])
def test_gradients_of_gradients(orders, laid):
    x = sg.tensor("x", ("T", "B", 4), "float64")
    (U,) = _weights((4, 4))
    h, gates = _two_results(x, sg.zeros((x.shape[1], 4), "float64"), U)
    results, cost = [], sg.square(h).sum() + gates.sum()
    for _ in range(orders):
        results.append(sg.grad(cost, U))
        results.append(sg.grad(cost, x))
        cost = sg.square(results[-2]).sum()
    _agree([x], results, [[_rows(n, 2, 4)] for n in SIZES])


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"truncate_gradient": 2}])
@pytest.mark.parametrize("depth", [1, 2])
def test_taps_truncation_and_order(options, depth):
    x = sg.tensor("x", ("T", "B", 4), "float64")
    U, V = _weights((4, 4), (4, 4))
    h = x
    for _ in range(depth):
        h = sg.scan(
            lambda x_t, before, h: sg.tanh(x_t @ V + h @ U) * before + sg.sigmoid(x_t) * h,
            h,
            {"initial": sg.ones((2, x.shape[1], 4), "float64"), "taps": [-2, -1]},
            **options,
        )
    gradients = sg.grad(sg.square(h).sum() + h[-1:].sum(), [U, V, x])
    _agree([x], gradients, [[_rows(n, 2, 4)] for n in SIZES])


def test_loops_inside_loops():
    x = sg.tensor("x", ("T", "B", 4), "float64")
    (U,) = _weights((4, 4))

    def outer(x_t, h):
        def inner(k):
            gate = sg.tanh(k @ U)
            return gate * k + sg.sigmoid(gate @ U)

        return sg.scan(inner, (), h + x_t, (), 3)[-1]

    h = sg.scan(outer, x, sg.zeros((x.shape[1], 4), "float64"))
    _agree([x], sg.grad(sg.square(h).sum(), [U, x]), [[_rows(n, 2, 4)] for n in SIZES])


def test_loops_that_are_one_kernel(laid):
    x = _sequence()
    (W,) = _weights((3, 4))

    def step(z_t, h):
        gate = sg.sigmoid(z_t + h)
        return gate * h + sg.tanh(z_t)

    h = sg.scan(step, x @ W, sg.zeros((x.shape[1], 4), "float64"))
    arguments = [[_rows(n, 2, 3)] for n in (*SIZES, 3000)]
    _agree([x], sg.grad(sg.square(h).mean(), [W, x]), arguments)
    assert not laid  # their elements need not wait for each other


def test_loops_that_python_runs_leave_rows_where_they_are_to_lie(laid, monkeypatch):
    x = _sequence()
    step, params, _ = _gated((3, 5))
    h = sg.scan(step, x, sg.zeros((x.shape[1], 4), "float64"))
    gradients = sg.grad(sg.square(h).sum(), params)
    load_backend("native")  # with what it says of ops
    monkeypatch.setitem(LOWERINGS, SCAN, replace(LOWERINGS[SCAN], write=None))
    _agree([x], gradients, [[_rows(n, 2, 3)] for n in SIZES])
    assert laid  # whoever runs a loop, layout says where its traces are


# --- planted faults -----------------------------------------------------------------------------


def _fails(monkeypatch, name, fault, outputs):
    """Whether guarded results are wrong, and a verified call says so, with a fault in the plan."""
    x = sg.tensor("x", ("T", "B", 4), "float64")
    built = outputs(x)
    argument = _rows(7, 2, 4)
    expected = sg.compile([x], built, backend="numpy")(argument)
    monkeypatch.setattr(traces, name, fault)
    with guarded():
        found = sg.compile([x], built)(argument)
        with pytest.raises(VerifyError):
            sg.compile([x], built, verify=True)(argument)
    return any(not np.allclose(a, b) for a, b in zip(found, expected, strict=True))


def _gradient_and_gates(x):
    (U,) = _weights((4, 4))
    h, gates = _two_results(x, sg.zeros((x.shape[1], 4), "float64"), U)
    gradient = sg.grad(sg.square(h).sum(), U)
    return [gradient, sg.tanh(gates[::-1] * gradient.sum()).sum()]


def test_a_trace_that_is_read_again_is_noticed(monkeypatch):
    fault = lambda graph, x, turned, scan: True  # noqa: E731
    assert _fails(monkeypatch, "_is_for_loop_alone", fault, _gradient_and_gates)


def test_a_row_that_is_written_too_early_is_noticed(monkeypatch):
    honest = traces._lay_records

    def fault(v, records):
        layout = honest(v, records)
        view = layout.views[v]
        record = view.strides[0]
        layout.views[v] = view._replace(offset=view.offset + record)
        return layout

    outputs = lambda x: _gradient_and_gates(x)[:1]  # noqa: E731
    assert _fails(monkeypatch, "_lay_records", fault, outputs)
