"""Sizes as values, and sizes that have to agree."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.dims import Size, named_size
from symgraph.core.variable import ancestors
from symgraph.ops import sizes
from symgraph.ops.elementwise import ADD
from symgraph.ops.sizes import size_of
from symgraph.testing import evaluate

A, B = np.ones((2, 3), "float32"), np.full((2, 3), 2.0, "float32")


def names_of(variable) -> set[str]:
    return {v.op.name for v in ancestors([variable])}


def test_a_shape_is_ints_where_known_and_scalars_elsewhere() -> None:
    x = sg.tensor("x", ("T", 3))
    rows, columns = x.shape
    assert columns == 3
    assert rows.op.name == "size"
    assert rows.dtype == np.int64
    assert evaluate([rows, rows * 2 + 1], {x: A}) == [2, 5]


def test_arithmetic_on_sizes_keeps_what_is_known() -> None:
    x = sg.tensor("x", ("T", "B"))
    t, b = x.shape
    size_t, size_b = named_size("T"), named_size("B")
    assert size_of(t * b + 1) is size_t * size_b + 1
    assert size_of(t // 2) is size_t // 2
    assert size_of(sg.maximum(t, b) + sg.minimum(t, b)) is size_t + size_b
    assert size_of(sg.cast(t, "int32") - t + 4) == 4
    assert sg.zeros((t, b)).type is x.type


def test_a_size_that_depends_on_data_is_one_size() -> None:
    n = sg.scalar("n", "int64")
    x, y = sg.zeros((n,)), sg.ones((n,))
    assert x.type is y.type
    assert "check_size" not in names_of(x + y)


def test_a_long_chain_of_sizes_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Size] = []

    def rule(a: Size, b: Size) -> Size:
        asked.append(a)
        return a + b

    monkeypatch.setitem(sizes._rules, ADD, rule)
    n = sg.vector("x").shape[0]
    for _ in range(100):
        n = n + 1
        assert sg.zeros((n,)).type.shape == (size_of(n),)
    assert len(asked) <= 100


def test_names_that_differ_are_an_error_when_built() -> None:
    with pytest.raises(sg.ShapeError, match=r"'x'[\s\S]*'y'[\s\S]*test_sizes\.py"):
        sg.add(sg.tensor("x", ("T",)), sg.tensor("y", ("B",)))


def test_unknown_sizes_are_checked_at_the_call() -> None:
    x, y = sg.tensor("x", ("T", 3)), sg.tensor("y", (None, 3))
    total = x * y
    assert "check_size" in names_of(total)
    assert total.type is x.type
    assert evaluate(total, {x: A, y: B}).tolist() == (A * B).tolist()
    with pytest.raises(sg.CallError, match=r"multiply: axis 0[\s\S]*3[\s\S]*2"):
        evaluate(total, {x: A, y: np.ones((3, 3), "float32")})


def test_gradients_pass_through_the_check() -> None:
    x, y = sg.tensor("x", ("T", 3)), sg.tensor("y", (None, 3))
    gradients = sg.grad(sg.sum(sg.square(x * y)), [x, y])
    assert [g.type for g in gradients] == [x.type, y.type]
    by_x, by_y = evaluate(gradients, {x: A, y: B})
    np.testing.assert_array_equal(by_x, 2 * A * B * B)
    np.testing.assert_array_equal(by_y, 2 * A * A * B)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("in_loop", [False, True])
def test_slices_of_slices_compile_as_they_are_many(backend: str, in_loop: bool) -> None:
    x, ends = sg.vector("x"), [sg.scalar(f"n{k}", "int64") for k in range(30)]

    def first(x: sg.Variable) -> sg.Variable:
        for n in ends:
            x = x[:n]
        return x

    y = sg.scan(lambda row: first(x) * row, [x[:2]]) if in_loop else first(x)
    f = sg.compile([x, *ends], [y, sg.grad(sg.square(y).sum(), x)], backend=backend)
    rows = np.arange(1, 8, dtype="float32")
    found, slopes = f(rows, *[20 - k % 16 for k in range(30)])
    expected = np.outer(rows[:2], rows[:5]) if in_loop else rows[:5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    total = sum(np.square(rows[:2])) if in_loop else 1.0
    wanted = np.where(np.arange(7) < 5, 2 * rows * total, 0.0)
    if in_loop:
        wanted[:2] += 2 * rows[:2] * np.square(rows[:5]).sum()
    np.testing.assert_allclose(slopes, wanted, rtol=1e-5)
