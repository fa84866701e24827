"""Running results in groups on the reference: that they are, and what is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.plan import Plan
from symgraph.testing import check_gradient

T = 400
# Three loops of about the root of the length, and what goes once.
MOST_RUNS = 70


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which each run of a plan adds, that of a loop's body too."""
    done: list[int] = []
    run = Plan.run

    def run_and_note(self: Plan, values: list[Any]) -> None:
        done.append(len(self.steps))
        run(self, values)

    monkeypatch.setattr(Plan, "run", run_and_note)
    return done


def after(first: Any, second: Any) -> Any:
    return second[0] * first[0], second[0] * first[1] + second[1]


def larger(first: Any, second: Any) -> Any:
    is_right = second[0] > first[0]
    return tuple(sg.where(is_right, b, a) for a, b in zip(first, second, strict=True))


def turn(first: Any, second: Any) -> Any:
    (a, b), (c, d) = first, second
    return a * c - b * d, a * d + b * c


CASES: dict[str, tuple[Callable[..., Any], int]] = {
    "maximum": (sg.maximum, 1),
    "logsumexp": (sg.logaddexp, 1),
    "linear": (after, 2),
    "larger": (larger, 2),
    "turn": (turn, 2),
    "length": (lambda a, b: sg.sqrt(a * a + b * b), 1),
}


def sequences(n: int, shape: Sequence[Any] = (3,)) -> list[sg.Variable]:
    return [sg.tensor(f"x{i}", ("T", *shape), "float64") for i in range(n)]


def drawn(n: int, length: int = T, width: int = 3) -> list[np.ndarray]:
    generator = np.random.default_rng(length)
    return [generator.uniform(0.4, 0.9, (length, width)) for _ in range(n)]


def running(op: Callable[..., Any], inputs: list[sg.Variable]) -> list[sg.Variable]:
    results = sg.associative_scan(op, inputs)
    return list(results) if len(inputs) > 1 else [results]


def gradients(cost: sg.Variable, inputs: list[sg.Variable], order: int) -> list[sg.Variable]:
    """The cost's derivatives of this order, each summed with weights before the next one."""
    found = [cost]
    for _ in range(order):
        cost = sum((x * np.cos(i + np.arange(3))).mean() for i, x in enumerate(found))  # type: ignore[assignment]
        found = sg.grad(cost, inputs)
    return found


@pytest.mark.parametrize("shape", [(3,), (None,), ("D",)])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_few_steps_are_run_for_values_and_gradients(
    case: str, order: int, shape: tuple[Any, ...], runs: list[int]
) -> None:
    op, n = CASES[case]
    inputs = sequences(n, shape)
    results = running(op, inputs)
    ends = gradients(sum(sg.sin(x).sum() for x in results), inputs, order)  # type: ignore[arg-type]
    reference = sg.compile(inputs, ends, backend="numpy", unused="ignore")
    found = reference(*drawn(n))
    assert len(runs) < 1 + MOST_RUNS * 2 ** (order + 1)
    expected = sg.compile(inputs, ends, unused="ignore")(*drawn(n))
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10 * np.abs(y).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_gradients_are_differences(case: str, length: int) -> None:
    op, n = CASES[case]

    def cost(*inputs: sg.Variable) -> sg.Variable:
        return sum(sg.sin(x).sum() for x in running(op, list(inputs)))  # type: ignore[return-value]

    check_gradient(cost, *drawn(n, length), backend="numpy")


def test_no_rows_have_gradients_without_rows() -> None:
    inputs = sequences(2)
    cost = (running(after, inputs)[1] ** 2).sum()
    f = sg.compile(inputs, [cost, *sg.grad(cost, inputs)], backend="numpy")
    total, *slopes = f(*drawn(2, 0))
    assert total == 0
    assert [slope.shape for slope in slopes] == [(0, 3)] * 2


@pytest.mark.parametrize("shape", [(600,), (None,)])
def test_large_rows_go_one_after_the_other(shape: tuple[Any, ...], runs: list[int]) -> None:
    inputs = sequences(2, shape)
    states = running(after, inputs)[1]
    f = sg.compile(inputs, [states, *sg.grad((states**2).sum(), inputs)], backend="numpy")
    found = f(*drawn(2, 50, 600))
    assert len(runs) >= 2 * 49
    expected = sg.compile(inputs, [states, *sg.grad((states**2).sum(), inputs)])(*drawn(2, 50, 600))
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10)


def test_what_op_takes_from_outside_has_a_gradient() -> None:
    inputs, weight = sequences(1), sg.tensor("w", (3,), "float64")
    found = running(lambda a, b: a + b + weight * a * b, inputs)[0]
    ends = [found, *sg.grad((found**2).sum(), [*inputs, weight])]
    values = [sg.compile([*inputs, weight], ends, backend=b) for b in ("numpy", "native")]
    arrays = [*drawn(1, 70), np.array([0.1, -0.2, 0.3])]
    for x, y in zip(*(f(*arrays) for f in values), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9)


def test_within_steps_of_a_loop() -> None:
    x = sg.tensor("x", ("N", "T", 3), "float64")
    totals = sg.scan(lambda rows: sg.sin(sg.associative_scan(sg.logaddexp, rows)).sum(), x)
    slopes = sg.grad((totals**2).sum(), x)
    array = np.random.default_rng(0).normal(size=(2, 40, 3))
    found, right = (
        sg.compile([x], [totals, slopes], backend=b)(array) for b in ("numpy", "native")
    )
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_step_is_named_where_values_are_checked() -> None:
    a, b = sequences(2)
    f = sg.compile([a, b], running(after, [a, b])[1], backend="numpy", check_finite=True)
    factors, terms = drawn(2)
    factors[321:, 2] = 1e200
    with pytest.raises(sg.FiniteError, match="in step 322 of loop 'associative_scan'"):
        f(factors, terms)


def test_sequences_of_other_lengths_are_refused_where_one_is_known_to_have_no_rows() -> None:
    x = sg.vector("x")
    empty = sg.constant(np.zeros(0, np.float32))
    product, _ = sg.associative_scan(
        lambda f, s: (s[0] * f[0], s[0] * f[1] + s[1]), [sg.tanh(x), empty]
    )
    f = sg.compile([x], product, backend="numpy")
    assert f(np.zeros(0, np.float32)).shape == (0,)
    with pytest.raises(sg.CallError, match="33"):
        f(np.ones(33, np.float32))
