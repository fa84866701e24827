"""`associative_scan` of stacks of small matrices, whose elements are rows: against NumPy loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import is_scan
from symgraph.testing import check_gradient

BACKENDS = ("native", "numpy")


def after(first: Any, second: Any) -> Any:
    """Of ``h -> A @ h + b`` one after the other."""
    return second[0] @ first[0], (second[0] @ first[1][..., None])[..., 0] + second[1]


def after_of_columns(first: Any, second: Any) -> Any:
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def apart(first: Any, second: Any) -> Any:
    """Products of two kinds of matrices, the second ones turned around."""
    return first[0] @ second[0], second[1] @ first[1] * 1.0


CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "products of 2 by 2": (lambda a, b: a @ b, [(2, 2)]),
    "products of 3 by 3": (lambda a, b: b @ a, [(3, 3)]),
    "products of 4 by 4": (lambda a, b: a @ b, [(4, 4)]),
    "recurrences of vectors": (after, [(2, 2), (2,)]),
    "recurrences of columns": (after_of_columns, [(3, 3), (3, 2)]),
    "two kinds": (apart, [(2, 2), (3, 3)]),
}


def running(op: Callable[..., Any], inputs: Sequence[sg.Variable]) -> list[sg.Variable]:
    results = sg.associative_scan(op, list(inputs))
    return list(results) if len(inputs) > 1 else [results]


def loop(op: Callable[..., Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    results = [x.copy() for x in arrays]
    for t in range(1, len(arrays[0])):
        before, row = tuple(x[t - 1] for x in results), tuple(x[t] for x in arrays)
        values = op(before, row) if len(arrays) > 1 else (op(before[0], row[0]),)
        for x, value in zip(results, values, strict=True):
            x[t] = value
    return results


def drawn(shapes: Sequence[tuple[int, ...]], n: int, stack: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(n)
    return [0.6 * generator.normal(size=(n, *stack, *shape)) for shape in shapes]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stack", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("case", CASES)
def test_results_are_those_of_a_loop(case: str, stack: tuple[int, ...], backend: str) -> None:
    op, shapes = CASES[case]
    for axes in (stack, (None,) * len(stack)):
        inputs = [sg.tensor(f"x{i}", ("T", *axes, *s), "float64") for i, s in enumerate(shapes)]
        f = sg.compile(inputs, running(op, inputs), backend=backend)
        for n in (0, 1, 2, 37):
            arrays = drawn(shapes, n, stack)
            for found, right in zip(f(*arrays), loop(op, arrays), strict=True):
                np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_differences(case: str, backend: str) -> None:
    op, shapes = CASES[case]

    def cost(*inputs: sg.Variable) -> sg.Variable:
        return sum(sg.sin(x).sum() for x in running(op, inputs))  # type: ignore[return-value]

    check_gradient(cost, *drawn(shapes, 4, (2,)), backend=backend)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_elements_of_small_matrices_are_rows(size: int) -> None:
    x = sg.tensor("x", ("T", "B", size, size))
    bodies = [v.params[0] for v in sg.ancestors(sg.associative_scan(sg.matmul, x)) if is_scan(v)]
    has_products = any(v.op.name == "matmul" for body in bodies for v in body.nodes)
    assert has_products == (size > 3)


def test_what_is_done_to_the_stack_stays_with_the_stack() -> None:
    x = sg.tensor("x", ("T", 4, 2, 2), "float64")
    array = drawn([(2, 2)], 20, (4,))[0]

    def turned(a: Any, b: Any) -> Any:  # op is associative: a product of block matrices, as it were
        return (a[::-1] @ b[::-1])[::-1]

    found = sg.associative_scan(turned, x).eval({x: array})
    np.testing.assert_allclose(found, loop(lambda a, b: a @ b, [array])[0], rtol=1e-9)


def test_integers_are_exact_and_sizes_have_to_fit() -> None:
    x = sg.tensor("x", ("T", None, 2, 2), "int32")
    array = np.random.default_rng(0).integers(-1, 2, (30, 3, 2, 2)).astype("int32")
    found = sg.associative_scan(lambda a, b: a @ b, x).eval({x: array})
    np.testing.assert_array_equal(found, loop(lambda a, b: a @ b, [array])[0])
    a, b = sg.tensor("a", ("T", None, 2, 2)), sg.tensor("b", ("T", None, 2))
    f = sg.compile([a, b], sg.associative_scan(after, [a, b]))
    with pytest.raises(sg.CallError):
        f(np.ones((4, 3, 2, 2)), np.ones((4, 5, 2)))
