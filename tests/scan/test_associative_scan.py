"""`associative_scan` against loops in NumPy; its gradients against differences and `scan`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.testing import check_gradient

SIZES = (0, 1, 2, 3, 7, 64, 65, 100)
BACKENDS = ("native", "numpy")
Rows = tuple[Any, ...]


def after(first: Rows, second: Rows) -> Rows:
    """Of ``h -> a * h + b`` one after the other."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def after_of_matrices(first: Rows, second: Rows) -> Rows:
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def turn(first: Any, second: Any) -> Any:
    """The product of complex numbers, which are rows of two."""
    a, b = first[0] * second[0] - first[1] * second[1], first[0] * second[1] + first[1] * second[0]
    return sg.stack([a, b]) if isinstance(first, sg.Variable) else np.stack([a, b])


def moments(first: Rows, second: Rows) -> Rows:
    """Number, mean and sum of squared deviations of two samples together."""
    (n, mean, rest), (m, other, more) = first, second
    gap = other - mean
    total = n + m
    return total, mean + gap * m / total, rest + more + gap * gap * n * m / total


def turn_in_space(first: Any, second: Any) -> Any:
    """The product of quaternions, which are rows of four."""
    (a, b, c, d), (e, f, g, h) = ([row[i] for i in range(4)] for row in (first, second))
    parts = [
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    ]
    return sg.stack(parts) if isinstance(first, sg.Variable) else np.stack(parts)


def longest_ways(first: Any, second: Any) -> Any:
    """The product of matrices in which maxima are sums, and sums products."""
    return (first[:, :, None] + second[None]).max(axis=1)


def weighed(first: Rows, second: Rows) -> Rows:
    """Maximum, total weight below it, and weighed vector of two sets, as in attention."""
    maths: Any = sg if isinstance(first[0], sg.Variable) else np
    top = maths.maximum(first[0], second[0])
    a, b = maths.exp(first[0] - top), maths.exp(second[0] - top)
    return top, first[1] * a + second[1] * b, first[2] * a + second[2] * b


# Each with what NumPy has for it, and the shapes of the rows.
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "sums": (lambda a, b: a + b, np.add, [()]),
    "sums of wide rows": (lambda a, b: b + a, np.add, [(3, 5)]),
    "products": (lambda a, b: a * b, np.multiply, [(2,)]),
    "maxima": (sg.maximum, np.maximum, [()]),
    "maxima of wide rows": (np.maximum, np.maximum, [(12,)]),
    "logsumexp": (sg.logaddexp, np.logaddexp, [(3,)]),
    "recurrences": (after, after, [(), ()]),
    "recurrences of wide rows": (after, after, [(9,), (9,)]),
    "recurrences, factors alike for all": (after, after, [(1,), (4,)]),
    "recurrences by matrices": (after_of_matrices, after_of_matrices, [(3, 3), (3,)]),
    "complex products": (turn, turn, [(2,)]),
    "products of matrices": (lambda a, b: a @ b, np.matmul, [(2, 2)]),
    "moments": (moments, moments, [(), (), ()]),
    "quaternions": (turn_in_space, turn_in_space, [(4,)]),
    "longest ways": (longest_ways, longest_ways, [(3, 3)]),
    "weighed": (weighed, weighed, [(), (), (3,)]),
    "the last": (lambda a, b: b, lambda a, b: b, [(2,)]),
    "the first": (lambda a, b: a, lambda a, b: a, [()]),
    "sorted pairs": (
        lambda a, b: sg.concatenate([sg.minimum(a[:1], b[:1]), sg.maximum(a[1:], b[1:])]),
        lambda a, b: np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])]),
        [(2,)],
    ),
}


def drawn(shapes: Sequence[tuple[int, ...]], n: int, dtype: str = "float64") -> list[np.ndarray]:
    generator = np.random.default_rng(n)
    return [generator.uniform(0.3, 1.1, (n, *shape)).astype(dtype) for shape in shapes]


def loop(
    op: Callable[..., Any], arrays: Sequence[np.ndarray], *, reverse: bool
) -> list[np.ndarray]:
    """The running results by a loop in Python."""
    several = len(arrays) > 1
    results = [x.copy() for x in arrays]
    order = range(len(arrays[0]))[:: -1 if reverse else 1]
    for before, t in pairwise(order):
        if several:
            values = op(tuple(x[before] for x in results), tuple(x[t] for x in arrays))
        else:
            values = [op(results[0][before], arrays[0][t])]
        for result, value in zip(results, values, strict=True):
            result[t] = value
    return results


