"""Loops that are one kernel: held against the plain program bit for bit, and the reference."""

import _thread
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.backend import NativeBackend
from symgraph.backends.llvm.code.cpu import host
from symgraph.backends.llvm.kernels.small_loop import most_lanes
from symgraph.backends.llvm.lowering import image, loops
from symgraph.backends.llvm.machine.runtime import runtime_kernels

LANES = [0, 1, 2, 7, 8, 9, 17, 64, 65]
STEPS = [0, 1, 2, 3, 100]


@pytest.fixture
def is_small(monkeypatch):
    """Whether the loops that are compiled from now on were found small, one by one."""
    found = []
    ask = loops.small_body

    def asked(*args, **options):
        space = ask(*args, **options)
        found.append(space is not None)
        return space

    monkeypatch.setattr(loops, "small_body", asked)
    return found


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Programs are not taken from the disk."""
    monkeypatch.setattr(NativeBackend, "programs", None)


def fresh(inputs, outputs):
    return sg.compile(inputs, outputs, threads=1)


def plainly(monkeypatch, inputs, outputs):
    """The program with an instruction for each step."""
    with monkeypatch.context() as patch:
        patch.setattr(loops, "small_body", lambda *args, **options: None)
        return fresh(inputs, outputs)


def same_bits(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)  # NaN, wherever it came from, is NaN
        if a.dtype.kind == "f":
            is_number = ~np.isnan(a)
            np.testing.assert_array_equal(np.signbit(a)[is_number], np.signbit(b)[is_number])


def close(found, wanted, part=2e-5):
    for a, b in zip(found, wanted, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=part, atol=part)


def agree(monkeypatch, inputs, outputs, arrays, part=2e-5, *, exactly=True):
    """The results, once they are those of the plain program and of the reference."""
    found = fresh(inputs, outputs)(*arrays)
    compare = same_bits if exactly else partial(close, part=part)
    compare(found, plainly(monkeypatch, inputs, outputs)(*arrays))
    with np.errstate(all="ignore"):
        close(found, sg.compile(inputs, outputs, backend="numpy")(*arrays), part)
    return found


def fits(n, dtype="float32"):
    """Whether rows known to be so long are short for this CPU's registers; a number is."""
    cpu = host()
    return n is None or n <= most_lanes(cpu.lanes(np.dtype(dtype)), cpu)


def numbers(*shape, dtype="float32", seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 0.7).astype(dtype)


# --- values of every size -----------------------------------------------------------------------


def cell(x, h, w):
    return sg.tanh(w * h + x)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("n", LANES)
def test_rows_of_any_length(n, known, steps, monkeypatch, is_small):
    x = sg.tensor("x", ("T", n if known else "N"))
    h = sg.tensor("h", (n if known else "N",))
    w = sg.scalar("w")
    y = sg.scan(lambda a, b: cell(a, b, w), [x], [h])
    outputs = [y, y[-1] if steps else y, sg.sum(y * y)]
    agree(monkeypatch, [x, h, w], outputs, [numbers(steps, n), numbers(n), np.float32(0.4)])
    assert is_small[0] == (not known or (n > 0 and fits(n)))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars(steps, dtype, monkeypatch, is_small):
    x, h, w = (sg.tensor(*a, dtype) for a in (("x", ("T",)), ("h", ()), ("w", ())))
    y = sg.scan(lambda a, b: cell(a, b, w), [x], [h])
    arrays = [numbers(steps, dtype=dtype), np.asarray(0.3, dtype), np.asarray(0.4, dtype)]
    agree(monkeypatch, [x, h, w], [y, sg.sum(y)], arrays)
    if steps:
        agree(monkeypatch, [x, h, w], [y[-1]], arrays)
    assert all(is_small)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("n", [1, 3, 8, 17])
def test_gradients_of_two_orders(n, steps, monkeypatch, is_small):
    x, h, w = (
        sg.tensor("x", (steps, n), "float64"),
        sg.tensor("h", (n,), "float64"),
        sg.tensor("w", (n,), "float64"),
    )

    def results(scan):
        y = scan(lambda a, b: cell(a, b, w) * sg.sigmoid(a), [x], [h])
        first = sg.grad(sg.sum(sg.sin(y) + y * y), [x, h, w], disconnected="zero")
        cost = sum((sg.sum(g * g) for g in first), start=sg.constant(np.float64(0)))
        return [y, *first, *sg.grad(cost, [x, h, w], disconnected="zero")]

    arrays = [numbers(steps, n, dtype="float64"), *numbers(2, n, dtype="float64", seed=1)]
    found = agree(monkeypatch, [x, h, w], results(sg.scan), arrays, 1e-9)
    twin = sg.testing.unroll(results(sg.scan)) if steps else None
    if twin is not None:
        close(found, sg.compile([x, h, w], twin, backend="numpy")(*arrays), 1e-9)
    assert any(is_small) == fits(n, "float64")


