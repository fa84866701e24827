"""Errors name the user's variables and line."""

from __future__ import annotations

import re

import numpy as np
import pytest

import symgraph as sg

HERE = re.escape(__file__) + r":\d+"


@pytest.mark.parametrize(
    "make",
    [
        lambda: sg.tensor("x", (2,), "complex64"),
        lambda: sg.tensor("x", (-1,)),
        lambda: sg.tensor("x", (1.5,)),
        lambda: sg.tensor("x", ("two words",)),
        lambda: sg.constant("text"),
        lambda: sg.shared(None),
        lambda: sg.vector("x").astype("foo"),
        lambda: sg.broadcast_to(sg.matrix("x"), 3),
        lambda: sg.take_along_axis(sg.vector("x"), sg.vector("i")),
        lambda: sg.concatenate(np.array(1.0)),
        lambda: sg.last_value("x", 0.0),
        lambda: sg.linspace([0, 0], [1, 2]),
        lambda: sg.roll([1, 2, 3], "one"),
        lambda: sg.round([1.5], -(10**30)) and sg.sum([1.5], keepdims=[1]),
        lambda: sg.grad((stopped := sg.vector("x") * 2).sum(), sg.vector("y"), stop=[stopped]),
    ],
)
def test_wrong_types_and_shapes_come_with_the_line(make):
    with pytest.raises(sg.SymgraphError, match=HERE):
        make()


def test_a_gradient_that_is_stopped_comes_with_the_line():
    x = sg.vector("x")
    y = x * 2
    with pytest.raises(sg.DisconnectedError, match=HERE):
        sg.grad(y.sum(), x, stop=[y])


def test_results_without_names_are_told_by_what_they_are_made_of():
    x = sg.tensor("x", ("B", 3))
    with pytest.raises(sg.ShapeError, match="from 'x'"):
        sg.exp(x) + np.ones(4)
    a, b = sg.vector("a"), sg.vector("b")
    with pytest.raises(sg.SymgraphError, match=r"from 'b'.*from 'a'"):
        sg.compile([a, b], sg.dot(a[1:], b[1:]))([1, 1], [1, 2, 3])


def test_no_more_names_than_a_reader_takes_in():
    total = sum((sg.scalar(f"x{i}") for i in range(9)), sg.scalar("x"))
    with pytest.raises(sg.ShapeError) as caught:
        sg.transpose(sg.exp(total), (0, 1))
    assert len(re.findall(r"'x\d*'", str(caught.value))) <= 3


@pytest.mark.parametrize("replacements", [None, [], "x", 3])
def test_substitute_takes_a_dict(replacements):
    with pytest.raises(sg.SymgraphTypeError, match=HERE):
        sg.substitute(sg.vector("x"), replacements)


@pytest.mark.parametrize("outputs", [{}, 3, [1], "x"])
def test_substitute_takes_variables(outputs):
    with pytest.raises(sg.SymgraphTypeError, match=HERE):
        sg.substitute(outputs, {sg.vector("x"): sg.vector("y")})


def test_a_ragged_value_for_a_shared_variable_changes_nothing():
    w = sg.shared(np.ones(2), "w")
    with pytest.raises(sg.UpdateError, match="'w'"):
        w.set_value([[1], [1, 2]])
    np.testing.assert_array_equal(w.get_value(), 1)