def inputs_for(
    shapes: Sequence[tuple[int, ...]], length: int | str | None, dtype: str = "float64"
) -> list[sg.Variable]:
    return [sg.tensor(f"x{i}", (length, *shape), dtype) for i, shape in enumerate(shapes)]


def results_of(op: Any, inputs: Sequence[sg.Variable], **options: Any) -> list[sg.Variable]:
    results = sg.associative_scan(op, list(inputs) if len(inputs) > 1 else inputs[0], **options)
    return results if isinstance(results, list) else [results]


def by_scan(op: Any, inputs: Sequence[sg.Variable]) -> list[sg.Variable]:
    """The results but for the first."""
    k = len(inputs)

    def step(*rows: sg.Variable) -> Any:
        return op(rows[k:], rows[:k]) if k > 1 else op(rows[1], rows[0])

    results = sg.scan(step, [x[1:] for x in inputs], [x[0] for x in inputs])
    return results if isinstance(results, list) else [results]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_running_results_of_any_number_of_rows(case: str, backend: str) -> None:
    op, reference, shapes = CASES[case]
    inputs = inputs_for(shapes, "T")
    ends = [*results_of(op, inputs), *results_of(op, inputs, reverse=True)]
    assert [v.type for v in ends] == [v.type for v in inputs] * 2
    f = sg.compile(inputs, ends, backend=backend)
    for n in SIZES:
        arrays = drawn(shapes, n)
        expected = [
            *loop(reference, arrays, reverse=False),
            *loop(reference, arrays, reverse=True),
        ]
        for found, right in zip(f(*arrays), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("case", ["sums", "logsumexp", "recurrences", "moments"])
def test_lengths_that_are_known_and_unknown(case: str, n: int) -> None:
    op, reference, shapes = CASES[case]
    arrays = drawn(shapes, n)
    expected = loop(reference, arrays, reverse=False)
    for length in (n, None):
        inputs = inputs_for(shapes, length)
        results = results_of(op, inputs)
        if len(inputs) == 1 or length is not None:
            assert [v.type for v in results] == [v.type for v in inputs]
        found = sg.compile(inputs, results)(*arrays)
        for value, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, right, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (10,)])
def test_dtypes_stay(dtype: str, shape: tuple[int, ...]) -> None:
    x = sg.tensor("x", ("T", *shape), dtype)
    array = np.random.default_rng(0).integers(0, 3, (70, *shape)).astype(dtype)
    for op, reference in ((np.add, np.add), (np.multiply, np.multiply), (np.maximum, np.maximum)):
        result = sg.associative_scan(op, x)
        assert result.dtype == dtype
        expected = reference.accumulate(array, 0, dtype)
        np.testing.assert_allclose(sg.compile([x], result)(array), expected, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 3, 65, 100])
@pytest.mark.parametrize(
    "case", [c for c in CASES if c not in ("the last", "the first", "maxima of wide rows")]
)
def test_gradients_are_those_of_a_loop(case: str, n: int, backend: str) -> None:
    op, _, shapes = CASES[case]
    inputs, arrays = inputs_for(shapes, "T"), drawn(shapes, n)
    weights = [sg.constant(np.cos(np.arange(n * x.ndim).reshape(n, -1)[:, 0])) for x in inputs]

    def cost(results: Sequence[sg.Variable], skipped: int) -> sg.Variable:
        parts = [
            (w[skipped:].reshape((-1,) + (1,) * (x.ndim - 1)) * x * x).sum()
            for w, x in zip(weights, results, strict=True)
        ]
        return sum(parts[1:], parts[0])

    firsts = [x[:1] for x in inputs]
    ours = cost(results_of(op, inputs), 0)
    theirs = cost(by_scan(op, inputs), 1) + cost_of_firsts(weights, firsts)
    gradients = [sg.grad(ours, inputs), sg.grad(theirs, inputs)]
    second = [sg.grad(sum((g**2).sum() for g in gs), inputs) for gs in gradients]  # type: ignore[arg-type]
    results = [*gradients[0], *second[0], *gradients[1], *second[1]]
    f = sg.compile(inputs, results, backend=backend)
    values = f(*arrays)
    half = len(values) // 2
    for found, right in zip(values[:half], values[half:], strict=True):
        scale = np.abs(right).max()
        np.testing.assert_allclose(found, right, rtol=1e-7, atol=1e-9 * scale)


