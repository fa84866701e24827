"""``variable.eval``: values for a quick look."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import symgraph as sg


def test_eval_with_and_without_inputs():
    x = sg.vector("x")
    w = sg.shared(2.0, "w")
    y = x * w
    np.testing.assert_array_equal(y.eval({x: [1, 2]}), [2, 4])
    w.set_value(3.0)
    np.testing.assert_array_equal(y.eval({x: [1, 2]}), [3, 6])
    assert type(w.eval()) is np.float32
    assert sg.constant(2).eval() == 2
    inner = sg.exp(x)
    np.testing.assert_array_equal((inner + 1).eval({inner: [1]}), [2])
    np.testing.assert_array_equal(x.eval({x: [5]}), [5])


def test_eval_advances_what_advances_by_itself():
    counter = sg.shared(np.int64(0), "counter")
    counter.default_update = counter + 1
    doubled = counter * 2
    assert [doubled.eval(), doubled.eval()] == [0, 2]


def test_eval_says_what_is_wrong():
    x, y = sg.vector("x"), sg.vector("y")
    with pytest.raises(sg.InputError, match=r"'x' .*missing"):
        (x * 2).eval()
    with pytest.raises(sg.InputError, match="not used"):
        (x * 2).eval({x: [1], y: [1]})
    with pytest.raises(sg.ShapeError, match="x is"):
        (x * 2).eval({x: 1})
    with pytest.raises(sg.SymgraphTypeError, match="eval takes a dict"):
        x.eval([1])
    with pytest.raises(sg.SymgraphTypeError, match="eval takes a dict"):
        x.eval({"x": [1]})


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x * 3 + 1,
        lambda x: x,
        lambda x: sg.constant(5.5),
        lambda x: sg.shared(np.ones(3), "w"),
        lambda x: x * sg.shared(2.0),
    ],
)
def test_what_is_kept_for_a_variable_goes_with_it(build):
    x = sg.vector("x")
    y = build(x)
    for _ in range(2):
        y.eval({x: [1]} if y is x or y.inputs else {})
    alive = weakref.ref(y)
    del x, y
    gc.collect()
    assert alive() is None


def test_eval_that_fails_names_the_inputs_and_the_line():
    x = sg.vector("x")
    y = x.max()
    np.testing.assert_array_equal(y.eval({x: [1, 2]}), 2)
    for _ in range(2):
        with pytest.raises(sg.CallError, match=r"'x' float32\[0\](.|\n)*test_evaluate.py:"):
            y.eval({x: []})
