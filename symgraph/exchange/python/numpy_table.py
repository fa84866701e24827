"""How each op is written for NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.variable import CONSTANT, Variable
from ...ops.gather import place_of
from .expression import Expression, binary, call, method, tuple_of
from .table import COMMON, Entry, Writer, axes_text, dtype_text, quoted, template_of

__all__ = ["NUMPY"]

NUMPY: dict[str, Entry] = dict(COMMON)

# fmt: off
# Ops that NumPy has under the same name, and those for which programs bring a function along.
_FUNCTIONS = (
    "sign", "floor", "ceil", "trunc", "rint", "sqrt", "exp", "exp2", "expm1", "log", "log2",
    "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh",
    "tanh", "arcsinh", "arccosh", "arctanh", "isnan", "isinf", "isfinite",
)
_BROUGHT = (
    "sigmoid", "softplus", "log1mexp", "logaddexp", "hypot", "one_minus_square", "scale",
    "unscale", "erf", "erfc", "erfinv", "gammaln", "digamma",
)
# fmt: on


def _function(name: str) -> Entry:
    def entry(w: Writer, v: Variable, *operands: Expression) -> Expression:
        return call(f"np.{name}", *_with_dtype(w, v, operands))

    return entry


def _with_dtype(w: Writer, v: Variable, operands: Sequence[Expression]) -> list[Expression]:
    """The operands, one of which has the dtype that the op works in."""
    operands = list(operands)
    if all(x.is_number for x in operands):
        operands[0] = w.strong(operands[0], v.inputs[0].dtype)
    return operands


def _brought(name: str) -> Entry:
    def entry(w: Writer, v: Variable, *operands: Expression) -> Expression:
        strong = [w.strong(x, u.dtype) for x, u in zip(operands, v.inputs, strict=True)]
        return call(w.brought(name), *strong)

    return entry


NUMPY |= {name: _function(name) for name in _FUNCTIONS} | {"absolute": _function("abs")}
NUMPY |= {name: _brought(name) for name in _BROUGHT}


def _entry(name: str):
    def add(function: Entry) -> Entry:
        NUMPY[name] = function
        return function

    return add


def _comparison(name: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        # A name compared with itself, which tells NaN, is taken for a slip by linters.
        return call(f"np.{name}", x, y) if x.text == y.text else COMMON[name](w, v, x, y)

    return entry


NUMPY |= {
    name: _comparison(name)
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
}


# --- element by element -------------------------------------------------------------------------


@_entry("maximum")
def _maximum(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
    if x.is_number and y.is_number and v.dtype == np.int64:
        return Expression(f"max({x.text}, {y.text})", nodes=x.nodes | y.nodes, is_number=True)
    return _function("maximum")(w, v, x, y)


@_entry("minimum")
def _minimum(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
    if x.is_number and y.is_number and v.dtype == np.int64:
        return Expression(f"min({x.text}, {y.text})", nodes=x.nodes | y.nodes, is_number=True)
    return _function("minimum")(w, v, x, y)


@_entry("relu")
def _relu(w: Writer, v: Variable, x: Expression) -> Expression:
    return call("np.maximum", w.strong(x, v.dtype), "0")


@_entry("square")
def _square(w: Writer, v: Variable, x: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    # The power of a scalar is not rounded as its product with itself is.
    return binary("**", x, Expression("2")) if v.ndim else call("np.square", x)


@_entry("power")
def _power(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    if y.is_number and v.ndim and y.text not in ("0.5", "2.0"):
        return binary("**", x, y)
    if v.dtype.kind != "f":
        return call("np.power", x, w.strong(y, v.dtype))
    return call(w.brought("power"), x, w.strong(y, v.dtype))


@_entry("clip")
def _clip(w: Writer, v: Variable, x: Expression, low: Expression, high: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    if low.text != "-np.inf":
        x = call("np.maximum", x, low)
    return x if high.text == "np.inf" else call("np.minimum", x, high)


@_entry("where")
def _where(
    w: Writer, v: Variable, condition: Expression, x: Expression, y: Expression
) -> Expression:
    return call("np.where", condition, *_chosen(w, v, x, y))


def _chosen(w: Writer, v: Variable, x: Expression, y: Expression) -> list[Expression]:
    return [w.strong(x, v.dtype) if y.is_number else x, y]


@_entry("cast")
def _cast(w: Writer, v: Variable, x: Expression) -> Expression:
    (dtype,) = v.params
    source = v.inputs[0].dtype
    if x.is_number:
        # A size takes the dtype of what it meets.
        return x if source.kind in "iu" and dtype.kind == "f" else call(dtype_text(dtype), x)
    if source.kind == "f" and dtype.kind in "iu":
        return call(w.brought("to_integer"), x, dtype_text(dtype))
    return method(x, "astype", dtype_text(dtype))


# --- over axes ----------------------------------------------------------------------------------


def _reduction(name: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        axes, keepdims = v.params
        named: dict[str, Expression | str] = {}
        if len(axes) < v.inputs[0].ndim:
            named["axis"] = axes_text(axes)
        if name == "sum" and _adds_up_wider(v.dtype):
            named["dtype"] = dtype_text(v.dtype)
        if keepdims:
            named["keepdims"] = "True"
        return method(w.strong(x, v.dtype), name, **named)

    return entry


def _adds_up_wider(dtype: np.dtype) -> bool:
    """Whether NumPy adds up, and multiplies, such integers as larger ones unless asked not to."""
    return dtype.kind in "biu" and dtype not in (np.int64, np.uint64)


NUMPY |= {name: _reduction(name) for name in ("sum", "max", "min", "any", "all")}


@_entry("mean")
def _mean(w: Writer, v: Variable, x: Expression) -> Expression:
    total = next(u for u in v.inputs if u.op.name == "sum")
    axes, keepdims = total.params
    some = len(axes) < total.inputs[0].ndim
    named: dict[str, Expression | str] = {"axis": axes_text(axes)} if some else {}
    if keepdims:
        named["keepdims"] = "True"
    return method(x, "mean", **named)


@_entry("product_of_rows")
def _product_of_rows(w: Writer, v: Variable, x: Expression, matrix: Expression) -> Expression:
    columns = v.inputs[0].inputs[0].type.shape[1]
    sizes = [w.size(size) for size in v.type.shape]
    if columns != 0 and isinstance(columns, int) and None not in sizes:
        rows = method(x, "reshape", "-1", str(columns))
        made = method(binary("@", rows, matrix), "reshape", *(s for s in sizes if s is not None))
        if len(made.text) <= w.room - 14 or not (x.is_name and matrix.is_name):
            return made
    return call(w.brought("product_of_rows"), x, matrix)


def _along(name: str, *, free: bool = False, **more: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        named: dict[str, Expression | str] = {"axis": str(v.params[0]), **more}
        if name in ("prod", "cumsum", "cumprod") and _adds_up_wider(v.dtype):
            named["dtype"] = dtype_text(v.dtype)
        return call(f"np.{name}", x, **named) if free else method(x, name, **named)

    return entry


NUMPY |= {name: _along(name) for name in ("prod", "cumsum", "cumprod", "argmax", "argmin")}
NUMPY["sort"] = _along("sort", free=True)
NUMPY["argsort"] = _along("argsort", kind='"stable"')


@_entry("linear_recurrence")
def _recurrence(w: Writer, v: Variable, added: Expression, factors: Expression) -> Expression:
    return call(w.brought("linear_recurrence"), added, factors, axis=str(v.params[0]))


def _shares(name: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression) -> Expression:
        return call(w.brought(name), x, axis=axes_text(v.params[0]))

    return entry


NUMPY |= {name: _shares(name) for name in ("softmax", "log_softmax")}


@_entry("logsumexp")
def _logsumexp(w: Writer, v: Variable, x: Expression) -> Expression:
    axes, keepdims = v.params
    named: dict[str, Expression | str] = {"axis": axes_text(axes)}
    if keepdims:
        named["keepdims"] = "True"
    return call(w.brought("logsumexp"), x, **named)


# --- shapes and parts ---------------------------------------------------------------------------


@_entry("reshape")
def _reshape(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    sizes = template_of(v.params[0], symbols)
    if all(size.is_number for size in symbols):
        return method(x, "reshape", *(sizes or ["()"]))
    return call(w.brought("reshaped"), x, *sizes)


@_entry("broadcast_to")
def _broadcast_to(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    sizes = template_of(v.params[0], symbols)
    shape = tuple_of(sizes) if len(sizes) != 1 else sizes[0]
    shape = shape if sizes else Expression("()")
    dtype = dtype_text(v.dtype)
    if x.is_number and v.inputs[0].op is CONSTANT:
        if x.text in _FILLED:
            return call(f"np.{_FILLED[x.text]}", shape, dtype)
        return call("np.full", shape, x, dtype)
    return call("np.broadcast_to", w.strong(x, v.dtype), shape)


_FILLED = {"0.0": "zeros", "0": "zeros", "False": "zeros", "1.0": "ones", "1": "ones"}


@_entry("concatenate")
def _concatenate(w: Writer, v: Variable, *parts: Expression) -> Expression:
    (axis,) = v.params
    return call("np.concatenate", w.listed(parts), **({"axis": str(axis)} if axis else {}))


@_entry("iota")
def _iota(w: Writer, v: Variable, *symbols: Expression) -> Expression:
    template, dtype = v.params
    (length,) = template_of(template, symbols)
    named = {} if dtype == np.int64 else {"dtype": dtype_text(dtype)}
    return call("np.arange", length, **named)


@_entry("scatter_add")
def _scatter_add(
    w: Writer, v: Variable, x: Expression, values: Expression, *indices: Expression
) -> Expression:
    (axes,) = v.params
    places = str(place_of(axes))
    return call(w.brought("add_at"), x, values, tuple_of(indices), str(tuple(axes)), places)


@_entry("windows")
def _windows(w: Writer, v: Variable, x: Expression) -> Expression:
    axis, size, stride, dilation = v.params
    return call(
        w.brought("windows"), x, str(axis), str(size), stride=str(stride), dilation=str(dilation)
    )


@_entry("overlap_add")
def _overlap_add(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    template, axis, stride, dilation = v.params
    (length,) = template_of(template, symbols)
    return call(
        w.brought("overlap_add"), x, length, str(axis), stride=str(stride), dilation=str(dilation)
    )


@_entry("check_size")
def _check_size(w: Writer, v: Variable, x: Expression, other: Expression) -> Expression:
    axis, other_axis, _ = v.params
    return call(w.brought("same_size"), x, str(axis), other, str(other_axis))


@_entry("in_range")
def _in_range(w: Writer, v: Variable, indices: Expression, size: Expression) -> Expression:
    return call(w.brought("in_range"), w.strong(indices, v.dtype), size, quoted(v.params[0]))


# --- positions ----------------------------------------------------------------------------------


@_entry("searchsorted")
def _searchsorted(w: Writer, v: Variable, ordered: Expression, values: Expression) -> Expression:
    (side,) = v.params
    named = {"side": '"right"'} if side == "right" else {}
    return call("np.searchsorted", ordered, w.strong(values, v.inputs[1].dtype), **named)


@_entry("flat_nonzero")
def _flat_nonzero(w: Writer, v: Variable, mask: Expression, count: Expression) -> Expression:
    return call("np.flatnonzero", mask)


@_entry("polygamma")
def _polygamma(w: Writer, v: Variable, x: Expression) -> Expression:
    return call(w.brought("polygamma"), str(v.params[0]), w.strong(x, v.dtype))
