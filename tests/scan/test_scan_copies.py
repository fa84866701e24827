"""Loops pickled, copied, printed and substituted; and large ones."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import ancestors
from symgraph.scan.op import is_scan

ROWS = np.arange(1.0, 5.0)


def vector(name: str = "x", size: Any = "T") -> sg.Variable:
    return sg.tensor(name, (size,), "float64")


def nested(x: sg.Variable, w: sg.Variable) -> sg.Variable:
    def outer(row: sg.Variable, total: sg.Variable) -> sg.Variable:
        inner = sg.scan(lambda v, s: sg.tanh(s * w + v), row, 0.0, name="inner")
        return total * 0.5 + inner[-1]

    return sg.scan(outer, x, 0.0, name="outer")


def run(outputs: Any, values: dict[sg.Variable, Any]) -> Any:
    return sg.compile(list(values), outputs, backend="numpy")(*values.values())


# --- copies -------------------------------------------------------------------------------------


def test_pickles_of_this_process_are_the_same_loop() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.scalar("w", "float64")
    y = nested(x, w)
    for v in (y, sg.grad(y.sum(), w)):
        assert pickle.loads(pickle.dumps(v)) is v
        assert copy.copy(v) is copy.deepcopy(v) is v
    graph = sg.Graph([x, w], [y]).canonical()
    assert pickle.loads(pickle.dumps(graph)) is graph
    assert copy.deepcopy(graph) is graph


def test_copies_have_shared_variables_of_their_own() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.shared(np.float64(0.5), "w")
    y = nested(x, w)
    data = np.random.default_rng(0).normal(size=(3, 3))
    for made in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        (given,) = (v for v in ancestors([made]) if isinstance(v, sg.SharedVariable))
        assert given is not w
        (name,) = {v.name for v in ancestors([made]) if is_scan(v)}
        assert name == "outer"
        (x_again,) = (v for v in ancestors([made]) if v.op.name == "input")
        np.testing.assert_array_equal(run(made, {x_again: data}), run(y, {x: data}))


PROGRAM = """
import pickle, sys
import symgraph as sg
inputs, outputs = pickle.load(sys.stdin.buffer)
values = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(sg.compile(inputs, outputs, backend="numpy")(*values)))
"""


def test_another_process_loads_loops_whose_sizes_depend_on_data() -> None:
    """Sizes without a name are other ones there."""
    x, c, n = vector(), sg.scalar("c", "float64"), sg.scalar("n", "int64")
    stopped = sg.scan(lambda a, s: (s * a, sg.until(s > 5)), x, c)
    after = sg.scan(lambda a, s: sg.tanh(a * s), stopped, c)
    sized = sg.scan(lambda a, s: s * a + sg.ones((n,), "float64"), x, sg.zeros((n,), "float64"))
    outputs = [after, sized, *sg.grad(after.sum() + sized.sum(), [x, c])]
    values = [ROWS, np.float64(0.5), np.int64(2)]
    # One object, so that what is shared stays shared.
    given = pickle.dumps(([x, c, n], outputs)) + pickle.dumps(values)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=given, stdout=subprocess.PIPE, check=True
    )
    expected = run(outputs, dict(zip([x, c, n], values, strict=True)))
    for found, wanted in zip(pickle.loads(done.stdout), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_copies_of_sizes_that_depend_on_a_shared_variable() -> None:
    x, shared = vector(), sg.shared(np.array([1.0, 0.0, 2.0, 3.0]), "values")
    kept = shared[sg.flatnonzero(shared > 0)]
    y = sg.scan(lambda a, s: s * a + kept, x, kept)
    f = sg.compile([x], [y, sg.grad(y.sum(), shared)], backend="numpy")
    for made in (pickle.loads(pickle.dumps(f)), copy.deepcopy(f)):
        for found, wanted in zip(made(ROWS), f(ROWS), strict=True):
            np.testing.assert_array_equal(found, wanted)
    copied = sg.compile([x], copy.deepcopy(y), backend="numpy")
    np.testing.assert_array_equal(copied(ROWS), f(ROWS)[0])
    shorter = f.copy(swap={shared: sg.shared(np.array([1.0, 0.0, 0.0, 3.0]))})
    assert shorter(ROWS)[0].shape == (4, 2)


def test_the_listing_of_a_nested_loop() -> None:
    x, w = sg.tensor("x", ("T", 3), "float64"), sg.scalar("w", "float64")
    text = sg.listing(nested(x, w))
    lines = text.splitlines()
    (outer,) = (line for line in lines if "'outer' = scan" in line)
    (inner,) = (line for line in lines if "'inner' = scan" in line)
    (bent,) = (line for line in lines if "tanh" in line)
    indents = [len(line) - len(line.lstrip()) for line in (outer, inner, bent)]
    assert indents == [0, 4, 8]


# --- substitution -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        (("S", "C"), ("C",)),
        ((4, 3), (3,)),
        ((None, None), (None,)),
        ((4, "C"), (3,)),
        ((4, 3), ("B",)),
    ],
)
def test_substituting_other_sizes(rows: Any, first: Any) -> None:
    """The loop and its gradient are built again on what takes the place of their inputs."""
    x, h, w = sg.tensor("x", ("T", "B")), sg.tensor("h", ("B",)), sg.tensor("w", ("B",))
    y = sg.scan(lambda row, s: sg.tanh(s * row + w), x, h, name="layer")
    outputs = [y, *sg.grad(y.sum(), [x, h, w])]
    new_x, new_h, new_w = (sg.tensor(None, shape) for shape in (rows, first, first))
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype("float32") for shape in ((4, 3), (3,), (3,))]
    expected = sg.compile([x, h, w], outputs, backend="numpy")(*arrays)
    replacements = {x: new_x, h: new_h, w: new_w}
    replaced = sg.substitute(outputs, replacements)
    for f in (
        sg.compile([new_x, new_h, new_w], replaced, backend="numpy"),
        sg.compile([new_x, new_h, new_w], outputs, givens=replacements, backend="numpy"),
    ):
        for found, wanted in zip(f(*arrays), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_substituting_sizes_that_do_not_fit() -> None:
    x, h = sg.tensor("x", ("T", "B")), sg.tensor("h", ("B",))
    y = sg.scan(lambda row, s: s * row, x, h)
    with pytest.raises(sg.ShapeError, match=r"float32\[4\]"):
        sg.substitute(y, {x: sg.tensor("wide", (5, 3)), h: sg.tensor("narrow", (4,))})


def test_substituting_what_a_loop_with_until_reads() -> None:
    x, w = sg.tensor("x", ("T", "B"), "float64"), sg.tensor("w", ("B",), "float64")
    h = sg.zeros_like(w)
    y = sg.scan(lambda row, s: (s + row * w, sg.until(s.sum() > 5)), x, h)
    outputs = [y, *sg.grad((y**2).sum(), [x, w])]
    fixed = sg.tensor("fixed", (3,), "float64")
    data = np.ones((9, 3))
    expected = run(outputs, {x: data, w: np.ones(3)})
    found = run(sg.substitute(outputs, {w: fixed}), {x: data, fixed: np.ones(3)})
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b)
    assert expected[0].shape == (3, 3)


def test_substituting_the_number_of_steps() -> None:
    h, n = sg.scalar("h", "float64"), sg.scalar("n", "int64")
    y = sg.scan(lambda s: s * 2, (), h, n_steps=n)
    outputs = sg.substitute([y, sg.grad(y.sum(), h)], {n: 5})
    values = run(outputs, {h: 1.0})
    np.testing.assert_array_equal(values[0], [2, 4, 8, 16, 32])
    assert values[1] == 62


# --- large ones ---------------------------------------------------------------------------------


def test_a_body_of_many_nodes() -> None:
    x, h = vector(), sg.scalar("h", "float64")

    def step(a: sg.Variable, s: sg.Variable) -> sg.Variable:
        for _ in range(2500):
            s = sg.sin(s + a)
        return s

    y = sg.scan(step, x, h)
    gradient = sg.grad(y[-1], h)
    found, slope = run([y, gradient], {x: ROWS, h: 0.5})
    state, expected = 0.5, 1.0
    for a in ROWS:
        for _ in range(2500):
            expected *= np.cos(state + a)
            state = np.sin(state + a)
    np.testing.assert_allclose(found[-1], state, rtol=1e-9)
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-300)
    assert pickle.loads(pickle.dumps(gradient)) is gradient
    assert sg.listing(gradient)


def test_a_long_chain_of_loops() -> None:
    x = vector()
    y = x
    for _ in range(200):
        y = sg.scan(lambda a, s: s * 0.5 + a * 0.5, y, 0.0)
    f = sg.compile([x], [y, sg.grad(y.sum(), x)], backend="numpy")
    assert f.report.bodies == 400
    expected = ROWS
    for _ in range(200):
        state, rows = 0.0, []
        for a in expected:
            state = state * 0.5 + a * 0.5
            rows.append(state)
        expected = np.array(rows)
    np.testing.assert_allclose(f(ROWS)[0], expected)


def test_many_steps() -> None:
    x = vector()
    y = sg.scan(lambda a, s: s + a, x, 0.0)
    f = sg.compile([x], [y[-1], sg.grad(y[-1], x)], backend="numpy")
    total, ones = f(np.full(100_000, 0.5))
    assert total == 50_000
    assert (ones == 1).all()
