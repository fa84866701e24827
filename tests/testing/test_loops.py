"""Loops written out: what `unroll` and `check_scan` compute, refuse and notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import Phase, find, settings

import symgraph as sg
from symgraph.core.op import OPS, Op
from symgraph.core.variable import ancestors, node
from symgraph.scan.op import is_scan
from symgraph.scan.vjp import _GradientLoop
from symgraph.testing import check_scan, check_unrolled, evaluate, numbers, strategies, unroll
from symgraph.testing.strategies import ScanCase

ROWS, FIRST = numbers((4, 2), seed=1), numbers((2,), seed=2)


def recurrence(row: Any, past: Any) -> Any:
    return sg.tanh(row + past * 0.5)


# --- unroll -------------------------------------------------------------------------------------


def test_a_loop_written_out_is_no_loop_and_has_its_values() -> None:
    x, h = sg.tensor("x", (4, 2), "float64"), sg.tensor("h", (2,), "float64")
    twin = unroll(sg.scan(recurrence, [x], [h]))
    assert not any(is_scan(v) for v in ancestors([twin]))
    past, expected = FIRST, []
    for row in ROWS:
        past = np.tanh(row + past * 0.5)
        expected.append(past)
    np.testing.assert_allclose(evaluate(twin, {x: ROWS, h: FIRST}), expected, rtol=1e-14)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_taps_states_plain_outputs_and_loops_within_are_written_out(steps: int) -> None:
    x = sg.tensor("x", (steps + 2, 2), "float64")
    h = sg.tensor("h", (3, 2), "float64")

    def step(before: Any, after: Any, oldest: Any, newest: Any) -> list[Any]:
        inner = sg.scan(lambda a, b: sg.sin(a + b), [newest], [before[0] * 0.5])
        return [sg.tanh(oldest + newest * inner), before * after]

    sequence = {"input": x, "taps": [-1, 1]}
    results = sg.scan(step, [sequence], [{"initial": h, "taps": [-3, -1]}, None])
    twins = unroll(results)
    assert not any(is_scan(v) for v in ancestors(twins))
    values = {x: numbers((steps + 2, 2), seed=3), h: numbers((3, 2), seed=4)}
    past, plain = list(values[h]), []
    for t in range(steps):
        inner, state = [], values[x][t][0] * 0.5
        for a in past[-1]:
            state = np.sin(a + state)
            inner.append(state)
        plain.append(values[x][t] * values[x][t + 2])
        past.append(np.tanh(past[-3] + past[-1] * inner))
    for found in (evaluate(twins, values), evaluate(results, values)):
        np.testing.assert_allclose(found[0], np.reshape(past[3:], (steps, 2)), rtol=1e-13)
        np.testing.assert_allclose(found[1], np.reshape(plain, (steps, 2)), rtol=1e-13)


def test_windows_of_the_step_have_sizes_of_their_own() -> None:
    x = sg.tensor("x", (5,), "float64")
    found = sg.scan(lambda i: (x[sg.maximum(i - 2, 0) : i + 1] ** 2).sum(), [sg.arange(5)], [None])
    array = numbers((5,))
    expected = [np.sum(array[max(i - 2, 0) : i + 1] ** 2) for i in range(5)]
    np.testing.assert_allclose(evaluate(unroll(found), {x: array}), expected, rtol=1e-14)


def test_gradients_of_what_was_written_out() -> None:
    """They are a loop's gradients, truncated ones too, and pass through no loop."""
    x, h = sg.tensor("x", (4, 2), "float64"), sg.tensor("h", (2,), "float64")
    values = {x: ROWS, h: FIRST}
    for truncate in (None, 2):
        cost = (sg.scan(recurrence, [x], [h], truncate_gradient=truncate) ** 2).sum()
        twin = sg.grad(unroll(cost), [x, h], disconnected="zero")
        assert not any(is_scan(v) for v in ancestors(twin))
        found = evaluate(sg.grad(cost, [x, h], disconnected="zero"), values)
        for result, expected in zip(found, evaluate(twin, values), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)
        assert np.any(found[0][0] != 0) == (truncate is None)


def test_what_is_no_loop_stays() -> None:
    x = sg.tensor("x", (4, 2), "float64")
    y = sg.exp(x)
    assert unroll(y) is y
    assert unroll([y, x]) == [y, x]


def test_numbers_of_steps_that_only_data_tell_are_refused() -> None:
    x, n = sg.tensor("x", ("T", 2), "float64"), sg.scalar("n", "int64")
    with pytest.raises(sg.ScanError, match=r"number of steps of .* is not known"):
        unroll(sg.scan(recurrence, [x], [x[0]]))
    with pytest.raises(sg.ScanError, match="fixed lengths"):
        unroll(sg.scan(lambda h: h * 2, [], [x[0]], n_steps=n))
    with pytest.raises(sg.ScanError, match="leave until out"):
        unroll(sg.scan(lambda h: (h * 2, sg.until(h > 1)), [], [sg.constant(0.5)], n_steps=3))


