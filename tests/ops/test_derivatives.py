"""Derivatives where numbers are tiny, huge, or at the ends of a domain, against mpmath.

Right to a few units of the last place times the condition of the derivative, or 0 or infinite where
it leaves the dtype; compiled with all rewrites, on both backends.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from derivative_table import PLAIN, SLOPES, Slope

import symgraph as sg
from symgraph.core.op import OPS

DTYPES = ("float32", "float64")
BACKENDS = ("numpy", "native")
TINY_STEP = mp.mpf(10) ** -30


def test_every_op_with_derivatives_has_a_row() -> None:
    differentiable = {op.name for op in OPS.values() if op.vjp is not None}
    steps = {op.name for op in OPS.values() if "step" in op.traits}
    rows = {row.op for row in SLOPES} | set(REDUCTIONS)
    assert differentiable - steps - rows - PLAIN == set()
    assert (rows | PLAIN) <= set(OPS)


# --- points -------------------------------------------------------------------------------------

SMALL = {
    "float32": [1e-45, 1e-40, 1e-38, 1e-30, 1e-22, 1e-12],
    "float64": [5e-324, 1e-310, 1e-307, 1e-300, 1e-160, 1e-100, 1e-22],
}
LARGE = {
    "float32": [60.0, 86.0, 88.0, 1e12, 2e19, 1e22, 1e30, 1e38, 3.4e38],
    "float64": [60.0, 100.0, 700.0, 709.0, 1e22, 1e100, 1e150, 1e160, 1e300, 1.7e308],
}
MIDDLE = [1e-8, 1e-4, 0.3, 0.5, 1.0, 1.5, 2.5, 3.0, 20.0, 1e3, 1e4]


def points(dtype: str) -> np.ndarray:
    """Positive and negative numbers of every size, and those next to one."""
    eps = float(np.finfo(dtype).eps)
    near = [1 - eps / 2, 1 - 1e-4, 1 - 1e-6, 1 + eps, 1 + 1e-6, 1 + 1e-4]
    sizes = [*SMALL[dtype], *MIDDLE, *near, *LARGE[dtype]]
    return np.unique(np.array([0.0, *sizes, *(-size for size in sizes)], dtype))


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of some numbers of every size."""
    sizes = [*SMALL[dtype][1::2], 1e-4, 0.3, 1.0, 2.5, 20.0, 1e3, *LARGE[dtype][1::2]]
    values = np.array([*sizes, *(-size for size in sizes)], dtype)
    first, second = np.meshgrid(values, values)
    return first.ravel(), second.ravel()


# --- what is found ------------------------------------------------------------------------------


