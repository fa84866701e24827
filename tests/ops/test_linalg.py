"""Products against NumPy, for shapes and subscripts of any kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.variable import ancestors
from symgraph.testing import check_gradient, check_op, evaluate


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@st.composite
def matmul_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    size = st.integers(0, 3)
    inner = draw(size)
    stack = draw(st.lists(st.integers(1, 3), max_size=2))
    shapes = []
    for core in ((draw(size), inner), (inner, draw(size))):
        own = [draw(st.sampled_from([n, 1])) for n in stack]
        shapes.append((*own[draw(st.integers(0, len(own))) :], *core))
    if draw(st.booleans()):
        shapes[0] = (inner,)
    if draw(st.booleans()):
        shapes[1] = (inner,)
    return shapes[0], shapes[1]


@settings(max_examples=80, deadline=None)
@given(matmul_shapes())
def test_matmul_of_any_shapes(shapes: tuple) -> None:
    x, y = (numbers(*shape) for shape in shapes)
    (found,) = check_op(sg.matmul, x, y)
    np.testing.assert_allclose(found, x @ y, rtol=1e-12, atol=1e-12)
    check_gradient(sg.matmul, x, y, order=1)


@st.composite
def subscripts(draw: st.DrawFn) -> tuple[str, list[np.ndarray]]:
    sizes = {label: draw(st.integers(1, 3)) for label in "abcd"}
    operands, texts = [], []
    for _ in range(draw(st.integers(1, 3))):
        labels = draw(st.lists(st.sampled_from("abcd"), max_size=3))
        dots = draw(st.lists(st.just(2), max_size=1))
        operands.append(numbers(*dots, *(sizes[v] for v in labels)))
        texts.append("..." * bool(dots) + "".join(labels))
    every = sorted({v for text in texts for v in text.replace("...", "")})
    text = ",".join(texts)
    if draw(st.booleans()):
        kept = draw(st.permutations(every))[: draw(st.integers(0, len(every)))]
        text += "->" + "..." * ("..." in text) + "".join(kept)
    return text, operands


@settings(max_examples=150, deadline=None)
@given(subscripts())
def test_einsum_of_any_subscripts(case: tuple) -> None:
    text, operands = case
    (found,) = check_op(lambda *x: sg.einsum(text, *x), *operands)
    expected = np.einsum(text, *operands)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    check_gradient(lambda *x: sg.einsum(text, *x), *operands, order=1)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("ij,jk->il", [(2, 3), (3, 4)]),
        ("ij,jk->iik", [(2, 3), (3, 4)]),
        ("ij->i", [(2, 3), (3, 4)]),
        ("ijk->i", [(2, 3)]),
        ("i1->i", [(2, 3)]),
        ("...i->i", [(2, 3)]),
        ("ii->i", [(2, 3)]),
        ("ij,jk->ik", [(2, 3), (4, 5)]),
    ],
)
def test_bad_subscripts(text: str, shapes: list) -> None:
    with pytest.raises(sg.SymgraphValueError):
        sg.einsum(text, *(sg.tensor(None, shape) for shape in shapes))


def test_the_gradient_of_a_product_is_made_of_products() -> None:
    x, w = sg.tensor("x", ("T", "B", 4)), sg.tensor("w", (4, 5))
    cost = (x @ w).sum()
    by_x, by_w = sg.grad(cost, [x, w])
    graph = Graph([x, w], [by_x, by_w])
    products = [v for v in graph.nodes if v.op.name == "matmul"]
    assert by_x.type is x.type
    assert by_w.type is w.type
    # By w: one product over all T * B rows, not a sum of T products.
    assert [v.ndim for v in products if v.type is w.type] == [2]
    assert not any(v.op.name == "sum" for v in graph.nodes)


def test_names_that_do_not_meet() -> None:
    with pytest.raises(sg.ShapeError, match="'w'"):
        sg.tensor("x", ("T", "N")) @ sg.tensor("w", ("M", 5))
    with pytest.raises(sg.ShapeError):
        sg.tensor("x", (3, 4)) @ sg.tensor("w", (5, 4))
    with pytest.raises(sg.ShapeError, match=r"\*"):
        sg.tensor("x", (3, 4)) @ sg.scalar("a")


def test_unknown_sizes_are_checked_at_the_call() -> None:
    x, w = sg.tensor("x", ("T", None)), sg.tensor("w", (None, 5))
    product = x @ w
    assert any(v.op.name == "check_size" for v in ancestors([product]))
    np.testing.assert_allclose(evaluate(product, {x: np.ones((2, 3)), w: np.ones((3, 5))}), 3)
    with pytest.raises(sg.CallError, match="matmul"):
        evaluate(product, {x: np.ones((2, 3)), w: np.ones((4, 5))})


def test_dtypes_are_numpys() -> None:
    for a in ("bool", "int8", "uint8", "int32", "float32", "float64"):
        for b in ("int8", "int64", "float32"):
            x, y = sg.tensor(None, (2, 3), a), sg.tensor(None, (3, 2), b)
            assert (x @ y).dtype == (np.ones((2, 3), a) @ np.ones((3, 2), b)).dtype


def test_small_integers_wrap() -> None:
    x = np.full((2, 2), 100, np.int8)
    (found,) = check_op(sg.matmul, x, x)
    np.testing.assert_array_equal(found, x @ x)