@pytest.mark.parametrize("value", [np.zeros(4), np.zeros((4, 3)), [[1.0, 2.0], [3.0]]])
def test_values_that_are_none_for_the_input_are_refused(value: Any) -> None:
    x = sg.tensor("x", ("T", 2), "float64")
    with pytest.raises(sg.SymgraphError, match=r"^unroll: [\s\S]*'x' float64\[T, 2\]"):
        unroll(sg.scan(recurrence, [x], [x[0]]), given={x: value})


def test_they_are_those_for_the_values_that_are_given() -> None:
    """A length, a number of steps, a condition; loops within the step take each their own."""
    x, n = sg.tensor("x", ("T", 2), "float64"), sg.scalar("n", "int64")

    def step(row: Any, past: Any) -> Any:
        def inner(h: Any) -> Any:
            return h + 0.5, sg.until(h.sum() > 1)

        inside = sg.scan(inner, None, row, n_steps=n)
        return sg.tanh(past + inside.sum(axis=0)), sg.until(past.sum() > 2)

    found = sg.scan(step, [x], [x[0]])
    for values in ({x: ROWS, n: 3}, {x: ROWS + 2.0, n: 5}, {x: ROWS[:1], n: 0}):
        twin = unroll(found, given=values)
        assert not any(is_scan(v) for v in ancestors([twin]))
        np.testing.assert_allclose(evaluate(twin, values), evaluate(found, values), rtol=1e-14)


# --- check_scan ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"go_backwards": True},
        {"n_steps": 2},
        {"truncate_gradient": 2},
        {"checkpoint_every": 2, "name": "loop"},
    ],
)
def test_a_right_loop_passes(options: dict[str, Any]) -> None:
    (found,) = check_scan(recurrence, ROWS, FIRST, orders=2, **options)
    past, expected = FIRST, []
    rows = ROWS[::-1] if "go_backwards" in options else ROWS
    for row in rows[: options.get("n_steps", 4)]:
        past = np.tanh(row + past * 0.5)
        expected.append(past)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_taps_others_and_counts() -> None:
    def step(row: Any, after: Any, oldest: Any, count: Any, w: Any) -> list[Any]:
        return [sg.tanh(oldest @ w + row * after), count + 1]

    first = {"initial": numbers((2, 2), seed=5), "taps": [-2]}
    sequence = {"input": ROWS, "taps": [0, 1]}
    states, counts = check_scan(
        step, [sequence], [first, np.array(7)], numbers((2, 2), seed=6), orders=3
    )
    assert states.shape == (3, 2)
    assert counts.tolist() == [8, 9, 10]


@pytest.mark.parametrize(("limit", "steps"), [(0.0, 1), (2.5, 3), (99.0, 4)])
def test_until(limit: float, steps: int) -> None:
    def step(row: Any, total: Any) -> Any:
        return total + row, sg.until(total + row > limit)

    (found,) = check_scan(step, np.ones(4), np.array(0.0), orders=2)
    assert found.tolist() == [1.0, 2.0, 3.0, 4.0][:steps]


def test_no_steps() -> None:
    (found,) = check_scan(recurrence, numbers((0, 2)), FIRST, orders=2)
    assert found.shape == (0, 2)


def test_an_array_given_twice_is_one_variable() -> None:
    """Its gradient has all that it gives: as a sequence, as a first value, as it is."""

    def step(row: Any, past: Any, whole: Any) -> Any:
        return sg.tanh(row * past + whole.sum())

    square = numbers((3, 3), seed=7)
    check_scan(step, square, square[0], square, orders=2)
    check_scan(lambda past, same: past * same, None, FIRST, FIRST, n_steps=3)
    check_scan(lambda row, same: [row * same, row], square, None, square[0])


def test_python_numbers_stay_weak() -> None:
    """States that begin with them take the dtype of their new values; none is differentiated by."""
    for dtype in ("float32", "float64"):
        rows = ROWS[:, 0].astype(dtype)
        (found,) = check_scan(lambda x, h, k: h * x + k, rows, 0.0, 0.5)
        assert found.dtype == dtype
        (found,) = check_scan(lambda x, h: h + x, rows, 1)
        assert found.dtype == dtype


