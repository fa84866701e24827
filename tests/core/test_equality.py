"""``==`` on variables tells whether they are one; beside a value it is an error, and no False."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg

x, y = sg.vector("x"), sg.vector("y")
w = sg.shared(np.zeros(2, "float32"), name="w")


def test_variables_are_equal_to_themselves_alone() -> None:
    assert x == x + 0 * 0 or x == x
    assert x != y
    assert {x: 1, y: 2, w: 3}[w] == 3
    assert [y, w, x].index(x) == 2
    assert x in (None, "a", x)
    assert x not in (None, "a", y)
    assert x != None  # noqa: E711
    assert x != "x"
    assert x != object()
    assert x != {}
    assert x * 2 == x * 2  # one node


def test_records_of_variables_compare() -> None:
    @dataclass(frozen=True)
    class Pair:
        first: Any
        second: Any

    assert Pair(x, y) == Pair(x, y)
    assert Pair(x, y) != Pair(x, None)
    assert (x, 1) == (x, 1)


@pytest.mark.parametrize(
    "compare",
    [
        lambda v: v == 0,
        lambda v: v != 0,
        lambda v: v == 0.5,
        lambda v: v == True,  # noqa: E712
        lambda v: v == 1j,
        lambda v: v == np.float32(1),
        lambda v: v == np.zeros(2),
        lambda v: v == np.array(1),
        lambda v: v == [0, 1],
        lambda v: v == (0, 1),
        lambda v: v in [0, 1],
        lambda v: 0 in v.shape,
        lambda v: v.shape == (2,),
    ],
)
@pytest.mark.parametrize("variable", [x, x * 2, sg.vector("v", "int64")])
def test_a_comparison_with_a_value_is_an_error(
    compare: Callable[[Any], Any], variable: sg.Variable
) -> None:
    with pytest.raises(sg.SymbolicValueError, match=r"sg\.eq\(x, value\) and sg\.ne") as caught:
        compare(variable)
    assert "test_equality.py" in str(caught.value)


def test_numpy_compares_elements() -> None:
    for equal in (np.zeros(2, "float32") == x, np.equal(x, 0)):
        assert equal.eval({x: [0.0, 1.0]}).tolist() == [True, False]


@pytest.mark.parametrize("plain", [True, False, np.bool_(True), x is y])
def test_a_plain_bool_is_no_condition(plain: Any) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: sg.where(plain, x, y),
        lambda: np.where(plain, x, y),
        lambda: sg.ifelse(plain, x, y),
        lambda: sg.until(plain),
        lambda: sg.scan(lambda a, h: (h + a, sg.until(plain)), x, 0.0),
    ]
    for use in uses:
        with pytest.raises(sg.SymgraphTypeError, match=r"plain bool[\s\S]*sg\.eq"):
            use()
    assert sg.where([True, False], 1.0, x).eval({x: [2.0, 3.0]}).tolist() == [1.0, 3.0]
    assert sg.where(np.array(True), 1.0, x).eval({x: [2.0]}).tolist() == [1.0]