def cost_of_firsts(weights: Sequence[sg.Variable], firsts: Sequence[sg.Variable]) -> sg.Variable:
    parts = [(w[0] * x * x).sum() for w, x in zip(weights, firsts, strict=True)]
    return sum(parts[1:], parts[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "case", ["logsumexp", "recurrences", "complex products", "moments", "weighed"]
)
def test_gradients_against_differences(case: str, reverse: bool) -> None:
    op, _, shapes = CASES[case]

    def cost(*inputs: sg.Variable) -> sg.Variable:
        results = results_of(op, inputs, reverse=reverse)
        return sum((sg.sin(x)).sum() for x in results)  # type: ignore[return-value]

    for n in (2, 68):
        check_gradient(cost, *drawn(shapes, n), backend="native")


@pytest.mark.parametrize("backend", BACKENDS)
def test_zeros_and_infinities(backend: str) -> None:
    x = sg.tensor("x", ("T",), "float64")
    array = np.linspace(-2, 2, 90)
    array[[0, 40, 41, 77]] = 0
    products = sg.associative_scan(lambda a, b: a * b, x)
    gradient = sg.grad(products.sum(), x)
    f = sg.compile([x], [products, gradient], backend=backend)
    found, slope = f(array)
    np.testing.assert_allclose(found, np.cumprod(array))
    assert slope[0] != 0
    assert np.isfinite(slope).all()
    array = np.full(90, -np.inf)
    array[50:] = 1.0
    logs = sg.compile([x], sg.associative_scan(sg.logaddexp, x), backend=backend)(array)
    np.testing.assert_allclose(logs, np.logaddexp.accumulate(array))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("op", "reference"),
    [
        # The length of a vector, whose derivative at 0 is 0 / 0.
        (lambda a, b: sg.sqrt(a**2 + b**2), lambda a, b: np.sqrt(a**2 + b**2)),
        # Resistors side by side: nothing is defined for 0 and 0.
        (lambda a, b: a * b / (a + b), lambda a, b: a * b / (a + b)),
        # Two of the first rows would be too much.
        (lambda a, b: a * 0.5 * b, lambda a, b: a * 0.5 * b),
    ],
)
def test_the_first_of_wide_rows_is_taken_as_it_is(op: Any, reference: Any, backend: str) -> None:
    x = sg.tensor("x", ("T", 20), "float64")
    results = sg.associative_scan(op, x)
    slopes = sg.grad((results[1:] * 0.25).sum() + results[0].sum(), x)
    f = sg.compile([x], [results, slopes], backend=backend)
    array = np.random.default_rng(0).uniform(0.5, 1.5, (6, 20))
    array[0, :3] = 0, 1e-200, 1e200
    with np.errstate(all="ignore"):
        found, gradient = f(array)
        expected = loop(reference, [array], reverse=False)[0]
        alone, slope = f(array[:1])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_array_equal(alone, array[:1])
    np.testing.assert_array_equal(slope, np.ones((1, 20)))
    assert np.isfinite(gradient[:, 3:]).all()


def test_gradients_of_wide_rows_make_no_padded_copies() -> None:
    a, b = inputs_for([(64,), (64,)], "T")
    for reverse in (False, True):
        states = results_of(after, [a, b], reverse=reverse)[1]
        f = sg.compile([a, b], sg.grad((states**2).sum(), [a, b]))
        names = {v.op.name for v in f.graph.nodes}
        assert not names & {"add_slice", "set_slice"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["sums", "recurrences", "recurrences by matrices"])
def test_within_the_steps_of_a_loop(case: str, backend: str) -> None:
    op, reference, shapes = CASES[case]
    inputs = inputs_for([(None, *shape) for shape in shapes], "N")  # type: ignore[misc]

    def step(*rows: sg.Variable) -> list[sg.Variable]:
        return [(sg.exp(-x) * x).sum() for x in results_of(op, rows)]

    totals = sg.scan(step, inputs)
    totals = totals if isinstance(totals, list) else [totals]
    cost = sum((t**2).sum() for t in totals)
    f = sg.compile(inputs, [*totals, *sg.grad(cost, inputs)], backend=backend)  # type: ignore[arg-type]
    for n in (0, 1, 70):
        arrays = [np.stack([a, a[::-1]]) for a in drawn(shapes, n)]
        values = f(*arrays)
        for i in range(2):
            expected = loop(reference, [a[i] for a in arrays], reverse=False)
            for found, right in zip(values, expected, strict=False):
                np.testing.assert_allclose(found[i], (np.exp(-right) * right).sum(), rtol=1e-9)
        assert [v.shape for v in values[len(shapes) :]] == [a.shape for a in arrays]


