"""Loops against their steps written out: values, and derivatives of the first to the third order.

Few examples of each, always the same; many and fresh ones with `--hypothesis-profile=deep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.errors import ScanError, SymgraphValueError
from symgraph.testing import check_scan, check_unrolled, numbers, strategies
from symgraph.testing.strategies import LoopingFunction, ScanCase

EXAMPLES = settings().max_examples
IS_DEEP = EXAMPLES > 1000
MANY = EXAMPLES if IS_DEEP else 9
quickly = settings(
    max_examples=MANY,
    deadline=None,
    derandomize=not IS_DEEP,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_close(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """The results are NumPy's, for lines in which symgraph's functions are those."""
    for result, wanted in zip(found, expected, strict=True):
        if wanted.ndim and not len(wanted):
            continue  # of what sizes no row was, only a step could tell
        assert np.shape(result) == wanted.shape
        short = wanted.dtype == np.float32
        np.testing.assert_allclose(result, wanted, rtol=2e-3 if short else 1e-8, atol=1e-3 * short)


@quickly
@given(case=strategies.scans(), orders=st.sampled_from([1, 2, 3] if IS_DEEP else [1, 2, 0]))
def test_loops(case: ScanCase, orders: int) -> None:
    assert_close(check_scan(**case.arguments, orders=orders), case.expected)


@quickly
@given(case=strategies.functions_with_loops(), orders=st.integers(0, 2))
def test_functions_with_loops(case: LoopingFunction, orders: int) -> None:
    assert_close(check_unrolled(case.function, *case.arrays, orders=orders), case.expected)


# Each way to say how far checkpoints are apart, and memory from too little to more than enough.
INTERVALS = st.one_of(
    st.integers(1, 6).map(lambda k: {"checkpoint_every": k, "memory": None}),
    st.just({"checkpoint_every": "auto", "memory": None}),
    st.sampled_from([1, 100, 300, 1000, "2 kB", "1 MB"]).map(
        lambda amount: {"checkpoint_every": None, "memory": amount}
    ),
)
TRUNCATIONS = st.sampled_from([None, None, 1, 2, 5])


def loops_with(options: dict[str, Any]) -> st.SearchStrategy[ScanCase]:
    """Loops with these options."""
    return strategies.scans(max_steps=5, options={k: st.just(v) for k, v in options.items()})


@settings(quickly, max_examples=MANY // 4)
@given(
    case=st.builds(
        lambda interval, truncate: {**interval, "truncate_gradient": truncate},
        INTERVALS,
        TRUNCATIONS,
    ).flatmap(loops_with),
    orders=st.sampled_from([1, 1, 1, 2]),
)
def test_checkpoints(case: ScanCase, orders: int) -> None:
    assert_close(check_scan(**case.arguments, orders=orders), case.expected)


@settings(quickly, max_examples=max(2, MANY // 6))
@given(
    length=st.integers(0, 4),
    limits=st.tuples(st.floats(-1, 3), st.floats(-1, 3)),
    taps=st.sampled_from([[-1], [-2], [-1, -3]]),
    outer=INTERVALS,
    inner=st.one_of(st.just({}), INTERVALS),
    truncate=TRUNCATIONS,
    truncate_inner=TRUNCATIONS,
    orders=st.integers(1, 3) if IS_DEEP else st.just(1),
)
def test_checkpoints_of_loops_in_loops_that_end_early(
    length: int,
    limits: tuple[float, float],
    taps: list[int],
    outer: dict[str, Any],
    inner: dict[str, Any],
    truncate: int | None,
    truncate_inner: int | None,
    orders: int,
) -> None:
    """Several states, one of them read in two places, and a sequence that both loops read."""

    def step(row: sg.Variable, *given: sg.Variable) -> tuple[list[sg.Variable], Any]:
        *past, other, rows = given

        def within(x: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, Any]:
            new = sg.tanh(x * past[0] + h)
            return new, sg.until(new.sum() > limits[1])

        inside = sg.scan(within, [rows], [other], **inner, truncate_gradient=truncate_inner)
        new = sg.sin(sum(past) * row + inside.sum(axis=0))
        return [new, sg.tanh(new[::-1] + other)], sg.until(new.sum() > limits[0])

    def function(rows: sg.Variable, past: sg.Variable, other: sg.Variable) -> list[sg.Variable]:
        infos = [{"initial": past, "taps": taps}, other]
        return sg.scan(step, rows, infos, rows, **outer, truncate_gradient=truncate)

    arrays = numbers((length, 2)), numbers((-min(taps), 2), seed=1), numbers((2,), seed=2)
    check_unrolled(function, *arrays, orders=orders)


@quickly
@given(
    case=strategies.scans(dtype="float64", options={"truncate_gradient": st.integers(1, 8)}),
    orders=st.integers(1, 3 if IS_DEEP else 2),
)
def test_truncated_gradients(case: ScanCase, orders: int) -> None:
    options = {"checkpoint_every": None}
    check_scan(**{**case.arguments, **options}, orders=orders)


@settings(quickly, max_examples=MANY // 2)
@given(
    length=st.integers(0, 6),
    limit=st.floats(-1, 3),
    taps=st.sampled_from([[-1], [-2], [-1, -3]]),
    truncate=st.sampled_from([None, 1, 2]),
    plain=st.booleans(),
)
def test_until(
    length: int, limit: float, taps: list[int], truncate: int | None, plain: bool
) -> None:
    def step(row: Any, *past: Any) -> tuple[Any, Any]:
        new = sum(past[1:], past[0]) * row + 0.5
        return [new, (new * row).sum()] if plain else new, sg.until(new.sum() > limit)

    infos = [{"initial": numbers((-min(taps), 2), seed=length), "taps": taps}, *[None] * plain]
    check_scan(step, numbers((length, 2)), infos, orders=2, truncate_gradient=truncate)


@settings(quickly, max_examples=MANY // 4)
@given(
    outer=st.integers(0, 3),
    inner=st.integers(0, 3),
    backwards=st.booleans(),
    truncate=st.sampled_from([None, 1, 2]),
    orders=st.integers(1, 3 if IS_DEEP else 2),
)
def test_nested(outer: int, inner: int, backwards: bool, truncate: int | None, orders: int) -> None:
    """A loop in a loop, which reads sequences, states and outer variables of both."""
    w = sg.shared(np.array([[0.5, -0.3], [0.2, 0.7]]), "w")

    def step(rows: sg.Variable, past: sg.Variable, b: sg.Variable) -> sg.Variable:
        def inner_step(row: sg.Variable, within: sg.Variable) -> sg.Variable:
            return sg.tanh(row * past + within @ w + (b * w[0]) * past.sum())

        inside = sg.scan(inner_step, [rows], [past * b], go_backwards=backwards)
        return sg.tanh(inside.sum(axis=0) + past) * b

    given = numbers((outer, inner, 2)), numbers((2,), seed=1), numbers((2,), seed=2)
    check_scan(step, *given, orders=orders, truncate_gradient=truncate)


def test_jacobian_and_hessian_through_a_loop() -> None:
    def step(row: sg.Variable, past: sg.Variable) -> sg.Variable:
        return sg.tanh(row + past * row[::-1])

    def derivatives(x: sg.Variable, h: sg.Variable) -> list[sg.Variable]:
        found = sg.scan(step, [x], [h])
        return [*sg.jacobian(found, [x, h]), *sg.hessian(found.sum(), [x, h])]

    check_unrolled(derivatives, numbers((4, 2)), numbers((2,)), orders=1)


def test_a_state_of_another_shape_than_its_new_value_is_named():
    with pytest.raises(ScanError, match=r"output 0 .*\n.*float64\[2\].*\n.*returns float64\[3\]"):
        check_scan(lambda x_t, h: x_t, [np.ones((5, 3))], [np.ones(2)])
    with pytest.raises(ScanError, match=r"output 0 has the shape \(2,\); the step returns \(3,\)"):
        check_scan(lambda n, h: sg.arange(n), [np.array([2, 3])], [np.arange(2)])


@pytest.mark.parametrize("orders", [-1, 1.5, "all", True])
def test_orders_are_numbers(orders):
    with pytest.raises(SymgraphValueError, match="orders is a number from 0 on"):
        check_scan(lambda x_t, h: x_t * h, [np.ones((2, 3))], [np.ones(3)], orders=orders)
