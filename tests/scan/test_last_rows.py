"""The last rows of a state, of which a loop may keep no others."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]


def rows_of(taps: list[int], n: int, shape: tuple[int, ...]) -> np.ndarray:
    """The rows of a state that is the sum of its earlier ones and of their number."""
    depth = -min(taps)
    rows = list(np.arange(1.0, depth + 1).reshape((depth, *(1 for _ in shape))) * np.ones(shape))
    for _ in range(n):
        rows.append(sum(rows[len(rows) + tap] for tap in taps) * 0.5 + len(rows) % 3)
    return np.array(rows)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends_early", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (0,)])
@pytest.mark.parametrize("taps", [[-1], [-2, -1], [-2], [-3, -1], [-4, -3]])
def test_the_last_rows(
    taps: list[int], shape: tuple[int, ...], ends_early: bool, backend: str
) -> None:
    depth, n = -min(taps), sg.scalar("n", "int64")

    def step(number, *past):
        new = sum(past[1:], past[0]) * 0.5 + (number + depth) % 3
        return (new, sg.until(number >= 5)) if ends_early else new

    first = rows_of(taps, 0, shape)
    info = {"initial": first, "taps": taps} if taps != [-1] else first[0]
    numbers = sg.arange(n)
    states = sg.scan(step, [numbers], [info])
    last = [states[-1 - i] for i in range(depth)]
    f = sg.compile([n], last, backend=backend)
    alone = sg.compile([n], last[-1], backend=backend)
    for steps in range(depth, 3 * depth + 4):
        taken = min(steps, 6) if ends_early else steps
        if taken < depth:
            continue
        expected = rows_of(taps, taken, shape)[::-1][:depth]
        np.testing.assert_allclose(f(steps), expected)
        np.testing.assert_allclose(alone(steps), expected[-1])


READS = {
    "h[-1]": lambda h: [h[-1]],
    "h[-2]": lambda h: [h[-2]],
    "h[-2:]": lambda h: [h[-2:]],
    "h[-1][:3]": lambda h: [h[-1][:3]],
    "h[-1], h[-2]": lambda h: [h[-1], h[-2]],
    "h[-2:][0], h[-1:]": lambda h: [h[-2:][0], h[-1:]],
    "h[-8:][::-2], h[2:][-1]": lambda h: [h[-8:][::-2], h[2:][-1]],
    "h[-3:-1], h[:, 1:][-1]": lambda h: [h[-3:-1], h[:, 1:][-1]],
    "h.shape[0], h[-4:] * 2": lambda h: [np.int64(0) + h.shape[0], h[-4:] * 2],
    "h[-9:]": lambda h: [h[-9:]],
}


def grown(kind: str, taps: list[int], width: int, ends_early: bool):
    """The states of a loop and the number of its steps, a symbol; it may end after the sixth."""
    depth, n = -min(taps), sg.scalar("n", "int64")
    weights = sg.constant(np.eye(width))

    def step(number, *past):
        past = [x @ weights for x in past] if kind == "product" else past
        new = sum(past[1:], past[0]) * 0.5 + (number + depth) % 3
        return (new, sg.until(number >= 5)) if ends_early else new

    first = rows_of(taps, 0, (width,))
    info = {"initial": first, "taps": taps} if taps != [-1] else first[0]
    return n, sg.scan(step, [sg.arange(n)], [info])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends_early", [False, True])
@pytest.mark.parametrize("kind", ["small", "product"])
@pytest.mark.parametrize("taps", [[-1], [-2], [-3, -1]])
def test_what_is_read_of_the_last_rows(
    taps: list[int], kind: str, ends_early: bool, backend: str
) -> None:
    n, h = grown(kind, taps, 4, ends_early)
    for name, read in READS.items():
        f = sg.compile([n], read(h), backend=backend)
        for steps in (0, 1, 2, 3, 4, 5, 9, 63, 64, 65, 130):
            taken = min(steps, 6) if ends_early else steps
            rows = rows_of(taps, taken, (4,))[-min(taps) :]
            try:
                expected = read(rows)
            except IndexError:
                with pytest.raises(sg.SymgraphError, match=r"index|at least|axis"):
                    f(steps)
                continue
            for found, wanted in zip(f(steps), expected, strict=True):
                np.testing.assert_allclose(found, wanted, err_msg=f"{name} after {steps} steps")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stop", [0, 1, 63, 64, 200])
def test_the_last_rows_where_a_loop_ends_early(stop: int, backend: str) -> None:
    n, end = sg.scalar("n", "int64"), sg.scalar("end", "int64")

    def step(a, b):
        return [a + 1, b + a], sg.until(a >= end)

    a, b = sg.scan(step, [], [np.int64(0), np.int64(0)], n_steps=n)
    f = sg.compile([n, end], [a[-1], a[-2:], b[-2:], b[-1]], backend=backend)
    taken = stop + 1
    numbers = np.arange(1, taken + 1)
    sums = np.cumsum(numbers - 1)
    for found, wanted in zip(
        f(10**12, stop), [taken, numbers[-2:], sums[-2:], sums[-1]], strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_state_whole_and_another_for_its_last_rows(backend: str) -> None:
    n = sg.scalar("n", "int64")
    a, b = sg.scan(lambda a, b: [a + 1, b + a], [], [np.zeros(3), np.zeros(3)], n_steps=n)
    f = sg.compile([n], [a, b[-2:], b[-1]], backend=backend)
    for steps in (1, 2, 100):
        rows = np.arange(1.0, steps + 1)[:, None] * np.ones(3)
        sums = np.cumsum(rows - 1, axis=0)
        for found, wanted in zip(f(steps), [rows, sums[-2:], sums[-1]], strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_rows_of_a_loop_in_a_loop(backend: str) -> None:
    x = sg.tensor("x", ("T", "N"), "float64")

    def outer(row, total):
        sums = sg.scan(lambda value, sum_: sum_ * 0.5 + value, [row], [total])
        return sums[-1] + sums[-2:].sum()

    f = sg.compile([x], sg.scan(outer, [x], [sg.constant(0.25, "float64")])[-2:], backend=backend)
    for shape in ((0, 2), (1, 1), (3, 2), (4, 70)):
        array = np.random.default_rng(0).normal(size=shape)
        totals, total = [], 0.25
        for row in array:
            sums, sum_ = [], total
            for value in row:
                sum_ = sum_ * 0.5 + value
                sums.append(sum_)
            total = sums[-1] + sum(sums[-2:])
            totals.append(total)
        np.testing.assert_allclose(f(array), totals[-2:], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [2, 3, 8])
def test_more_last_rows_than_registers_hold(count: int, backend: str) -> None:
    n = sg.scalar("n", "int64")
    turn = np.roll(np.eye(4), 1, axis=0)

    def step(a, b):
        return [a @ sg.constant(turn) + 1, b * 0.5 + a]

    a, b = sg.scan(step, [], [np.arange(16.0).reshape(4, 4), np.ones((4, 4))], n_steps=n)
    f = sg.compile([n], [a[-count:], b[-count:], b[-1]], backend=backend)
    for steps in (1, 2, 7, 8, 9, 40):
        rows_a, rows_b = [np.arange(16.0).reshape(4, 4)], [np.ones((4, 4))]
        for _ in range(steps):
            rows_b.append(rows_b[-1] * 0.5 + rows_a[-1])
            rows_a.append(rows_a[-1] @ turn + 1)
        expected = [rows_a[1:][-count:], rows_b[1:][-count:], rows_b[-1]]
        for found, wanted in zip(f(steps), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_the_last_rows_where_threads_share_them() -> None:
    n, x = sg.scalar("n", "int64"), sg.vector("x")
    h = sg.scan(lambda h: sg.tanh(h) * 0.5 + 0.1, [], [x], n_steps=n)
    alone, shared = (sg.compile([n, x], [h[-3:], h[-1]], threads=k) for k in (1, 2))
    row = np.linspace(-1, 1, 20_000, dtype="float32")
    rows = [row]
    for _ in range(300):
        rows.append(np.tanh(rows[-1]) * np.float32(0.5) + np.float32(0.1))
    for f in (alone, shared):
        for steps in (1, 2, 300):
            last, row_ = f(steps, row)
            np.testing.assert_allclose(last, rows[1 : steps + 1][-3:], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(row_, last[-1])


@pytest.mark.parametrize("ends_early", [False, True])
@pytest.mark.parametrize("taps", [[-1], [-3, -1]])
def test_the_reference_keeps_few_rows(taps: list[int], ends_early: bool) -> None:
    n, width, depth = sg.scalar("n", "int64"), 1000, -min(taps)

    def step(*past):
        new = sum(past[1:], past[0]) * 0.2
        return ([new, new * 0.5], sg.until(new.sum() < -1.0)) if ends_early else [new, new * 0.5]

    info = {"initial": np.ones((depth, width)), "taps": taps} if depth > 1 else np.ones(width)
    a, b = sg.scan(step, outputs_info=[info, info], n_steps=n)
    for name, read in READS.items():
        f = sg.compile([n], [*read(a), *read(b)], backend="numpy")
        f(20)
        tracemalloc.start()
        f(1000)  # 8 MB of rows for each state
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (most > 8_000_000) == (name == "h[-9:]"), name


PROGRAM = """
import resource, numpy as np, symgraph as sg
n = sg.scalar("n", "int64")
def step(h):
    new = sg.tanh(h * 0.999) + 0.001
    return (new, sg.until(new.sum() < -1.0)) if {ends_early} else new
