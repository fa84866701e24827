"""The derivatives of elementwise functions as in a table of calculus, for numbers of mpmath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp

import symgraph as sg
from symgraph.core.op import OPS

__all__ = ["PLAIN", "SLOPES", "Slope"]

Function = Callable[..., Any]


def always(*_: Any) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Slope:
    """First and second derivatives of one function.

    ``first``: by each operand; ``second``: of each pair of operands in order (xx, xy, yy), or none.
    ``inside(*operands)``: where it has derivatives. ``value``: where its result is too large for
    the dtype, so may the derivatives be. ``absolute``: errors of so many epsilons are allowed even
    where the derivative is smaller, as (first, second): those that are made of the result have
    only its digits.
    """

    op: str
    call: Function
    first: Sequence[Function]
    second: Sequence[Function] = ()
    inside: Function = always
    value: Function | None = None
    absolute: tuple[float, float] = (0.0, 0.0)
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.op


def one(name: str, first: Function, second: Function | None = None, **options: Any) -> Slope:
    """A row for a function of one argument."""
    call = getattr(sg, name, None) or OPS[name]
    return Slope(
        options.pop("op", name), call, [first], [second] if second else [], label=name, **options
    )


def two(name: str, first: list, second: list, **options: Any) -> Slope:
    """A row for a function of two arguments."""
    return Slope(name, getattr(sg, name, None) or OPS[name], first, second, **options)


def zero(*_: Any) -> Any:
    return mp.mpf(0)


def tail(x: Any) -> Any:
    """``sigmoid(x) * sigmoid(-x)``."""
    small = mp.exp(-abs(x))
    return small / (1 + small) ** 2


def length(x: Any, y: Any) -> Any:
    return mp.sqrt(x * x + y * y)


def bell(x: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)


def by_inverse(x: Any) -> Any:
    return 1 / bell(mp.erfinv(x))


POWERS = [
    one("sqrt", lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x)),
        inside=lambda x: x > 0),
    one("reciprocal", lambda x: -1 / x**2, lambda x: 2 / x**3, inside=lambda x: x != 0,
        value=lambda x: 1 / x),
    one("square", lambda x: 2 * x, lambda x: mp.mpf(2)),
    one("one_minus_square", lambda x: -2 * x, lambda x: mp.mpf(-2)),
    one("absolute", mp.sign, zero, inside=lambda x: x != 0),
]  # fmt: skip
EXPONENTIALS = [
    one("exp", mp.exp, mp.exp),
    one("exp2", lambda x: mp.log(2) * mp.power(2, x), lambda x: mp.log(2) ** 2 * mp.power(2, x)),
    one("expm1", mp.exp, mp.exp),
    one("log", lambda x: 1 / x, lambda x: -1 / x**2, inside=lambda x: x > 0),
    one("log2", lambda x: 1 / (x * mp.log(2)), lambda x: -1 / (x**2 * mp.log(2)),
        inside=lambda x: x > 0),
    one("log10", lambda x: 1 / (x * mp.log(10)), lambda x: -1 / (x**2 * mp.log(10)),
        inside=lambda x: x > 0),
    one("log1p", lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2, inside=lambda x: x > -1),
    one("log1mexp", lambda x: -1 / mp.expm1(-x), lambda x: -mp.exp(x) / mp.expm1(x) ** 2,
        inside=lambda x: x < 0),
    one("sinh", mp.cosh, mp.sinh),
    one("cosh", mp.sinh, mp.cosh),
    one("tanh", lambda x: mp.sech(x) ** 2, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2,
        absolute=(2, 4)),
]  # fmt: skip
ANGLES = [
    one("sin", mp.cos, lambda x: -mp.sin(x)),
    one("cos", lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    one("tan", lambda x: mp.sec(x) ** 2, lambda x: 2 * mp.tan(x) * mp.sec(x) ** 2),
    one("arcsin", lambda x: 1 / mp.sqrt(1 - x * x), lambda x: x / mp.sqrt(1 - x * x) ** 3,
        inside=lambda x: abs(x) < 1),
    one("arccos", lambda x: -1 / mp.sqrt(1 - x * x), lambda x: -x / mp.sqrt(1 - x * x) ** 3,
        inside=lambda x: abs(x) < 1),
    one("arctan", lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    one("arcsinh", lambda x: 1 / mp.sqrt(1 + x * x), lambda x: -x / mp.sqrt(1 + x * x) ** 3),
    one("arccosh", lambda x: 1 / mp.sqrt(x * x - 1), lambda x: -x / mp.sqrt(x * x - 1) ** 3,
        inside=lambda x: x > 1),
    one("arctanh", lambda x: 1 / (1 - x * x), lambda x: 2 * x / (1 - x * x) ** 2,
        inside=lambda x: abs(x) < 1),
]  # fmt: skip
SPECIAL = [
    one("erf", bell, lambda x: -2 * x * bell(x)),
    one("erfc", lambda x: -bell(x), lambda x: 2 * x * bell(x)),
    one("erfinv", by_inverse, lambda x: 2 * mp.erfinv(x) * by_inverse(x) ** 2,
        inside=lambda x: abs(x) < 1),
    one("gammaln", mp.digamma, lambda x: mp.polygamma(1, x),
        inside=lambda x: x > 0 or -9 < x != int(x)),
    one("digamma", lambda x: mp.polygamma(1, x), lambda x: mp.polygamma(2, x),
        inside=lambda x: x > 0),
    Slope("polygamma", lambda x: sg.polygamma(1, x), [lambda x: mp.polygamma(2, x)],
          [lambda x: mp.polygamma(3, x)], inside=lambda x: x > 0),
]  # fmt: skip
ACTIVATIONS = [
    one("sigmoid", tail, lambda x: -tail(x) * mp.tanh(x / 2), absolute=(1, 2)),
    one("softplus", lambda x: 1 / (1 + mp.exp(-x)), tail, absolute=(0, 1)),
    one("log_sigmoid", lambda x: 1 / (1 + mp.exp(x)), lambda x: -tail(x), op="softplus",
        absolute=(0, 1)),
    one("relu", lambda x: mp.mpf(x > 0), zero),
    one("leaky_relu", lambda x: mp.mpf(1) if x > 0 else mp.mpf("0.01"), zero, op="where"),
    one("elu", lambda x: mp.exp(min(x, 0)), lambda x: zero() if x > 0 else mp.exp(x), op="where"),
    one("silu", lambda x: (1 + x * (1 - 1 / (1 + mp.exp(-x)))) / (1 + mp.exp(-x)), op="multiply",
        inside=lambda x: x < 1e4, absolute=(64, 0)),
    one("gelu", lambda x: mp.erfc(-x / mp.sqrt(2)) / 2 + x * mp.npdf(x),
        lambda x: (2 - x * x) * mp.npdf(x), op="multiply", inside=lambda x: abs(x) < 1e4,
        absolute=(4, 64)),
]  # fmt: skip
PAIRS = [
    two("add", [lambda x, y: mp.mpf(1)] * 2, [zero] * 3),
    two("subtract", [lambda x, y: mp.mpf(1), lambda x, y: mp.mpf(-1)], [zero] * 3),
    two("multiply", [lambda x, y: y, lambda x, y: x], [zero, lambda x, y: mp.mpf(1), zero]),
    two("divide", [lambda x, y: 1 / y, lambda x, y: -x / y**2],
        [zero, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3], value=lambda x, y: x / y),
    two("scale", [lambda x, y: y, lambda x, y: x], [zero, lambda x, y: mp.mpf(1), zero]),
    two("unscale", [lambda x, y: 1 / y, lambda x, y: -x / y**2],
        [zero, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3], value=lambda x, y: x / y),
    two("maximum", [lambda x, y: (1 + mp.sign(x - y)) / 2, lambda x, y: (1 - mp.sign(x - y)) / 2],
        [zero] * 3),
    two("minimum", [lambda x, y: (1 - mp.sign(x - y)) / 2, lambda x, y: (1 + mp.sign(x - y)) / 2],
        [zero] * 3),
    two("remainder", [lambda x, y: mp.mpf(1), lambda x, y: -mp.floor(x / y)], [zero] * 3,
        value=lambda x, y: x / y * 2**20),
    two("power", [lambda x, y: y * mp.power(x, y - 1), lambda x, y: mp.power(x, y) * mp.log(x)],
        [], inside=lambda x, y: x > 1e-37 and abs(y) < 40,
        # Near zero it is y times the next lower power, which may be the larger one by 1 / y.
        value=lambda x, y: max(mp.power(x, y), mp.power(x, y - 1))),
    two("hypot", [lambda x, y: x / length(x, y), lambda x, y: y / length(x, y)], [],
        inside=lambda x, y: length(x, y) > 1e-37, value=length),
    two("arctan2", [lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)], []),
    two("logaddexp", [lambda x, y: 1 / (1 + mp.exp(y - x)), lambda x, y: 1 / (1 + mp.exp(x - y))],
        [lambda x, y: tail(x - y), lambda x, y: -tail(x - y), lambda x, y: tail(x - y)],
        absolute=(0, 1)),
]  # fmt: skip
SLOPES = [*POWERS, *EXPONENTIALS, *ANGLES, *SPECIAL, *ACTIVATIONS, *PAIRS]

# Ops whose derivatives move, choose or add cotangents, or multiply by an operand: there is nothing
# to overflow. They are held against finite differences, as all are.
PLAIN = {
    *("negative", "where", "clip", "cast", "clip_gradient", "item", "scan", "check_size"),
    "in_step",
    *("composite", "debug_print", "debug_assert"),  # the body's; the operand's
    *("broadcast_to", "rearrange", "reshape", "concatenate", "slice", "set_slice", "add_slice"),
    *("gather", "scatter_add", "scatter_set", "sort", "cumsum", "overlap_add", "windows"),
    *("sum", "max", "min", "matmul", "linear_recurrence", "cumprod", "prod"),
}