@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_gradients_of_scalars_by_what_is_fixed(steps, monkeypatch, is_small):
    x, w, h = (
        sg.tensor("x", (steps,), "float64"),
        sg.tensor("w", (), "float64"),
        sg.tensor("h", (), "float64"),
    )
    y = sg.scan(lambda a, b: cell(a, b, w), [x], [h])
    first = sg.grad(sg.sum(y * y), [x, w, h])
    second = sg.grad(sg.sum(first[0] ** 2) + first[1] ** 2, [x, w, h])
    arrays = [numbers(steps, dtype="float64"), np.float64(0.4), np.float64(0.2)]
    outputs = [y, *first, *second]
    found = agree(monkeypatch, [x, w, h], outputs, arrays, 1e-9)
    close(found, sg.compile([x, w, h], sg.testing.unroll(outputs))(*arrays), 1e-9)
    assert all(is_small)


# --- totals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 2, 300])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("n", [1, 2, 7, 16, 17, 64, 65, 300])
def test_gradients_by_numbers_that_all_of_a_row_share(n, known, steps, monkeypatch, is_small):
    x = sg.tensor("x", ("T", n if known else "N"), "float64")
    w, b = sg.tensor("w", (), "float64"), sg.tensor("b", (), "float64")
    y = sg.scan(lambda a, h: cell(a, h, w) - b, [x], [sg.zeros((x.shape[1],), dtype="float64")])
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w, b])]
    arrays = [numbers(steps, n, dtype="float64"), np.float64(0.4), np.float64(0.1)]
    agree(monkeypatch, [x, w, b], outputs, arrays, 1e-9, exactly=False)
    assert all(is_small) == (not known or fits(n, "float64"))


@pytest.mark.parametrize("shape", [("B", 5), ("B", "N"), (2, 5), (3, 1), (1, 4), (1, 1)])
@pytest.mark.parametrize("shared", ["rows", "columns"])
@pytest.mark.parametrize("batch", [0, 1, 3, 40])
def test_gradients_by_what_some_axes_share(shape, shared, batch, monkeypatch, is_small):
    x = sg.tensor("x", ("T", *shape), "float64")
    w = sg.tensor("w", shape[1:] if shared == "rows" else (shape[0], 1), "float64")
    y = sg.scan(lambda a, h: sg.tanh(w * h + a), [x], [sg.zeros(x.shape[1:], dtype="float64")])
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w])]
    sizes = [{"B": batch, "N": 6}.get(size, size) for size in shape]
    weights = sizes[1:] if shared == "rows" else (sizes[0], 1)
    arrays = [numbers(4, *sizes, dtype="float64"), numbers(*weights, dtype="float64", seed=1)]
    agree(monkeypatch, [x, w], outputs, arrays, 1e-9, exactly=False)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
@pytest.mark.parametrize("n", [1, 5, 20, 40])
def test_totals_of_every_dtype(n, dtype, monkeypatch, is_small):
    x = sg.tensor("x", ("T", "N"), dtype)
    total = sg.sum(x[0])
    zero = sg.zeros((), dtype=total.dtype)

    def step(a, h, up, down):
        return h ^ a if dtype != "float32" else h * a, up + sg.sum(a), down - sg.sum(a * a)

    y = sg.scan(step, [x], [x[0], zero, zero])
    outputs = [y[0], y[1][-1], y[2][-1]]
    rows = np.random.default_rng(1).integers(0, 9, (30, n)).astype(dtype)
    agree(monkeypatch, [x], outputs, [rows], exactly=dtype != "float32")
    assert all(is_small)


def test_totals_that_somebody_reads_are_none(monkeypatch, is_small):
    x = sg.tensor("x", ("T", "N"))
    zero = sg.constant(0.0)
    cases = [
        lambda a, s: s + sg.sum(a) * s,
        lambda a, s: sg.sum(a) - s,
        lambda a, s: s + s,
        lambda a, s: sg.tanh(s + sg.sum(a)),
    ]
    for step in cases:
        y = sg.scan(step, [x], [zero])
        agree(monkeypatch, [x], [y[-1]], [numbers(5, 3)])
    y = sg.scan(lambda a, s: s + sg.sum(a), [x], [zero])
    agree(monkeypatch, [x], [y], [numbers(5, 3)])
    both = sg.scan(lambda a, s, h: (s + sg.sum(a), h + s), [x], [zero, zero])
    agree(monkeypatch, [x], [both[0][-1], both[1][-1]], [numbers(5, 3)])
    both = sg.scan(lambda a, s: ((t := s + sg.sum(a)), t), [x], [zero, None])
    agree(monkeypatch, [x], [both[0][-1], both[1]], [numbers(5, 3)])
    assert sum(is_small) == 1  # that of s + s, which reads no row


