"""Rows of a table that steps read at indices: right, cheap, and wrong indices name the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

BACKENDS = ("native", "numpy")
N_ROWS, N_IN, N_UNITS, B, T = 5, 3, 4, 2, 6
random = np.random.default_rng(11)
TABLE = random.normal(size=(N_ROWS, N_IN))
OTHER = random.normal(size=(N_IN, N_ROWS, 2))
W, V, U = (random.normal(size=s) * 0.5 for s in ((N_IN, N_UNITS), (N_IN, N_UNITS), (N_UNITS,) * 2))
JOINED = np.concatenate([W, U])
MASK = random.binomial(1, 0.5, (T, B)).astype("float64")
SYMBOLS = random.integers(-N_ROWS, N_ROWS, (T, B))
SYMBOLS[3] = SYMBOLS[1]

# What a step adds to `h @ U`: of the functions of arrays or variables, the row of the symbols and
# the one before, that of the mask, the state, and the table.
FORMS: dict[str, Any] = {
    "a row": lambda m, i, before, mask, h, table: table[i] @ W + h @ U,
    "a row twice": lambda m, i, before, mask, h, table: table[i] @ W + (table[i] @ V + h @ U),
    "rows at two taps": lambda m, i, before, mask, h, table: (
        table[i] @ W + h @ U + table[before] @ W
    ),
    "rows at two taps, two matrices": lambda m, i, before, mask, h, table: (
        table[i] @ W + h @ U + table[before] @ V
    ),
    "the row of another symbol": lambda m, i, before, mask, h, table: (
        table[(i + before) % N_ROWS] @ W + h @ U
    ),
    "a masked row": lambda m, i, before, mask, h, table: (mask[..., None] * table[i]) @ W + h @ U,
    "joined to the state": lambda m, i, before, mask, h, table: (
        m.concatenate([table[i], h], axis=-1) @ JOINED
    ),
    "two rows added": lambda m, i, before, mask, h, table: (
        (table[i] + m.tanh(table[before])) @ W + h @ U
    ),
    "rows elsewhere as well": lambda m, i, before, mask, h, table: (
        table[i] @ W + h @ U + m.sum(table[before])
    ),
    "a row of a computed table": lambda m, i, before, mask, h, table: (
        m.tanh(table * 2)[i] @ W + h @ U
    ),
    "elements at two indices": lambda m, i, before, mask, h, table: (
        table[i, before % N_IN][..., None] @ W[:1] + h @ U
    ),
    "elements of one row": lambda m, i, before, mask, h, table: (
        table[2, i % N_IN][..., None] @ W[:1] + h @ U
    ),
    "a part of a row": lambda m, i, before, mask, h, table: table[i, 1:] @ W[1:] + h @ U,
    "columns": lambda m, i, before, mask, h, table: (
        m.transpose(OTHER * m.sum(table))[1][i] @ W + h @ U
    ),
}
# Where gradients are computed of products in each step.
COMPUTED = {"a masked row", "two rows added", "rows elsewhere as well"}


def products_in_loops(f):
    bodies = [Loop(v).body for v in f.graph.nodes if is_scan(v)]
    return [sum(v.op.name == "matmul" for v in body.nodes) for body in bodies]


def states_of(form, has_batch, table, **options):
    symbols = sg.tensor("symbols", ("T", "B") if has_batch else ("T",), "int64")
    mask = sg.tensor("mask", ("T", "B") if has_batch else ("T",), "float64")

    def step(before, i, mask_t, h):
        return sg.tanh(FORMS[form](sg, i, before, mask_t, h, table) + mask_t[..., None])

    start = sg.zeros((symbols.shape[1], N_UNITS) if has_batch else N_UNITS, "float64")
    sequences = [{"input": symbols, "taps": [-1, 0]}, {"input": mask, "taps": [-1]}]
    return symbols, mask, sg.scan(step, sequences, start, name="reader", **options)


def cost_by_numpy(form, symbols, mask, table, go_backwards):
    h, total = np.zeros((*symbols.shape[1:], N_UNITS)), 0.0
    for t in range(1, len(symbols))[:: -1 if go_backwards else 1]:
        added = FORMS[form](np, symbols[t], symbols[t - 1], mask[t - 1], h, table)
        h = np.tanh(added + mask[t - 1][..., None])
        total += (h**2).sum()
    return total


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("has_batch", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_the_steps(form, backend, has_batch, go_backwards):
    table = sg.shared(TABLE, "table")
    symbols, mask, states = states_of(form, has_batch, table, go_backwards=go_backwards)
    cost = (states**2).sum()
    outputs = [cost, sg.grad(cost, table)]
    f = sg.compile([symbols, mask], outputs, backend=backend)
    forward = sg.compile([symbols, mask], states, backend=backend)
    if backend == "numpy":  # native code multiplies the rows of some steps at once, in the loop
        assert products_in_loops(forward) == [1]
        assert form in COMPUTED or products_in_loops(f) == [1, 1]
    for n in (1, 2, T):
        values = SYMBOLS[:n], MASK[:n]
        if not has_batch:
            values = tuple(each[:, 0] for each in values)
        found, by_table = f(*values)
        np.testing.assert_allclose(
            found, cost_by_numpy(form, *values, TABLE, go_backwards), rtol=1e-10
        )
        along = random.normal(size=TABLE.shape)
        ends = [
            cost_by_numpy(form, *values, TABLE + s * 1e-5 * along, go_backwards) for s in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((by_table * along).sum(), slope, rtol=1e-6, atol=1e-8)


# --- indices out of range -------------------------------------------------------------------------


def reader(read, backend, symbols=None, **options):
    """A compiled loop that multiplies what ``read`` gives of a table and the symbols' rows."""
    symbols = symbols or sg.tensor("symbols", ("T", "B"), "int64")
    table, matrix = sg.shared(TABLE, "table"), sg.constant(W)

    def step(i, *others):
        *taps, h = (i, *others)
        return sg.tanh(read(table, *taps) @ matrix + h @ sg.constant(U))

    start = sg.zeros((*symbols.shape[1:], N_UNITS), "float64")
    sequence = {"input": symbols, "taps": options.pop("taps", [0])}
    states = sg.scan(step, sequence, start, name="reader", **options)
    return sg.compile([symbols], states, backend=backend)


