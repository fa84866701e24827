"""A zero among derivatives stays zero, whatever lies between a mask and an infinite derivative.

The first two of six elements are where the derivative of the op is infinite or NaN; something
masks them, or does not read them. The other four are smooth, and held against differences of the
same function by NumPy and SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

import symgraph as sg

inf, nan = np.inf, np.nan
ABOVE_0, BELOW_1, ABOVE_1 = [0.5, 0.8, 1.7, 2.3], [0.3, -0.4, 0.7, -0.6], [1.5, 1.9, 2.5, 3.0]
READ = np.array([False, False, True, True, True, True])
WEIGHTS = np.array([0.9, 1.1, 1.3, 0.7, -0.4, 2.1])
TANGENT = np.array([0.3, -1.2, 0.8, 0.5, -0.7, 1.9])


class Case(NamedTuple):
    """A function of symgraph, the same by NumPy, two points of trouble, and four smooth ones."""

    function: Callable[..., Any]
    reference: Callable[..., Any]
    trouble: list[float]
    smooth: list[float]


def same(function: Callable[..., Any], trouble: list[float], smooth: list[float]) -> Case:
    return Case(function, function, trouble, smooth)


def named(name: str, trouble: list[float], smooth: list[float]) -> Case:
    return Case(getattr(sg, name), getattr(np, name), trouble, smooth)


CASES = {
    "sqrt": named("sqrt", [0.0, -1.0], ABOVE_0),
    "log": named("log", [0.0, -1.0], ABOVE_0),
    "log2": named("log2", [0.0, -1.0], ABOVE_0),
    "log10": named("log10", [0.0, -1.0], ABOVE_0),
    "log1p": named("log1p", [-1.0, -2.0], BELOW_1),
    "reciprocal": named("reciprocal", [0.0, nan], ABOVE_0),
    "quotient": same(lambda x: x / (1 + x), [-1.0, inf], ABOVE_0),
    "quotient of zeros": same(lambda x: x / x**2, [0.0, inf], ABOVE_0),
    "remainder": Case(lambda x: sg.mod(3.1, x), lambda x: np.mod(3.1, x), [0.0, nan], ABOVE_1),
    "half power": same(lambda x: x**0.5, [0.0, -1.0], ABOVE_0),
    "cubic root": same(lambda x: x ** (1 / 3), [0.0, -1.0], ABOVE_0),
    "negative power": same(lambda x: x**-1.5, [0.0, -1.0], ABOVE_0),
    "x ** x": same(lambda x: x**x, [0.0, -1.0], ABOVE_0),
    "2 ** x": same(lambda x: 2.0**x, [5000.0, nan], BELOW_1),
    "square": same(lambda x: x**2, [inf, nan], BELOW_1),
    "product": same(lambda x: x * x * x, [inf, nan], BELOW_1),
    "x log x": Case(lambda x: x * sg.log(x), lambda x: x * np.log(x), [0.0, -1.0], ABOVE_0),
    "log sqrt": Case(lambda x: sg.log(sg.sqrt(x)), lambda x: np.log(x) / 2, [0.0, -1.0], ABOVE_0),
    "circle": Case(lambda x: sg.sqrt(1 - x**2), lambda x: np.sqrt(1 - x**2), [1.0, -1.0], BELOW_1),
    "exp": named("exp", [1000.0, nan], BELOW_1),
    "expm1": named("expm1", [1000.0, nan], BELOW_1),
    "exp2": named("exp2", [2000.0, nan], BELOW_1),
    "sinh": named("sinh", [1000.0, nan], BELOW_1),
    "cosh": named("cosh", [1000.0, nan], BELOW_1),
    "sin": named("sin", [inf, nan], BELOW_1),
    "cos": named("cos", [inf, nan], BELOW_1),
    "tan": named("tan", [inf, nan], BELOW_1),
    "tanh": named("tanh", [inf, nan], BELOW_1),
    "arcsin": named("arcsin", [1.0, 2.0], BELOW_1),
    "arccos": named("arccos", [-1.0, 2.0], BELOW_1),
    "arctan": named("arctan", [inf, nan], BELOW_1),
    "arcsinh": named("arcsinh", [inf, nan], BELOW_1),
    "arccosh": named("arccosh", [1.0, 0.0], ABOVE_1),
    "arctanh": named("arctanh", [1.0, -1.0], BELOW_1),
    "absolute": named("absolute", [inf, nan], ABOVE_0),
    "sigmoid": Case(sg.sigmoid, special.expit, [inf, nan], BELOW_1),
    "softplus": Case(sg.softplus, lambda x: np.log1p(np.exp(x)), [inf, nan], BELOW_1),
    "silu": Case(sg.silu, lambda x: x * special.expit(x), [-inf, nan], BELOW_1),
    "gelu": Case(sg.gelu, lambda x: x * special.ndtr(x), [-inf, nan], BELOW_1),
    "erf": Case(sg.erf, special.erf, [inf, nan], BELOW_1),
    "erfinv": Case(sg.erfinv, special.erfinv, [1.0, -1.0], BELOW_1),
    "gammaln": Case(sg.gammaln, special.gammaln, [0.0, -1.0], ABOVE_0),
    "digamma": Case(sg.digamma, special.digamma, [0.0, -1.0], ABOVE_0),
    "hypot": Case(
        lambda x: sg.hypot(x, 0.3 * x), lambda x: np.hypot(x, 0.3 * x), [0.0, inf], ABOVE_0
    ),
    "arctan2": Case(
        lambda x: sg.arctan2(x, x * x), lambda x: np.arctan2(x, x * x), [0.0, inf], ABOVE_0
    ),
    "logaddexp": Case(
        lambda x: sg.logaddexp(x, -x * x), lambda x: np.logaddexp(x, -x * x), [inf, nan], ABOVE_0
    ),
}


def kept(y: sg.Variable, holds: Any = READ) -> sg.Variable:
    return sg.where(holds, y, 0.0)


def pair(x: Any) -> sg.Variable:
    return sg.concatenate([x, x])


def start() -> sg.Variable:
    return sg.zeros((), dtype="float64")


# What lies between the function and the mask. All are the identity on what is read, but for those
# in TOTALS, which are the sum over it.
BETWEEN: dict[str, Callable[[sg.Variable, sg.Variable, Callable[..., Any]], sg.Variable]] = {
    "nothing": lambda y, x, f: kept(y),
    "reshape": lambda y, x, f: kept(y.reshape((2, 3)), READ.reshape(2, 3)).reshape((6,)),
    "transpose": lambda y, x, f: kept(y.reshape((2, 3)).T, READ.reshape(2, 3).T).T.reshape((6,)),
    "slice": lambda y, x, f: sg.pad(y[2:], ((2, 0),)),
    "slice from the end": lambda y, x, f: sg.pad(y[:1:-1][::-1], ((2, 0),)),
    "index array": lambda y, x, f: sg.pad(y[np.array([2, 3, 4, 5])], ((2, 0),)),
    "split": lambda y, x, f: sg.concatenate([sg.zeros_like(y[:2]), *sg.split(y, 3)[1:]]),
    "concatenate": lambda y, x, f: kept(pair(y), np.tile(READ, 2)).reshape((2, 6)).mean(axis=0),
    "stack": lambda y, x, f: kept(sg.stack([y, y], axis=1), READ[:, None]).mean(axis=1),
    "broadcast": lambda y, x, f: kept(y[:, None] * np.ones(3), READ[:, None]).mean(axis=1),
    "matrix product": lambda y, x, f: (
        kept(y[:, None] @ np.array([[1.0, 2.0, 4.0]]), READ[:, None]).sum(axis=1) / 7.0
    ),
    "sum": lambda y, x, f: kept(y.reshape((6, 1)).sum(axis=1)),
    "product": lambda y, x, f: kept(y * 3.0) / 3.0,
    "difference": lambda y, x, f: -kept(1.0 - y) + READ,
    "factor of zero": lambda y, x, f: y * READ.astype("float64"),
    "set slice": lambda y, x, f: y.set(slice(0, 2), 0.0),
    "set indices": lambda y, x, f: y.set(np.array([0, 1]), 0.0),
    "set into zeros": lambda y, x, f: sg.zeros((6,), dtype="float64").set(slice(2, None), y[2:]),
    "add to zeros": lambda y, x, f: sg.zeros((6,), dtype="float64").add_at(READ, y[2:]),
    "flip": lambda y, x, f: kept(y[::-1], READ[::-1])[::-1],
    "roll": lambda y, x, f: sg.roll(kept(sg.roll(y, 1), np.roll(READ, 1)), -1),
    "pad": lambda y, x, f: kept(sg.pad(y, 1), np.pad(READ, 1))[1:-1],
    "repeat": lambda y, x, f: kept(sg.repeat(y, 2), READ.repeat(2)).reshape((6, 2)).mean(axis=1),
    "cast": lambda y, x, f: kept(y.astype("float64").astype("float32").astype("float64")),
    "maximum": lambda y, x, f: kept(sg.maximum(y, -1e30)),
    "ifelse": lambda y, x, f: sg.stack(
        [sg.ifelse(sg.constant(READ)[i], y[i], 0.0) for i in range(6)]
    ),
    "function in a loop": lambda y, x, f: kept(sg.scan(f, [x])),
    "mask in a loop": lambda y, x, f: sg.scan(lambda y, holds: kept(y, holds), [y, READ]),
    "both in a loop": lambda y, x, f: sg.scan(lambda x, holds: kept(f(x), holds), [x, READ]),
    "added up in a loop": lambda y, x, f: sg.reduce(
        lambda x, holds, s: s + kept(f(x), holds), [x, READ], start()
    )[None],
    "masked state": lambda y, x, f: sg.reduce(
        lambda x, holds, s: sg.where(holds, s + f(x), s), [x, READ], start()
    )[None],
    "total": lambda y, x, f: kept(y).sum()[None],
}
TOTALS = {"added up in a loop", "masked state", "total"}


def derivatives(y: sg.Variable, x: sg.Variable, weights: np.ndarray) -> dict[str, sg.Variable]:
    """Derivatives of the weighted sum in every mode, first and second ones."""
    cost = (y * weights).sum()
    gradient, tangent = sg.grad(cost, x), sg.jvp(cost, x, TANGENT)
    return {
        "grad": gradient,
        "jvp": tangent,
        "jvp of outputs": (sg.jvp(y, x, TANGENT) * weights).sum(),
        "vjp": sg.vjp(y, x, weights if y.ndim and y.type.shape != (1,) else weights[:1]),
        "jacobian": sg.jacobian(y * weights, x).sum(axis=0),
        "hessian": sg.hessian(cost, x),
        "hessian_vector_product": sg.hessian_vector_product(cost, x, TANGENT),
        "jvp of grad": sg.jvp(gradient, x, TANGENT),
        "grad of jvp": sg.grad(tangent, x),
    }


def differences(reference: Callable[..., Any], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and second derivative of an elementwise function, by differences."""
    h = 1e-3
    f = [reference(points + k * h) for k in range(-3, 4)]
    first = (-f[0] + 9 * f[1] - 45 * f[2] + 45 * f[4] - 9 * f[5] + f[6]) / (60 * h)
    second = (
        2 * f[0] - 27 * f[1] + 270 * f[2] - 490 * f[3] + 270 * f[4] - 27 * f[5] + 2 * f[6]
    ) / (180 * h * h)
    return first, second


