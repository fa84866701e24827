"""Checkpoints: a property of a loop that its gradient alone reads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.compile.tables import shown_bytes
from symgraph.core.graph import Graph, replace
from symgraph.core.interval import interval_of
from symgraph.core.types import TupleType
from symgraph.core.variable import ancestors, constant_value, node
from symgraph.ops.intervals import INTERVAL, interval_within
from symgraph.ops.sizes import SIZE
from symgraph.scan.interval import parse_memory
from symgraph.scan.op import Loop, is_scan
from symgraph.testing import unroll

BACKENDS = ("native", "numpy")


def loops(outputs: Sequence[sg.Variable]) -> list[Loop]:
    return [Loop(v) for v in ancestors(outputs) if is_scan(v)]


def elman(x: sg.Variable, w: sg.Variable, u: sg.Variable, **options: Any) -> sg.Variable:
    first = sg.zeros((x.shape[1], u.shape[0]), "float64")
    return sg.scan(lambda row, h: sg.tanh(row @ w + h @ u), x, first, **options)


def inputs() -> list[sg.Variable]:
    shapes = {"x": ("T", "B", 3), "w": (3, 4), "u": (4, 4)}
    return [sg.tensor(name, shape, "float64") for name, shape in shapes.items()]


def numbers(steps: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=shape) * 0.5 for shape in ((steps, 2, 3), (3, 4), (4, 4))]


# --- how many loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("read", [lambda h: h, lambda h: h[-1], lambda h: h.sum()])
def test_a_function_without_a_gradient_has_one_loop(backend: str, read: Any) -> None:
    x, w, u = inputs()
    f, plain = (
        sg.compile([x, w, u], read(elman(x, w, u, **options)), backend=backend)
        for options in ({"checkpoint_every": 2}, {})
    )
    assert f.report.loops == f.report.bodies == 1
    assert f.report.loops_built == f.report.bodies_built == 1
    assert (f.report.nodes, f.report.kernels) == (plain.report.nodes, plain.report.kernels)
    np.testing.assert_array_equal(f(*numbers(5)), plain(*numbers(5)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_within_a_loop_it_is_one_loop_too(backend: str) -> None:
    x, w, u = inputs()

    def outer(row: sg.Variable) -> sg.Variable:
        return elman(row[:, None], w, u, checkpoint_every=2)[-1, 0]

    f = sg.compile([x, w, u], sg.map(outer, x), backend=backend)
    assert f.report.loops == 2
    assert f(*numbers(3)).shape == (3, 4)


def rows_computed(outputs: Sequence[sg.Variable], **sizes: int) -> list[int]:
    """How many rows each array has that a compiled graph computes, those in its loops included.

    What is moved alone, such as a slice of an input, is not computed.
    """
    numbers = {("name", name): number for name, number in sizes.items()}
    found: list[int] = []
    pending = [list(ancestors(outputs))]
    while pending:
        for v in pending.pop():
            if is_scan(v):
                pending.append(list(v.params[0].nodes))
            elif not v.inputs or v.op.kind == "movement" or "check" in v.op.traits:
                continue
            for type in v.type.items if isinstance(v.type, TupleType) else (v.type,):
                rows = type.shape[0] if type.shape else 1
                found.append(rows if isinstance(rows, int) else rows.evaluate(numbers) or 0)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_keeps_nothing_of_each_step(backend: str) -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=3)[-1].sum()
    f = sg.compile([x, w, u], [cost, *sg.grad(cost, [w, u])], backend=backend)
    # The steps up to the last checkpoint; the tail and chunks, each forwards and backwards.
    assert f.report.loops == f.report.bodies == 6
    (keeping,) = [loop for loop in loops(f.graph.outputs) if loop.layout.has_checkpoints]
    # Of what it leaves behind nobody reads anything but checkpoints, and these are few.
    assert keeping.layout.ends_at_checkpoint
    read = [v for v in ancestors(f.graph.outputs) if v.inputs[:1] == (keeping.node,)]
    assert read == keeping.checkpoints
    steps = keeping.node.type.items[0].shape[0]
    others = rows_computed(f.graph.outputs, T=30_000, B=1)
    assert steps.evaluate({("name", "T"): 30_000}) in others
    others = [rows for rows in others if rows != 29_998]  # the loop's own, which nobody reads
    assert max(others) == 10_000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{"go_backwards": True}, {"truncate_gradient": 5}, {}])
def test_nor_for_taps_several_states_and_lasts_of_plain_outputs(
    backend: str, options: dict[str, Any]
) -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3, 3), "float64")

    def step(before: sg.Variable, after: sg.Variable, h: sg.Variable, old: sg.Variable) -> Any:
        new = sg.tanh((before + after) @ w + 0.5 * old + h)
        return [new, 0.1 * old + new, sg.exp(new)]

    first = {"initial": w, "taps": [-3]}
    rows = {"input": x, "taps": [-2, 1]}
    values = sg.scan(step, rows, [w[0], first, None], checkpoint_every=100, **options)
    cost = sum((v[-1].sum() for v in values), sg.constant(0.0))
    f = sg.compile([x, w], [cost, *sg.grad(cost, [w])], backend=backend)
    own = {
        shape.shape[0].evaluate({("name", "T"): 30_000})
        for loop in loops(f.graph.outputs)
        if loop.layout.has_checkpoints
        for shape in loop.node.type.items
    }
    others = [n for n in rows_computed(f.graph.outputs, T=30_000) if n not in own]
    assert max(others) <= 1000


def test_the_report_names_the_loops_of_the_gradient() -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=3, name="rnn")[-1].sum()
    f = sg.compile([x, w, u], sg.grad(cost, [w, u]))
    names = [row.name for row in f.report.loop_table]
    assert names.count("rnn") == names.count("gradient of rnn") == 1
    assert names.count("rnn from a checkpoint") > 0
    assert None not in names
    assert all(row.line is not None for row in f.report.loop_table if row.depth == 0)


# --- the same numbers ---------------------------------------------------------------------------


def one_state(x: sg.Variable, w: sg.Variable, **options: Any) -> list[sg.Variable]:
    return [sg.scan(lambda row, h: sg.tanh(row @ w + h), x, w[0], **options)]


def several(x: sg.Variable, w: sg.Variable, **options: Any) -> list[sg.Variable]:
    """Taps of sequences and states, a plain output, and inputs that are made of one another."""

    def step(
        before: sg.Variable, row: sg.Variable, made: sg.Variable, h: sg.Variable,
        oldest: sg.Variable, past: sg.Variable,
    ) -> list[sg.Variable]:  # fmt: skip
        total = sg.tanh(before * oldest + row @ w)
        return [sg.sin(h * made) + total, total * past + 0.5 * h, sg.exp(made) * h]

    first = {"initial": sg.stack([w[1], w[2], w[0]]), "taps": [-3, -1]}
    rows = [{"input": x, "taps": [-1, 0]}, sg.tanh(x @ w)]
    return sg.scan(step, rows, [w.sum(axis=0), first, None], **options)


def costs(values: Sequence[sg.Variable], level: int) -> sg.Variable:
    return sum((sg.sum(v * v * (0.5 + k + level)) for k, v in enumerate(values)), sg.constant(0.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loop", [one_state, several])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("every", [1, 3, 20])
def test_gradients_are_those_without(
    backend: str, loop: Any, order: int, backwards: bool, every: int
) -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3, 3), "float64")
    both = []
    for options in ({"checkpoint_every": every}, {}):
        values = loop(x, w, go_backwards=backwards, **options)
        for level in range(order):
            values = sg.grad(costs(values, level), [x, w])
        both += values
    f = sg.compile([x, w], both, backend=backend)
    random = np.random.default_rng(every)
    for steps in (0, 1, 2, 3, 7):
        found = f(random.normal(size=(steps, 3)), random.normal(size=(3, 3)) * 0.5)
        for ours, expected in zip(found[:2], found[2:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 4, 7])
def test_gradients_are_those_of_the_steps_written_out(steps: int) -> None:
    x = sg.constant(np.linspace(-1, 1, 3 * steps).reshape(steps, 3))
    w = sg.tensor("w", (3, 3), "float64")
    values = several(x, w, checkpoint_every=3)
    gradient = sg.grad(costs(values, 0), w)
    outputs = [gradient, unroll(gradient), sg.grad(costs(unroll(values), 0), w)]
    ours, opened, expected = sg.compile([w], outputs)(np.cos(np.arange(9.0)).reshape(3, 3))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    np.testing.assert_allclose(opened, expected, rtol=1e-12)


def test_gradients_through_the_last_value_and_a_loop_around() -> None:
    x, w, u = inputs()

    def both(**options: Any) -> list[sg.Variable]:
        def outer(row: sg.Variable, total: sg.Variable) -> sg.Variable:
            inner = sg.foldl(lambda v, s: sg.tanh(s * total + v * w[0, 0]), row, total, **options)
            return total * 0.5 + inner

        first = sg.constant(0.3, "float64")
        cost = elman(x, w, u, **options)[-1].sum() + sg.scan(outer, x[:, 0], first).sum()
        return [cost, *sg.grad(cost, [x, w, u])]

    found = sg.compile([x, w, u], [*both(checkpoint_every=2), *both()])(*numbers(5))
    for ours, expected in zip(found[:4], found[4:], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


# --- the property stays -------------------------------------------------------------------------


def test_copies_and_pickles_have_it() -> None:
    x, w, u = inputs()
    y = elman(x, w, u, checkpoint_every=3)
    for v in (y, copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert [loop.checkpoint_every for loop in loops([v])] == [3]
    graph = Graph([x, w, u], [y]).canonical()
    assert pickle.loads(pickle.dumps(graph)) is graph
    f = pickle.loads(pickle.dumps(sg.compile([x, w, u], sg.grad(y.sum(), w))))
    assert f.report.loops == 6


@pytest.mark.parametrize("known", [False, True])
def test_substitution_keeps_it_before_the_gradient_and_after(known: bool) -> None:
    x, w, u = inputs()
    other = sg.tensor("other", (7, 2, 3) if known else ("T", "B", 3), "float64")
    cost = elman(x, w, u, checkpoint_every=3)[-1].sum()
    before = sg.grad(sg.substitute(cost, {x: other}), w)
    after = sg.substitute(sg.grad(cost, w), {x: other})
    f, g = (sg.compile([other, w, u], gradient) for gradient in (before, after))
    assert f.report.loops == g.report.loops == 6
    np.testing.assert_allclose(f(*numbers(7)), g(*numbers(7)), rtol=1e-12)


def test_the_listing_tells_it() -> None:
    x, w, u = inputs()
    y = elman(x, w, u, checkpoint_every=3)
    assert "checkpoints every 3 steps" in sg.listing(y)
    f = sg.compile([x, w, u], y)
    assert "checkpoints" not in sg.listing(f)


# --- loops that end early, and intervals that the call chooses ------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("every", [2, 3, "auto"])
def test_loops_that_may_end_at_any_step(backend: str, every: Any) -> None:
    x, last = sg.tensor("x", ("T", 3), "float64"), sg.scalar("last", "float64")
    w = sg.tensor("w", (3, 3), "float64")

    def step(row: sg.Variable, h: sg.Variable, count: sg.Variable) -> Any:
        new = sg.tanh(row @ w + h)
        return [new, count + 1, new * h], sg.until(count + 1 >= last)

    both: list[sg.Variable] = []
    for options in ({"checkpoint_every": every}, {}):
        first = [w[0], sg.constant(0.0, "float64"), None]
        h, _, product = sg.scan(step, x, first, **options)
        values = sg.grad((h**2).sum() + product[-1].sum(), [x, w])
        both += [*values, *sg.grad(costs(values, 0), [x, w])]
    f = sg.compile([x, last, w], both, backend=backend)
    random = np.random.default_rng(0)
    given = random.normal(size=(8, 3)), random.normal(size=(3, 3)) * 0.5
    for steps in (1, 2, 3, 4, 5, 7, 8, 100):
        found = f(given[0], steps, given[1])
        for ours, expected in zip(found[:4], found[4:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("truncate", [1, 2, 4])
@pytest.mark.parametrize("order", [1, 2])
def test_truncation_goes_back_as_far(backend: str, truncate: int, order: int) -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.tensor("w", (3, 3), "float64")
    both: list[sg.Variable] = []
    for options in ({"checkpoint_every": 3}, {"checkpoint_every": 1}, {}):
        values = several(x, w, truncate_gradient=truncate, **options)
        for level in range(order):
            values = sg.grad(costs(values, level), [x, w])
        both += values
    f = sg.compile([x, w], both, backend=backend)
    random = np.random.default_rng(truncate)
    for steps in (1, 2, 3, 4, 7, 8):
        found = f(random.normal(size=(steps, 3)), random.normal(size=(3, 3)) * 0.5)
        for ours, expected in zip(found[:4], [*found[4:], *found[4:]], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options", [{"checkpoint_every": "auto"}, {"memory": 900}, {"memory": "1 GB"}, {"memory": 1}]
)
def test_intervals_that_the_sizes_of_a_call_choose(backend: str, options: dict[str, Any]) -> None:
    x, w, u = inputs()
    both = [
        v
        for each in (options, {})
        for v in sg.grad((elman(x, w, u, **each)[-1] ** 2).sum(), [x, w, u])
    ]
    f = sg.compile([x, w, u], both, backend=backend)
    for steps in (1, 2, 3, 10, 37):
        found = f(*numbers(steps))
        for ours, expected in zip(found[:3], found[3:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_report_tells_the_intervals_of_the_last_call(backend: str) -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every="auto")[-1].sum()
    given = [x, w, sg.In(u, value=np.zeros((4, 4)))]
    f = sg.compile(given, [cost, sg.grad(cost, w)], backend=backend)
    for steps in (100, 25, 64):
        rows, matrix, _ = numbers(steps)
        f(rows, w=matrix)
        (loop,) = f.report.checkpoints
        assert (loop.interval, loop.steps) == (round(steps**0.5), steps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_report_tells_intervals_and_how_much_runs_again(backend: str) -> None:
    x, w, u = inputs()

    def report(**options: Any) -> Any:
        cost = elman(x, w, u, name="rnn", **options)[-1].sum()
        f = sg.compile([x, w, u], [cost, sg.grad(cost, u)], backend=backend)
        assert "recompute factor" in str(f.report)
        (before,) = f.report.checkpoints
        assert before.loop == "rnn"
        f(*numbers(100))
        (row,) = f.report.to_dict()["checkpoints"]
        assert f" {shown_bytes(row['bytes'])} " in str(f.report)
        return before, row

    before, row = report(checkpoint_every=10)
    assert (before.interval, before.rule) == (10, "given")
    assert (row["interval"], row["steps"], row["recompute"]) == (10, 100, 1.9)
    before, row = report(checkpoint_every="auto")
    assert (str(before.interval), row["interval"], row["rule"]) == ("root(T)", 10, "auto")
    _, row = report(memory="1 MB")
    assert (row["interval"], row["recompute"], row["fits"]) == (100, 1.0, True)
    _, row = report(memory="10kB")
    assert row["fits"] is True
    assert 1 < row["interval"] < 100
    assert 1 < row["recompute"] < 2
    assert row["bytes"] <= 10_000
    _, row = report(memory=10)
    assert row["fits"] is False
    assert row["bytes"] > 10


def test_a_plain_function_has_no_section_on_checkpoints() -> None:
    x, w, u = inputs()
    f = sg.compile([x, w, u], elman(x, w, u, checkpoint_every=10))
    assert f.report.checkpoints == []
    assert "recompute" not in str(f.report)


@pytest.mark.parametrize(
    ("text", "number"),
    [(7, 7), ("7", 7), ("64 kB", 64_000), ("1.5GB", 1_500_000_000), ("2 KiB", 2048), ("3mb", 3e6)],
)
def test_amounts_of_memory(text: Any, number: float) -> None:
    assert parse_memory(text) == number


@pytest.mark.parametrize("memory", [0, -1, 1.5, True, "", "MB", "1 lB", "0MB", "-3 MB", b"1MB"])
def test_what_is_no_amount_of_memory(memory: Any) -> None:
    with pytest.raises(sg.ScanError, match="positive number of bytes"):
        sg.scan(lambda h: h, outputs_info=sg.zeros(()), n_steps=3, memory=memory)


def test_memory_and_an_interval_do_not_go_together() -> None:
    with pytest.raises(sg.ScanError, match="two ways"):
        sg.scan(lambda h: h, outputs_info=sg.zeros(()), n_steps=3, memory="1MB", checkpoint_every=2)


@pytest.mark.parametrize(
    "numbers", [(0, 8, 8, 0), (1, 1, 1, 0), (100, 1, 1, 0), (1000, 64, 200, 9000), (7, 0, 0, 3)]
)
def test_the_interval_is_one_number_everywhere(numbers: tuple[int, ...]) -> None:
    scalars = [sg.scalar(name, dtype="int64") for name in "abcd"]
    made = interval_within(*scalars)
    given = dict(zip(scalars, numbers, strict=True))
    expected = interval_of(*numbers)
    for backend in BACKENDS:
        assert made.eval(given, backend=backend) == expected
        assert sg.zeros((made,)).eval(given, backend=backend).shape == (expected,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_draws_are_the_same_again(backend: str) -> None:
    w = sg.tensor("w", (4,), "float64")
    keys = sg.random.split(sg.random.key(3), 9)

    def step(key: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(h * w + sg.random.normal(key, (4,), dtype="float64"))

    both = [
        sg.grad(sg.scan(step, keys, sg.zeros(4, "float64"), checkpoint_every=every)[-1].sum(), w)
        for every in (4, None)
    ]
    ours, expected = sg.compile([w], both, backend=backend)(np.linspace(-1, 1, 4))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_two_gradients_of_one_cost_share_the_loops() -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=3)[-1].sum()
    f = sg.compile([x, w, u], [sg.grad(cost, w), sg.grad(cost, u)])
    assert f.report.loops == f.report.bodies == 6


@pytest.mark.parametrize("steps", [1, 2, 9, 97, 100])
@pytest.mark.parametrize(("kept", "each"), [(4, 4), (4, 50), (64, 8), (0, 3)])
@pytest.mark.parametrize("memory", [1, 100, 300, 2000, 10_000])
def test_the_interval_is_the_one_with_which_fewest_steps_run_again(
    steps: int, kept: int, each: int, memory: int
) -> None:
    """Of all intervals that fit; of those that take the least where none does."""
    taken = {k: kept * ((steps - 1) // k) + each * k for k in range(1, steps + 1)}
    limit = max(memory, min(taken.values()))
    run_again = {k: (steps - 1) // k * k for k, size in taken.items() if size <= limit}
    found = interval_of(steps, kept, each, memory)
    assert run_again[found] == min(run_again.values())


@pytest.mark.parametrize("steps", [1, 7, 50, 97])
def test_more_memory_never_means_more_steps_run_again(steps: int) -> None:
    intervals = [interval_of(steps, 24, 40, memory) for memory in range(1, 40 * steps + 200)]
    run_again = [(steps - 1) // k * k for k in intervals]
    assert run_again == sorted(run_again, reverse=True)
    assert run_again[-1] == 0


@pytest.mark.parametrize("memory", [0, -3])
def test_without_memory_the_interval_is_the_root(memory: int) -> None:
    steps = [0, 1, 2, 9, 10, 100, 1000]
    assert [interval_of(n, 8, 8, memory) for n in steps] == [1, 1, 2, 3, 4, 10, 32]


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_that_are_not_finite_are_found(backend: str) -> None:
    x, w, u = inputs()
    gradient = sg.grad(elman(x, w, u, checkpoint_every=2)[-1].sum(), [w, u])
    f = sg.compile([x, w, u], gradient, backend=backend, check_finite=True)
    plain = sg.compile([x, w, u], gradient, backend=backend)
    given = numbers(7)
    for ours, expected in zip(f(*given), plain(*given), strict=True):
        np.testing.assert_array_equal(ours, expected)
    given[0][3, 0, 0] = np.nan
    with pytest.raises(sg.FiniteError):
        f(*given)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inner", [{}, {"checkpoint_every": 2}, {"checkpoint_every": "auto"}])
@pytest.mark.parametrize("outer", [{}, {"checkpoint_every": 2}])
def test_loops_in_loops_to_the_second_order(
    backend: str, inner: dict[str, Any], outer: dict[str, Any]
) -> None:
    x, w = sg.tensor("x", ("T", "K", 3), "float64"), sg.tensor("w", (3, 3), "float64")

    def both(inside: dict[str, Any], outside: dict[str, Any]) -> list[sg.Variable]:
        def step(rows: sg.Variable, h: sg.Variable) -> sg.Variable:
            last = sg.scan(lambda row, s: sg.tanh(row @ w + s), rows, h, **inside)[-1]
            return last * 0.5 + sg.sin(h)

        first = sg.grad((sg.scan(step, x, w[0], **outside) ** 2).sum(), [x, w])
        return [*first, *sg.grad(costs(first, 0), [x, w])]

    f = sg.compile([x, w], [*both(inner, outer), *both({}, {})], backend=backend)
    random = np.random.default_rng(0)
    for steps, rows in ((1, 1), (3, 4), (5, 3)):
        found = f(random.normal(size=(steps, rows, 3)), random.normal(size=(3, 3)) * 0.5)
        for ours, expected in zip(found[:4], found[4:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-11)


def test_values_of_which_only_sizes_are_read() -> None:
    def step(row: Any, before: Any, past: Any, other: Any, total: Any) -> list[Any]:
        summed = total.sum()
        return [sg.tanh(past + summed), other * 0.5 + sg.tanh(summed), sg.sin(total + total)]

    given = sg.testing.numbers((4, 2)), sg.testing.numbers((2, 2)), sg.testing.numbers((2,), seed=1)
    sequence, initials = {"input": given[0], "taps": [0, -1]}, [*given[1:], np.array(0.5)]
    options = {"truncate_gradient": 2, "checkpoint_every": 6}
    sg.testing.check_scan(step, [sequence], initials, orders=2, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{"checkpoint_every": "auto"}, {"memory": 1000}, {"memory": 1}])
def test_sizes_that_nobody_named(backend: str, options: dict[str, Any]) -> None:
    """The gradient of a tangent, of sequences whose lengths the call finds to be one."""
    x, h, t = (sg.tensor(name, shape, "float64") for name, shape in UNNAMED.items())

    def outputs(**options: Any) -> list[sg.Variable]:
        tangent = sg.jvp(sg.scan(lambda r, s: sg.tanh(r + s), x, h, **options), x, t)
        return [tangent, *sg.grad((tangent**2).sum(), [x, h])]

    f = sg.compile([x, h, t], [*outputs(**options), *outputs()], backend=backend)
    random = np.random.default_rng(3)
    for n in (0, 1, 2, 3, 7):
        found = f(random.normal(size=(n, 2)), random.normal(size=2), random.normal(size=(n, 2)))
        for ours, expected in zip(found[:3], found[3:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


UNNAMED = {"x": (None, 2), "h": (2,), "t": (None, 2)}


def test_an_interval_of_sizes_that_became_known_expands_to_a_number() -> None:
    """A check may tell a length, when the numbers that are made of it have long been sizes."""
    length = node(SIZE, (sg.tensor("x", (15,)),), (0,))
    parts = (length, *(sg.constant(np.int64(n)) for n in (1, 1, 0)))
    expand = INTERVAL.expand
    assert expand is not None
    assert constant_value(expand(node(INTERVAL, parts))) == interval_of(15, 1, 1, 0)


def test_a_loop_on_other_sizes_keeps_its_layout() -> None:
    x, w, u = inputs()
    cost = elman(x, w, u, checkpoint_every=2)[-1].sum()
    f = sg.compile([x, w, u], sg.grad(cost, w))
    other = sg.tensor("other", (8, *x.type.shape[1:]), x.dtype)
    before, after = (loops(g) for g in (f.graph.outputs, replace(f.graph.outputs, {x: other})))
    assert any(loop.layout.ends_at_checkpoint for loop in before)
    assert any(loop.layout.is_over_chunks for loop in before)
    assert [loop.layout for loop in after] == [loop.layout for loop in before]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("options", [{"checkpoint_every": 2}, {"memory": 500}])
def test_known_lengths_and_a_condition(backend: str, steps: int, options: dict[str, Any]) -> None:
    """Of no rows, or one, sizes may look as if they differed."""
    x, h = sg.tensor("x", (steps, 2), "float64"), sg.tensor("h", (2,), "float64")

    def outputs(**options: Any) -> list[sg.Variable]:
        def step(r: sg.Variable, s: sg.Variable) -> Any:
            return sg.tanh(r + s), sg.until(s.sum() > 5)

        states = sg.scan(step, x, h, **options)
        return [states, *sg.grad(states.sum(), [x, h])]

    f = sg.compile([x, h], [*outputs(**options), *outputs()], backend=backend)
    for start in (0.1, 9.0):
        found = f(np.linspace(-1, 1, 2 * steps).reshape(steps, 2), np.full(2, start))
        for ours, expected in zip(found[:3], found[3:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{"checkpoint_every": 100}, {"checkpoint_every": "auto"}])
def test_a_loop_that_may_end_early_keeps_no_more(options: dict[str, Any]) -> None:
    """How many steps it took is told by its trace, which nothing may keep for that."""
    n, h = sg.scalar("n", "int64"), sg.tensor("h", (8,))

    def stored(ends: bool) -> int:
        def step(h: Any) -> Any:
            new = sg.tanh(h * 0.9)
            return (new, sg.until(new.sum() > 9)) if ends else new

        last = sg.scan(step, outputs_info=[h], n_steps=n, **options)[-1]
        return sg.compile([n, h], sg.grad(last.sum(), h)).report.stored_bytes(n=10_000)

    assert stored(ends=True) <= stored(ends=False) + 100
