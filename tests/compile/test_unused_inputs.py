"""``compile(unused="raise" | "ignore")``: inputs that nothing needs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg

BACKENDS = ["native", "numpy"]


def _graph():
    x, y = sg.tensor("x", ("T", 2)), sg.tensor("y", ("T", 3))
    return x, y, sg.scan(lambda row, h: sg.tanh(row + h), x, sg.zeros(2))


def _values(rows):
    return np.ones((rows, 2), "float32"), np.ones((rows, 3), "float32")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [0, 1, 4])
@pytest.mark.parametrize("verify", [False, True])
def test_an_ignored_input_changes_nothing(backend, rows, verify):
    x, y, states = _graph()
    a, b = _values(rows)
    options = {"backend": backend, "verify": verify, "unused": "ignore"}
    expected = sg.compile([x], states, backend=backend)(a)
    for inputs, arguments in (([x, y], (a, b)), ([y, x], (b, a))):
        f = sg.compile(inputs, states, **options)
        assert f.inputs == tuple(inputs)
        np.testing.assert_array_equal(f(*arguments), expected)
        np.testing.assert_array_equal(f(y=b, x=a), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_ignored_input_is_checked_as_others_are(backend):
    x, y, states = _graph()
    f = sg.compile([x, y], states, backend=backend, unused="ignore")
    a, b = _values(4)
    with pytest.raises(sg.InputError, match="1 of 2 inputs are given; missing: y"):
        f(a)
    with pytest.raises(sg.ShapeError, match="axis 1 has size 3"):
        f(a, a)
    with pytest.raises(sg.ShapeError, match="size T is 4 in x"):
        f(a, b[1:])
    with pytest.raises(sg.DtypeError, match="y takes float32"):
        f(a, b.astype(complex))
    assert f(a, b.astype("float64")).shape == (4, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_ignored_input_may_have_a_default(backend):
    x, y = sg.scalar("x"), sg.scalar("y")
    f = sg.compile([x, sg.In(y, value=1.0)], x * 2, backend=backend, unused="ignore")
    assert f(3) == f(3, 4) == f(3, y=5) == 6
    whole = sg.scalar("y", dtype="int64")
    with pytest.raises(sg.DtypeError, match="default value: y takes int64"):
        sg.compile([x, sg.In(whole, value=0.5)], x, unused="ignore")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda f: f.copy(), lambda f: pickle.loads(pickle.dumps(f))]
)
def test_copies_and_pickles_ignore_it_too(backend, again):
    x, y = sg.scalar("x"), sg.scalar("y")
    total = sg.shared(np.float32(0), "total")
    f = again(sg.compile([x, y], x, updates={total: total + x}, backend=backend, unused="ignore"))
    assert f(3, 4) == f(y=4, x=3) == 3
    with pytest.raises(sg.InputError, match="missing: y"):
        f(3)


def test_another_shared_variable_leaves_an_input_ignored():
    x, w, other = sg.scalar("x"), sg.shared(2.0, "w"), sg.shared(3.0, "other")
    f = sg.compile([x], w * 10, unused="ignore").copy(swap={w: other})
    assert f(1) == 30


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_may_be_needed_at_all(backend):
    x = sg.vector("x")
    for outputs, expected in ((None, None), ([], []), (sg.constant(2.0), 2.0)):
        f = sg.compile([x], outputs, backend=backend, unused="ignore")
        assert f([1, 2]) == expected


def test_a_computed_input_and_one_that_givens_replace():
    x, y = sg.vector("x"), sg.vector("y")
    square = x * x
    # What it is computed from is not needed any more.
    assert sg.compile([square, x], square + 1, unused="ignore")([2], [7]) == 3
    assert sg.compile([x, y], x + y, givens={y: x}, unused="ignore")([2], [7]) == 4
    assert sg.compile([x, sg.exp(y)], x, unused="ignore")([2], [7]) == 2


def test_by_default_it_is_an_error_that_says_how_to_ignore_it():
    x, y = sg.scalar("x"), sg.scalar("y")
    for options in ({}, {"unused": "raise"}):
        with pytest.raises(sg.InputError, match=r'the input y is not used(.|\n)*unused="ignore"'):
            sg.compile([x, y], x, **options)
    # The graph as it is built counts, and so do sizes.
    z = sg.vector("z")
    assert sg.compile([z, x], z.shape[0] + x * 0)([1, 2], 5) == 2


def test_a_missing_input_is_not_ignored():
    x, y = sg.scalar("x"), sg.scalar("y")
    with pytest.raises(sg.InputError, match=r"'y' .* is missing"):
        sg.compile([x], y, unused="ignore")


@pytest.mark.parametrize("word", ["warn", "", None, True, ["raise"]])
def test_another_word_is_an_error_that_lists_both(word):
    with pytest.raises(sg.SymgraphValueError, match="unused is 'raise' or 'ignore', not") as caught:
        sg.compile([], [], unused=word)
    assert __file__ in str(caught.value)