h = sg.scan(step, outputs_info=[np.ones(64, "float32")], n_steps=n)
fs = [sg.compile([n], read, backend={backend!r}) for read in ({reads})]
for f in fs:
    f(10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for f in fs:
    f(100_000)  # 26 MB of rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kB, as Linux does")
@pytest.mark.parametrize(
    ("backend", "ends_early"), [("native", True), ("native", False), ("numpy", True)]
)
def test_no_others_are_kept(backend: str, ends_early: bool) -> None:
    reads = "h[-1], h[-2:], [h[-1][:3], h[-2]]" if backend == "native" else "h[-2:],"
    code = PROGRAM.format(backend=backend, ends_early=ends_early, reads=reads)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 5_000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "read",
    [
        lambda h, n: h[n - 1],
        lambda h, n: h[h.shape[0] - 1],
        lambda h, n: h.take(n - 1, axis=0),
        lambda h, n: h[::-1][0],
        lambda h, n: h[::-1, ::-1][0, 1],
    ],
    ids=["n - 1", "shape[0] - 1", "take", "reversed", "both axes reversed"],
)
def test_the_last_row_by_another_way_to_write_it(backend: str, read: Callable[..., Any]) -> None:
    n = sg.scalar("n", "int64")
    h = sg.scan(lambda h: 0.5 * h + 1, outputs_info=[np.arange(3.0)], n_steps=n)
    f = sg.compile([n], read(h, n), backend=backend)
    assert f.report.stored_bytes(n=1000) == 2 * 24
    rows = [np.arange(3.0)]
    for steps in (1, 2, 7):
        while len(rows) <= steps:
            rows.append(0.5 * rows[-1] + 1)
        np.testing.assert_array_equal(f(steps), read(np.array(rows[1:]), steps), strict=True)
    with pytest.raises(sg.IndexRangeError):
        f(0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_before_the_last_by_the_size_counts_from_the_front(backend: str) -> None:
    x = sg.tensor("x", ("T",))
    f = sg.compile([x], x[x.shape[0] - 2], backend=backend)
    assert f(np.array([1, 2, 3], "float32")) == 2
    assert f(np.array([1], "float32")) == 1  # at -1, which is there; at -2 there is none