# --- what steps read and write ------------------------------------------------------------------


@pytest.mark.parametrize("steps", [3, 4, 20])
@pytest.mark.parametrize("space", [(), (3,), (17,)])
def test_taps_of_sequences_and_states(space, steps, monkeypatch, is_small):
    x, h = sg.tensor("x", (steps, *space)), sg.tensor("h", (3, *space))

    def step(before, now, after, three_back, one_back):
        new = 0.5 * three_back - 0.3 * one_back + before * after
        return new, new - now

    y, z = sg.scan(
        step, [{"input": x, "taps": [-1, 0, 1]}], [{"initial": h, "taps": [-3, -1]}, None]
    )
    arrays = [numbers(steps, *space), numbers(3, *space)]
    last = [y[-1], y[-2:], y[-3]] if steps > 4 else [y]
    agree(monkeypatch, [x, h], [y, z], arrays)
    agree(monkeypatch, [x, h], last, arrays)
    agree(monkeypatch, [x, h], sg.grad(sg.sum(y * y) + sg.sum(z), [x, h]), arrays)
    assert all(is_small) == fits(*space or [None])


@pytest.mark.parametrize("view", ["strided", "reversed", "swapped", "columns", "stretched"])
@pytest.mark.parametrize("n", [1, 2, 5, 17, 40])
def test_sequences_that_are_views(n, view, monkeypatch, is_small):
    steps = 6
    whole = numbers(2 * steps, 2 * n)
    x = sg.tensor("x", (2 * steps, 2 * n))
    seen = {
        "strided": lambda: x[::2, :n],
        "reversed": lambda: x[::-1, ::-1][:steps, n:],
        "swapped": lambda: sg.transpose(x)[:n, :steps].T,
        "columns": lambda: x[:, ::2],
        "stretched": lambda: sg.broadcast_to(x[:1, :n], (steps, n)),
    }[view]()
    if view == "swapped":
        seen = sg.transpose(x[:n, :steps]) if n <= 2 * steps else sg.transpose(x[:steps, :steps])
    h = sg.zeros(seen.shape[1:])
    y = sg.scan(lambda a, b: a - 0.5 * b, [seen], [h])
    agree(monkeypatch, [x], [y, y[-1], seen], [whole])
    assert all(is_small) == fits(seen.type.shape[1])


@pytest.mark.parametrize("known", [True, False])
def test_matrices_are_rows_too(known, monkeypatch, is_small):
    x = sg.tensor("x", ("T", 3, 5) if known else ("T", "B", "N"))
    b = sg.tensor("b", (3, 1) if known else ("B", 1))
    c = sg.tensor("c", (5,) if known else ("N",))
    h = sg.zeros(x.shape[1:])
    y = sg.scan(lambda a, g: sg.maximum(a * c + b, g), [x], [h])
    z = sg.scan(
        lambda a, g: sg.minimum(a, g * 0.5), [sg.transpose(x, (0, 2, 1))], [sg.transpose(h)]
    )
    agree(monkeypatch, [x, b, c], [y, z], [numbers(7, 3, 5), numbers(3, 1), numbers(5)])
    assert all(is_small)


def test_one_value_is_state_and_output_and_read_twice(monkeypatch, is_small):
    x = sg.vector("x")

    def step(a, h, g):
        new = h + a
        return new, new, new * g, new, h

    results = sg.scan(step, [x], [sg.constant(0.0), sg.constant(1.0), None, None, None])
    for outputs in (results, [results[0][-1], results[1][-1]], [results[3], results[1][-1]]):
        agree(monkeypatch, [x], outputs, [numbers(9)])
    assert all(is_small)


def test_states_change_places(monkeypatch, is_small):
    a, b = sg.tensor("a", (), "int64"), sg.tensor("b", (), "int64")
    y, z = sg.scan(lambda p, q: (q, p + q), outputs_info=[a, b], n_steps=20)
    found = agree(monkeypatch, [a, b], [y, z], [np.int64(0), np.int64(1)])
    assert found[0].tolist()[-1] == 6765
    assert all(is_small)


