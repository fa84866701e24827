"""Loops against their unrolled twins: values, and derivatives of the first to the third order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.variable import ancestors
from symgraph.testing import evaluate, unrolled

FLOAT = "float64"
quickly = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@dataclass
class Case:
    """A loop of random make: what `sg.scan` is called with, and values for the variables."""

    step: Callable[..., Any]
    sequences: list[Any]
    outputs_info: list[Any]
    non_sequences: list[sg.Variable]
    options: dict[str, Any]
    values: dict[sg.Variable, np.ndarray]
    symbolic: bool = False
    """Whether the loop is built with lengths that are not known."""

    @property
    def floats(self) -> list[sg.Variable]:
        return [v for v in self.values if v.dtype == np.float64]

    def by(self, function: Callable[..., Any]) -> list[sg.Variable]:
        """The outputs by `sg.scan` or by its twin, in a list."""
        sequences, infos = self.sequences, self.outputs_info
        if self.symbolic and function is sg.scan:
            sequences, infos = [[self.without_length(x) for x in xs] for xs in (sequences, infos)]
        return as_list(function(self.step, sequences, infos, self.non_sequences, **self.options))

    def without_length(self, given: Any) -> Any:
        """A sequence or an entry of outputs_info, of a length that is not known."""
        if isinstance(given, dict):
            key = next(iter(given))
            return {**given, key: self.without_length(given[key])}
        if given is None or given not in self.values or given.ndim < 2:
            return given
        (end,) = (v for v in self.values if v.dtype == np.int64)
        return given[: given.shape[0] + end]


def mix(arguments: Sequence[sg.Variable], w: sg.Variable, i: int) -> sg.Variable:
    """Something smooth, not linear and bounded of all arguments, another one for each ``i``."""
    total: Any = np.array([0.1, -0.2]) * (i + 1)
    if i % 2 == 0 and arguments:  # a product that needs no state, perhaps
        total = total + arguments[0] @ w
    for k, x in enumerate(arguments):
        x = x if x.dtype == np.float64 else x.astype(FLOAT) * 0.1
        total = total + (0.3 + 0.2 * ((i + k) % 3)) * x
    bent = sg.tanh(total)
    return bent @ w if i % 2 else bent * arguments[0] if arguments else bent


@st.composite
def cases(draw: st.DrawFn, *, max_length: int = 6) -> Case:
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    row = draw(st.sampled_from([(2,), (3, 2)]))
    length = draw(st.integers(0, max_length))
    values: dict[sg.Variable, np.ndarray] = {}

    def variable(name: str, *shape: int) -> sg.Variable:
        v = sg.tensor(name, shape, FLOAT)
        values[v] = random.normal(size=shape)
        return v

    sequences: list[Any] = []
    for k in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            sequences.append(variable(f"x{k}", length, *row))
        else:
            taps = draw(st.lists(st.integers(-2, 2), min_size=1, max_size=3, unique=True))
            reach = max(0, *taps) - min(0, *taps)
            extra = draw(st.integers(0, 1))
            x = variable(f"x{k}", length + reach + extra, *row)
            sequences.append({"input": x, "taps": taps})
    infos: list[Any] = []
    for k in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["plain", "state", "state", "taps", "count"]))
        if kind == "plain":
            infos.append(None)
        elif kind == "state":
            infos.append(variable(f"h{k}", *row))
        elif kind == "taps":
            taps = draw(st.lists(st.integers(-3, -1), min_size=1, max_size=3, unique=True))
            infos.append({"initial": variable(f"h{k}", -min(taps), *row), "taps": taps})
        else:
            infos.append(sg.constant(np.array([1, 2])))
    w, b = variable("w", 2, 2), variable("b", 2)
    listed = [w] if draw(st.booleans()) else []

    def step(*arguments: sg.Variable) -> list[sg.Variable]:
        rows = arguments[: len(arguments) - len(listed)]
        results = []
        for i, info in enumerate(infos):
            if isinstance(info, sg.Variable) and info.dtype.kind == "i":
                past = arguments[counts[i]]
                results.append(past * 2 + 1)
            else:
                results.append(mix(rows, w, i) + b * 0.5)
        return results

    # Where the past value of each output is among the arguments.
    counts, position = {}, sum(len(s["taps"]) if isinstance(s, dict) else 1 for s in sequences)
    for i, info in enumerate(infos):
        counts[i] = position
        position += 0 if info is None else len(info["taps"]) if isinstance(info, dict) else 1
    options: dict[str, Any] = {"go_backwards": draw(st.booleans())}
    if not sequences or draw(st.booleans()):
        options["n_steps"] = draw(st.integers(0, length))
    options["truncate_gradient"] = draw(st.sampled_from([None, None, 1, 2, 3]))
    zero = sg.scalar("zero", "int64")
    values[zero] = np.int64(0)
    return Case(step, sequences, infos, listed, options, values, draw(st.booleans()))


def used(outputs: Sequence[sg.Variable], values: dict) -> dict:
    """The values of those variables that the outputs are made of."""
    below = set(ancestors(outputs))
    return {v: a for v, a in values.items() if v in below}


def run_both(outputs: list[sg.Variable], values: dict) -> tuple[list, list]:
    """The outputs node by node as built, and compiled with all rewrites."""
    needed = used(outputs, values)
    compiled = sg.compile(list(needed), outputs, backend="numpy")
    return evaluate(outputs, values), compiled(*needed.values())


def assert_alike(found: list[sg.Variable], twin: list[sg.Variable], values: dict) -> None:
    """Both ways of evaluation give for both lists the same values."""
    expected = evaluate(twin, values)
    for results in run_both(found, values):
        for result, wanted in zip(results, expected, strict=True):
            assert np.shape(result) == np.shape(wanted)
            np.testing.assert_allclose(result, wanted, rtol=1e-9, atol=1e-9)


def costs(outputs: Sequence[sg.Variable], seed: int = 0) -> sg.Variable:
    """A scalar that depends on every element in a way of its own."""
    total: Any = sg.constant(np.float64(0))
    for output in outputs:
        if output.dtype == np.float64:
            flat = output.reshape(-1)
            weights = 1.0 + 0.3 * sg.sin(sg.arange(flat.shape[0]) * 1.7 + float(seed))
            total = total + (flat * weights).sum() + 0.1 * (flat * flat).sum()
    return total


@quickly
@given(cases())
def test_values(case: Case) -> None:
    assert_alike(case.by(sg.scan), case.by(unrolled), case.values)


@settings(quickly, max_examples=50)
@given(order=st.integers(1, 3), case=cases(max_length=4))
def test_gradients(order: int, case: Case) -> None:
    found, twin = case.by(sg.scan), case.by(unrolled)
    for level in range(order):
        found = sg.grad(costs(found, level), case.floats, disconnected="zero")
        twin = sg.grad(costs(twin, level), case.floats, disconnected="zero")
    assert_alike(found, twin, case.values)


# --- kinds of derivatives -----------------------------------------------------------------------


@quickly
@given(cases(max_length=4))
def test_forward_mode(case: Case) -> None:
    """Along one direction, by the loop, by its twin, and by the transposed product."""
    random = np.random.default_rng(0)
    tangents = [sg.constant(random.normal(size=v.type.shape)) for v in case.floats]
    results = []
    for outputs in (case.by(sg.scan), case.by(unrolled)):
        ends = [v for v in outputs if v.dtype == np.float64]
        results.append(sg.jvp(ends, case.floats, tangents) if ends else [])
    if results[0]:
        assert_alike(*results, case.values)


@quickly
@given(cases(max_length=4))
def test_hessian_vector_product(case: Case) -> None:
    random = np.random.default_rng(0)
    vectors = [sg.constant(random.normal(size=v.type.shape)) for v in case.floats]
    results = []
    for outputs in (case.by(sg.scan), case.by(unrolled)):
        # Every variable counts, so that none is disconnected.
        cost = costs(outputs) + costs(case.floats, 1)
        results.append(sg.hessian_vector_product(cost, case.floats, vectors))
    assert_alike(*results, case.values)


def test_jacobian_and_hessian_through_a_loop() -> None:
    x, h = sg.tensor("x", (4, 2), FLOAT), sg.tensor("h", (2,), FLOAT)
    values = {x: np.linspace(-1, 1, 8).reshape(4, 2), h: np.array([0.5, -0.25])}

    def step(row: sg.Variable, past: sg.Variable) -> sg.Variable:
        return sg.tanh(row + past * row[::-1])

    found, twin = sg.scan(step, [x], [h]), unrolled(step, [x], [h])
    assert_alike(sg.jacobian(found, [x, h]), sg.jacobian(twin, [x, h]), values)
    assert_alike(sg.hessian(found.sum(), [x, h]), sg.hessian(twin.sum(), [x, h]), values)


# --- until --------------------------------------------------------------------------------------


@settings(quickly, max_examples=20)
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
    """The twin takes the number of steps that a loop in Python finds."""
    random = np.random.default_rng(length)
    x = sg.tensor("x", ("T", 2), FLOAT)
    fixed = sg.tensor("x", (length, 2), FLOAT)
    h = sg.tensor("h", (-min(taps), 2), FLOAT)
    rows, first = random.normal(size=(length, 2)), random.normal(size=h.type.shape)

    def step(row: Any, *past: Any) -> list[Any]:
        new = sum(past[1:], past[0]) * row + 0.5
        return [new, (new * row).sum()] if plain else [new]

    def step_until(*arguments: Any) -> tuple[Any, sg.until]:
        outputs = step(*arguments)
        return outputs, sg.until(outputs[0].sum() > limit)

    past, taken = list(first), 0
    while taken < length:
        past.append(step(rows[taken], *(past[tap] for tap in taps))[0])
        taken += 1
        if past[-1].sum() > limit:
            break
    infos = [{"initial": h, "taps": taps}] + [None] * plain
    found = as_list(sg.scan(step_until, [x], infos, truncate_gradient=truncate))
    twin = unrolled(step, [fixed], infos, n_steps=taken, truncate_gradient=truncate)
    expected = evaluate(twin, {fixed: rows, h: first})
    for results in run_both(found, {x: rows, h: first}):
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, wanted, rtol=1e-9, atol=1e-12)
    for level in (1, 2):
        found = sg.grad(weighted(found, level), [x, h], disconnected="zero")
        twin = sg.grad(weighted(twin, level), [fixed, h], disconnected="zero")
        expected = evaluate(twin, {fixed: rows, h: first})
        for results in run_both(found, {x: rows, h: first}):
            for result, wanted in zip(results, expected, strict=True):
                np.testing.assert_allclose(result, wanted, rtol=1e-9, atol=1e-9)


def weighted(outputs: Sequence[sg.Variable], level: int) -> sg.Variable:
    """A scalar that depends on every element, whatever the sizes are."""
    return sum((sg.sin(x * level).sum() + (x * x).sum() for x in outputs), sg.constant(0.0))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# --- nested loops -------------------------------------------------------------------------------


@settings(quickly, max_examples=20)
@given(
    outer=st.integers(0, 3),
    inner=st.integers(0, 3),
    backwards=st.booleans(),
    truncate=st.sampled_from([None, 1, 2]),
    order=st.integers(1, 3),
)
def test_nested(outer: int, inner: int, backwards: bool, truncate: int | None, order: int) -> None:
    """A loop in a loop, which reads sequences, states and outer variables of both."""
    x, h = sg.tensor("x", (outer, inner, 2), FLOAT), sg.tensor("h", (2,), FLOAT)
    w, b = sg.shared(np.array([[0.5, -0.3], [0.2, 0.7]]), "w"), sg.tensor("b", (2,), FLOAT)
    random = np.random.default_rng(outer * 4 + inner)
    values = {v: random.normal(size=v.type.shape) for v in (x, h, b)}

    def by(function: Callable[..., Any]) -> sg.Variable:
        def outer_step(rows: sg.Variable, past: sg.Variable) -> sg.Variable:
            def inner_step(row: sg.Variable, within: sg.Variable) -> sg.Variable:
                return sg.tanh(row * past + within @ w + (b * w[0]) * past.sum())

            inside = function(inner_step, [rows], [past * b], go_backwards=backwards)
            return sg.tanh(inside.sum(axis=0) + past) * b

        return function(outer_step, [x], [h], truncate_gradient=truncate)

    found, twin = [by(sg.scan)], [by(unrolled)]
    for level in range(order):
        found = sg.grad(costs(found, level), [x, h, b], disconnected="zero")
        twin = sg.grad(costs(twin, level), [x, h, b], disconnected="zero")
    assert_alike(found, twin, values)


# --- checkpoints --------------------------------------------------------------------------------


@quickly
@given(case=cases(max_length=6), every=st.integers(1, 7), order=st.integers(0, 2))
def test_checkpoints_change_nothing(case: Case, every: int, order: int) -> None:
    case.options.pop("truncate_gradient")
    twin = case.by(unrolled)
    case.options["checkpoint_every"] = every
    found = case.by(sg.scan)
    for level in range(order):
        found = sg.grad(costs(found, level), case.floats, disconnected="zero")
        twin = sg.grad(costs(twin, level), case.floats, disconnected="zero")
    assert_alike(found, twin, case.values)
