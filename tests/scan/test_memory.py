"""``memory=``: so many bytes for checkpoints, and for what is stored between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.core.dims import Size, floor_div, interval, maximum_zero, named_size
from symgraph.core.size_bounds import without_rests
from symgraph.ops.intervals import ROOM
from symgraph.scan.paths import loop_paths

BACKENDS = ("native", "numpy")
STEPS, WIDTH = named_size("T"), named_size("B")
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)


def layer_step(
    cell: Any, backend: str, *, read: Any = lambda y: y[-1], **options: Any
) -> sg.Function:
    """The gradients of a layer's weights, and by the input, from the last output."""
    x = sg.tensor("x", ("T", "B", 3), "float64")
    layer = nn.Recurrent(cell(3, 5, rng=0, dtype="float64"), **options)
    cost = sg.square(read(layer(x))).sum()
    return sg.compile([x], [cost, *sg.grad(cost, [*layer.params, x])], backend=backend)


def frames(steps: int) -> np.ndarray:
    return np.random.default_rng(steps).normal(size=(steps, 2, 3))


def told(f: sg.Function) -> Any:
    (loop,) = f.report.checkpoints
    return loop


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", CELLS)
def test_where_the_plain_loop_fits_no_step_runs_again(backend: str, cell: Any) -> None:
    plain = layer_step(cell, backend)
    stored = plain.report.stored_bytes(T=400, B=2)
    expected = plain(frames(400))
    factors = []
    for share in (0.02, 0.1, 0.2, 0.35, 0.6, 0.8, 0.9, 1.0, 1.5, 3):
        f = layer_step(cell, backend, memory=int(stored * share))
        found = f(frames(400))
        loop = told(f)
        assert loop.fits is (share > 0.05) or share < 0.1
        assert loop.bytes <= stored
        factors.append(loop.recompute)
        assert loop.recompute == 1.0 or share < 1
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("known", [False, True])
def test_bytes_told_are_those_stored(backend: str, cell: Any, known: bool) -> None:
    """Checkpoints, and what loops store over a chunk of steps, but for single rows."""
    x = sg.tensor("x", (600, 2, 3) if known else ("T", "B", 3), "float64")
    layer = nn.Recurrent(cell(3, 5, rng=0, dtype="float64"), memory="40kB")
    cost = sg.square(layer(x)[-1]).sum()
    f = sg.compile([x], [cost, *sg.grad(cost, layer.params)], backend=backend)
    f(frames(600))
    sizes = {} if known else {"T": 600, "B": 2}
    values = {("name", name): number for name, number in sizes.items()}
    checkpoints = chunk = 0
    for loop in f.report.stored:
        for value in loop.values:
            size = value.bytes
            number = size if isinstance(size, int) else size.evaluate(values) or 0
            if value.reason == "checkpoints for the gradient":
                checkpoints += number
            elif loop.depth:
                chunk += number
    loop = told(f)
    assert loop.fits
    assert 0.8 * (checkpoints + chunk) <= loop.bytes <= checkpoints + chunk


def test_a_rewritten_graph_has_the_numbers_that_were_found() -> None:
    for options in ({"memory": "20kB"}, {"memory": "20kB", "truncate_gradient": 30}):
        f = layer_step(nn.LSTMCell, "numpy", **options)
        bodies = [path[-1].params[0] for path in loop_paths(f.graph)]
        for graph in (f.graph, *bodies):
            assert all(v.op is not ROOM for v in graph.nodes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("memory", [200, "2kB", "1MB"])
def test_two_loops_have_numbers_of_their_own(backend: str, memory: Any) -> None:
    """Loops of one body in one program, of which one stores more, and loops in loops."""
    x, w = sg.tensor("x", ("T", "K", 3), "float64"), sg.tensor("w", (3, 3), "float64")

    def both(**options: Any) -> list[sg.Variable]:
        def inner(rows: sg.Variable, h: sg.Variable) -> sg.Variable:
            def step(row: sg.Variable, s: sg.Variable) -> sg.Variable:
                return sg.tanh(row @ w + s * h)

            return sg.scan(step, rows, h, **options)[-1]

        outer = sg.scan(inner, x, w[0], **options)
        again = sg.scan(inner, x * x, outer[-1], **options)
        cost = (again[-1] ** 2).sum()
        return [cost, *sg.grad(cost, [x, w])]

    f = sg.compile([x, w], [*both(memory=memory), *both()], backend=backend)
    random = np.random.default_rng(0)
    for steps, rows in ((1, 1), (3, 4), (7, 5)):
        found = f(random.normal(size=(steps, rows, 3)), random.normal(size=(3, 3)) * 0.5)
        for ours, expected in zip(found[:3], found[3:], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("every", [7, interval(STEPS, 8, 8 * WIDTH, 1000)], ids=str)
def test_the_last_chunk_has_room_in_that_of_the_others(every: Size) -> None:
    rests = [STEPS - floor_div(maximum_zero(STEPS - 1), every) * every]
    rests += [STEPS + 4 - floor_div(STEPS + 3, every) * every]
    for rest in rests:
        assert without_rests(rest) == every
        assert without_rests(rest * WIDTH * 3 + WIDTH) == every * WIDTH * 3 + WIDTH
    assert without_rests((STEPS - floor_div(STEPS, every) * every) * 5) == every * 5 - 5


def test_sizes_without_rests_stay() -> None:
    """A size that may be 0 leaves all over."""
    for size in (STEPS - 1, 12, WIDTH * STEPS, STEPS - floor_div(STEPS, WIDTH) * WIDTH):
        assert without_rests(size) == size


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("memory", [1, 100, "1MB"])
def test_a_loop_without_states(backend: str, memory: Any) -> None:
    """Nothing of it has to be kept; of chunks only sizes are left."""
    x = sg.tensor("x", ("T", 2), "float64")
    options = {"memory": memory, "truncate_gradient": 3}
    cost = (sg.scan(lambda row: sg.exp(row), x, [None], **options) ** 2).sum()
    gradient = sg.compile([x], sg.grad(cost, x), backend=backend)
    for steps in (0, 1, 2, 5):
        rows = np.linspace(-1, 1, 2 * steps).reshape(steps, 2)
        expected = 2 * np.exp(2 * rows)
        expected[: max(steps - 3, 0)] = 0
        np.testing.assert_allclose(gradient(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_that_follow_from_another_loop_with_memory(backend: str) -> None:
    """The second loop's states are as long as the first one took steps, which data decide."""
    x, h = sg.tensor("x", (None, 1), "float64"), sg.tensor("h", (1,), "float64")

    def gradients(*memory: Any) -> list[sg.Variable]:
        def first(row: Any, h: Any) -> Any:
            return sg.sin(h + row), sg.until(h.sum() > 0.5)

        early = sg.scan(first, [x], [h], memory=memory[0])
        later = sg.scan(lambda row, states: sg.tanh(states + row), [x], [early], memory=memory[1])
        return sg.grad(later[-1].sum(), [x, h])

    plain, within = (
        sg.compile([x, h], gradients(*memory), backend=backend)
        for memory in ((None, None), ("2kB", 500))
    )
    for steps in (1, 2, 5):
        rows = np.linspace(-0.2, 0.6, steps)[:, None]
        for ours, expected in zip(within(rows, [0.1]), plain(rows, [0.1]), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-12)