def test_a_loop_that_only_copies(monkeypatch, is_small):
    x, h = sg.tensor("x", ("T",)), sg.tensor("h", (2,))
    y = sg.scan(lambda a, b: (a, b), [x], [{"initial": h, "taps": [-2]}, None])
    agree(monkeypatch, [x, h], [*y, y[0][-1]], [numbers(5), numbers(2)])
    k = sg.scan(lambda b: sg.constant(2.0), outputs_info=[sg.constant(1.0)], n_steps=4)
    agree(monkeypatch, [], [k], [])
    assert all(is_small)


def test_numbers_beside_rows(monkeypatch, is_small):
    x, rate = sg.tensor("x", ("T", 5)), sg.scalar("rate")

    def step(a, h, r):
        r = r * 0.9
        return h + r * a, r

    y, r = sg.scan(step, [x], [sg.zeros((5,)), rate])
    agree(monkeypatch, [x, rate], [y, r], [numbers(9, 5), np.float32(0.5)])
    agree(monkeypatch, [x, rate], [y[-1], r[-1]], [numbers(9, 5), np.float32(0.5)])
    assert all(is_small)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_numbers_beside_rows_that_may_be_empty(n, monkeypatch):
    x, rate = sg.tensor("x", ("T", "N")), sg.scalar("rate")
    y, r = sg.scan(lambda a, h, r: (h + r * a, r * 0.9), [x], [sg.zeros((x.shape[1],)), rate])
    agree(monkeypatch, [x, rate], [y, r, r[-1]], [numbers(9, n), np.float32(0.5)])


def test_constants_that_are_rows(monkeypatch, is_small):
    x = sg.tensor("x", ("T", 3))
    c = sg.constant(np.array([1.0, -2.0, 0.5], "float32"))
    y = sg.scan(lambda a, h: a * c + h * 0.5, [x], [sg.zeros((3,))])
    agree(monkeypatch, [x], [y], [numbers(6, 3)])
    assert all(is_small)


# --- values of a few elements -------------------------------------------------------------------


def rotated(x, s, w):
    """A state that is taken apart and put together."""
    a, b = s[0], s[1]
    return sg.stack([sg.cos(w) * a - sg.sin(w) * b + x[0], sg.sin(w) * a + sg.cos(w) * b - x[-1]])


def filtered(x, s, w):
    """A small product, and rows that move on."""
    new = s @ (sg.eye(2, dtype=x.dtype) * w) + sg.reshape(x[:2], (1, 2))[0]
    return sg.concatenate([new[1:], new[:1]])


def normed(x, s, w):
    """Reductions over all of a row, and back."""
    y = s * w + x[:2]
    return y / (1 + sg.sqrt(sg.sum(y * y))) + sg.max(y) - sg.min(sg.expand_dims(y, 0), axis=1)


def changed(x, s, w):
    """Parts that are set."""
    return s.set(0, x[1] * w).add_at(1, x[2])[::-1] + sg.broadcast_to(x[:1], (2,)) * 0.1


@pytest.mark.parametrize("step", [rotated, filtered, normed, changed])
@pytest.mark.parametrize("steps", [0, 1, 5, 30])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_steps_that_move_elements(step, known, steps, monkeypatch, is_small):
    x = sg.tensor("x", (steps if known else "T", 3), "float64")
    s, w = sg.tensor("s", (2,), "float64"), sg.tensor("w", (), "float64")
    y = sg.scan(lambda a, b: step(a, b, w), [x], [s])
    arrays = [numbers(steps, 3, dtype="float64"), numbers(2, dtype="float64"), np.float64(0.4)]
    agree(monkeypatch, [x, s, w], [y, sg.sum(y)], arrays, 1e-9, exactly=False)
    assert all(is_small)
    if steps:
        agree(monkeypatch, [x, s, w], [y[-1]], arrays, 1e-9, exactly=False)
    first = sg.grad(sg.sum(sg.sin(y)), [x, s, w])
    cost = sg.sum(first[0] ** 2) + sg.sum(first[1] ** 2) + first[2] ** 2
    second = sg.grad(cost, [x, s, w])
    outputs = [*first, *second]
    found = agree(monkeypatch, [x, s, w], outputs, arrays, 1e-8, exactly=False)
    if steps and known:
        twin = sg.compile([x, s, w], sg.testing.unroll(outputs), backend="numpy")
        close(found, twin(*arrays), 1e-8)


