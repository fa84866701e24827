"""The reference backend below the compiler: graphs as executables."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.base import BACKENDS, load_backend
from symgraph.core.graph import Graph
from symgraph.core.op import OPS, Op
from symgraph.core.variable import node
from symgraph.scan.op import SCAN


def _prepare(inputs, outputs, **options):
    return load_backend("numpy").prepare(Graph(inputs, outputs), **options)


@pytest.fixture
def make_op():
    """A maker of ops of one vector operand that are forgotten after the test."""
    made = []

    def make(name, evaluate=None, **rules):
        op = Op(name, lambda inputs: inputs[0].type, evaluate, **rules)
        made.append(name)
        return op

    yield make
    for name in made:
        del OPS[name]


def test_every_backend_loads():
    for name in BACKENDS:
        backend = load_backend(name)
        assert backend.has_lowering(SCAN)


def test_results_are_arrays_of_the_graphs_types():
    x = sg.tensor("x", ("B", 2))
    outputs = [x.sum(), x > 1, x.T, sg.exp(x)]
    results = _prepare([x], outputs)(np.ones((3, 2), "float32"))
    for result, output in zip(results, outputs, strict=True):
        assert type(result) is np.ndarray
        assert result.dtype == output.dtype
        assert result.ndim == output.ndim
        assert result.flags.c_contiguous


def test_an_op_that_returns_its_input_or_a_cached_array_does_not_leak(make_op):
    kept = np.ones(2, "float32")
    same = make_op("return_input", lambda arrays: arrays[0])
    x = sg.tensor("x", (2,))
    argument = kept.copy()
    y = node(same, [x])
    first, second = _prepare([x], [y, node(same, [y])])(argument)
    assert not np.shares_memory(first, argument)
    assert not np.shares_memory(first, second)


def test_values_are_freed_after_their_last_use(make_op):
    alive: list[weakref.ref] = []
    most = 0

    def evaluate(arrays):
        nonlocal most
        result = arrays[0] + 1
        alive.append(weakref.ref(result))
        most = max(most, sum(each() is not None for each in alive))
        return result

    op = make_op("count_alive", evaluate)
    x = sg.tensor("x", (2,))
    y = x
    for _ in range(50):
        y = node(op, [y])
    _prepare([x], [y])(np.zeros(2, "float32"))
    assert len(alive) == 50
    assert most <= 2  # the operand and the result


def test_a_value_read_late_is_kept():
    x = sg.tensor("x", (2,))
    early = sg.exp(x)
    y = early
    for _ in range(10):
        y = sg.tanh(y) * 2
    result, again = _prepare([x], [y + early, early])(np.ones(2, "float32"))
    np.testing.assert_array_equal(again, np.exp(np.ones(2, "float32")))
    assert result.shape == (2,)


def test_errors_of_ops_become_our_own(make_op):
    def fail(arrays):
        raise np.linalg.LinAlgError("not today")

    def run_short(arrays):
        raise MemoryError("short")

    x = sg.tensor("x", (2,))
    y = x * 2
    executable = _prepare([x], [node(make_op("fail", fail, traits=frozenset({"traced"})), [y])])
    with pytest.raises(sg.CallError) as caught:
        executable(np.zeros(2, "float32"))
    text = str(caught.value)
    assert "fail failed: not today" in text
    assert "float32[2]" in text
    assert __file__ in text
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    with pytest.raises(MemoryError, match="short"):
        _prepare([x], [node(make_op("run_short", run_short), [x])])(np.zeros(2, "float32"))


def test_an_op_that_cannot_run_is_expanded_or_named(make_op):
    x = sg.tensor("x", ("N",))
    double = make_op("double_by_expansion", expand=lambda v: v.inputs[0] * 2)
    f = sg.compile([x], node(double, [x]) + 1)
    np.testing.assert_array_equal(f([1, 2]), [3, 5])
    assert f.report.passes[-1].rules == {"expand double_by_expansion": 1}
    looped = sg.map(lambda row: node(double, [row]), [m := sg.matrix("m")])
    np.testing.assert_array_equal(sg.compile([m], looped)([[1], [2]]), [[2], [4]])
    hopeless = make_op("hopeless")
    with pytest.raises(sg.BackendError, match="'hopeless'"):
        sg.compile([x], node(hopeless, [x]))
    endless = make_op("endless", expand=lambda v: v)
    with pytest.raises(sg.BackendError, match="endless"):
        sg.compile([x], node(endless, [x]))


def test_kernels_count_evaluated_nodes_and_distinct_ones():
    x, y = sg.tensor("x", (2,)), sg.tensor("y", (2,))
    executable = _prepare([x, y], [sg.exp(x) + 1, sg.exp(y) + 1])
    assert (executable.kernels, executable.distinct_kernels) == (4, 2)


def test_numbers_overflow_as_numpys_do_without_a_word(recwarn):
    i = sg.tensor("i", (), "int32")
    x = sg.tensor("x", ())
    results = _prepare([i, x], [i + 1, i // 0, sg.exp(x), sg.log(-x)])(
        np.array(2**31 - 1, "int32"), np.array(1e5, "float32")
    )
    assert results[0] == -(2**31)
    assert results[1] == 0
    assert np.isinf(results[2])
    assert np.isnan(results[3])
    assert not recwarn.list