def symbols_with(step, wrong):
    symbols = np.zeros((T, B), "int64")
    symbols[step, 1] = wrong
    return symbols


READ = {
    "rows": lambda table, i: table[i],
    "rows in range": lambda table, i: table[sg.in_range(i, N_ROWS, "symbol")],
    "a row": lambda table, i: table[i[1]][None],
    "a row in range": lambda table, i: table[sg.in_range(i[1], N_ROWS, "symbol")][None],
    "elements": lambda table, i: table[i, np.array(1)][:, None] * np.ones((1, N_IN)),
}


@pytest.mark.parametrize("wrong", [N_ROWS, -N_ROWS - 1])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", READ)
def test_an_index_out_of_range_names_loop_step_and_line(name, backend, wrong):
    f = reader(READ[name], backend)
    assert np.isfinite(f(symbols_with(3, N_ROWS - 1))).all()
    with pytest.raises(sg.IndexRangeError) as caught:
        f(symbols_with(3, wrong))
    text = str(caught.value)
    assert str(wrong) in text
    assert "in step 3 of loop 'reader' at " in text
    assert text.count(__file__) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_step_that_reads_it_is_named(backend):
    symbols = symbols_with(3, 99)
    cases = [
        (2, lambda table, i: table[i], {"go_backwards": True}),
        (3, lambda table, before: table[before], {"taps": [-1]}),
        (1, lambda table, before, i: table[before] + table[i], {"taps": [-2, 0]}),
        (2, lambda table, i, after: table[after] + table[i], {"taps": [0, 1]}),
    ]
    for step, read, options in cases:
        with pytest.raises(sg.IndexRangeError, match=f"in step {step} of loop 'reader'"):
            reader(read, backend, **options)(symbols)


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_loops_in_loops_both_steps_are_named(backend):
    symbols = sg.tensor("symbols", ("N", "T", "B"), "int64")

    def step(rows, h):
        return sg.scan(
            lambda i, h: sg.tanh(sg.constant(TABLE)[i] @ sg.constant(W) + h @ sg.constant(U)),
            rows,
            h,
            name="inner",
        )[-1]

    start = sg.zeros((symbols.shape[2], N_UNITS), "float64")
    f = sg.compile([symbols], sg.scan(step, symbols, start, name="outer"), backend=backend)
    with pytest.raises(
        sg.IndexRangeError, match=r"(?s)in step 3 of loop 'inner'.*in step 1 of loop 'outer'"
    ):
        f(np.stack([symbols_with(0, 1), symbols_with(3, 50), symbols_with(2, 50)]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_no_step_reads_may_be_out_of_range(backend):
    symbols = sg.tensor("symbols", ("T", "B"), "int64")
    table, count = sg.shared(TABLE, "table"), sg.scalar("count", "int64")
    start = sg.zeros((symbols.shape[1], N_UNITS), "float64")

    def step(i, h):
        return sg.tanh(table[i] @ sg.constant(W) + h @ sg.constant(U))

    def ending_step(i, h):
        return step(i, h), sg.until(i[0] < 0)

    for n_steps in (2, count):
        states = sg.scan(step, symbols, start, n_steps=n_steps)
        cost = sg.grad(states.sum(), table)
        f = sg.compile([symbols, count], [states, cost], backend=backend, unused="ignore")
        assert f(symbols_with(2, 99), 2)[0].shape == (2, B, N_UNITS)
        with pytest.raises(sg.IndexRangeError, match="in step 1 of "):
            f(symbols_with(1, 99), 2)
    states = sg.scan(ending_step, symbols, start)
    f = sg.compile([symbols], [states, sg.grad(states.sum(), table)], backend=backend)
    values = symbols_with(4, 99)
    values[3, 0] = -1
    assert f(values)[0].shape == (4, B, N_UNITS)
    values[3, 0] = 0
    with pytest.raises(sg.IndexRangeError, match="in step 4 of "):
        f(values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_steps_print_and_check_comes_before_a_wrong_index(backend, capfd):
    symbols = sg.tensor("symbols", ("T", "B"), "int64")

    def step(i, h):
        i = sg.debug_print(i, "symbols")
        return sg.tanh(sg.constant(TABLE)[i] @ sg.constant(W) + h @ sg.constant(U))

    start = sg.zeros((symbols.shape[1], N_UNITS), "float64")
    f = sg.compile([symbols], sg.scan(step, symbols, start), backend=backend)
    with pytest.raises(sg.IndexRangeError, match="in step 2 of "):
        f(symbols_with(2, 99))
    out, err = capfd.readouterr()
    assert (out + err).count("symbols") == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_checkpoints_and_truncation_gradients_are_those_without(backend):
    symbols = sg.tensor("symbols", ("T", "B"), "int64")
    table = sg.shared(TABLE, "table")
    start = sg.zeros((symbols.shape[1], N_UNITS), "float64")

    def step(i, h):
        return sg.tanh(table[i] @ sg.constant(W) + h @ sg.constant(U))

    def gradient(**options):
        states = sg.scan(step, symbols, start, **options)
        return sg.compile([symbols], sg.grad((states**2).sum(), table), backend=backend)(SYMBOLS)

    whole, cut = gradient(), gradient(truncate_gradient=2)
    np.testing.assert_allclose(gradient(checkpoint_every=2), whole, rtol=1e-10)
    np.testing.assert_allclose(gradient(checkpoint_every=2, truncate_gradient=2), cut, rtol=1e-10)
    assert not np.allclose(whole, cut)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_an_error_of_the_users_own_rows_is_of_no_step(backend):
    """They are the rows that the loop reads before it, in another program."""
    table, matrix, index = sg.matrix("table"), sg.matrix("matrix"), sg.tensor("i", ("T",), "int64")
    rows = table[index]
    last = sg.scan(lambda i, h: sg.tanh(table[i] @ matrix + h), [index], [sg.zeros(3)])[-1]
    ones, wrong = np.ones((4, 3), "float32"), np.array([0, 9])
    in_loop = sg.compile([table, matrix, index], last, backend=backend)
    alone = sg.compile([table, index], rows * 2, backend=backend)
    with pytest.raises(sg.IndexRangeError, match="index 9 is outside axis 0"):
        in_loop(ones, ones[:3], wrong)
    with pytest.raises(sg.IndexRangeError, match="index 9 is outside axis 0") as caught:
        alone(ones, wrong)
    assert "in step" not in str(caught.value)
    line = test_an_error_of_the_users_own_rows_is_of_no_step.__code__.co_firstlineno + 4
    assert f"test_rows_at_indices.py:{line}" in str(caught.value)
