"""Long work of kernels: Ctrl-C ends it, other threads run beside it, results stay what they are."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.kernels import nest_shape
from symgraph.backends.llvm.lowering import products

# Seconds after which the signal comes, and within which it must have ended the call.
_AFTER, _WITHIN = 0.3, 15
# A limit that no work reaches.
_NONE = 1 << 62


def _costly(x, times=60):
    """Minutes of work on some ten million numbers."""
    for i in range(times):
        x = sg.gammaln(sg.abs(x) + (i + 1.0))
    return x


def _large_elementwise(x):
    return _costly(x)


def _large_total(x):
    return sg.sum(_costly(x))


def _large_sums_of_columns(x):
    return sg.sum(sg.reshape(_costly(x), (-1, 8)), axis=0)


def _large_product(x):
    """As many minutes."""
    side = sg.reshape(x[: 3000 * 3000], (3000, 3000))
    total = side
    for _ in range(100):
        total = total @ side.T
    return total


def _interrupt(call):
    """How long the call went on after Ctrl-C."""
    timer = threading.Timer(_AFTER, signal.raise_signal, [signal.SIGINT])
    started = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()
    return time.perf_counter() - started - _AFTER


@pytest.mark.parametrize(
    "work",
    [_large_elementwise, _large_total, _large_sums_of_columns, _large_product],
)
def test_an_interrupt_ends_long_work_and_leaves_the_state_whole(work):
    x = sg.tensor("x", (None,), dtype="float64")
    count = sg.shared(np.float64(7), "count")
    total = sg.sum(work(x)) * 1e-300
    f = sg.compile([x], total, updates={count: count + 1 + total * 0})
    numbers = np.full(9_000_000, 0.5)
    assert _interrupt(lambda: f(numbers)) < _WITHIN
    assert count.get_value() == 7


def test_a_function_works_after_an_interrupt():
    x = sg.tensor("x", (None,), dtype="float64")
    count = sg.shared(np.zeros(()), "count")
    f = sg.compile([x], _costly(x), updates={count: count + 1})
    few = np.linspace(1, 2, 11)
    expected = f(few)
    _interrupt(lambda: f(np.full(9_000_000, 0.5)))
    np.testing.assert_array_equal(f(few), expected)
    assert count.get_value() == 2


def test_another_thread_runs_beside_a_large_elementwise_call():
    x = sg.tensor("x", (None,), dtype="float64")
    f = sg.compile([x], _costly(x, times=4))
    started, ended, turns = threading.Event(), threading.Event(), []

    def count():
        started.set()
        while not ended.is_set():
            turns.append(time.perf_counter())
            time.sleep(0.001)

    other = threading.Thread(target=count)
    other.start()
    started.wait()
    before = time.perf_counter()
    f(np.full(2_000_000, 0.5))
    after = time.perf_counter()
    ended.set()
    other.join()
    assert after - before > 0.05
    assert sum(before < turn < after for turn in turns) > 5


# --- pieces change nothing ----------------------------------------------------------------------


def _cut_in_two_ways(monkeypatch, inputs, outputs, arrays, limits):
    """The results with two limits of a piece: of programs with a profile, since these are lowered
    each time."""
    results = []
    for limit in limits:
        for module in (nest_shape, products):
            monkeypatch.setattr(module, "_PIECE", limit)
        results.append(sg.compile(inputs, outputs, profile=True)(*arrays))
    return results


def _bits(results):
    return [np.asarray(r).tobytes() for r in results]


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (3, 1009), (1009, 3), (64, 256), (0, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("is_known", [True, False])
def test_nests_in_pieces_give_the_same_bits(monkeypatch, shape, dtype, is_known):
    rng = np.random.default_rng(5)
    array = (rng.standard_normal(shape) * 3).astype(dtype)
    x = sg.tensor("x", shape if is_known else (None, None), dtype=dtype)
    outputs = [x.T.astype("float32") * 2]
    for axis in (None, 0, 1):
        outputs += [sg.sum(x, axis=axis), sg.any(x > 0, axis=axis)]
        if dtype != "bool":
            outputs.append(sg.prod(x, axis=axis))
        if 0 not in shape:
            outputs.append(sg.max(x, axis=axis))
    if 0 not in shape:
        outputs.append(sg.where(sg.eq(x, x[0, 0]), x, x[:, ::-1]))
    # Of known sizes both limits are less than what is summed: kernels of short sums are others.
    limits = (40, 60 if is_known else _NONE)
    pieces, whole = _cut_in_two_ways(monkeypatch, [x], outputs, [array], limits)
    assert _bits(pieces) == _bits(whole)


@pytest.mark.parametrize("sizes", [(96, 1100, 900), (193, 41, 2500), (120, 1030, 385)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_transposed", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
def test_products_in_pieces_give_the_same_bits(monkeypatch, sizes, dtype, is_transposed, is_packed):
    m, n, k = sizes
    rng = np.random.default_rng(6)
    left = rng.standard_normal((3, m, k)).astype(dtype)
    right = rng.standard_normal((n, k) if is_transposed else (k, n)).astype(dtype)
    x = sg.tensor("x", (None, None, None), dtype=dtype)
    # Of what is known to be small the panels are shared.
    monkeypatch.setattr(products, "_CACHE_BYTES", right.nbytes)
    y = sg.tensor("y", right.shape if is_packed else (None, None), dtype=dtype)
    z = y.T if is_transposed else y
    outputs = [x @ z, x[0] @ z] if is_packed else [x[0] @ z]
    pieces, whole = _cut_in_two_ways(monkeypatch, [x, y], outputs, [left, right], (1 << 24, _NONE))
    assert _bits(pieces) == _bits(whole)