@pytest.mark.parametrize("end", [1, 2, 511, 512, 513, 1100, 9999])
def test_until_with_states_of_elements(end, monkeypatch, is_small):
    x, last = sg.tensor("x", (1200, 2)), sg.tensor("last", (), "int64")

    def step(a, s, k):
        s = sg.stack([s[1] * 0.5, s[0] * 0.5]) + a
        return (s, k + 1, sg.sum(s)), sg.until(k + 1 >= last)

    y = sg.scan(step, [x], [sg.zeros((2,)), sg.constant(np.int64(0)), None])
    arrays = [numbers(1200, 2), np.int64(end)]
    agree(monkeypatch, [x, last], y, arrays, exactly=False)
    agree(monkeypatch, [x, last], [y[0][-1], y[2]], arrays, exactly=False)
    assert all(is_small)


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_elements_of_every_dtype_with_taps(dtype, monkeypatch, is_small):
    x = sg.tensor("x", ("T", 2, 2), dtype)
    h = sg.zeros((3, 2, 2), dtype=dtype)

    def step(before, now, far, near):
        mixed = sg.where(sg.ne(sg.transpose(near), now), far, before[::-1])
        return mixed, sg.max(now) if dtype != "bool" else mixed[0, 0]

    y = sg.scan(step, [{"input": x, "taps": [-1, 0]}], [{"initial": h, "taps": [-3, -1]}, None])
    rows = np.random.default_rng(3).integers(0, 2, (9, 2, 2)).astype(dtype)
    agree(monkeypatch, [x], [*y, y[0][-2:]], [rows])
    assert all(is_small)


def test_views_of_fixed_values_and_columns(monkeypatch, is_small):
    x, w = sg.tensor("x", ("T", 2, 3)), sg.tensor("w", (3, 2))
    c = sg.constant(np.array([[1.0, -2.0], [0.5, 3.0]], "float32"))

    def step(a, s):
        return (s @ c + (a @ w)[0:1]) * 0.3

    y = sg.scan(step, [sg.transpose(x[::-1], (0, 2, 1)).transpose((0, 2, 1))], [sg.zeros((1, 2))])
    agree(monkeypatch, [x, w], [y, y[-1]], [numbers(6, 2, 3), numbers(3, 2)], exactly=False)
    assert all(is_small)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [0, 1, 6])
def test_recurrences_by_small_matrices_and_their_gradients(k, steps, monkeypatch, is_small):
    a, b = sg.tensor("a", ("T", k, k), "float64"), sg.tensor("b", ("T", k), "float64")

    def after(first, second):
        return second[0] @ first[0], second[0] @ first[1] + second[1]

    products, states = sg.associative_scan(after, [a, b])
    arrays = [0.5 * numbers(steps, k, k, dtype="float64"), numbers(steps, k, dtype="float64")]
    found = agree(monkeypatch, [a, b], [products, states], arrays, 1e-12, exactly=False)
    product, state = np.eye(k), np.zeros(k)
    for i, (factor, added) in enumerate(zip(*arrays, strict=True)):
        product, state = factor @ product, factor @ state + added
        np.testing.assert_allclose(found[0][i], product, rtol=1e-12)
        np.testing.assert_allclose(found[1][i], state, rtol=1e-12)
    cost = sg.sum(sg.sin(products)) + sg.sum(states**2)
    gradients = sg.grad(cost, [a, b])
    found = agree(monkeypatch, [a, b], gradients, arrays, 1e-10, exactly=False)
    assert all(is_small)
    if steps and k > 1:
        shift = np.zeros((steps, k, k))
        shift[0, 0, 1] = 1e-6
        f = sg.compile([a, b], cost, backend="numpy")
        slope = (f(arrays[0] + shift, arrays[1]) - f(arrays[0] - shift, arrays[1])) / 2e-6
        np.testing.assert_allclose(found[0][0, 0, 1], slope, rtol=1e-6, atol=1e-8)


