"""Arrays that no memory holds, and sizes that 64 bits do not: an error says so."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg

_HUGE = 2**61
# No memory holds such an array, and yet each of its sizes and strides can be counted.
_LARGE = 2**50


def _until(s):
    return s + 1, sg.until(s.sum() < 0)


# From an int64 scalar to what cannot be made at the number beside.
_PROGRAMS = {
    "range": (lambda n: sg.arange(n)[:3], _HUGE),
    "range of bytes": (lambda n: sg.arange(n).sum(), 2**60),
    "square matrix": (lambda n: sg.eye(n)[0, :3], _LARGE),
    "triangle": (lambda n: sg.tri(n)[0, :3], _LARGE),
    "elements wrap": (lambda n: sg.zeros((n, n)), 2**32),
    "bytes wrap": (lambda n: sg.zeros((n,)), _HUGE),
    "bytes of a product wrap to few": (lambda n: sg.zeros((n * 2 + 1,)), 2**61),
    "size wraps": (lambda n: sg.zeros((n * n,)), 2**32),
    "square": (lambda n: sg.ones((n * n + 1,)).sum(), 2**32),
    "sum wraps": (lambda n: sg.zeros((n + n,)), 2**62),
    "difference wraps": (lambda n: sg.zeros((sg.maximum(0 - n - n - n, 0),)), -(2**62)),
    "quotient wraps": (lambda n: sg.zeros((sg.maximum(n // -1, 0),)), -(2**63)),
    "no elements": (lambda n: sg.zeros((0, n, n)), 2**40),
    "strides": (lambda n: sg.broadcast_to(sg.constant([1.5]), (n, n))[0, :3] * 2, 2**40),
    "turns": (lambda n: sg.broadcast_to(sg.exp(n * 1.0), (n, n)).max(), 2**40),
    "repeat": (lambda n: sg.repeat(sg.ones(4), n), 2**62),
    "tile": (lambda n: sg.tile(sg.ones((4, 2)), (n, n)), 2**31),
    "pad": (lambda n: sg.pad(sg.ones(4), ((0, n),)), 2**62),
    "join": (lambda n: sg.concatenate([sg.zeros((n,)), sg.ones((n,))])[:2], 2**62),
    "one hot": (lambda n: sg.one_hot(sg.zeros(4, "int64"), n), 2**62),
    "running sums": (lambda n: sg.cumsum(sg.zeros((n,)) + n)[:3], _HUGE),
    "running sums of rows": (lambda n: sg.cumsum(sg.zeros((n, n)), axis=0)[:2, :2], 2**40),
    "sort": (lambda n: sg.sort(sg.zeros((n, n)))[:1], 2**40),
    "gather": (lambda n: sg.ones(4)[sg.zeros((n,), "int64")], _HUGE),
    "product": (lambda n: sg.ones((n, 1)) @ sg.ones((1, n)), 2**40),
    "product of nothing": (lambda n: sg.ones((n, 0)) @ sg.ones((0, n)), 2**40),
    "random": (lambda n: sg.random.Stream(1).normal((n,)), _HUGE),
    "gradient": (
        lambda n: sg.grad((sg.broadcast_to(x := n * 1.0, (n, n)) ** 2).sum(), x),
        2**40,
    ),
    "steps": (lambda n: sg.scan(lambda s: s + 1, (), sg.zeros(3), n_steps=n), _HUGE),
    "steps of rows": (lambda n: sg.scan(lambda s: s + 1, (), sg.zeros(3), n_steps=n), 2**58),
    "steps over a sequence": (lambda n: sg.scan(lambda i: i * 2, sg.arange(n)), _HUGE),
    "a state": (lambda n: sg.scan(_until, (), sg.zeros((n,)), n_steps=9)[-1].sum(), 2**58),
    "inside a loop": (
        lambda n: sg.scan(lambda i: sg.cumsum(sg.zeros((n * (i + 1),)))[0], sg.arange(3)),
        2**60,
    ),
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("name", _PROGRAMS)
def test_what_no_memory_holds_is_an_error(name, backend):
    build, number = _PROGRAMS[name]
    n = sg.scalar("n", "int64")
    f = sg.compile([n], build(n), backend=backend)
    with pytest.raises(sg.TooLargeError) as caught:
        f(np.int64(number))
    assert isinstance(caught.value, MemoryError)
    assert __file__ in str(caught.value), "the user's line is missing"


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("shape", [(2**61,), (2**40, 2**40), (2**70,), (0, 2**62, 2**62)])
def test_so_are_sizes_that_are_known_before(shape, backend):
    f = sg.compile([], sg.zeros(shape) + sg.exp(sg.zeros(())), backend=backend)
    with pytest.raises(sg.TooLargeError):
        f()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_so_are_sizes_that_follow_from_arguments(backend):
    x = sg.vector("x")
    (n,) = x.shape
    f = sg.compile([x], sg.zeros((n * 2**40, n * 2**40)), backend=backend)
    assert f(np.zeros(0, "float32")).shape == (0, 0)
    with pytest.raises(sg.TooLargeError, match=r"\(3298534883328, 3298534883328\)"):
        f(np.zeros(3, "float32"))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_error_tells_the_array_and_what_it_would_take(backend):
    n = sg.scalar("n", "int64")
    f = sg.compile([n], sg.eye(n)[0, :3], backend=backend)
    for _ in range(2):  # the second may come from the disk, with no graph
        with pytest.raises(sg.TooLargeError) as caught:
            f(np.int64(2**53))
        assert f"shape ({2**53},) and dtype int64 takes 64.0 PiB" in str(caught.value)
        f = sg.compile([n], sg.eye(n)[0, :3], backend=backend)
    np.testing.assert_array_equal(f(np.int64(2)), [1, 0])


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_results_made_before_the_one_that_fails_are_given_back(backend):
    x = sg.vector("x")
    (n,) = x.shape
    f = sg.compile([x], [sg.zeros((n,)), sg.ones((n * 2**60, 3))], backend=backend)
    with pytest.raises(sg.TooLargeError):
        f(np.zeros(3, "float32"))
    assert [r.shape for r in f(np.zeros(0, "float32"))] == [(0,), (0, 3)]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    "build",
    [
        lambda n: sg.zeros((n,)),
        lambda n: sg.eye(n),
        lambda n: sg.tri(n),
        lambda n: sg.broadcast_to(sg.ones(()), (3, n)),
        lambda n: sg.repeat(sg.ones(4), n),
        lambda n: sg.tile(sg.ones(4), n),
        lambda n: sg.ones(4).reshape((n, n)),
        lambda n: sg.scan(lambda s: s + 1, (), sg.zeros(3), n_steps=n),
    ],
)
def test_negative_sizes_are_errors(build, backend):
    n = sg.scalar("n", "int64")
    f = sg.compile([n], build(n), backend=backend)
    with pytest.raises(sg.CallError) as caught:
        f(np.int64(-2))
    assert not isinstance(caught.value, MemoryError)
    with pytest.raises(sg.SymgraphError):
        build(-2)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_numbers_that_are_less_than_nothing_on_the_way_are_fine(backend):
    n = sg.scalar("n", "int64")
    results = [sg.zeros((sg.maximum(n - 2, 0),)), sg.arange(n - 2), sg.ones((n * n - n * n + 2,))]
    f = sg.compile([n], results, backend=backend)
    for number in (0, 1, 5):
        assert [r.shape for r in f(np.int64(number))] == [(max(number - 2, 0),)] * 2 + [(2,)]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_loop_that_ends_early_may_have_any_cap(backend):
    n = sg.scalar("n", "int64")
    s = sg.scan(lambda s: (s + 1, sg.until(s.sum() > 10)), (), sg.zeros(3), n_steps=n)
    for threads in (1, 2):
        f = sg.compile([n], [s, (s * 2).sum()], backend=backend, threads=threads)
        states, total = f(np.int64(2**62))
        np.testing.assert_array_equal(states[:, 0], [1, 2, 3, 4, 5])
        assert total == 90


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_uint64_above_int64_is_no_negative_number(backend):
    n, x = sg.scalar("n", "uint64"), sg.vector("x")
    f = sg.compile([n], sg.arange(n), backend=backend)
    with pytest.raises(sg.TooLargeError):
        f(np.uint64(2**63 + 5))
    np.testing.assert_array_equal(f(np.uint64(3)), [0, 1, 2])
    f = sg.compile([n, x], [x[:n], x[n:], x[n::-1]], backend=backend)
    data = np.arange(4, dtype="float32")
    for number in (0, 2, 4, 2**63 + 5):
        found = f(np.uint64(number), data)
        for result, expected in zip(
            found, (data[:number], data[number:], data[number::-1]), strict=True
        ):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("edge", [2**62, 2**63 - 1, 2**63, 2**70])
def test_slices_reach_as_far_as_one_likes(edge, backend):
    x = sg.vector("x")
    slices = [slice(edge), slice(edge, None), slice(-edge, None), slice(None, -edge)]
    slices += [slice(None, None, edge), slice(edge, None, -1), slice(None, None, -1)]
    f = sg.compile([x], [x[s] for s in slices], backend=backend)
    for length in (0, 1, 4):
        data = np.arange(length, dtype="float32")
        for s, result in zip(slices, f(data), strict=True):
            np.testing.assert_array_equal(result, data[s])
    with pytest.raises(sg.IndexRangeError, match=str(edge)):
        sg.compile([x], x[edge], backend=backend)(data)


def test_constants_that_no_memory_holds_are_errors_where_they_are_made():
    with pytest.raises(sg.TooLargeError):
        sg.linspace(0, 1, 2**62)
    with pytest.raises(sg.SymgraphError):
        sg.arange(0, 2**62, 2)
    with pytest.raises(sg.ShapeError):
        sg.tensor("x", (2**64,))
