"""What `scan` and its kin mean: lengths, states that must agree, what a step may return, errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import evaluate

ROWS = np.arange(1.0, 6.0)


def vector(name: str = "x", size: Any = "T", dtype: str = "float64") -> sg.Variable:
    return sg.tensor(name, (size,), dtype)


def run(outputs: Any, values: dict[sg.Variable, Any]) -> Any:
    """The values node by node as built; those of the compiled function must be the same."""
    plain = evaluate(outputs, values)
    compiled = sg.compile(list(values), outputs, backend="numpy")(*values.values())
    both = (plain, compiled) if isinstance(outputs, list) else ([plain], [compiled])
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert a.shape == np.shape(b)
        assert a.dtype == b.dtype
    return plain


def accumulate(row: sg.Variable, total: sg.Variable) -> sg.Variable:
    return total * 0.5 + row


# --- lengths ------------------------------------------------------------------------------------


def test_no_steps_give_empty_outputs_and_no_gradient() -> None:
    x, h = sg.tensor("x", ("T", "B"), "float64"), sg.tensor("h", ("B",), "float64")
    states, squares = sg.scan(lambda row, s: [s * row, sg.outer(row, row)], x, [h, None])
    gradients = sg.grad(states.sum() + squares.sum(), [x, h])
    values = run([states, squares, *gradients], {x: np.ones((0, 3)), h: np.ones(3)})
    assert [v.shape for v in values] == [(0, 3), (0, 3, 3), (0, 3), (3,)]
    np.testing.assert_array_equal(values[3], 0)


def test_no_steps_of_a_fold_give_the_initial_value() -> None:
    x, c = vector(), sg.scalar("c", "float64")
    last = sg.foldl(accumulate, x, c)
    assert run(last, {x: ROWS[:0], c: 3.0}) == 3.0
    gradient = run(sg.grad(last, [x, c]), {x: ROWS[:0], c: 3.0})
    assert gradient[0].shape == (0,)
    assert gradient[1] == 1.0


def test_the_shortest_sequence_decides() -> None:
    x, y = vector(), vector("y", "S")
    both = sg.scan(lambda a, b: a * b, [x, y])
    values = run([both, *sg.grad(both.sum(), [x, y])], {x: ROWS, y: ROWS[:3]})
    np.testing.assert_array_equal(values[0], [1, 4, 9])
    np.testing.assert_array_equal(values[1], [1, 2, 3, 0, 0])
    np.testing.assert_array_equal(values[2], [1, 2, 3])


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 6])
def test_parts_of_one_sequence_are_as_long_as_the_shortest_of_them(rows: int) -> None:
    x = vector()
    both = sg.scan(lambda a, b: sg.sin(a) * b, [x[:-1], x])  # the longer one is the second
    chained = sg.scan(lambda a, b, c: a * b + c, [x[2:], both, x[1:]])
    outputs = [both * x[1:], chained - x[2:], *sg.grad(sg.square(chained).sum(), [x])]
    value = np.sin(np.arange(rows) + 0.5)
    n, first, slopes = max(rows - 2, 0), value[:-1], np.zeros(rows)
    product = np.sin(first) * first
    total = value[2:] * product[:n] + value[1:][:n]
    slopes[2:] += 2 * total * product[:n]
    slopes[1 : n + 1] += 2 * total
    by_first = np.cos(first) * first + np.sin(first)
    slopes[:n] += 2 * total * value[2:] * by_first[:n]
    expected = [product * value[1:], total - value[2:], slopes]
    for backend in ("numpy", "native"):
        for found, each in zip(
            sg.compile([x], outputs, backend=backend)(value), expected, strict=True
        ):
            np.testing.assert_allclose(found, each, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_taps_that_reach_beyond_a_short_sequence_leave_no_steps(length: int) -> None:
    x, known = vector(), vector("known", length)
    for v in (x, known):
        read = sg.scan(lambda a, b: a * b, {"input": v, "taps": [-1, 1]})
        values = run([read, sg.grad(read.sum(), v)], {v: ROWS[:length]})
        assert values[0].shape == (max(length - 2, 0),)
        np.testing.assert_array_equal(values[1], {3: [3.0, 0.0, 1.0]}.get(length, [0.0] * length))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_symbolic_number_of_steps(dtype: str) -> None:
    x, n = vector(), sg.scalar("n", dtype)
    read = sg.scan(accumulate, x, sg.constant(0.0, "float64"), n_steps=n)
    for steps in (0, 1, 5):
        assert run(read, {x: ROWS, n: steps}).shape == (steps,)


def test_more_steps_than_rows() -> None:
    x, n = vector(), sg.scalar("n", "int64")
    with pytest.raises(sg.ScanError, match=r"n_steps is 4, but 'z'.* allows 3 steps"):
        sg.scan(lambda a: a, vector("z", 3), n_steps=4)
    for steps, values in ((n, {x: ROWS, n: 6}), (6, {x: ROWS})):
        f = sg.compile(list(values), sg.scan(lambda a: a, x, n_steps=steps), backend="numpy")
        with pytest.raises(sg.CallError, match=r"6 steps read 6 rows of 'x'.*which has 5"):
            f(*values.values())


def test_a_negative_number_of_steps() -> None:
    c, n = sg.scalar("c", "float64"), sg.scalar("n", "int64")
    with pytest.raises(sg.ScanError, match="n_steps is at least 0, not -1"):
        sg.scan(lambda s: s, (), c, n_steps=-1)
    doubled = sg.scan(lambda s: s * 2, (), c, n_steps=n)
    for output in (doubled, sg.grad(doubled.sum(), c)):
        with pytest.raises(sg.CallError, match="-1"):
            sg.compile([c, n], output, backend="numpy")(1.0, -1)


def test_a_number_of_steps_that_is_known_to_be_negative() -> None:
    c, n = sg.scalar("c", "float64"), sg.scalar("n", "int64")
    known = sg.constant(np.int64(1)) - sg.constant(np.int64(4))
    doubled = sg.scan(lambda s: s * 2, (), c, n_steps=n)
    with pytest.raises(sg.ScanError, match="number of steps is -3"):
        sg.scan(lambda s: s * 2, (), c, n_steps=known)
    with pytest.raises(sg.ScanError, match="number of steps is -3"):
        sg.scan(lambda s: (s * 2, sg.until(s > 9)), (), sg.constant(1.0), n_steps=known)
    with pytest.raises(sg.ScanError, match="number of steps is -3"):
        sg.compile([c], doubled, givens={n: known})


@pytest.mark.parametrize("n_steps", [2.0, True, "3", np.ones(2, int)])
def test_number_of_steps_is_an_integer(n_steps: Any) -> None:
    with pytest.raises(sg.SymgraphError):
        sg.scan(lambda a: a, vector(), n_steps=n_steps)


def test_backwards_from_the_end_also_for_fewer_steps() -> None:
    x = vector()
    taken = {"input": x, "taps": [0, -1]}
    read = sg.scan(lambda a, b: a * 10 + b, taken, go_backwards=True, n_steps=2)
    np.testing.assert_array_equal(run(read, {x: ROWS}), [54, 43])


# --- states -------------------------------------------------------------------------------------


def test_python_numbers_take_the_dtype_that_the_step_needs() -> None:
    for initial in (0, 0.0):
        for dtype in ("float32", "float64"):
            total = sg.scan(lambda a, s: s + a, vector(dtype=dtype), initial)
            assert total.dtype == dtype
    counted = sg.scan(lambda a, s, n: [s + a, n + 1], vector(dtype="float32"), [0, 0])
    assert [v.dtype for v in counted] == ["float32", "int64"]
    assert sg.scan(lambda a, s: a, vector(dtype="int8"), 0).dtype == "int8"
    assert sg.scan(lambda a, s: sg.logical_or(s, a > 0), vector(), False).dtype == "bool"


def test_python_numbers_lose_nothing_on_the_way() -> None:
    x = vector()
    assert run(sg.scan(lambda a, s: s + a * 0, x, 0.1), {x: ROWS})[0] == 0.1


def test_a_python_number_as_new_value_takes_the_dtype_of_the_state() -> None:
    x, c = vector(), sg.scalar("c", "float64")
    out = sg.scan(lambda a, s: 0.1, x, c)
    np.testing.assert_array_equal(evaluate(out, {x: ROWS, c: 0.0}), [0.1] * 5)
    assert sg.scan(lambda a, s: 0, x, c).dtype == "float64"


def test_a_state_that_changes_its_dtype() -> None:
    x, c = vector(), sg.scalar("c", "float64")
    with pytest.raises(sg.ScanError) as caught:
        sg.scan(lambda a, s: (s + a).astype("float32"), x, c, name="sums")
    text = str(caught.value)
    assert "scan 'sums': output 0 (from 'c')" in text
    assert "float64[]" in text
    assert "float32[]" in text
    assert ".astype('float64')" in text
    # The lines of the initial value, of the step and of the call.
    assert len(re.findall(r"test_scan_meaning\.py:\d+", text)) == 3


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda s: sg.concatenate([s, s]), "Sizes 3 and 6 of axis 0 cannot be equal"),
        (lambda s: sg.outer(s, s), "as many axes"),
        (lambda s: s.sum(), "as many axes"),
    ],
)
def test_a_state_that_changes_its_shape(change: Callable, remedy: str) -> None:
    with pytest.raises(sg.ScanError, match=remedy):
        sg.scan(lambda a, s: change(s), vector(), vector("h", 3))


def test_a_state_whose_named_size_changes() -> None:
    other = vector("other", "C")
    with pytest.raises(sg.ScanError, match="Sizes B and C of axis 0"):
        sg.scan(lambda a, s: other * a, vector(), vector("h", "B"))


@pytest.mark.parametrize("size", [4, "B"])
@pytest.mark.parametrize("listed", [True, False])
def test_a_length_of_one_is_stretched(size: Any, listed: bool) -> None:
    x, h, b = vector(), vector("h", 1), vector("b", size)
    if listed:
        out = sg.scan(lambda a, s, other: s + other * a, x, h, [b])
    else:
        out = sg.scan(lambda a, s: s + b * a, x, h)
    values = run([out, sg.grad(out.sum(), h)], {x: ROWS, h: [1.0], b: np.ones(4)})
    np.testing.assert_array_equal(values[0], (1 + np.cumsum(ROWS))[:, None] * np.ones(4))
    np.testing.assert_array_equal(values[1], [20.0])


def test_a_new_value_of_length_one_is_stretched() -> None:
    x, h = vector(), vector("h", "B")
    out = sg.scan(lambda a, s: s.sum(keepdims=True) * a, x, h)
    values = run([out, sg.grad(out[-1].sum(), h)], {x: np.ones(2), h: np.ones(3)})
    np.testing.assert_array_equal(values[0], [[3.0] * 3, [9.0] * 3])
    np.testing.assert_array_equal(values[1], [9.0] * 3)


def test_unknown_sizes_are_checked_at_the_call() -> None:
    x, h, b = vector(), vector("h", None), vector("b", "B")
    for out in (sg.scan(lambda a, s: s * b, x, h), sg.scan(lambda a, s: h * a, x, b)):
        assert run(out, {x: ROWS, h: np.ones(3), b: np.ones(3)}).shape == (5, 3)
        f = sg.compile([x, h, b], out, backend="numpy")
        with pytest.raises(sg.CallError, match="axis 0 of output 0"):
            f(ROWS, np.ones(2), np.ones(3))


def test_sizes_of_outer_variables_within_a_step() -> None:
    x, b, n = vector(), vector("b", "B"), sg.scalar("n", "int64")
    for size in (b.shape[0], n, n + 1):
        h = sg.zeros((size,), "float64")

        def step(a: sg.Variable, s: sg.Variable, size: Any = size) -> list[sg.Variable]:
            return [sg.ones((size,), "float64") * a, s[0] + sg.zeros((size,), "float64")]

        out, again = sg.scan(step, x, [h, None])
        inner = sg.scan(lambda row, s: s * row, again, out[0])
        values = {x: ROWS, b: np.ones(3)} if size is b.shape[0] else {x: ROWS, n: 2}
        outputs = [out, inner, *sg.grad(out.sum() + inner.sum(), [x])]
        assert run(outputs, values)[1].ndim == 2


def test_initial_rows_for_taps() -> None:
    x, h = vector(), vector("h", 3)
    out = sg.scan(lambda a, old, last: a + old * 10 + last, x, {"initial": h, "taps": [-3, -1]})
    result = run(out, {x: np.zeros(4), h: [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(result, [13, 33, 63, 193])
    with pytest.raises(sg.ScanError, match=r"need 3 initial rows; 'h'.* has 2"):
        sg.scan(lambda a, b: a, x, {"initial": vector("h", 2), "taps": [-3]})
    unknown = vector("h", None)
    f = sg.compile([x, unknown], sg.scan(lambda a, b: b, x, {"initial": unknown, "taps": [-2]}))
    with pytest.raises(sg.CallError, match="initial rows of output 0"):
        f(ROWS, np.ones(3))


def test_the_tap_before_alone_with_a_row_or_with_the_value_itself() -> None:
    x = vector()
    for initial in (vector("h", 1), sg.scalar("h", "float64")):
        out = sg.scan(accumulate, x, {"initial": initial, "taps": [-1]})
        given = np.full(initial.ndim * (1,), 2.0)
        np.testing.assert_array_equal(run(out, {x: [0.0, 0.0], initial: given}), [1.0, 0.5])


def test_integer_and_bool_states() -> None:
    x, n = vector(), sg.scalar("n", "int32")

    def step(a: Any, count: Any, seen: Any) -> list[Any]:
        return [count + 1, sg.logical_or(seen, a > 2), a * count.astype("float64")]

    counts, seen, products = sg.scan(step, x, [n, False, None])
    values = run([counts, seen, products, sg.grad(products.sum(), x)], {x: ROWS, n: 3})
    assert values[0].dtype == np.int32
    np.testing.assert_array_equal(values[0], [4, 5, 6, 7, 8])
    np.testing.assert_array_equal(values[1], [False, False, True, True, True])
    np.testing.assert_array_equal(values[3], [3, 4, 5, 6, 7])


# --- what a step returns ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "the step returned None"),
        ({}, "the step returned {}"),
        ([], r"the step returned \[\]"),
        ("text", "expected a variable"),
        (sg.until(sg.constant(True)), "the step returned"),
    ],
)
def test_what_cannot_be_an_output(returned: Any, text: str) -> None:
    with pytest.raises(sg.SymgraphError, match=text):
        sg.scan(lambda a: returned, vector())


def test_a_wrong_number_of_outputs() -> None:
    with pytest.raises(sg.ScanError, match="returned 2 outputs; outputs_info has 1 entries"):
        sg.scan(lambda a: [a, a], vector(), [None])
    with pytest.raises(sg.ScanError, match="returned 1 outputs; outputs_info has 2 entries"):
        sg.scan(lambda a, s: a, vector(), [sg.scalar("c"), None])


def test_exceptions_of_the_step_pass_unchanged() -> None:
    class Mine(Exception):
        pass

    def step(a: Any) -> Any:
        raise Mine("as it is")

    with pytest.raises(Mine, match=r"^as it is$"):
        sg.scan(step, vector())


def test_outputs_that_do_not_change_over_time() -> None:
    x, c = vector(), sg.scalar("c", "float64")
    out = sg.scan(lambda a: [c, c * 2, np.float64(1)], x)
    values = run([*out, sg.grad(out[1].sum(), c)], {x: ROWS, c: 3.0})
    assert [v.tolist() for v in values] == [[3.0] * 5, [6.0] * 5, [1.0] * 5, 10.0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sequences": {"input": ROWS, "taps": [0, 0]}}, "given twice"),
        ({"sequences": {"input": ROWS, "taps": 0.5}}, "are ints, not 0.5"),
        ({"sequences": {"input": ROWS, "taps": "ab"}}, "are ints, not 'ab'"),
        ({"sequences": {"input": ROWS, "taps": []}}, "would never be read"),
        ({"sequences": {"inputs": ROWS}}, "with 'input' and 'taps'"),
        ({"sequences": {1: ROWS, "a": 2}}, "with 'input' and 'taps'"),
        ({"sequences": 1.0}, "at least one axis"),
        ({"sequences": [None]}, "expected a variable"),
        ({"outputs_info": {"initial": ROWS, "taps": [0]}}, "taps of output 0 are negative"),
        ({"outputs_info": {"value": ROWS}}, "with 'initial' and 'taps'"),
        ({"sequences": ()}, "number of steps is not known"),
        ({"truncate_gradient": 0}, r"truncate_gradient is a positive number(.|\n)*None is all"),
        ({"checkpoint_every": 1.5}, r'checkpoint_every is a positive number(.|\n)*Write .*"auto"'),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(sg.SymgraphError, match=text) as caught:
        sg.scan(**{"step": lambda *a: a[0], "sequences": [ROWS], **arguments})
    assert "test_scan_meaning.py" in str(caught.value)


def test_the_step_must_be_a_function() -> None:
    with pytest.raises(sg.ScanError, match="the step is a function"):
        sg.scan(3, vector())  # type: ignore[arg-type]


# --- until --------------------------------------------------------------------------------------


def test_until_ends_after_the_step_in_which_it_holds() -> None:
    c, n = sg.scalar("c", "float64"), sg.scalar("n", "int64")
    out = sg.scan(lambda s: (s * 2, sg.until(s > 5)), (), c, n_steps=n)
    for cap, expected in ((0, []), (2, [2, 4]), (10, [2, 4, 8, 16]), (1000, [2, 4, 8, 16])):
        np.testing.assert_array_equal(run(out, {c: 1.0, n: cap}), expected)


def test_until_with_a_condition_that_is_no_scalar() -> None:
    x = vector()
    with pytest.raises(sg.ScanError, match=r"until: the condition is a scalar.*\n.*\n.*any"):
        sg.scan(lambda a: (a, sg.until(x > 1)), x)


def test_more_steps_than_there_is_room_for_at_first() -> None:
    c = sg.scalar("c", "float64")
    counts, doubled = sg.scan(
        lambda s: ([s + 1, s * 2], sg.until(s >= 299)), (), [c, None], n_steps=10_000
    )
    values = run([counts, doubled], {c: 0.0})
    np.testing.assert_array_equal(values[0], np.arange(1, 301))
    np.testing.assert_array_equal(values[1], np.arange(300) * 2)


# --- strict, names ------------------------------------------------------------------------------


def test_strict_refuses_what_is_not_listed() -> None:
    x, w, shared = vector(), sg.scalar("w", "float64"), sg.shared(np.float64(2))
    with pytest.raises(sg.ScanError, match=r"the step uses 'w'.*not listed"):
        sg.scan(lambda a: a * w, x, strict=True)
    out = sg.scan(lambda a, v: a * v * shared + 1, x, (), [w], strict=True)
    np.testing.assert_array_equal(run_with_shared(out, {x: ROWS, w: 3.0}), ROWS * 6 + 1)
    # An expression counts as listed, whatever it is made of.
    out = sg.scan(lambda a, v: a * v, x, (), [w * 2], strict=True)
    np.testing.assert_array_equal(run(out, {x: ROWS, w: 3.0}), ROWS * 6)


def run_with_shared(output: sg.Variable, values: dict[sg.Variable, Any]) -> np.ndarray:
    return sg.compile(list(values), output, backend="numpy")(*values.values())


def test_strict_within_a_nested_loop() -> None:
    x, b, w = vector(), vector("b", 3), sg.scalar("w", "float64")

    def outer(a: Any, row: Any, *listed: Any) -> sg.Variable:
        return sg.scan(lambda r: r * w, row).sum() * a

    with pytest.raises(sg.ScanError, match="the step uses 'w'"):
        sg.scan(outer, x, (), [b], strict=True)
    sg.scan(outer, x, (), [b, w], strict=True)


def test_non_sequences_may_be_numbers_and_functions() -> None:
    x = vector()
    out = sg.scan(lambda a, k, f: f(a) * k, x, (), [2, sg.tanh])
    assert out.dtype == "float64"
    np.testing.assert_allclose(run(out, {x: ROWS}), np.tanh(ROWS) * 2)


def test_a_name_shows_in_the_listing() -> None:
    x = vector()
    out = sg.scan(accumulate, x, 0.0, name="sums")
    assert "'sums' = scan" in sg.listing(out)
    assert "gradient of sums" in sg.listing(sg.grad(out.sum(), x))


# --- map, reduce, foldl, foldr ------------------------------------------------------------------


def test_map_and_folds() -> None:
    x, c = vector(), sg.scalar("c", "float64")
    outputs = [
        sg.map(lambda a: a * c, x),
        sg.map(lambda a, k: a * k, x, c, go_backwards=True),
        sg.reduce(accumulate, x, c),
        sg.foldl(accumulate, x, c),
        sg.foldr(accumulate, x, c),
        *sg.foldl(lambda a, s, p: [s + a, p * a], x, [c, c]),
        *sg.foldl(lambda a, s: [s + a, s], x, [c, None]),
    ]
    left = right = 2.0
    for a in ROWS:
        left = left * 0.5 + a
    for a in ROWS[::-1]:
        right = right * 0.5 + a
    values = run(outputs, {x: ROWS, c: 2.0})
    np.testing.assert_array_equal(values[0], ROWS * 2)
    np.testing.assert_array_equal(values[1], ROWS[::-1] * 2)
    assert [float(v) for v in values[2:]] == [left, left, right, 17.0, 240.0, 17.0, 12.0]


@pytest.mark.parametrize("length", [0, 1, 4, 5])
def test_a_fold_with_checkpoints_gives_the_last_value(length: int) -> None:
    x, c = vector(), sg.scalar("c", "float64")
    found = sg.foldl(accumulate, x, c, checkpoint_every=2)
    plain = sg.foldl(accumulate, x, c)
    outputs = [found, *sg.grad(found, [x, c]), plain, *sg.grad(plain, [x, c])]
    values = run(outputs, {x: ROWS[:length], c: 2.0})
    for a, b in zip(values[:3], values[3:], strict=True):
        np.testing.assert_allclose(a, b)


# --- what a gradient does not reach -------------------------------------------------------------


def test_states_that_do_not_meet_are_disconnected() -> None:
    x, c, v, w = vector(), *(sg.scalar(name, "float64") for name in "cvw")
    apart = sg.scan(lambda r, s, t: [s * w + r, t * v + r], x, [c, c])
    chained = sg.scan(lambda r, s, t: [s * w + r, t * v + s], x, [c, c])
    plain = sg.scan(lambda r, s: [s * w + r, r * v], x, [c, None])
    for cost, by in ((apart[1], w), (chained[0], v), (plain[1], w), (plain[1], c), (plain[0], v)):
        with pytest.raises(sg.DisconnectedError, match=f"no gradient reaches '{by.name}'"):
            sg.grad(cost.sum(), by)
        assert "scan" in str(sg.explain_grad(cost.sum(), by))
    gradient = run(sg.grad(chained[1].sum(), w), {x: ROWS, c: 1.0, v: 1.0, w: 1.0})
    s, s_by_w, t_by_w, expected = 1.0, 0.0, 0.0, 0.0
    for r in ROWS:
        t_by_w, s_by_w, s = t_by_w + s_by_w, s_by_w + s, s + r
        expected += t_by_w
    assert gradient == expected


def test_what_is_stopped_or_only_compared_is_disconnected() -> None:
    x, c, w = vector(), sg.scalar("c", "float64"), sg.scalar("w", "float64")
    compared = sg.scan(lambda r, s: (s * r, sg.until(s > w)), x, c)
    stopped = sg.scan(lambda r, s: s * r + sg.stop_gradient(w), x, c)
    for out in (compared, stopped):
        with pytest.raises(sg.DisconnectedError, match="no gradient reaches 'w'"):
            sg.grad(out.sum(), w)


# --- random numbers -----------------------------------------------------------------------------


def test_a_stream_draws_afresh_at_each_step_and_each_call() -> None:
    def draws(**options: Any) -> sg.Variable:
        stream = sg.random.Stream(3)

        def step(s: sg.Variable) -> sg.Variable:
            return s * 0 + stream.normal((), dtype="float64")

        return sg.scan(step, (), sg.constant(0.0, "float64"), n_steps=5, **options)

    f = sg.compile([], draws(), backend="numpy")
    first, second = f(), f()
    assert len({*first, *second}) == 10
    in_chunks = sg.compile([], draws(checkpoint_every=2), backend="numpy")
    np.testing.assert_array_equal(in_chunks(), first)


def test_a_stream_in_nested_loops() -> None:
    stream = sg.random.Stream(3)

    def outer() -> sg.Variable:
        return sg.scan(lambda: stream.normal((), dtype="float64"), n_steps=3)

    drawn = sg.compile([], sg.scan(outer, n_steps=4), backend="numpy")()
    assert len({*drawn.flat}) == 12


def test_a_gradient_sees_the_same_draws() -> None:
    x, stream = vector(), sg.random.Stream(5)
    out = sg.scan(lambda a, s: (s + a) * stream.uniform((), dtype="float64"), x, 0.0)
    f = sg.compile([x], [out, sg.grad(out[-1], x)], backend="numpy")
    for _ in range(2):
        values, slopes = f(ROWS)
        factors = values / (ROWS + np.concatenate([[0.0], values[:-1]]))
        np.testing.assert_allclose(slopes, np.cumprod(factors[::-1])[::-1])


def test_keys_as_a_sequence() -> None:
    keys = sg.random.split(sg.random.key(1), 4)
    looped = sg.scan(lambda key: sg.random.normal(key, (2,)), keys)
    one_by_one = sg.stack([sg.random.normal(keys[t], (2,)) for t in range(4)])
    np.testing.assert_array_equal(*sg.compile([], [looped, one_by_one], backend="numpy")())


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_last_value_of_an_output(backend: str) -> None:
    x, c = vector(), sg.scalar("c", "float64")
    taps = {"initial": sg.stack([c, 2 * c]), "taps": [-2, -1]}
    sums, fibonacci, squares = sg.scan(
        lambda a, s, two, one: [s + a, two + one, a * a], x, [c, taps, None]
    )
    lasts = [sg.last_value(sums, c), sg.last_value(fibonacci, taps)]
    part = sg.last_value(sums[:2], c)
    f = sg.compile([x, c], [*lasts, part, *sg.grad(sum(lasts), [x, c])], backend=backend)
    by_rows = f(np.array([1.0, 2.0, 4.0]), 0.5)
    for found, expected in zip(by_rows, [7.5, 4.0, 3.5, [1, 1, 1], 1 + 8], strict=True):
        np.testing.assert_allclose(found, expected)
    by_none = f(np.zeros(0), 0.5)
    for found, expected in zip(by_none, [0.5, 1.0, 0.5, [], 1 + 2], strict=True):
        np.testing.assert_allclose(found, expected)
    assert sg.last_value(squares, None) is squares[-1]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_last_row_of_no_steps_is_an_error_and_its_gradient_that_of_the_last_value(
    backend: str,
) -> None:
    x, c = vector(), sg.scalar("c", "float64")
    sums = sg.scan(lambda a, s: s + a, x, c)
    gradient = sg.grad(sums[-1], c)
    assert sg.compile([x, c], gradient, backend=backend, unused="ignore")(np.zeros(0), 0.5) == 1
    for outputs in (sums[-1], [sums[-1], gradient]):
        with pytest.raises(IndexError, match="index -1 is outside axis 0"):
            sg.compile([x, c], outputs, backend=backend)(np.zeros(0), 0.5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: sg.map(sg.tanh, x, outputs_info=[None]), "map"),
        (lambda x: sg.map(sg.tanh, x, steps=3), "map"),
        (lambda x: sg.reduce(sg.add, x, 0.0, outputs_info=[0.0]), "reduce"),
        (lambda x: sg.foldl(sg.add, x, 0.0, steps=3), "reduce"),
        (lambda x: sg.foldr(sg.add, x, 0.0, go_backwards=True), "foldr"),
    ],
)
def test_unknown_options_are_those_of_the_function_that_was_called(call, name: str) -> None:
    with pytest.raises(sg.SymgraphTypeError, match=rf"^{name}\(\) got an unexpected keyword"):
        call(vector())


@pytest.mark.parametrize("name", [3, b"loop", ["loop"]])
def test_a_loop_has_a_string_for_its_name(name) -> None:
    with pytest.raises(sg.SymgraphTypeError, match=r"name of a loop is a string, not[\s\S]*Write"):
        sg.scan(lambda h: h + 1, outputs_info=[0], n_steps=3, name=name)
