"""How each op is written for PyTorch.

Unsigned integers of 32 bits, of which random numbers are made, are int64 there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...core.variable import Variable
from .expression import Expression, binary, call, method
from .table import (
    COMMON,
    Entry,
    Writer,
    axes_text,
)

__all__ = ["TORCH", "torch_dtype"]

TORCH: dict[str, Entry] = dict(COMMON)

# fmt: off
_FUNCTIONS = (
    "floor", "ceil", "trunc", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10",
    "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh",
    "arcsinh", "arccosh", "arctanh", "isnan", "isinf", "isfinite", "sigmoid", "logaddexp", "hypot",
    "erf", "erfc", "erfinv", "digamma",
)
_OTHER_NAMES = {"absolute": "abs", "rint": "round", "gammaln": "lgamma"}
_BROUGHT = ("sign", "log1mexp", "one_minus_square", "scale", "unscale")
# fmt: on


def torch_dtype(dtype: np.dtype) -> str:
    """The dtype as PyTorch calls it."""
    return f"torch.{'int64' if dtype == np.uint32 else dtype}"


def _entry(name: str) -> Callable[[Entry], Entry]:
    def add(function: Entry) -> Entry:
        TORCH[name] = function
        return function

    return add


def _function(name: str) -> Entry:
    def entry(w: Writer, v: Variable, *operands: Expression) -> Expression:
        return call(f"torch.{name}", *_strong(w, v, operands))

    return entry


def _strong(w: Writer, v: Variable, operands: Sequence[Expression]) -> list[Expression]:
    return [w.strong(x, u.dtype) for x, u in zip(operands, v.inputs, strict=True)]


def _brought(name: str) -> Entry:
    def entry(w: Writer, v: Variable, *operands: Expression) -> Expression:
        return call(w.brought(name), *_strong(w, v, operands))

    return entry


TORCH |= {name: _function(name) for name in _FUNCTIONS}
TORCH |= {op: _function(name) for op, name in _OTHER_NAMES.items()}
TORCH |= {name: _brought(name) for name in _BROUGHT}


# --- element by element -------------------------------------------------------------------------


def _of_words(name: str) -> Entry:
    """An operator that would carry words of 32 bits over into the bits above."""

    def entry(w: Writer, v: Variable, *operands: Expression) -> Expression:
        made = COMMON[name](w, v, *operands)
        return binary("%", made, Expression("2**32")) if v.dtype == np.uint32 else made

    return entry


TORCH |= {
    name: _of_words(name)
    for name in ("add", "subtract", "multiply", "negative", "left_shift", "invert")
}


def _whole_quotient(name: str, brought: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        is_literal = y.text.lstrip("-").isdigit() and y.text != "0"
        if v.dtype.kind == "f" or is_literal or (x.is_number and y.is_number):
            return COMMON[name](w, v, x, y)
        return call(w.brought(brought), *_strong(w, v, (x, y)))

    return entry


TORCH["floor_divide"] = _whole_quotient("floor_divide", "divided")
TORCH["remainder"] = _whole_quotient("remainder", "remainder")


def _comparison(name: str, function: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        same = x.text == y.text and not x.is_number
        return call(f"torch.{function}", x, y) if same else COMMON[name](w, v, x, y)

    return entry


TORCH |= {
    name: _comparison(name, function)
    for name, function in {
        "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le",
        "greater": "gt", "greater_equal": "ge",
    }.items()
}  # fmt: skip


def _extreme(name: str, bound: str, builtin: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        if x.is_number and y.is_number and v.dtype == np.int64:
            text = f"{builtin}({x.text}, {y.text})"
            return Expression(text, nodes=x.nodes | y.nodes, is_number=True)
        if y.is_number and not x.is_number:
            return call("torch.clamp", x, **{bound: y})
        if x.is_number and not y.is_number:
            return call("torch.clamp", y, **{bound: x})
        return call(f"torch.{name}", *_strong(w, v, (x, y)))

    return entry


TORCH["maximum"] = _extreme("maximum", "min", "max")
TORCH["minimum"] = _extreme("minimum", "max", "min")


@_entry("relu")
def _relu(w: Writer, v: Variable, x: Expression) -> Expression:
    return call("torch.relu", w.strong(x, v.dtype))


@_entry("softplus")
def _softplus(w: Writer, v: Variable, x: Expression) -> Expression:
    # The threshold is where 1 beside the exponential is lost.
    return call("torch.nn.functional.softplus", w.strong(x, v.dtype), threshold="40.0")


@_entry("square")
def _square(w: Writer, v: Variable, x: Expression) -> Expression:
    made = binary("**", w.strong(x, v.dtype), Expression("2"))
    return binary("%", made, Expression("2**32")) if v.dtype == np.uint32 else made


@_entry("power")
def _power(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
    return binary("**", w.strong(x, v.dtype), y)


@_entry("clip")
def _clip(w: Writer, v: Variable, x: Expression, low: Expression, high: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    if low.is_number and high.is_number:
        named = {"min": low} if low.text != "-torch.inf" else {}
        named |= {"max": high} if high.text != "torch.inf" else {}
        return call("torch.clamp", x, **named) if named else x
    low, high = (w.strong(edge, v.dtype) for edge in (low, high))
    return call("torch.minimum", call("torch.maximum", x, low), high)


@_entry("where")
def _where(
    w: Writer, v: Variable, condition: Expression, x: Expression, y: Expression
) -> Expression:
    x = w.strong(x, v.dtype) if y.is_number else x
    return call("torch.where", w.strong(condition, np.dtype(bool)), x, y)


@_entry("cast")
def _cast(w: Writer, v: Variable, x: Expression) -> Expression:
    (dtype,) = v.params
    if x.is_number:
        is_size = v.inputs[0].dtype.kind in "iu" and dtype.kind == "f"
        return x if is_size else w.strong(x, dtype)
    made = method(x, "to", torch_dtype(dtype))
    is_word = dtype == np.uint32 and v.inputs[0].dtype != np.bool_
    return binary("%", made, Expression("2**32")) if is_word else made


# --- over axes ----------------------------------------------------------------------------------


def _over(v: Variable) -> dict[str, Expression | str]:
    axes, keepdims = v.params
    named: dict[str, Expression | str] = {}
    if keepdims or len(axes) < v.inputs[0].ndim:
        named["dim"] = axes_text(axes)
    if keepdims:
        named["keepdim"] = "True"
    return named


def _dtype_of(v: Variable) -> dict[str, Expression | str]:
    """The dtype of a sum, where PyTorch would add up in another one."""
    is_small = v.dtype.kind in "biu" and v.dtype != np.int64
    return {"dtype": torch_dtype(v.dtype)} if is_small else {}


@_entry("sum")
def _sum(w: Writer, v: Variable, x: Expression) -> Expression:
    return method(w.strong(x, v.dtype), "sum", **_over(v), **_dtype_of(v))


def _reduction(name: str, whole: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        named = _over(v)
        return method(w.strong(x, v.dtype), name if named else whole, **named)

    return entry


TORCH |= {
    "max": _reduction("amax", "amax"),
    "min": _reduction("amin", "amin"),
    "any": _reduction("any", "any"),
    "all": _reduction("all", "all"),
}


@_entry("mean")
def _mean(w: Writer, v: Variable, x: Expression) -> Expression:
    total = next(u for u in v.inputs if u.op.name == "sum")
    return method(x, "mean", **_over(total))


@_entry("product_of_rows")
def _product_of_rows(w: Writer, v: Variable, x: Expression, matrix: Expression) -> Expression:
    return binary("@", x, matrix)


def _along(name: str, *, adds_up: bool = False) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        more = _dtype_of(v) if adds_up else {}
        return method(x, name, dim=str(v.params[0]), **more)

    return entry


TORCH |= {name: _along(name, adds_up=True) for name in ("prod", "cumsum", "cumprod")}


def _position(name: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        is_bool = v.inputs[0].dtype == np.bool_
        return method(method(x, "byte") if is_bool else x, name, dim=str(v.params[0]))

    return entry


TORCH |= {name: _position(name) for name in ("argmax", "argmin")}


@_entry("matmul")
def _matmul(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
    if v.dtype != np.bool_:
        return binary("@", x, y)
    return binary(">", binary("@", method(x, "int"), method(y, "int")), Expression("0"))


@_entry("sort")
def _sort(w: Writer, v: Variable, x: Expression) -> Expression:
    made = method(x, "sort", dim=str(v.params[0]), stable="True")
    return Expression(f"{made.text}.values", nodes=made.nodes)


@_entry("argsort")
def _argsort(w: Writer, v: Variable, x: Expression) -> Expression:
    return method(x, "argsort", dim=str(v.params[0]), stable="True")


@_entry("linear_recurrence")
def _recurrence(w: Writer, v: Variable, added: Expression, factors: Expression) -> Expression:
    return call(w.brought("linear_recurrence"), added, factors, str(v.params[0]))


@_entry("softmax")
def _softmax(w: Writer, v: Variable, x: Expression) -> Expression:
    (axes,) = v.params
    if len(axes) == 1:
        return call("torch.softmax", x, dim=axes_text(axes))
    return call(w.brought("shares_of_axes"), x, axes_text(axes))


@_entry("log_softmax")
def _log_softmax(w: Writer, v: Variable, x: Expression) -> Expression:
    (axes,) = v.params
    if len(axes) == 1:
        return call("torch.log_softmax", x, dim=axes_text(axes))
    total = call("torch.logsumexp", x, dim=axes_text(axes), keepdim="True")
    return binary("-", x, total)


@_entry("logsumexp")
def _logsumexp(w: Writer, v: Variable, x: Expression) -> Expression:
    axes, keepdims = v.params
    named = {"keepdim": "True"} if keepdims else {}
    return call("torch.logsumexp", x, dim=axes_text(axes), **named)