def test_what_op_uses_of_the_outside() -> None:
    x, weight = sg.tensor("x", ("T", 2), "float64"), sg.tensor("w", (2,), "float64")
    result = sg.associative_scan(lambda a, b: a + b + weight * 0.5, x)
    slope = sg.grad(result.sum(), weight)
    array = drawn([(2,)], 80)[0]
    found, gradient = sg.compile([x, weight], [result, slope])(array, [1.0, -2.0])
    expected = loop(lambda a, b: a + b + np.array([0.5, -1.0]), [array], reverse=False)
    np.testing.assert_allclose(found, expected[0])
    np.testing.assert_allclose(gradient, np.full(2, 0.5 * np.arange(80).sum()))


def test_derivatives_forward_and_of_order_three() -> None:
    x, v = (sg.tensor(name, ("T",), "float64") for name in "xv")
    found = sg.associative_scan(sg.logaddexp, x)
    array, direction = np.random.default_rng(1).normal(size=(2, 75))
    shares = np.tril(np.exp(array - np.logaddexp.accumulate(array)[:, None]))
    forward = sg.compile([x, v], sg.jvp(found, x, v))(array, direction)
    np.testing.assert_allclose(forward, shares @ direction, rtol=1e-9)
    # The running sums of x**3: the third derivative of their sum is known.
    cost = sg.associative_scan(lambda a, b: b + a, x**4).sum()
    for _ in range(3):
        cost = sg.grad(cost, x).sum()
    expected = (24 * array * np.arange(75, 0, -1)).sum()
    assert cost.eval({x: array}) == pytest.approx(expected)


def test_two_users_of_one_result_and_two_scans_in_one_program() -> None:
    x = sg.tensor("x", ("T",), "float64")
    sums, tops = (sg.associative_scan(op, x) for op in (sg.add, sg.maximum))
    f = sg.compile([x], [sums * tops, sums[-1] + tops[0], sg.grad((sums * tops).sum(), x)])
    array = np.random.default_rng(3).normal(size=97)
    product, end, slope = f(array)
    total, top = np.cumsum(array), np.maximum.accumulate(array)
    np.testing.assert_allclose(product, total * top, rtol=1e-9)
    assert end == pytest.approx(total[-1] + array[0])
    by_sums = np.cumsum(top[::-1])[::-1]
    by_tops = np.array([total[top == a].sum() for a in array])
    np.testing.assert_allclose(slope, by_sums + by_tops, rtol=1e-9)


def test_rows_without_elements_and_outer_constants() -> None:
    x = sg.tensor("x", ("T", 0))
    assert sg.associative_scan(sg.add, x).eval({x: np.zeros((70, 0))}).shape == (70, 0)
    y = sg.vector("y")
    ends = sg.associative_scan(lambda a, b: 0.0, y).eval({y: np.ones(80)})
    np.testing.assert_array_equal(ends, [1.0] + [0.0] * 79)


def test_composites_and_effects_in_op(capfd: pytest.CaptureFixture[str]) -> None:
    joined = sg.composite(lambda a, b: sg.maximum(a, b) + 0.0, name="joined")
    x = sg.tensor("x", ("T",), "float64")
    array = np.random.default_rng(0).normal(size=80)
    expected = np.maximum.accumulate(array)
    np.testing.assert_array_equal(sg.associative_scan(joined, x).eval({x: array}), expected)
    shown = sg.associative_scan(lambda a, b: sg.debug_print(sg.maximum(a, b), "top"), x)
    np.testing.assert_array_equal(shown.eval({x: array}), expected)
    assert "".join(capfd.readouterr()).count("top") == 79


