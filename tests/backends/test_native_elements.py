"""Elements and rows at one index that the program computes, read and changed: without Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.lowering.image import lower

ALL = slice(None)
PARTS: dict[str, Any] = {
    "row": lambda i: i,
    "column": lambda i: (ALL, ALL, i),
    "element of a row": lambda i: (i, 1),
    "element of the last": lambda i: (-1, i),
    "column of the first": lambda i: (0, ALL, i),
    "row of a column": lambda i: (ALL, i, -2),
    "elements that lie apart": lambda i: (i, ALL, 2),
    "number": lambda i: (1, -2, i),
}


def drawn(dtype: str) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(4, 3, 5)) * 9).astype(dtype)


def runs_in_python(f: sg.Function) -> list[str]:
    return [each.node.op.name for each in lower(f.graph).python_nodes]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("part", PARTS)
def test_parts_are_read_and_changed_as_numpy_does(part: str, dtype: str) -> None:
    x, i = sg.tensor("x", ("A", "B", 5), dtype), sg.scalar("i", "int64")
    value, at, array = sg.scalar("v", dtype), PARTS[part], drawn(dtype)
    added = [] if dtype == "bool" else [x.add_at(at(i), value)]
    f = sg.compile([x, i, value], [x[at(i)], x.set(at(i), value), *added])
    assert not runs_in_python(f) or part == "elements that lie apart"
    three = np.asarray(3, dtype)
    for index in (0, 2, -1, -3):
        read, changed, *more = f(array, index, three)
        np.testing.assert_array_equal(read, array[at(index)])
        expected = array.copy()
        expected[at(index)] = three
        np.testing.assert_array_equal(changed, expected)
        expected = array.copy()
        expected[at(index)] += three
        for found in more:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("index", [5, -6])
def test_indices_out_of_range_name_axis_and_shape(part: str, index: int) -> None:
    x, i, at = sg.tensor("x", ("A", "B", 5)), sg.scalar("i", "int64"), PARTS[part]
    chosen = at(i) if isinstance(at(i), tuple) else (at(i),)
    axis = next(k for k, entry in enumerate(chosen) if entry is i)
    message = rf"index {index} is outside axis {axis} of an array of shape \(4, 3, 5\)"
    for result in (x[at(i)], x.set(at(i), 1.0), x.add_at(at(i), 1.0)):
        for backend in ("native", "numpy"):
            with pytest.raises(sg.IndexRangeError, match=message):
                sg.compile([x, i], result, backend=backend)(drawn("float32"), index)


def test_known_indices_beside_it_are_looked_at_as_well() -> None:
    x, i = sg.tensor("x", ("A", "B")), sg.scalar("i", "int64")
    for result in (x[i, 3], x.set((i, 3), 1.0), x.add_at((i, 3), 1.0)):
        for backend in ("native", "numpy"):
            f = sg.compile([x, i], result, backend=backend)
            f(np.zeros((2, 4)), 1)
            with pytest.raises(sg.IndexRangeError, match="index 3 is outside axis 1"):
                f(np.zeros((2, 3)), 1)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_gradients_of_elements_chosen_in_each_step(steps: int) -> None:
    k, rows = sg.tensor("k", ("T",), "int64"), sg.tensor("rows", ("T", 4), "float64")
    table = sg.tensor("table", (4, 3), "float64")
    total = sg.scan(
        lambda chosen, row, s: s + row[chosen] * table[chosen, 1],
        [k, rows],
        sg.zeros((), "float64"),
    )
    cost = (total[-1:] ** 2).sum() / 2
    f = sg.compile([k, rows, table], [cost, *sg.grad(cost, [rows, table])])
    assert not runs_in_python(f)
    generator = np.random.default_rng(steps)
    places = generator.integers(-4, 4, steps)
    a, b = generator.normal(size=(steps, 4)), generator.normal(size=(4, 3))
    found, by_rows, by_table = f(places, a, b)
    end = sum(a[t, p] * b[p, 1] for t, p in enumerate(places))
    expected_rows, expected_table = np.zeros((steps, 4)), np.zeros((4, 3))
    for t, p in enumerate(places):
        expected_rows[t, p] = end * b[p, 1]
        expected_table[p, 1] += end * a[t, p]
    np.testing.assert_allclose(found, end**2 / 2)
    np.testing.assert_allclose(by_rows, expected_rows, atol=1e-12)
    np.testing.assert_allclose(by_table, expected_table, atol=1e-12)


def test_axes_without_elements() -> None:
    x, i = sg.tensor("x", ("A", 0, "C")), sg.scalar("i", "int64")
    f = sg.compile([x, i], [x[i], x[:, :, i], x.add_at(i, 1.0)])
    assert [v.shape for v in f(np.zeros((3, 0, 2)), 1)] == [(0, 2), (3, 0), (3, 0, 2)]
    with pytest.raises(sg.IndexRangeError, match="axis 2"):
        f(np.zeros((3, 0, 2)), 2)
