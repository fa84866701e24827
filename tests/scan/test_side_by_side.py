"""Chunks between checkpoints of loops on numbers, which run again in parts, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.scan.op import Loop
from symgraph.scan.paths import loops_in, with_bodies
from symgraph.scan.side_by_side import parts_of_chunks

BACKENDS = ("native", "numpy")
STEPS = (0, 1, 2, 3, 4, 5, 8, 9, 12, 13, 30)


def scalars(*names: str) -> list[sg.Variable]:
    return [sg.scalar(name, "float64") for name in names]


def tanh_numbers(a: float, x: np.ndarray, h: float) -> list[np.ndarray]:
    """The last state of ``h = tanh(a h + x)`` and its gradients by a, x and the first state."""
    states = [h]
    for row in x:
        states.append(np.tanh(a * states[-1] + row))
    by_a, by_x, back = 0.0, np.zeros(len(x)), 1.0
    for t in reversed(range(len(x))):
        by_x[t] = back * (1 - states[t + 1] ** 2)
        by_a += by_x[t] * states[t]
        back = by_x[t] * a
    return [np.asarray(each) for each in (states[-1], by_a, by_x, back)]


def loops_of(f: Any) -> list[Loop]:
    graph: Graph = f.graph
    return [Loop(v) for part in with_bodies(graph) for v in loops_in(part)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("every", [1, 2, 3, "auto"])
def test_gradients_are_those_of_numpy(backend: str, every: Any) -> None:
    (a, h0), x = scalars("a", "h0"), sg.tensor("x", ("T",), "float64")
    step = lambda row, h, a: sg.tanh(a * h + row)  # noqa: E731
    last = sg.scan(step, x, h0, a, checkpoint_every=every)[-1]
    f = sg.compile([a, x, h0], [last, *sg.grad(last, [a, x, h0])], backend=backend)
    random = np.random.default_rng(0)
    for steps in STEPS[1:]:
        row = random.normal(size=steps)
        for found, expected in zip(f(0.8, row, 0.3), tanh_numbers(0.8, row, 0.3), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def two_states(x: Any, y: Any, h: Any, c: Any, a: Any) -> Any:
    new = sg.sigmoid(a * h + x) * c + y
    return sg.tanh(new) * h + a, new, new * x


def far_taps(x: Any, older: Any, newer: Any, a: Any) -> Any:
    return sg.tanh(a * newer - 0.4 * older + x)


def ends(x: Any, h: Any, a: Any) -> Any:
    new = sg.tanh(a * h + x)
    return new, sg.until(new > 0.9)


def counted(x: Any, h: Any, n: Any, a: Any) -> Any:
    return sg.where(sg.eq(n % 2, 0), sg.tanh(a * h + x), h * x), n + 1


def constant(x: Any, h: Any, k: Any, a: Any) -> Any:
    return sg.tanh(a * h + k * x), a


def cost_of(kind: str, x: Any, a: Any, first: Any, **options: Any) -> Any:
    """A cost that reads whole traces, and last values twice."""
    scan, pair = sg.scan, sg.stack([first, first * 2])
    match kind:
        case "states":
            h, c, p = scan(two_states, [x, x[::-1]], [first, first, None], a, **options)
            return (h * c).sum() + p.sum() + h[-1] * c[-1]
        case "taps":
            info = {"initial": pair, "taps": [-2, -1]}
            return sg.square(scan(far_taps, x, info, a, **options)).sum()
        case "until":
            return scan(ends, x, first, a, **options).sum()
        case "counts":
            h, n = scan(counted, x, [first, sg.constant(0, "int64")], a, **options)
            return h[-1] * n[-1].astype("float64")
        case "constant":
            h, k = scan(constant, x, [first, first], a, **options)
            return sg.square(h).sum() + k[-1]
        case "two loops":
            once = scan(lambda x, h: sg.tanh(x + h) * a, x, first, **options)
            return scan(lambda y, h: sg.sin(y * h), once, once[-1], **options).sum()
        case _:

            def outer(row: Any, h: Any) -> Any:
                return scan(lambda h, row: sg.tanh(a * h + row), [], h, row, n_steps=9, **options)[
                    -1
                ]

            return sg.square(scan(outer, x, first, **options)).sum()


KINDS = ("states", "taps", "until", "counts", "constant", "two loops", "inside")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"checkpoint_every": 2}, {"memory": 99}])
def test_gradients_are_those_without(backend: str, kind: str, options: dict[str, Any]) -> None:
    (a, h0), x = scalars("a", "h0"), sg.tensor("x", ("T",), "float64")

    def gradients(**options: Any) -> Any:
        cost = cost_of(kind, x, a, h0, **options)
        first = sg.grad(cost, [a, x, h0])
        second = sg.grad(sum(each.sum() for each in first), [a, x, h0])
        return sg.compile([a, x, h0], [cost, *first, *second], backend=backend)

    f, plain = gradients(**options), gradients()
    random = np.random.default_rng(1)
    for steps in STEPS[1:]:
        row = random.normal(size=steps)
        for found, expected in zip(f(0.7, row, 0.2), plain(0.7, row, 0.2), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", STEPS)
def test_known_numbers_of_steps(backend: str, steps: int) -> None:
    (a, h0), x = scalars("a", "h0"), sg.tensor("x", (steps,), "float64")
    step = lambda row, h, a: sg.tanh(a * h + row)  # noqa: E731
    cost = sg.scan(step, x, h0, a, checkpoint_every=2).sum() + a * h0
    plain = sg.scan(step, x, h0, a).sum() + a * h0
    f, g = (sg.compile([a, x, h0], sg.grad(c, [a, x, h0]), backend=backend) for c in (cost, plain))
    row = np.random.default_rng(2).normal(size=steps)
    for found, expected in zip(f(0.7, row, 0.2), g(0.7, row, 0.2), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_numbers_run_in_parts_and_rows_do_not() -> None:
    a, u, x = sg.scalar("a"), sg.tensor("u", (3, 3)), sg.tensor("x", ("T",))
    numbers = sg.scan(lambda x, h: sg.tanh(a * h + x), x, sg.zeros(()), checkpoint_every=5)[-1]
    rows = sg.scan(lambda x, h: sg.tanh(h @ u + x), x, sg.zeros(3), checkpoint_every=5)[-1].sum()
    f = sg.compile([a, x], sg.grad(numbers, a))
    g = sg.compile([u, x], sg.grad(rows, u))
    again = [
        [each.states[0].new.type.shape for each in loops_of(h) if each.layout.role == "again"]
        for h in (f, g)
    ]
    assert again == [[(), (4,)], [(3,), (3,)]]
    # No more loops, and no more of them in the steps of others.
    assert f.report.loops == g.report.loops == 6


def test_truncated_loops_have_chunks_of_one_part() -> None:
    x = sg.tensor("x", ("T",))
    h = sg.scan(
        lambda x, h: sg.tanh(h + x), x, sg.zeros(()), truncate_gradient=3, checkpoint_every=2
    )
    whole = sg.scan(lambda x, h: sg.tanh(h + x), x, sg.zeros(()), checkpoint_every=2)
    loops = [Loop(v) for v in loops_in(Graph([x], [h, whole]))]
    assert {loop.layout.truncate: parts_of_chunks(loop) for loop in loops} == {3: 1, None: 4}


@pytest.mark.parametrize("options", [{"checkpoint_every": 320}, {"checkpoint_every": "auto"}])
def test_of_many_steps_a_twentieth_is_kept(options: dict[str, Any]) -> None:
    (a, h0), x = scalars("a", "h0"), sg.tensor("x", ("T",), "float64")

    def training(**options: Any) -> Any:
        last = sg.scan(lambda x, h: sg.tanh(a * h + x), x, h0, **options)[-1]
        return sg.compile([a, x, h0], sg.grad(last, [a, h0])).report

    lean, plain = training(**options), training()
    T = 100_000
    assert lean.call_bytes(T=T) * 20 < plain.call_bytes(T=T)
    assert lean.stored_bytes(T=T) * 20 < plain.stored_bytes(T=T)


def test_bytes_told_are_those_of_all_parts() -> None:
    (a, h0), x = scalars("a", "h0"), sg.tensor("x", ("T",), "float64")
    last = sg.scan(lambda x, h: sg.tanh(a * h + x), x, h0, checkpoint_every=10)[-1]
    f = sg.compile([a, x, h0], sg.grad(last, [a, h0]))
    f(0.5, np.zeros(1000), 0.1)
    (loop,) = f.report.checkpoints
    # 96 states before the last chunk, and four times ten states of a chunk.
    assert loop.bytes == 96 * 8 + 40 * 8
