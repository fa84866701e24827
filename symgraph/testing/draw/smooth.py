"""Instructions with derivatives of every order, and values that stay small."""

from __future__ import annotations

from . import arrangements, lengths, products, values
from .drawer import Drawer
from .values import partner

__all__ = ["KINDS"]

_FUNCTIONS = ("tanh", "sin", "sigmoid", "cos", "arctan", "erf")
_FORMULAS = (
    "{x} * 0.5",
    "1.0 - {x}",
    "{x} ** 2 * 0.3",
    "{x} * sg.sigmoid({x})",
    "sg.exp(-({x} ** 2))",
    "{x} / (1.0 + {x} ** 2)",
    "sg.tanh({x}) ** 3",
    "sg.log(2.0 + sg.sin({x}))",
    "{x} * {x} - {x}",
    "sg.softplus({x})",
)


def function(d: Drawer) -> str | None:
    x = d.float_name()
    return x and f"sg.{d.one_of(_FUNCTIONS)}({x})"


def formula(d: Drawer) -> str | None:
    x = d.float_name()
    return x and d.one_of(_FORMULAS).format(x=x)


def binary(d: Drawer) -> str | None:
    """Two values that meet, in any order."""
    x = d.float_name()
    if x is None:
        return None
    x, y = d.shuffled((x, partner(d, x, "f")))
    return f"{x} {d.one_of('+*-')} {y}"


def total(d: Drawer) -> str | None:
    """A sum or a mean along an axis, or of all."""
    x = d.float_name(1)
    if x is None:
        return None
    n = d.values[x].ndim
    forms = ["sg.sum({x}) * 0.3", "sg.mean({x}, axis={a})", "sg.sum({x}, axis={a}) * 0.5"]
    forms += ["sg.sum({x}, axis={a}, keepdims=True) * 0.3", "sg.logsumexp({x}, axis={a})"]
    if not d.values[x].size:
        forms = forms[:1]
    return d.one_of(forms).format(x=x, a=d.integer(0, n - 1))


def along(d: Drawer) -> str | None:
    return values.along_axis(
        d, [f"sg.{name}({{x}}, axis={{a}})" for name in ("flip", "cumsum", "softmax")]
    )


def whole(d: Drawer) -> str | None:
    """Whole numbers as floats."""
    x = d.pick(lambda v: v.dtype.kind in "iub")
    dtype = d.one_of(("float64", "float32")) if d.dtype == "float32" else "float64"
    return x and f"sg.cast({x}, {dtype!r}) * 0.1"


def stopped(d: Drawer) -> str | None:
    x = d.float_name()
    return x and f"{x} * sg.stop_gradient({x})"


KINDS = (
    (function, 8),
    (formula, 6),
    (binary, 9),
    (total, 4),
    (along, 2),
    (whole, 1),
    (stopped, 1),
    (values.outer, 1),
    (products.product, 4),
    (products.batched, 1),
    (arrangements.view, 4),
    (arrangements.turned, 2),
    (arrangements.reshaped, 1),
    (arrangements.joined, 2),
    (arrangements.stacked, 1),
    (arrangements.taken, 1),
    (arrangements.written, 2),
    (arrangements.repeated, 1),
    (lengths.cut, 1),
)