def test_what_scan_refuses_is_refused() -> None:
    with pytest.raises(sg.ScanError, match="changes its type"):
        check_scan(lambda x, h: h * x, ROWS, FIRST.astype("float32"))
    with pytest.raises(sg.ScanError, match="the step is a function, not None"):
        check_scan(cast("Any", None), ROWS, FIRST)
    with pytest.raises(sg.ScanError, match="n_steps"):
        check_scan(lambda h: h, None, FIRST)


@pytest.mark.parametrize("tolerance", [-1.0, "small", True, float("nan")])
@pytest.mark.parametrize("check", [check_scan, check_unrolled])
def test_tolerances_are_numbers(check: Callable[..., Any], tolerance: Any) -> None:
    with pytest.raises(sg.SymgraphValueError, match=f"{check.__name__}: tolerance is a number"):
        check(recurrence, ROWS, FIRST, tolerance=tolerance)


def test_a_tolerance_of_zero_leaves_no_room() -> None:
    check_scan(lambda x, h: x + h, ROWS, FIRST, orders=0, tolerance=0)
    with pytest.raises(AssertionError, match="Not equal"):
        check_scan(recurrence, ROWS.astype("float32"), FIRST.astype("float32"), tolerance=0.0)


def test_loops_within_the_step_are_written_out() -> None:
    """Those that end by `until`, too; else a fault of the gradient of loops would be in both."""

    def step(row: Any, past: Any) -> Any:
        def inner(h: Any) -> Any:
            return sg.tanh(h + row[0]), sg.until(h.sum() > 0.5)

        return sg.reduce(lambda a, b: sg.sin(a + b), [row], past) + sg.scan(
            inner, None, past, n_steps=4
        ).sum(axis=0)

    check_scan(step, ROWS, FIRST, orders=2)


def test_truncated_loops_that_end_by_a_condition() -> None:
    def step(row: Any, oldest: Any, past: Any) -> Any:
        new = sg.tanh(row + past * oldest)
        return new, sg.until(new.sum() > 1.2)

    for truncate in (1, 2, 5):
        check_scan(
            step,
            ROWS,
            {"initial": numbers((3, 2)), "taps": [-3, -1]},
            orders=2,
            truncate_gradient=truncate,
        )


# --- check_unrolled -----------------------------------------------------------------------------


def test_functions_with_loops_of_all_kinds() -> None:
    def function(x: Any, h: Any) -> list[Any]:
        states = sg.scan(recurrence, [x], [h])
        sums = sg.associative_scan(lambda a, b: a + b, states)
        rest = sg.foldr(recurrence, [sums], h)
        return [sg.map(lambda row: row * rest, states), sg.foldl(recurrence, states, rest)]

    states, last = check_unrolled(function, ROWS, FIRST)
    past, trace = FIRST, []
    for row in ROWS:
        past = np.tanh(row + past * 0.5)
        trace.append(past)
    rest = FIRST
    for row in np.cumsum(trace, axis=0)[::-1]:
        rest = np.tanh(row + rest * 0.5)
    np.testing.assert_allclose(states, trace * rest, rtol=1e-13)
    for row in trace:
        rest = np.tanh(row + rest * 0.5)
    np.testing.assert_allclose(last, rest, rtol=1e-13)


def test_float32_is_compared_as_such() -> None:
    check_unrolled(lambda x: sg.reduce(recurrence, x, x[0]), ROWS.astype("float32"))
    with pytest.raises(AssertionError, match="outputs"):
        check_unrolled(
            lambda x: sg.reduce(recurrence, x, x[0]), ROWS.astype("float32"), tolerance=1e-12
        )


