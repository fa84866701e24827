"""The numbers of steps, which are those of the whole loop wherever a part of it runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg

both = pytest.mark.parametrize("backend", ["native", "numpy"])
spans = pytest.mark.parametrize("every", [1, 4, 12, 13, "auto"])
T = 13


def rooted(every: Any, **options: Any) -> tuple[list[sg.Variable], sg.Variable]:
    """A loop whose step takes a root: NaN below 0, a gradient that is infinite at 0."""
    x = sg.matrix("x")
    h = sg.scan(
        lambda x, h: sg.sqrt(x) + sg.tanh(h),
        [x],
        [sg.zeros((2,))],
        checkpoint_every=every,
        name="cell",
        **options,
    )
    return [x], h


def error_of(f: sg.Function, *args: Any) -> Any:
    with pytest.raises(sg.SymgraphError) as caught:
        f(*args)
    return caught.value


def rows(t: int, value: float) -> np.ndarray:
    x = np.full((T, 2), 0.5, np.float32)
    x[t, 1] = value
    return x


@both
@spans
def test_a_value_that_is_not_finite_has_the_step_of_the_whole_loop(
    backend: str, every: Any
) -> None:
    inputs, h = rooted(every)
    cost = h[-1].sum()
    f = sg.compile(inputs, [cost, sg.grad(cost, inputs[0])], backend=backend, check_finite=True)
    for t in (0, 3, 11, 12):
        error = error_of(f, rows(t, -1))
        assert (error.op, error.loop, error.step) == ("sqrt", "cell", t)
        found = sg.replay(f, [rows(t, -1)], loop=error.loop, step=error.step)
        np.testing.assert_array_equal(found.values["x[t]"], rows(t, -1)[t])
        error = error_of(f, rows(t, 0))
        assert error.step == T - 1 - t
        assert f"in step {T - 1 - t} of loop 'gradient of cell'" in str(error)
        found = sg.replay(f, [rows(t, 0)], loop=error.loop, step=error.step)
        assert found.step == (T - 1 - t,)
        # The row of which the root is taken, or that root.
        assert [x for x in found.values.values() if x.shape == (2,) and x[1] == 0 < x[0]]


@both
def test_steps_are_counted_within_other_loops(backend: str) -> None:
    x = sg.tensor3("x")
    w = sg.vector("w")

    def outer(x: sg.Variable, total: sg.Variable) -> sg.Variable:
        inner = sg.scan(
            lambda row, h: sg.sqrt(row) * w + sg.tanh(h),
            [x],
            [total],
            checkpoint_every=4,
            name="inner",
        )
        return inner[-1]

    y = sg.scan(outer, [x], [sg.zeros((2,))], checkpoint_every=2, name="outer")
    cost = y[-1].sum()
    f = sg.compile([x, w], [cost, *sg.grad(cost, [x, w])], backend=backend, check_finite=True)
    for at in ((0, 0), (2, 12), (4, 5), (4, 12)):
        values = np.full((5, T, 2), 0.5, np.float32)
        values[at] = -1
        error = error_of(f, values, np.ones(2, np.float32))
        assert (error.loop, error.step) == (("outer", "inner"), at)
        values[at] = 0
        error = error_of(f, values, np.ones(2, np.float32))
        assert error.step == (4 - at[0], T - 1 - at[1])
        found = sg.replay(
            f, [values, np.ones(2, np.float32)], loop=error.loop, step=error.step
        ).values
        assert [0, 0] in [value.tolist() for value in found.values()]


@both
@pytest.mark.parametrize("truncate", [1, 5, 13])
def test_steps_that_a_truncated_gradient_goes_back_are_counted_from_the_last(
    backend: str, truncate: int
) -> None:
    inputs, h = rooted(4, truncate_gradient=truncate)
    cost = h[-1].sum()
    f = sg.compile(inputs, sg.grad(cost, inputs[0]), backend=backend, check_finite=True)
    for t in range(T - truncate, T):
        assert error_of(f, rows(t, 0)).step == T - 1 - t


@both
def test_an_until_ends_at_the_step_that_counts(backend: str) -> None:
    x = sg.matrix("x")
    h = sg.scan(
        lambda x, h: (sg.sqrt(x) + 0 * h, sg.until(x[0] > 2)),
        [x],
        [sg.zeros((2,))],
        checkpoint_every=4,
        name="cell",
    )
    cost = h[-1].sum()
    f = sg.compile([x], [cost, sg.grad(cost, x)], backend=backend, check_finite=True)
    values = rows(9, 0)
    values[9, 0] = 3
    assert error_of(f, values).step == 0
    values[7, 1] = -1
    assert (error_of(f, values).loop, error_of(f, values).step) == ("cell", 7)


def reading(index: Callable[[sg.Variable, sg.Variable, sg.Variable], sg.Variable]) -> Any:
    table, i, w = sg.matrix("table"), sg.vector("i", dtype="int64"), sg.matrix("w")
    h = sg.scan(
        lambda i, h: index(table, i, w) + sg.tanh(h),
        [i],
        [sg.zeros((2,))],
        checkpoint_every=4,
        name="cell",
    )
    return [table, i, w], h


@both
@pytest.mark.parametrize("whole", [False, True])
def test_an_index_out_of_range_has_the_step_of_the_whole_loop(backend: str, whole: bool) -> None:
    inputs, h = reading(lambda table, i, w: table[i])
    cost = h.sum() if whole else h[-1].sum()
    f = sg.compile(inputs, [cost, *sg.grad(cost, [inputs[0]])], backend=backend, unused="ignore")
    for t in (0, 4, 11, 12):
        indices = np.zeros(T, np.int64)
        indices[t] = 7
        error = error_of(f, np.ones((3, 2)), indices, np.ones((2, 2)))
        assert f"in step {t} of loop 'cell' at" in str(error)
        assert "chunk" not in str(error)


@both
@pytest.mark.parametrize("n", [1, 4, 12, T])
def test_rows_that_are_read_at_once_have_the_step_of_the_whole_loop(backend: str, n: int) -> None:
    inputs, h = reading(lambda table, i, w: table[i] @ w)
    cost = h[-1].sum()
    f = sg.compile(inputs, [cost, *sg.grad(cost, [inputs[2]])], backend=backend)
    for t in range(n):
        indices = np.zeros(n, np.int64)
        indices[t] = 7
        *_, last = str(error_of(f, np.ones((3, 2)), indices, np.ones((2, 2)))).splitlines()
        assert last.startswith(f"  in step {t} of loop 'cell' at")
        assert not last.endswith("checkpoint")


@both
def test_rows_that_are_read_at_once_are_counted_within_other_loops(backend: str) -> None:
    table, i, w = sg.matrix("table"), sg.matrix("i", dtype="int64"), sg.matrix("w")

    def outer(row: sg.Variable, total: sg.Variable) -> sg.Variable:
        return sg.scan(
            lambda k, h: table[k] @ w + sg.tanh(h),
            [row],
            [total],
            checkpoint_every=4,
            name="inner",
        )[-1]

    y = sg.scan(outer, [i], [sg.zeros((2,))], checkpoint_every=2, name="outer")
    cost = y[-1].sum()
    f = sg.compile([table, i, w], [cost, sg.grad(cost, w)], backend=backend)
    for at in ((0, 0), (2, 12), (4, 5), (4, 12)):
        indices = np.zeros((5, T), np.int64)
        indices[at] = 7
        text = str(error_of(f, np.ones((3, 2)), indices, np.ones((2, 2))))
        assert f"in step {at[1]} of loop 'inner' at" in text
        assert f"in step {at[0]} of loop 'outer' at" in text
        assert "checkpoint" not in text


def test_a_step_that_a_part_does_not_take_is_refused_with_those_that_it_takes() -> None:
    inputs, h = rooted(4)
    cost = h[-1].sum()
    f = sg.compile(inputs, [cost, sg.grad(cost, inputs[0])])
    names = [row.name for row in f.report.loop_table]
    tail = names.index("cell from a checkpoint")
    found = sg.replay(f, [rows(12, 0.25)], loop=tail, step=12)
    assert str(found).startswith("step 12 of loop 'cell' at")
    with pytest.raises(sg.SymgraphValueError, match="takes the steps 12 to 12 in this call"):
        sg.replay(f, [rows(12, 0.25)], loop=tail, step=0)