def test_filters_of_two_numbers_are_small(monkeypatch, is_small):
    z = sg.tensor("z", ("T",), "float64")
    move = np.array([[1.0, 0.1], [0.0, 1.0]])
    noise = np.array([[0.01, 0.0], [0.0, 0.02]])

    def step(seen, mean, spread):
        mean, spread = move @ mean, move @ spread @ move.T + noise
        gain = spread[:, 0] / (spread[0, 0] + 0.1)
        mean = mean + gain * (seen - mean[0])
        return mean, spread - gain[:, None] * spread[0][None]

    zero, one = (sg.constant(v) for v in (np.zeros(2), np.eye(2)))
    mean, spread = sg.scan(step, z, [zero, one])
    array = numbers(30, dtype="float64")
    found = agree(monkeypatch, [z], [mean, spread], [array], 1e-10, exactly=False)
    state = np.zeros(2), np.eye(2)
    for i, seen in enumerate(array):
        state = step(seen, *state)
        np.testing.assert_allclose(found[0][i], state[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[1][i], state[1], rtol=1e-9, atol=1e-12)
    agree(monkeypatch, [z], [sg.grad(sg.sum(sg.sin(mean)), z)], [array], 1e-9, exactly=False)
    assert all(is_small)


def test_steps_of_too_many_numbers_stay_plain(monkeypatch, is_small):
    x, w = sg.tensor("x", ("T", 1, 8)), sg.tensor("w", (8, 8))
    y = sg.scan(lambda a, s: sg.tanh(a + s @ w), [x], [sg.zeros((1, 8))])
    agree(monkeypatch, [x, w], [y], [numbers(5, 1, 8), numbers(8, 8)])
    assert not any(is_small)


# --- dtypes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64"])
@pytest.mark.parametrize("n", [None, 9, 30])
def test_integers_wrap(dtype, n, monkeypatch, is_small):
    shape = () if n is None else (n,)
    x, h = sg.tensor("x", ("T", *shape), dtype), sg.tensor("h", shape, dtype)
    y, z = sg.scan(lambda a, b: (b * 3 + a, (b // 2) ^ (a % 7)), [x], [h, None])
    rows = np.random.default_rng(1).integers(0, 100, (40, *shape)).astype(dtype)
    agree(monkeypatch, [x, h], [y, z, sg.sum(z)], [rows, rows[0]])
    assert all(is_small) == fits(n, dtype)


@pytest.mark.parametrize("n", [None, 3, 17])
def test_states_that_are_bools(n, monkeypatch, is_small):
    shape = () if n is None else (n,)
    x = sg.tensor("x", ("T", *shape))
    seen = sg.full(shape, False, dtype="bool")

    def step(a, s, count):
        s = sg.logical_or(s, a > 0.5)
        return s, sg.where(s, count + 1, count)

    y = sg.scan(step, [x], [seen, sg.zeros(shape, dtype="int32")])
    agree(monkeypatch, [x], [*y, y[0][-1]], [numbers(12, *shape)])
    assert all(is_small) == fits(n)


@pytest.mark.parametrize("n", [None, 5, 20])
def test_dtypes_that_are_mixed(n, monkeypatch, is_small):
    shape = () if n is None else (n,)
    x, k = sg.tensor("x", ("T", *shape)), sg.tensor("k", ("T", *shape), "int16")
    h = sg.zeros(shape, dtype="float64")

    def step(a, i, total):
        total = total + a.astype("float64") * i.astype("float64")
        return total, total.astype("float32"), sg.sqrt(sg.abs(a)) > 0.5

    y = sg.scan(step, [x, k], [h, None, None])
    rows = np.random.default_rng(2).integers(-9, 9, (11, *shape)).astype("int16")
    agree(monkeypatch, [x, k], y, [numbers(11, *shape), rows])
    assert all(is_small) == fits(n, "float64")


@pytest.mark.parametrize("n", [None, 8])
def test_numbers_at_the_edge(n, monkeypatch, is_small):
    edge = [0.0, -0.0, 1e-45, -1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-38]
    rows = np.array(edge, "float32")
    rows = rows if n is None else np.stack([np.roll(rows, i) for i in range(n)], 1)
    x = sg.tensor("x", ("T",) if n is None else ("T", n))
    start = sg.zeros(() if n is None else (n,))
    y = sg.scan(
        lambda a, h: (sg.tanh(a) + h * 0.5, a * h, sg.exp(a), sg.maximum(a, h), a / h),
        [x],
        [start, None, None, None, None],
    )
    agree(monkeypatch, [x], y, [rows])
    assert all(is_small)


FUNCTIONS = (
    *("exp", "expm1", "exp2", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin"),
    *("arccos", "arctan", "sinh", "cosh", "tanh", "sigmoid", "arcsinh", "arccosh", "arctanh"),
    *("erf", "gammaln", "digamma", "floor", "ceil", "trunc", "sqrt", "square", "sign"),
)


@pytest.mark.parametrize("n", [None, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_has_the_bits_of_the_plain_program(n, dtype, monkeypatch, is_small):
    shape = () if n is None else (n,)
    x = sg.tensor("x", ("T", *shape), dtype)
    start = [sg.zeros(shape, dtype=dtype) for _ in FUNCTIONS]
    rows = numbers(8, *shape, dtype=dtype)
    for k in range(0, len(FUNCTIONS), 8):
        names = FUNCTIONS[k : k + 8]

        def step(a, *states, names=names):
            return [getattr(sg, name)(a) + 0.25 * h for name, h in zip(names, states, strict=True)]

        y = sg.scan(step, [x], start[: len(names)])
        same_bits(fresh([x], y)(rows), plainly(monkeypatch, [x], y)(rows))
    assert all(is_small)


# --- how loops end ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [None, 3])
@pytest.mark.parametrize("end", [1, 2, 3, 64, 511, 512, 513, 1025, 1500, 9999])
def test_until_at_any_step(end, n, monkeypatch, is_small):
    shape = () if n is None else (n,)
    x, last = sg.tensor("x", ("T", *shape)), sg.tensor("last", (), "int64")

    def step(a, h, k):
        h = 0.9 * h + a
        return (h, k + 1, h * 2), sg.until(k + 1 >= last)

    y = sg.scan(step, [x], [sg.zeros(shape), sg.constant(np.int64(0)), None])
    arrays = [numbers(1500, *shape), np.int64(end)]
    found = agree(monkeypatch, [x, last], y, arrays)
    assert len(found[0]) == min(end, 1500)
    agree(monkeypatch, [x, last], [y[0][-1], y[1][-1], y[2]], arrays)
    agree(monkeypatch, [x, last], [y[0][-1]], arrays)
    agree(monkeypatch, [x, last], [y[2].shape[0], y[2]], arrays)
    assert all(is_small)


def test_until_without_a_step(monkeypatch, is_small):
    x = sg.tensor("x", ("T",))
    y = sg.scan(lambda a, h: (h + a, sg.until(h > 1)), [x], [sg.constant(0.5)])
    agree(monkeypatch, [x], [y], [numbers(0)])
    assert all(is_small)


def test_gradients_over_the_steps_taken(monkeypatch, is_small):
    x, w = sg.tensor("x", ("T",), "float64"), sg.tensor("w", (), "float64")
    y = sg.scan(
        lambda a, h: (sg.tanh(h * w + a), sg.until(h > 0.6)), [x], [sg.constant(np.float64(0.1))]
    )
    arrays = [np.abs(numbers(50, dtype="float64")) * 0.4, np.float64(0.8)]
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w])]
    found = agree(monkeypatch, [x, w], outputs, arrays, 1e-9)
    assert 1 < len(found[0]) < 50
    assert np.count_nonzero(found[1]) == len(found[0])


# --- as many steps as take several calls ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["number", "rows", "long rows", "unknown rows", "elements"])
@pytest.mark.parametrize("view", ["all", "reversed", "several", "last", "gradient"])
def test_steps_of_several_turns(kind, view, monkeypatch, is_small):
    width = {"number": None, "rows": 9, "long rows": 30, "unknown rows": 40, "elements": 2}[kind]
    shape = () if width is None else ("N" if kind == "unknown rows" else width,)
    x, s = sg.tensor("x", ("T", *shape), "float64"), sg.tensor("s", shape, "float64")

    def step(a, h):
        moved = h[::-1] if kind == "elements" else h
        return moved * 0.5 + sg.sin(a)

    y = sg.scan(step, [x], [s])
    outputs = {
        "all": [y],
        "reversed": [y[::-1]],
        "several": [y, y[::-1], y[1:]],
        "last": [y[-1]],
        "gradient": sg.grad(sg.sum(y * y), [x, s]),
    }[view]
    sizes = () if width is None else (width,)
    arrays = [numbers(9001, *sizes, dtype="float64"), numbers(*sizes, dtype="float64", seed=1)]
    agree(monkeypatch, [x, s], outputs, arrays, 1e-9)
    assert all(is_small) == (kind != "long rows" or fits(width, "float64"))


@pytest.mark.parametrize("kind", ["number", "rows", "elements"])
@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 8, 13])
def test_checkpoints_between_calls(kind, steps, monkeypatch, is_small):
    shape = {"number": (), "rows": (5,), "elements": (2,)}[kind]
    x = sg.tensor("x", ("T", *shape), "float64")
    s, w = sg.tensor("s", (2, *shape), "float64"), sg.tensor("w", shape, "float64")

    def step(a, far, near):
        moved = near[::-1] if kind == "elements" else near
        return sg.tanh(moved * w + a) + 0.3 * far

    def outputs(**options):
        y = sg.scan(step, [x], [{"initial": s, "taps": [-2, -1]}], **options)
        return [y[-1:], *sg.grad(sg.sum(y[-1:] ** 2), [x, s, w])]

    arrays = [numbers(steps, *shape, dtype="float64"), numbers(2, *shape, dtype="float64")]
    arrays.append(numbers(*shape, dtype="float64", seed=1))
    given = outputs(checkpoint_every=4)
    found = agree(monkeypatch, [x, s, w], given, arrays, 1e-9, exactly=False)
    close(found, fresh([x, s, w], outputs())(*arrays), 1e-9)
    assert any(is_small)


# --- loops in loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("inner", [0, 1, 4])
def test_a_small_loop_in_a_body(steps, inner, monkeypatch, is_small):
    x, w = sg.tensor("x", (steps, inner, 3), "float64"), sg.tensor("w", (3, 3), "float64")

    def outer(rows, h):
        y = sg.scan(lambda a, g: sg.tanh(a + 0.5 * g), [rows], [h])
        return sg.tanh((y.sum(axis=0) + h) @ w)

    y = sg.scan(outer, [x], [sg.zeros((3,), dtype="float64")])
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w], disconnected="zero")]
    arrays = [numbers(steps, inner, 3, dtype="float64"), numbers(3, 3, dtype="float64")]
    agree(monkeypatch, [x, w], outputs, arrays, 1e-9)
    assert steps * inner == 0 or any(is_small)