@functools.cache
def found(count: int, dtype: str, backend: str) -> dict[Slope, list[list[np.ndarray]]]:
    """First and second derivatives of all rows of so many operands, by one compiled function."""
    rows = [row for row in SLOPES if len(row.first) == count]
    arrays = pairs(dtype) if count == 2 else (points(dtype),)
    inputs = [sg.tensor(None, ("n",), dtype) for _ in arrays]
    outputs: list[Any] = []
    for row in rows:
        first = sg.grad(sg.sum(row.call(*inputs)), inputs, disconnected="zero")
        outputs += first
        if row.second:
            for i, slope in enumerate(first):
                outputs += sg.grad(sg.sum(slope), inputs[i:], disconnected="zero")
    with np.errstate(all="ignore"):
        results = iter(sg.compile(inputs, outputs, backend=backend)(*arrays))
    return {
        row: [list(itertools.islice(results, len(part))) for part in (row.first, row.second)]
        for row in rows
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", SLOPES, ids=str)
def test_derivatives_at_the_extremes(row: Slope, dtype: str) -> None:
    count = len(row.first)
    arrays = pairs(dtype) if count == 2 else (points(dtype),)
    both = [found(count, dtype, backend)[row] for backend in BACKENDS]
    for order, functions in enumerate((row.first, row.second)):
        for i, function in enumerate(functions):
            for at, operands in enumerate(zip(*arrays, strict=True)):
                exact = [mp.mpf(float(number)) for number in operands]
                if not is_inside(row, exact, dtype):
                    continue
                value, allowed = expected(function, exact, dtype, order, row.absolute[order])
                for backend, results in zip(BACKENDS, both, strict=True):
                    result = results[order][i][at]
                    assert result == value or abs(result - value) <= allowed, (
                        f"{backend}: {result!r} for {value!r} at {operands}, order {order + 1}"
                    )


def is_inside(row: Slope, operands: Sequence[Any], dtype: str) -> bool:
    """Whether the function has derivatives there, and a value that is not too large."""
    if not row.inside(*operands):
        return False
    return row.value is None or abs(row.value(*operands)) <= float(np.finfo(dtype).max)


def expected(
    function: Any, operands: Sequence[Any], dtype: str, order: int, absolute: float
) -> tuple[float, float]:
    """A derivative rounded to the dtype, and the error that is allowed."""
    info = np.finfo(dtype)
    with mp.workdps(60):
        exact = function(*operands)
        condition = mp.mpf(1)
        for i, operand in enumerate(operands):
            moved = [*operands[:i], operand * (1 + TINY_STEP), *operands[i + 1 :]]
            if exact:
                condition += abs((function(*moved) - exact) / exact) / TINY_STEP
        with np.errstate(all="ignore"):
            value = float(info.dtype.type(rounded(exact)))
        units = (16, 64)[order]
        relative = float(min(units * float(info.eps) * condition, mp.mpf(1)))
    if np.isinf(value):
        return value, 0.0
    # Results below the normal numbers may be given as 0.
    return value, relative * abs(value) + absolute * float(info.eps) + 2 * float(info.tiny)


def rounded(exact: Any) -> float:
    """The number as a float64, infinite where it is too large."""
    try:
        return float(exact)
    except OverflowError:
        return float(mp.sign(exact)) * np.inf


# --- over axes ----------------------------------------------------------------------------------


def shares(x: Sequence[Any]) -> list[Any]:
    weights = [mp.exp(v - max(x)) for v in x]
    return [w / mp.fsum(weights) for w in weights]


def of_softmax(x: Sequence[Any], w: Sequence[Any]) -> list[Any]:
    p = shares(x)
    average = mp.fdot(p, w)
    return [share * (weight - average) for share, weight in zip(p, w, strict=True)]


def of_log_softmax(x: Sequence[Any], w: Sequence[Any]) -> list[Any]:
    return [weight - mp.fsum(w) * share for share, weight in zip(shares(x), w, strict=True)]


def centred(x: Sequence[Any]) -> list[Any]:
    mean = mp.fsum(x) / len(x)
    return [v - mean for v in x]


def of_std(x: Sequence[Any], w: Sequence[Any]) -> list[Any]:
    parts = centred(x)
    std = mp.sqrt(mp.fdot(parts, parts) / len(x))
    return [part / (len(x) * std) for part in parts]


# By op: a function of one vector (weighted, where it gives one), and its gradient.
REDUCTIONS: dict[str, Any] = {
    "logsumexp": (lambda x, w: sg.logsumexp(x), lambda x, w: shares(x)),
    "softmax": (lambda x, w: sg.sum(sg.softmax(x) * w), of_softmax),
    "log_softmax": (lambda x, w: sg.sum(sg.log_softmax(x) * w), of_log_softmax),
}
STATISTICS: dict[str, Any] = {
    "var": (lambda x, w: sg.var(x), lambda x, w: [2 * part / len(x) for part in centred(x)]),
    "std": (lambda x, w: sg.std(x), of_std),
    "norm": (
        lambda x, w: sg.sqrt(sg.sum(x**2)),
        lambda x, w: [v / mp.sqrt(mp.fdot(x, x)) for v in x],
    ),
    "prod": (
        lambda x, w: sg.prod(x),
        lambda x, w: [mp.fprod(v for k, v in enumerate(x) if k != i) for i in range(len(x))],
    ),
    "gradient of logsumexp": (
        lambda x, w: sg.sum(sg.grad(sg.logsumexp(x), x) * w),
        of_softmax,
    ),
}
BALANCED = ("softmax", "log_softmax", "gradient of logsumexp")
OFFSETS = [0.0, 1.0, -30.0, 1e4, -1e4, 1e6]
WEIGHTS = [0.5, -1.25, 2.0, 1.0]
VECTOR = [0.5, -1.0, 2.0, 0.25]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*REDUCTIONS, *STATISTICS])
def test_gradients_of_reductions_at_the_extremes(name: str, dtype: str, backend: str) -> None:
    call, gradient = {**REDUCTIONS, **STATISTICS}[name]
    x, w = sg.tensor("x", (4,), dtype), sg.constant(np.array(WEIGHTS, dtype))
    f = sg.compile([x], sg.grad(call(x, w), x), backend=backend)
    eps = float(np.finfo(dtype).eps)
    for vector in vectors(name, dtype):
        with mp.workdps(60):
            exact = gradient([mp.mpf(float(v)) for v in vector], [mp.mpf(v) for v in WEIGHTS])
        wanted = np.array([float(v) for v in exact])
        # Where weights are balanced against their average only their own digits are left.
        largest = max(WEIGHTS) if name in BALANCED else np.abs(wanted).max()
        np.testing.assert_allclose(
            f(vector), wanted, rtol=32 * eps, atol=4 * eps * largest, err_msg=f"at {vector}"
        )


def vectors(name: str, dtype: str) -> list[np.ndarray]:
    """Vectors far from zero for what depends on differences alone, else of every size."""
    base = np.array(VECTOR)
    if name in REDUCTIONS or "logsumexp" in name:
        spread = [base * size for size in (1e3, 30.0, 1e-6)]
        return [np.array(v, dtype) for v in [*(base + offset for offset in OFFSETS), *spread]]
    ends = {"float32": (1e-9, 1e9), "float64": (1e-75, 1e75)}[dtype]
    return [np.array(base * size, dtype) for size in (1.0, 1e-5, 1e5, *ends)]
