"""Sizes that steps of loops compare: one from the beginning, where the call has them agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

both = pytest.mark.parametrize("backend", ["native", "numpy"])

# How an input's sizes are declared: of no names, of names that no other has, as they are.
DECLARED = {"unknown": (None, None), "named": ("rows", "columns"), "known": (None, 3)}


def arrays(n_steps: int, n_in: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=size) for size in ((n_steps, n_in), (3, 4), (4, 4))]


def inputs_of(kind: str) -> list[sg.Variable]:
    x = sg.tensor("x", DECLARED[kind], "float64")
    return [x, sg.matrix("u", dtype="float64"), sg.matrix("w", dtype="float64")]


def states(x: sg.Variable, u: sg.Variable, w: sg.Variable, *, inside: bool) -> sg.Variable:
    initial = sg.zeros((w.shape[0],), "float64")
    if inside:
        return sg.scan(lambda x, h: sg.tanh(x @ u + h @ w), [x], [initial])
    return sg.scan(lambda z, h: sg.tanh(z + h @ w), [x @ u], [initial])


def products_in_loops(f: sg.Function) -> list[int]:
    """How many products each loop multiplies in a step."""
    loops = [Loop(v) for v in f.graph.nodes if is_scan(v)]
    return [sum(v.op.name == "matmul" for v in loop.body.nodes) for loop in loops]


@both
@pytest.mark.parametrize("kind", DECLARED)
def test_an_input_product_is_written_inside_as_well_as_outside(backend: str, kind: str) -> None:
    found: list[Any] = []
    for inside in (True, False):
        inputs = inputs_of(kind)
        cost = sg.square(states(*inputs, inside=inside)).sum()
        f = sg.compile(inputs, [cost, *sg.grad(cost, inputs)], backend=backend)
        found.append((products_in_loops(f), f(*arrays(5))))
    (counts, values), (wanted, expected) = found
    # Native code multiplies rows in the loop, some steps at once.
    assert counts == ([1, 1] if backend == "numpy" else [2, 1])
    assert wanted == [1, 1]
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-12)


def stepped(x: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    rows, h = [], np.zeros(len(w))
    for row in x:
        h = np.tanh(row @ u + h @ w)
        rows.append(h)
    return np.array(rows).reshape(-1, len(w))


@both
@pytest.mark.parametrize("kind", ["unknown", "named"])
@pytest.mark.parametrize("n_steps", [0, 1, 4])
def test_sizes_that_do_not_agree_are_an_error_of_the_first_step(
    backend: str, kind: str, n_steps: int
) -> None:
    inputs = inputs_of(kind)
    h = states(*inputs, inside=True)
    cost = h.sum()
    f = sg.compile(inputs, [h, *sg.grad(cost, inputs)], backend=backend)
    np.testing.assert_allclose(f(*arrays(4))[0], stepped(*arrays(4)), rtol=1e-12)
    wrong = arrays(n_steps, n_in=2)
    if not n_steps:
        results = f(*wrong)
        assert [r.shape for r in results] == [(0, 4), (0, 2), (3, 4), (4, 4)]
        assert not any(r.any() for r in results)
    else:
        with pytest.raises(sg.CallError, match="matmul") as caught:
            f(*wrong)
        assert "size 2" in str(caught.value)
    np.testing.assert_allclose(f(*arrays(3))[0], stepped(*arrays(3)), rtol=1e-12)


@both
def test_calls_with_other_sizes_store_updates_too(backend: str) -> None:
    count = sg.shared(np.float64(0), name="count")
    inputs = inputs_of("unknown")
    h = states(*inputs, inside=True)
    total = h.sum()
    f = sg.compile(inputs, total, updates={count: count + 1 + total}, backend=backend)
    f(*arrays(0, n_in=2))
    assert count.get_value() == 1
    with pytest.raises(sg.CallError):
        f(*arrays(2, n_in=2))
    assert count.get_value() == 1


@both
@pytest.mark.parametrize("check_finite", [False, True])
def test_loops_within_loops_take_no_step_of_sizes_that_differ(
    backend: str, check_finite: bool
) -> None:
    x, u = sg.tensor3("x", dtype="float64"), sg.matrix("u", dtype="float64")

    def outer(x: sg.Variable, total: sg.Variable) -> sg.Variable:
        rows = sg.scan(lambda row, h: h + (row @ u).sum(), [x], [sg.zeros((), "float64")])
        return total + rows.sum()

    y = sg.scan(outer, [x], [sg.zeros((), "float64")])
    f = sg.compile([x, u], y, backend=backend, check_finite=check_finite)

    def call(*shape: int) -> Sequence[float]:
        return f(np.ones(shape), np.ones((3, 4))).tolist()

    assert call(2, 2, 3) == [36.0, 72.0]
    assert call(2, 0, 5) == [0.0, 0.0]
    assert call(0, 2, 5) == []
    with pytest.raises(sg.CallError, match="size 5"):
        call(1, 1, 5)


def counted_by_a_loop(row: sg.Variable, k: sg.Variable, *, by_rows: bool) -> sg.Variable:
    """How often a loop runs: a state that nobody reads says that ``row`` has three elements."""
    if by_rows:
        unread: Any = {"initial": row, "taps": [-3, -1]}
    else:
        unread = (row * sg.constant(np.ones(3))).sum()
    count = sg.scan(lambda h, g, *_: [h + 1, g * 0.8], [], [k, unread], n_steps=row.shape[0])[0]
    return count[-1]


@both
@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_no_size_is_taken_for_another_by_a_check_that_no_value_needs(
    backend: str, by_rows: bool, depth: int
) -> None:
    x, k = sg.tensor("x", (2, "n"), "float64"), sg.scalar("k", dtype="int64")

    def step(row: sg.Variable, k: sg.Variable) -> sg.Variable:
        return counted_by_a_loop(row, k, by_rows=by_rows)

    def outer(k: sg.Variable, x: sg.Variable) -> sg.Variable:
        return sg.scan(step, [x], [k])[-1]

    y = sg.scan(step, [x], [k]) if depth == 1 else sg.scan(outer, [], [k], [x], n_steps=2)
    f = sg.compile([x, k], y, backend=backend)
    for n in (3, 17, 1, 3):
        assert f(np.ones((2, n)), 5).tolist() == [5 + n * depth, 5 + 2 * n * depth]


@both
def test_sizes_of_two_inputs_are_no_one_size_where_their_sum_goes_unread(backend: str) -> None:
    """A call in which they differ is refused, or does without the sum."""
    x, u, v = sg.vector("x", dtype="float64"), sg.vector("u"), sg.vector("v")

    def step(row: sg.Variable, h: sg.Variable) -> sg.Variable:
        def inner(n: sg.Variable, g: sg.Variable) -> list[sg.Variable]:
            return [n + v.shape[0], g + (u + v).sum()]

        return h + row * sg.scan(inner, [], [u.shape[0], sg.zeros(())], n_steps=2)[0][-1]

    y = sg.scan(step, [x], [sg.zeros((), "float64")])
    f = sg.compile([x, u, v], y, backend=backend)
    for m, n in ((2, 2), (2, 3), (0, 1), (4, 0)):
        try:
            found = f(np.ones(2), np.ones(m, "float32"), np.ones(n, "float32"))
        except sg.CallError:
            assert m != n
        else:
            assert found.tolist() == [m + 2 * n, 2 * (m + 2 * n)]


@both
def test_eval_goes_by_the_sizes_that_steps_compare_as_compiled_functions_do(backend: str) -> None:
    x, y = sg.matrix("x", dtype="float64"), sg.matrix("y", dtype="float64")
    total = sg.scan(lambda a, b: sg.log(sg.exp(a) + sg.exp(b)), [x, y])
    rows = np.full((2, 3), 800.0)
    found = total.eval({x: rows, y: rows}, backend=backend)
    np.testing.assert_allclose(found, rows + np.log(2))
    assert total.eval({x: rows[:0], y: rows[:0, :2]}, backend=backend).shape[0] == 0
    with pytest.raises(sg.CallError, match="size 2"):
        total.eval({x: rows, y: rows[:, :2]}, backend=backend)
