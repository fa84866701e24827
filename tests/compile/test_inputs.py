"""The inputs of a function: their set, names, defaults and replacements."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg


def _two():
    x, y = sg.scalar("x"), sg.scalar("y")
    return x, y, x - y


def test_arguments_by_name_and_by_position():
    x, y, z = _two()
    f = sg.compile([x, y], z)
    assert f(5, 3) == f(5, y=3) == f(y=3, x=5) == 2


@pytest.mark.parametrize(
    ("arguments", "by_name", "message"),
    [
        ((1,), {}, "1 of 2 inputs are given; missing: y"),
        ((), {}, "0 of 2 inputs are given; missing: x .*, y "),
        ((1, 2, 3), {}, "3 arguments are given for 2 inputs"),
        ((1, 2), {"y": 3}, "'y' is given twice"),
        ((1,), {"z": 3}, "no input named 'z'"),
    ],
)
def test_wrong_sets_of_arguments(arguments, by_name, message):
    x, y, z = _two()
    f = sg.compile([x, y], z, name="minus")
    with pytest.raises(sg.InputError, match=f"minus: .*{message}") as caught:
        f(*arguments, **by_name)
    assert isinstance(caught.value, TypeError)
    assert __file__ in str(caught.value)


def test_two_inputs_of_one_name():
    a, b = sg.scalar("x"), sg.scalar("x")
    f = sg.compile([a, b], a - b)
    assert f(3, 1) == 2
    with pytest.raises(sg.InputError, match="2 inputs are named 'x'"):
        f(3, x=1)


def test_defaults():
    x, y, z = _two()
    f = sg.compile([x, sg.In(y, value=10)], z)
    assert f(1) == -9
    assert f(1, 2) == -1
    assert f(x=1, y=3) == -2
    g = sg.compile([sg.In(x, value=7), y], z)
    assert g(y=1) == 6
    assert g(5, 1) == 4
    with pytest.raises(sg.InputError, match="missing: y"):
        g(5)


def test_a_default_is_checked_and_copied():
    x = sg.tensor("x", (2,))
    value = np.ones(2, "float32")
    f = sg.compile([sg.In(x, value=value)], x)
    value[...] = 7
    np.testing.assert_array_equal(f(), [1, 1])
    f()[...] = 9
    np.testing.assert_array_equal(f(), [1, 1])
    i = sg.scalar("i", dtype="int64")
    with pytest.raises(sg.DtypeError, match="default value: i takes int64"):
        sg.compile([sg.In(i, value=0.5)], i)
    with pytest.raises(sg.ShapeError, match="default value"):
        sg.compile([sg.In(x, value=[[1.0]])], x)


def test_another_name_for_keyword_calls():
    x, y, z = _two()
    f = sg.compile([sg.In(x, name="left"), y], z)
    assert f(left=3, y=1) == 2


def test_a_missing_input_is_named_with_its_line_and_its_user():
    x, _, z = _two()
    with pytest.raises(sg.InputError) as caught:
        sg.compile([x], z)
    text = str(caught.value)
    assert "'y' float32[]" in text
    assert "missing" in text
    assert "subtract" in text
    assert text.count(__file__) >= 2  # where y was made, and where compile was called


def test_an_unused_input_is_refused():
    x, y, _ = _two()
    with pytest.raises(sg.InputError, match="the input y is not used"):
        sg.compile([x, y], x)


def test_an_input_of_which_a_size_is_used_is_used():
    x, y = sg.vector("x"), sg.vector("y")
    f = sg.compile([x, y], sg.zeros(x.shape) + y.shape[0])
    np.testing.assert_array_equal(f([1, 2], [1, 2, 3]), [3, 3])
    # Rewriting may find that the value does not matter; the graph as built counts.
    g = sg.compile([x], x * 0 + 1)
    np.testing.assert_array_equal(g([5]), [1])


def test_an_input_used_by_an_update_alone_is_used():
    x, total = sg.scalar("x"), sg.shared(0.0, "total")
    f = sg.compile([x], None, updates={total: total + x})
    f(2)
    f(3)
    assert total.get_value() == 5


@pytest.mark.parametrize("make", [lambda x: [x, x], lambda x: [x, sg.In(x, value=1)]])
def test_an_input_given_twice_is_refused(make):
    x = sg.scalar("x")
    with pytest.raises(sg.InputError, match=r"'x' .*given twice"):
        sg.compile(make(x), x)


def test_what_cannot_be_an_input():
    x, w = sg.scalar("x"), sg.shared(1.0, "w")
    with pytest.raises(sg.InputError, match=r"(?s)'w' .* cannot be an input.*givens"):
        sg.compile([w], w)
    with pytest.raises(sg.InputError, match="cannot be an input"):
        sg.compile([sg.constant(1.0)], x)
    with pytest.raises(sg.InputError, match="inputs are a list"):
        sg.compile(x, x)
    with pytest.raises(sg.InputError, match="an input is a variable"):
        sg.compile(["x"], x)
    with pytest.raises(sg.SymgraphTypeError, match="In takes a variable"):
        sg.In("x", value=3)


# --- givens -------------------------------------------------------------------------------------


def test_givens_replace_inputs_shared_variables_and_inner_ones():
    x, y, z = _two()
    w = sg.shared(2.0, "w")
    assert sg.compile([x], z, givens={y: x * 3})(1) == -2
    assert sg.compile([x], z, givens=[(y, 10)])(1) == -9
    assert sg.compile([x], x * w, givens={w: x})(3) == 9
    square = x * x
    assert sg.compile([y], square + 1, givens={square: y})(4) == 5


def test_givens_are_simultaneous():
    x, y, z = _two()
    assert sg.compile([x, y], z, givens={x: y, y: x})(5, 3) == -2


def test_givens_reach_updates():
    x, y, _ = _two()
    w = sg.shared(0.0, "w")
    sg.compile([y], None, updates={w: w + x}, givens={x: y * 2})(3)
    assert w.get_value() == 6


def test_givens_of_another_dtype_or_rank_are_refused():
    x, y, z = _two()
    with pytest.raises(sg.DtypeError):
        sg.compile([x], z, givens={y: sg.constant(1.0, "float64")})
    with pytest.raises(sg.ShapeError):
        sg.compile([x], z, givens={y: np.ones(3, "float32")})
    with pytest.raises(sg.SymgraphTypeError, match="givens"):
        sg.compile([x], z, givens={"y": 1})
    with pytest.raises(sg.SymgraphTypeError, match="givens are a dict"):
        sg.compile([x], z, givens=3)
    with pytest.raises(sg.SymgraphValueError, match="twice"):
        sg.compile([x], z, givens=[(y, 1.0), (y, 2.0)])


def test_a_replaced_input_is_unused():
    x, y, z = _two()
    with pytest.raises(sg.InputError, match="the input y is not used"):
        sg.compile([x, y], z, givens={y: 1.0})