def test_a_small_loop_with_until_in_a_body(monkeypatch, is_small):
    x = sg.tensor("x", ("T",), "float64")

    def root(a, guess):
        def newton(r):
            new = 0.5 * (r + a / r)
            return new, sg.until(sg.abs(new - r) < 1e-12)

        steps = sg.scan(newton, outputs_info=[guess], n_steps=50)
        return steps[-1], steps.shape[0]

    y, n = sg.scan(root, [x], [sg.constant(np.float64(1)), None])
    values = np.array([2.0, 9.0, 0.25, 100.0])
    found = agree(monkeypatch, [x], [y, n], [values], 1e-9)
    np.testing.assert_allclose(found[0], np.sqrt(values))


# --- the program --------------------------------------------------------------------------------


def test_a_step_is_no_instruction():
    x, w = sg.tensor("x", (100_000,)), sg.scalar("w")
    y = sg.scan(lambda a, h: cell(a, h, w), [x], [sg.constant(0.0)])
    program = image.lower(sg.Graph([x, w], [y[-1]])).image
    assert program.kernels == 3  # the loop, and copies of the initial row and of the last one
    (loop,) = (at for at, kernel in program.main.kernels if kernel == runtime_kernels()["loop"])
    turns = program.template[program.main.words[loop + 3] // 8]
    assert turns == -(-100_000 // 4096)  # so many steps at once, to look for Ctrl-C in between


def test_times_are_those_of_steps():
    x, w = sg.tensor("x", ("T",)), sg.scalar("w")
    y = sg.scan(lambda a, h: cell(a, h, w), [x], [sg.constant(0.0)])
    f = sg.compile([x, w], y[-1], profile=True)
    f(numbers(7), np.float32(0.5))
    assert f.profile is not None
    (row,) = (row for row in f.profile.rows if row.depth)
    assert (row.name, row.runs) == ("multiply add tanh", 7)


def test_loops_of_other_lengths_and_constants_share_their_kernel():
    x, w = sg.tensor("x", ("T",)), sg.scalar("w")
    y = sg.scan(lambda a, h: cell(a, h, w), [x], [sg.constant(0.0)])
    z = sg.scan(lambda a, h: cell(a, h, w), [x[:5]], [sg.constant(0.5)])
    both = sg.compile([x, w], [y[-1], z[-1]], threads=1).report
    assert both.distinct_kernels == sg.compile([x, w], y[-1], threads=1).report.distinct_kernels


@pytest.mark.parametrize("bytes", [16, 32])
@pytest.mark.parametrize("n", [1, 3, 8, 9, 20, None])
def test_narrower_vectors(n, bytes, monkeypatch):
    narrow = replace(host(), vector_bytes=bytes)
    monkeypatch.setattr(image, "host", lambda: narrow)
    x = sg.tensor("x", ("T", "N" if n is None else n))
    h = sg.zeros((x.shape[1],))
    y = sg.scan(lambda a, b: sg.maximum(0.5 * b + a, 0.0) * (a > b), [x], [h])
    agree(monkeypatch, [x], [y, y[-1]], [numbers(9, n or 21)])


def test_ctrl_c_ends_a_long_loop():
    h = sg.scalar("h")
    y = sg.scan(lambda a: a * 3.7 * (1 - a), outputs_info=[h], n_steps=10**13)  # some hours
    f = sg.compile([h], y[-1], threads=1)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(np.float32(0.3))


def test_random_draws_stay_plain(is_small):
    keys = sg.random.split(sg.random.key(3), 6)
    first = sg.scalar("first")
    y = sg.scan(lambda k, h: h + sg.random.normal(k), [keys], [first])
    assert np.asarray(fresh([first], y)(0.0)).shape == (6,)
    assert not all(is_small)
