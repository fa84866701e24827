"""Loops on the reference backend, against the same loop written in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 6),
    taps=st.lists(st.integers(-3, -1), min_size=1, max_size=3, unique=True).map(sorted),
    offsets=st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(sorted),
    shape=st.sampled_from([(), (2,), (1, 3)]),
    seed=st.integers(0, 100),
)
def test_taps_and_offsets_against_python(n, taps, offsets, shape, seed):
    rng = np.random.default_rng(seed)
    depth = -min(taps)
    sequence = rng.normal(size=(n + max(offsets), *shape))
    initial = rng.normal(size=(depth, *shape))
    x = sg.tensor("x", ("T", *shape), "float64")
    h0 = sg.tensor("h0", (depth, *shape), "float64")

    def step(*values):
        slices, states = values[: len(offsets)], values[len(offsets) :]
        new = sum(slices) * 0.5 - sum(states)
        return [new, new * slices[0]]

    states, products = sg.scan(
        step,
        [{"input": x, "taps": offsets}],
        [{"initial": h0, "taps": taps}, None],
    )
    found = sg.compile([x, h0], [states, products])(sequence, initial)

    wanted_states, wanted_products = list(initial), []
    for t in range(n):
        slices = [sequence[t + offset] for offset in offsets]
        new = sum(slices) * 0.5 - sum(wanted_states[depth + t + tap] for tap in taps)
        wanted_states.append(new)
        wanted_products.append(new * slices[0])
    np.testing.assert_allclose(found[0], np.reshape(wanted_states[depth:], (n, *shape)), rtol=1e-12)
    np.testing.assert_allclose(found[1], np.reshape(wanted_products, (n, *shape)), rtol=1e-12)


def test_states_that_change_places_and_a_state_that_is_also_an_output():
    a0, b0 = sg.vector("a0"), sg.vector("b0")
    a, b, c = sg.scan(lambda a, b: [b, a, a], [], [a0, b0, None], n_steps=3)
    found = sg.compile([a0, b0], [a, b, c])([1], [2])
    np.testing.assert_array_equal(np.concatenate(found, axis=1), [[2, 1, 1], [1, 2, 2], [2, 1, 1]])
    assert not any(np.shares_memory(x, y) for i, x in enumerate(found) for y in found[:i])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_no_steps_give_traces_of_the_right_shape(shape):
    x = sg.tensor("x", ("T", *(["B", "F"][: len(shape)])))
    h, doubled, total, both = sg.scan(
        lambda x_t, h: [h + x_t, x_t * 2, x_t.sum(), sg.stack([x_t, h])],
        [x],
        [sg.zeros(x.shape[1:]), None, None, None],
    )
    results = sg.compile([x], [h, doubled, total, both])(np.ones((0, *shape)))
    assert [r.shape for r in results] == [(0, *shape), (0, *shape), (0,), (0, 2, *shape)]
    assert all(r.dtype == np.float32 for r in results)


def test_a_number_of_steps_that_makes_no_sense():
    n, x = sg.scalar("n", "int64"), sg.tensor("x", ("T",))
    f = sg.compile([n, x], sg.scan(lambda x_t: x_t * 2, [x], n_steps=n))
    assert f(0, []).shape == (0,)
    np.testing.assert_array_equal(f(2, [1, 2, 3]), [2, 4])
    with pytest.raises(sg.SymgraphError, match="-1"):
        f(-1, [1, 2])
    with pytest.raises(sg.SymgraphError, match=r"(?s)3.*'x'.*2"):
        f(3, [1, 2])


@pytest.mark.parametrize("stop", [1, 2, 63, 64, 65, 200, 1000])
def test_until_ends_a_loop_however_long_it_may_be(stop):
    n = sg.scalar("n", "int64")
    end = sg.scalar("end", "int64")
    counts, squares = sg.scan(
        lambda i: ([i + 1, (i + 1) ** 2], sg.until(i + 1 >= end)),
        [],
        [np.int64(0), None],
        n_steps=n,
    )
    f = sg.compile([n, end], [counts, squares])
    found = f(10**12, stop)  # room for so many steps there is nowhere
    np.testing.assert_array_equal(found[0], np.arange(1, stop + 1))
    np.testing.assert_array_equal(found[1], np.arange(1, stop + 1) ** 2)
    assert len(f(min(stop, 5), stop)[0]) == min(stop, 5)


def test_loops_in_loops():
    x = sg.tensor("x", ("T", "N"), "float64")

    def outer(row, total):
        inner = sg.scan(lambda value, acc: acc * 0.5 + value, [row], [total])
        return inner[-1]

    totals = sg.scan(outer, [x], [sg.constant(0.0, "float64")])
    array = np.random.default_rng(0).normal(size=(4, 3))
    wanted, total = [], 0.0
    for row in array:
        for value in row:
            total = total * 0.5 + value
        wanted.append(total)
    np.testing.assert_allclose(sg.compile([x], totals)(array), wanted, rtol=1e-12)


def test_an_error_in_a_step_tells_which_step():
    i, x = sg.tensor("i", ("T",), "int64"), sg.vector("x")
    f = sg.compile([i, x], sg.scan(lambda k: x[k] * 2, [i]))
    with pytest.raises(sg.IndexRangeError) as caught:
        f([0, 1, 7], [1, 2])
    text = str(caught.value)
    assert "7" in text
    assert "in step 2 of the loop" in text
    assert __file__ in text


def test_sequences_are_read_where_they_lie_and_left_alone():
    x = sg.matrix("x")
    f = sg.compile([x], sg.scan(lambda row: row * 2, [x], go_backwards=True))
    array = np.arange(6, dtype="float32").reshape(3, 2)
    before = array.copy()
    np.testing.assert_array_equal(f(array), before[::-1] * 2)
    np.testing.assert_array_equal(array, before)


def test_loops_run_in_many_threads():
    import threading

    x = sg.matrix("x")
    f = sg.compile([x], sg.scan(lambda row, h: sg.tanh(row + h), [x], [x[0]])[-1])
    arrays = [np.random.default_rng(i).normal(size=(20, 3)).astype("float32") for i in range(6)]
    wanted = [f(a) for a in arrays]
    wrong = []

    def work():
        for _ in range(20):
            wrong.extend(
                1 for a, w in zip(arrays, wanted, strict=True) if not np.array_equal(f(a), w)
            )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
