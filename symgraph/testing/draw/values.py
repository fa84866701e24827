"""Instructions on elements and along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .drawer import INTEGERS, Drawer

__all__ = ["KINDS"]

_SMOOTH = ("tanh", "sigmoid", "exp", "sin", "cos", "square", "softplus", "erf", "expm1", "arctan")
_SMOOTH += ("negative", "log1p", "sqrt", "log", "reciprocal", "arcsinh")
_KINKED = ("abs", "relu", "sign", "floor", "ceil", "rint", "trunc")
_WHOLE = ("negative", "abs", "square", "sign", "invert")
_BINARY = ("+", "-", "*", "+", "-", "*", "/")
_NAMED = ("maximum", "minimum", "arctan2", "hypot", "logaddexp")
_WHOLE_BINARY = ("+", "-", "*", "//", "%", "&", "|", "^")
_COMPARISONS = ("<", "<=", ">", ">=")
_REDUCTIONS = ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp")
_WHOLE_REDUCTIONS = ("sum", "max", "min", "prod", "mean", "argmax", "argmin", "count_nonzero")
_ALONG = ("softmax", "log_softmax", "cumsum", "cumprod", "sort", "flip")


def broadcasts(x: Any, y: Any) -> bool:
    """Whether two arrays have shapes that go together."""
    pairs = zip(reversed(x.shape), reversed(y.shape), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def partner(d: Drawer, x: str, kinds: str) -> str:
    """Something of those dtypes that broadcasts with ``x``: a name or a number."""
    value = d.values[x]
    name = None
    if d.chance(0.8):
        name = d.pick(lambda v: v.dtype.kind in kinds and broadcasts(value, v))
    if name:
        return name
    return d.number() if "f" in kinds else str(d.integer(0, 3))


def unary(d: Drawer) -> str | None:
    x = d.float_name()
    return x and f"sg.{d.one_of(_SMOOTH if d.chance(0.8) else _KINKED)}({x})"


def binary(d: Drawer) -> str | None:
    x = d.float_name()
    if x is None:
        return None
    y = partner(d, x, "f")
    if d.chance(0.25):
        return f"sg.{d.one_of(_NAMED)}({x}, {y})"
    pair = (x, y) if d.chance(0.7) else (y, x)
    return f"{pair[0]} {d.one_of(_BINARY)} {pair[1]}"


def outer(d: Drawer) -> str | None:
    """Two vectors meet on axes of their own."""
    x, y = d.float_name(1, 1), d.float_name(1, 1)
    if x is None or y is None:
        return None
    pair = f"{x}[:, None] {d.one_of(('*', '+', '-'))} {y}"
    forms = [pair, f"{pair}[None, :]", f"sg.exp(-({pair}) ** 2)"]
    forms += [] if d.is_smooth else [f"sg.maximum({x}[:, None], {y})"]
    return d.one_of(forms)


def mixed(d: Drawer) -> str | None:
    """Two dtypes meet, of any kind."""
    x = d.pick(lambda v: v.dtype.kind != "b")
    if x is None:
        return None
    return f"{x} {d.one_of(('+', '*', '-'))} {partner(d, x, 'fiub')}"


def bent(d: Drawer) -> str | None:
    """A short formula of one value, as users write them."""
    x = d.float_name()
    forms = (
        "{x} * sg.sigmoid({x})",
        "1.0 - {x} ** 2",
        "({x} - {a}) ** 2",
        "sg.exp(-{x})",
        "sg.log(1.0 + sg.exp({x}))",
        "sg.sqrt({x} ** 2 + {a})",
        "sg.clip({x}, -1.0, {a})",
        "{x} / (1.0 + sg.abs({x}))",
        "abs(-{x})",
        "{x} ** 3",
    )
    return x and d.one_of(forms).format(x=x, a=d.one_of(("0.5", "1.0", "0.1")))


def whole(d: Drawer) -> str | None:
    x = d.pick(lambda v: v.dtype.kind in "iub")
    if x is None:
        return None
    kind = d.values[x].dtype.kind
    if d.chance(0.4):
        return f"sg.{d.one_of(('invert',) if kind == 'b' else _WHOLE)}({x})"
    if kind == "b":
        return f"{x} {d.one_of(('&', '|', '^'))} {partner(d, x, 'b')}"
    return f"{x} {d.one_of(_WHOLE_BINARY)} {partner(d, x, 'iu')}"


def cast(d: Drawer) -> str | None:
    x = d.pick()
    if x is None:
        return None
    dtype = d.one_of(("bool", *INTEGERS, "float32", *["float64"] * 8))
    value = d.values[x]
    if value.dtype.kind == "f" and dtype in INTEGERS:
        # What does not fit has no value that all machines agree on.
        low = 0 if dtype.startswith("u") else -100
        return f"sg.cast(sg.clip({x}, {low}.0, 100.0), {dtype!r})"
    return f"sg.cast({x}, {dtype!r})"


def choice(d: Drawer) -> str | None:
    x = d.float_name()
    if x is None:
        return None
    condition = f"{x} {d.one_of(_COMPARISONS)} {partner(d, x, 'f')}"
    if d.chance(0.2):
        flag = d.pick(lambda v: v.dtype.kind == "b" and broadcasts(v, d.values[x]))
        condition = flag or condition
    if d.chance(0.2):
        return condition
    y, z = x, partner(d, x, "f")
    return (
        f"sg.where({condition}, {y}, {z})" if d.chance(0.5) else f"sg.where({condition}, {z}, {y})"
    )


def switch(d: Drawer) -> str | None:
    """One of two values of one type by a scalar."""
    x = d.float_name()
    if x is None:
        return None
    value = d.values[x]
    y = d.pick(lambda v: v.dtype == value.dtype and v.shape == value.shape)
    return f"sg.ifelse(sg.sum({x}) > {d.number()}, {x}, {y} * 0.5)"


def reduction(d: Drawer) -> str | None:
    x = d.pick(lambda v: v.ndim > 0)
    if x is None:
        return None
    value = d.values[x]
    names = _REDUCTIONS if value.dtype.kind == "f" else _WHOLE_REDUCTIONS
    if value.dtype.kind == "b":
        names = ("any", "all", "sum", "count_nonzero")
    name = d.one_of(names)
    if d.chance(0.25) and not name.startswith("arg"):
        return f"sg.{name}({x})"
    keep = ", keepdims=True" if d.chance(0.3) and name not in ("argmax", "argmin") else ""
    return f"sg.{name}({x}, axis={d.integer(-value.ndim, value.ndim - 1)}{keep})"


def along_axis(d: Drawer, forms: Sequence[str]) -> str | None:
    """One of the forms of a float ``{x}`` along one of its axes, ``{a}``."""
    x = d.float_name(1)
    if x is None:
        return None
    n = d.values[x].ndim
    return d.one_of(forms).format(x=x, a=d.integer(-n, n - 1))


def along(d: Drawer) -> str | None:
    return along_axis(d, [f"sg.{name}({{x}}, axis={{a}})" for name in _ALONG])


def normalised(d: Drawer) -> str | None:
    """A value less its mean, or divided by its total: the same value twice in a formula."""
    forms = (
        "{x} - sg.mean({x}, axis={a}, keepdims=True)",
        "{x} / (1.0 + sg.sum({x} ** 2, axis={a}, keepdims=True))",
        "sg.exp({x} - sg.max({x}, axis={a}, keepdims=True))",
    )
    return along_axis(d, forms)


KINDS = (
    (unary, 6),
    (binary, 8),
    (outer, 2),
    (mixed, 3),
    (bent, 4),
    (whole, 3),
    (cast, 2),
    (choice, 3),
    (switch, 1),
    (reduction, 6),
    (along, 2),
    (normalised, 2),
)