# --- planted faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["outputs", "gradients of order 1", "direction"])
def test_a_wrong_loop_fails(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop whose values, whose gradient, or whose gradient and twin's are wrong."""
    if what == "outputs":
        wrong: Callable[..., Any] = lambda *a, **o: sg.scan(*a, **o) * 1.001  # noqa: E731
        monkeypatch.setattr("symgraph.testing.scans.scan", wrong)
    else:
        right = sg.grad
        factors = iter([1.01, 1.0] if what.startswith("gradients") else [1.01, 1.01])

        def grad(*arguments: Any, **options: Any) -> list[Any]:
            factor = next(factors)
            return [g * factor for g in right(*arguments, **options)]

        monkeypatch.setattr("symgraph.testing.twins.grad", grad)
    with pytest.raises(AssertionError, match=what):
        check_scan(recurrence, ROWS, FIRST, orders=1)


@pytest.fixture
def wrong_op() -> Iterator[Callable[..., Any]]:
    """Makes an op by name, for as long as the test runs."""
    made: list[str] = []

    def make(name: str, *rules: Any) -> Callable[[Any], Any]:
        made.append(name)
        op = Op(name, lambda inputs: inputs[0].type, *rules)
        return lambda x: node(op, (x,))

    yield make
    for name in made:
        del OPS[name]


def test_a_wrong_gradient_of_an_op_is_found_by_differences(wrong_op: Any) -> None:
    half = wrong_op("half", lambda arrays: arrays[0] * 0.5, lambda z, ct: [ct])
    with pytest.raises(AssertionError, match=r"order 1 by argument_0 .* by differences"):
        check_unrolled(lambda x: sg.scan(lambda row, h: half(row) + h, x, x[0]), ROWS)


@pytest.mark.parametrize("order", [2, 3])
def test_a_wrong_gradient_of_higher_order_is_found(order: int, wrong_op: Any) -> None:
    """A power whose derivatives up to this order are right."""

    def vjp(z: Any, ct: Any) -> list[Any]:
        x = z.inputs[0]
        stopped = sg.stop_gradient(x)
        slope = 4 * stopped**3
        if order == 3:
            slope = slope + 12 * stopped**2 * (x - stopped)
        return [ct * slope]

    fourth = wrong_op("fourth", lambda arrays: arrays[0] ** 4, vjp)

    def function(x: Any) -> Any:
        return sg.scan(lambda row, h: fourth(row) + h, x, x[0])

    check_unrolled(function, ROWS, orders=order - 1)
    with pytest.raises(AssertionError, match=f"gradient of order {order} by"):
        check_unrolled(function, ROWS, orders=order)


_WRONG: dict[str, Callable[..., Any]] = {
    "_initial_cotangent": lambda self, i, pending: None,
    "_carry_total": lambda self, fixed, cotangent: None,
    "_first_rows": lambda self, sequence, reach: sequence[::-1][: sequence.shape[0]],
}


@pytest.mark.parametrize("method", list(_WRONG))
def test_a_wrong_gradient_of_loops_is_found(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_GradientLoop, method, _WRONG[method])
    found = _shortest_that_fails(phases=[Phase.generate])
    # One of them is made as short as it gets.
    if method == "_initial_cotangent":
        found = _shortest_that_fails()
        assert found.text.count("\n") <= 4, found


def _shortest_that_fails(**options: Any) -> ScanCase:
    def fails(case: ScanCase) -> bool:
        try:
            check_scan(**case.arguments, orders=1)
        except (AssertionError, sg.CallError):
            return True
        return False

    few = settings(max_examples=100, deadline=None, database=None, derandomize=True, **options)
    return find(strategies.scans(dtype="float64", max_steps=2), fails, settings=few)


def test_a_drawn_loop_prints_as_lines_that_check_it() -> None:
    """Loops over the steps' numbers too."""
    case = find(
        strategies.scans(),
        lambda case: "arange(" in case.text.split("check_scan")[1],
        settings=settings(derandomize=True, database=None),
    )
    found: list[Any] = []

    def check(step: Any, **arguments: Any) -> None:
        found.extend(check_scan(step, **arguments, orders=1))

    exec(case.text, {"sg": sg, "np": np, "numbers": numbers, "check_scan": check})
    for result, expected in zip(found, case.expected, strict=True):
        np.testing.assert_allclose(result, expected)


def test_unroll_refuses_what_is_no_variable_and_values_that_do_not_fit() -> None:
    x = sg.vector("x")
    loop = sg.scan(lambda row, total: total + row, [x], [0.0])
    with pytest.raises(sg.SymgraphTypeError, match=r"unroll takes a variable or a list .* not 3"):
        sg.testing.unroll(cast(Any, 3))
    with pytest.raises(sg.SymgraphTypeError, match="given for variables, not for 'x'"):
        sg.testing.unroll(loop, given=cast(Any, {"x": [1.0]}))
    with pytest.raises(sg.SymgraphTypeError, match="the values given are a dict"):
        sg.testing.unroll(loop, given=cast(Any, [1.0]))
    with pytest.raises(sg.ShapeError, match=r"'x' .* is given an array of shape \(2, 2\)"):
        sg.testing.unroll(loop, given={x: np.ones((2, 2))})


def test_check_scan_refuses_a_variable_for_an_array_and_a_sequence_of_no_rows() -> None:
    x = sg.matrix("x")
    for given in ([x], [{"input": x, "taps": [0]}]):
        with pytest.raises(sg.SymgraphTypeError, match=r"check_scan: sequence 0 is 'x'.*an array"):
            check_scan(recurrence, given, [FIRST])
    with pytest.raises(sg.SymgraphTypeError, match="check_scan: initial value 0 is 'x'"):
        check_scan(recurrence, [ROWS], [{"initial": x, "taps": [-1]}])
    with pytest.raises(sg.ShapeError, match="check_scan: sequence 0 has no rows: 3"):
        check_scan(recurrence, 3, [FIRST])
