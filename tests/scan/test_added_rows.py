"""Rows that steps add at indices, and so the gradients of tables that steps read."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

BACKENDS = ("native", "numpy")
N_ROWS, N_IN, N_UNITS = 7, 3, 4


def changes_in_loops(f):
    """The ops in bodies of loops that add rows at indices."""
    bodies = [Loop(v).body for v in f.graph.nodes if is_scan(v)]
    names = ("scatter_add", "add_slice")
    return [v.op.name for body in bodies for v in body.nodes if v.op.name in names]


random = np.random.default_rng(3)
T, B = 6, 2
ROWS = random.integers(-N_ROWS, N_ROWS, (T, B))
ROWS[2] = ROWS[0]
COLUMNS = random.integers(-N_UNITS, N_UNITS, (T, B))
VALUES = random.normal(size=(T, B, N_IN))
MATRIX = random.normal(size=(N_IN, N_UNITS))

# --- whatever is read ---------------------------------------------------------------------------

# Where a step reads, of indices of rows and of columns; and by what it multiplies that, of values.
READ = {
    "rows": (lambda i, j: i, lambda x: x[:, :1]),
    "columns": (lambda i, j: (slice(None), j), lambda x: x[:, 0]),
    "elements": (lambda i, j: (i, j), lambda x: x[:, 0]),
    "elements of one row": (lambda i, j: (2, j), lambda x: x[:, 0]),
    "elements of fixed columns": (lambda i, j: (i, np.array([1, 1])), lambda x: x[:, 0]),
    "a grid": (lambda i, j: (i[:, None], np.array([3, -1, 3])), lambda x: x),
    "a grid the other way": (lambda i, j: (np.array([3, -1, 3]), j[:, None]), lambda x: x),
    "a row": (lambda i, j: i[0], lambda x: x[0, 0]),
    "a column": (lambda i, j: (slice(None), j[1]), lambda x: x[0, 0]),
    "an element": (lambda i, j: (i[0], j[1]), lambda x: x[1, 1]),
    "a part of a row": (lambda i, j: (i[0], slice(1, 3)), lambda x: x[0, :2]),
    "an element of one row": (lambda i, j: (2, j[0]), lambda x: x[0, 0]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", READ)
def test_gradients_add_up_what_is_read_wherever_it_is_read(name, backend):
    place_of, factor_of = READ[name]
    i, j = (sg.tensor(letter, ("T", B), "int64") for letter in "ij")
    x = sg.tensor("x", ("T", B, N_IN), "float64")
    table = sg.shared(random.normal(size=(N_ROWS, N_UNITS)), "table")

    def step(i, j, x):
        return sg.sum(table[place_of(i, j)] * factor_of(x)) + sg.sum(i + j)

    costs = sg.scan(step, [i, j, x], None)
    f = sg.compile([i, j, x], [costs, sg.grad(costs.sum(), table)], backend=backend)
    assert not changes_in_loops(f)
    for n_steps in (0, 1, T):
        expected = np.zeros((N_ROWS, N_UNITS))
        for rows, columns, values in zip(ROWS, COLUMNS, VALUES[:n_steps], strict=False):
            np.add.at(expected, place_of(rows, columns), factor_of(values))
        _, found = f(ROWS[:n_steps], COLUMNS[:n_steps], VALUES[:n_steps])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# --- gradients of tables --------------------------------------------------------------------------


TABLE = random.normal(size=(N_ROWS, N_IN))
RECURRENT = random.normal(size=(N_UNITS, N_UNITS))


def gradients_by_numpy(symbols, truncate=None):
    """Those of the sum of squared states by the table and the matrix, by hand, in float64."""
    states = [np.zeros((*symbols.shape[1:], N_UNITS))]
    for i in symbols:
        states.append(np.tanh(TABLE[i] @ MATRIX + states[-1] @ RECURRENT))
    by_table, by_matrix = np.zeros_like(TABLE), np.zeros(MATRIX.shape)
    pending = np.zeros_like(states[0])
    first = 0 if truncate is None else max(0, len(symbols) - truncate)
    for t in reversed(range(first, len(symbols))):
        z = (pending + 2 * states[t + 1]) * (1 - states[t + 1] ** 2)
        np.add.at(by_table, symbols[t], z @ MATRIX.T)
        rows = TABLE[symbols[t]].reshape(-1, N_IN)
        by_matrix += rows.T @ z.reshape(-1, N_UNITS)
        pending = z @ RECURRENT.T
    return by_table, by_matrix


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"truncate_gradient": 3}])
@pytest.mark.parametrize("has_batch", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_a_table_are_those_by_hand(backend, has_batch, options):
    symbols = sg.tensor("symbols", ("T", "B") if has_batch else ("T",), "int64")
    table, matrix = sg.shared(TABLE, "table"), sg.shared(MATRIX, "matrix")

    def step(i, h):
        return sg.tanh(table[i] @ matrix + h @ sg.constant(RECURRENT))

    start = sg.zeros((symbols.shape[1], N_UNITS) if has_batch else N_UNITS, "float64")
    states = sg.scan(step, symbols, start, **options)
    f = sg.compile([symbols], sg.grad((states**2).sum(), [table, matrix]), backend=backend)
    assert not changes_in_loops(f)
    for n_steps in (0, 1, T):
        value = ROWS[:n_steps] if has_batch else ROWS[:n_steps, 0]
        in_order = value[::-1] if options.get("go_backwards") else value
        expected = gradients_by_numpy(in_order, options.get("truncate_gradient"))
        for found, each in zip(f(value), expected, strict=True):
            np.testing.assert_allclose(found, each, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_a_table_read_twice_and_of_several_products_are_sums(backend):
    symbols = sg.tensor("symbols", ("T", "B"), "int64")
    table = sg.shared(TABLE, "table")
    matrices = [sg.shared(MATRIX * k, f"matrix {k}") for k in (1.0, 2.0)]

    def step(before, i, h):
        read = table[i] @ matrices[0] + table[i] @ matrices[1] + table[before] @ matrices[0]
        return h * 0.5 + read

    start = sg.zeros((symbols.shape[1], N_UNITS), "float64")
    states = sg.scan(step, {"input": symbols, "taps": [-1, 0]}, start)
    f = sg.compile([symbols], sg.grad(states.sum(), [table, *matrices]), backend=backend)
    assert not changes_in_loops(f)
    by_table, by_first, by_second = np.zeros_like(TABLE), 0, 0
    for t in range(1, T):
        # What step t adds to the state counts 1 + 1/2 + 1/4 + … times.
        z = np.full((B, N_UNITS), sum(0.5**k for k in range(T - t)))
        np.add.at(by_table, ROWS[t], z @ MATRIX.T * 3)
        np.add.at(by_table, ROWS[t - 1], z @ MATRIX.T)
        by_first = by_first + (TABLE[ROWS[t]] + TABLE[ROWS[t - 1]]).T @ z
        by_second = by_second + TABLE[ROWS[t]].T @ z
    for found, expected in zip(f(ROWS), (by_table, by_first, by_second), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sequences_may_have_several_lengths_of_which_the_shortest_counts(backend):
    symbols, x = sg.tensor("symbols", ("S", "B"), "int64"), sg.tensor("x", ("T",), "float64")
    table = sg.shared(TABLE, "table")

    def step(before, i, x_t, h):
        return h * 0.5 + x_t * ((table[i] - table[before]) @ sg.constant(MATRIX))

    start = sg.zeros((symbols.shape[1], N_UNITS), "float64")
    sequences = [{"input": symbols, "taps": [-1, 0]}, x]
    states = sg.scan(step, sequences, start)
    f = sg.compile([symbols, x], sg.grad(states[-1].sum(), table), backend=backend)
    for length in (2, 9):
        values = np.arange(1.0, length + 1)
        n_steps = min(T - 1, length)
        expected = np.zeros_like(TABLE)
        for t in range(n_steps):
            z = np.full((B, N_UNITS), 0.5 ** (n_steps - 1 - t) * values[t])
            np.add.at(expected, ROWS[t + 1], z @ MATRIX.T)
            np.subtract.at(expected, ROWS[t], z @ MATRIX.T)
        np.testing.assert_allclose(f(ROWS, values), expected, rtol=1e-10)