def test_one_sequence_in_a_list_is_that_sequence() -> None:
    x = sg.vector("x")
    alone, listed = sg.associative_scan(sg.add, x), sg.associative_scan(sg.add, [x])
    array = np.arange(5.0)
    np.testing.assert_array_equal(alone.eval({x: array}), listed.eval({x: array}))
    named = sg.associative_scan(np.add, sequences=np.arange(4))
    np.testing.assert_array_equal(named.eval(), [0, 1, 3, 6])


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_unknown_sizes(backend: str) -> None:
    x, w = sg.tensor("x", (None, None), "float64"), sg.tensor("w", (None,), "float64")
    result = sg.associative_scan(lambda a, b: sg.minimum(sg.minimum(a, b), w), x)
    assert result.type == x.type
    array = np.random.default_rng(5).normal(size=(70, 3))
    f = sg.compile([x, w], result, backend=backend)
    expected = np.minimum.accumulate(array)
    expected[1:] = np.minimum(expected[1:], 0.0)
    np.testing.assert_array_equal(f(array, np.zeros(3)), expected)
    with pytest.raises(sg.CallError, match="minimum"):
        f(array, np.zeros(2))


def test_a_long_sequence_makes_no_long_program() -> None:
    def n_nodes(length: int | None) -> int:
        x = sg.tensor("x", (length,))
        return len(sg.ancestors(sg.associative_scan(sg.logaddexp, x)))

    assert n_nodes(1_000_000) == n_nodes(1000)
    assert n_nodes(None) < 100


# --- mistakes -----------------------------------------------------------------------------------

X, Y = sg.tensor("x", ("T", 3)), sg.tensor("y", ("T",))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (lambda a, b: (a, b), "not one row"),
        (lambda a, b: None, "returns None, not one row"),
        (lambda a, b: {"a": a}, "not one row"),
        (lambda a, b: (a + b).sum(), r"returns float32\[\], not float32\[3\] as a row of x is"),
        (lambda a, b: (a + b)[:2], r"returns float32\[2\], not float32\[3\] as a row of x is"),
        (lambda a, b: (a + b)[:1], r"returns float32\[1\], not float32\[3\] as a row of x is"),
        (lambda a, b: (a + b).astype("float64"), r"returns float64\[3\], not float32\[3\]"),
        (lambda a, b: a > b, r"returns bool\[3\], not float32\[3\]"),
        (lambda a: a, "op is called with two arguments: too many positional"),
    ],
)
def test_what_op_must_not_return(op: Any, message: str) -> None:
    with pytest.raises(sg.ScanError, match=message) as caught:
        sg.associative_scan(op, X)
    assert f"op at {__file__}" in str(caught.value)
    assert f"at {__file__}" in str(caught.value).splitlines()[1]


def test_a_function_of_several_rows_returns_as_many() -> None:
    with pytest.raises(sg.ScanError, match="not 2 rows, one for each"):
        sg.associative_scan(lambda a, b: a[0], [X, Y])
    with pytest.raises(sg.ScanError, match="as a row of y is"):
        sg.associative_scan(lambda a, b: (a[0], a[0]), [X, Y])


def test_sequences_that_make_no_sense() -> None:
    mistakes: list[tuple[Any, str]] = [
        (sg.scalar("s"), "at least one axis; 's'"),
        ([], "there is no sequence"),
        ([sg.tensor("a", (3,)), sg.tensor("b", (4,))], "unequal length"),
        ([sg.tensor("a", ("T",)), sg.tensor("b", ("S",))], "unequal length"),
        ([{"input": X, "taps": [0]}], "taps belong to"),
        ((X, (X, X)), "flat list of them; found a list within"),
    ]
    for wrong, message in mistakes:
        with pytest.raises(sg.ScanError, match=message) as caught:
            sg.associative_scan(lambda a, b: a, wrong)
        assert __file__ in str(caught.value)
    with pytest.raises(sg.ScanError, match="op is a function"):
        sg.associative_scan(X, X)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["yes", "no", 1, None, np.array([True])])
def test_a_direction_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(sg.ScanError, match="reverse is True or False, not") as caught:
        sg.associative_scan(sg.add, X, reverse=wrong)
    assert __file__ in str(caught.value)
    assert "True runs from the last row" in str(caught.value)


def test_lengths_that_differ_at_the_call() -> None:
    a, b = sg.vector("a"), sg.vector("b")
    f = sg.compile([a, b], sg.associative_scan(after, [a, b]))
    with pytest.raises(sg.CallError, match="associative_scan"):
        f(np.ones(3), np.ones(4))