def check(case: Case, between: str, size: int | None) -> None:
    x = sg.tensor("x", (size,), "float64")
    y = BETWEEN[between](case.function(x), x, case.function)
    weights = np.full(1, 1.7) if between in TOTALS else WEIGHTS
    first, second = (
        weights * np.append([0.0, 0.0], d)
        for d in differences(case.reference, np.array(case.smooth))
    )
    values = np.array([*case.trouble, *case.smooth])
    expected = {
        "grad": first,
        "jvp": first @ TANGENT,
        "jvp of outputs": first @ TANGENT,
        "vjp": first,
        "jacobian": first,
        "hessian": np.diag(second),
        "hessian_vector_product": second * TANGENT,
        "jvp of grad": second * TANGENT,
        "grad of jvp": second * TANGENT,
    }
    built = derivatives(y, x, weights)
    for backend in ("numpy", "native"):
        found = sg.compile([x], built, backend=backend)(values)
        for mode, wanted in expected.items():
            np.testing.assert_allclose(
                found[mode], wanted, rtol=2e-6, atol=2e-6, err_msg=f"{mode}, {backend}"
            )


@pytest.mark.parametrize("name", CASES)
def test_nothing_comes_out_of_the_branch_not_taken(name: str) -> None:
    check(CASES[name], "nothing", 6)


@pytest.mark.parametrize("between", BETWEEN)
def test_a_mask_holds_behind(between: str) -> None:
    check(CASES["sqrt"], between, None)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_infinity_over_infinity_is_no_zero(backend: str) -> None:
    x, y, t = (sg.scalar(name, dtype="float64") for name in ("x", "y", "t"))
    tangent = sg.jvp(sg.log(sg.exp(x) + y), x, t)
    assert np.isnan(sg.compile([x, y, t], tangent, backend=backend)(800.0, 1.0, 2.0))
