"""How each op is written: one entry for each, for NumPy; what PyTorch shares is marked so.

An entry takes the writer, the variable, and an expression for each of its inputs. Values are the
framework's arrays of the dtypes that the graph has; but scalars of which the program knows the
value, and sizes, are Python numbers, which take the dtype of what they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from ...core.dims import Size
from ...core.variable import Variable
from ...ops.slices import SYMBOL, At, Span
from .expression import (
    Expression,
    binary,
    call,
    method,
    span,
    subscript,
    tuple_of,
    unary,
)

__all__ = [
    "COMMON",
    "Entry",
    "Unwritable",
    "Writer",
    "axes_text",
    "dtype_text",
    "index_of_axes",
    "index_text",
    "nested_text",
    "number_text",
    "part_of",
    "places_of",
    "quoted",
    "template_of",
]


class Writer(Protocol):
    """What entries ask of the function that is being written."""

    @property
    def room(self) -> int:
        """How long a statement may be at the present depth."""
        ...

    def size(self, size: Size) -> Expression | None:
        """The expression for a size; None where nothing that has a name tells it."""
        ...

    def brought(self, name: str) -> str:
        """The name of a function that is to be copied into the program."""
        ...

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """The expression as a value of the dtype, where it is a Python number."""
        ...

    def listed(self, parts: Sequence[Expression]) -> Expression:
        """``[a, b]``; the name of that list where it is a long one."""
        ...

    def assigned(self, v: Variable, first: Expression, *changes: tuple[Expression, str]) -> Any:
        """A name for a value that is changed by statements after it is made."""
        ...


Entry: TypeAlias = Callable[..., Expression]


class Unwritable(Exception):
    """What an entry raises for a variable of which only its op can be written; says in what way."""


def number_text(value: Any, dtype: np.dtype, infinite: str = "np") -> Expression:
    """The Python number that becomes this value of the dtype."""
    if dtype.kind in "biu":
        text = repr(dtype.type(value).item())
    elif np.isnan(value):
        text = f"{infinite}.nan"
    elif np.isinf(value):
        text = f"{'-' if value < 0 else ''}{infinite}.inf"
    else:
        text = _float_text(dtype.type(value))
    level = unary("-", Expression("1")).level if text.startswith("-") else Expression("").level
    return Expression(text, level, is_number=True)


def nested_text(value: np.ndarray, infinite: str = "np") -> str:
    """The nested lists of Python numbers that become an array."""
    if value.ndim == 0:
        return number_text(value, value.dtype, infinite).text
    return f"[{', '.join(nested_text(part, infinite) for part in value)}]"


def _float_text(value: np.floating) -> str:
    short = str(value)
    exact = type(value)(float(short)) == value
    text = repr(float(short)) if exact else repr(float(value))
    return text.replace("e+", "e")


def dtype_text(dtype: np.dtype, framework: str = "np") -> str:
    """The dtype as the framework calls it."""
    if dtype == np.bool_:
        return f"{framework}.bool" if framework == "torch" else f"{framework}.bool_"
    return f"{framework}.{dtype}"


def axes_text(axes: Sequence[int]) -> str:
    """One axis, or several."""
    return str(axes[0]) if len(axes) == 1 else str(tuple(axes))


def quoted(key: Any) -> str:
    """A string as formatters have it, with double quotes where those need no escape."""
    text = repr(key)
    if not isinstance(key, str) or '"' in key or text[0] == '"':
        return text
    return '"' + text[1:-1] + '"'


def template_of(template: Sequence[int | None], symbols: Sequence[Expression]) -> list[Expression]:
    """The sizes of a template, with expressions for its gaps."""
    rest = iter(symbols)
    return [next(rest) if size is None else Expression(str(size)) for size in template]


def index_text(
    entries: Sequence[At | Span | None], symbols: Sequence[Expression]
) -> tuple[list[Expression], list[Expression]]:
    """The index for the part that the entries mean, and one to be applied after it, or nothing."""
    rest = iter(symbols)
    first: list[Expression] = []
    after: list[Expression] = []
    for entry in entries:
        if entry is None:
            first.append(Expression(":"))
            after.append(Expression(":"))
        elif isinstance(entry, At):
            at = next(rest) if entry.index == SYMBOL else Expression(str(entry.index))
            first.append(at)
        else:
            start, stop = (
                next(rest) if edge == SYMBOL else None if edge is None else Expression(str(edge))
                for edge in (entry.start, entry.stop)
            )
            start = None if start is not None and start.text == "0" else start
            whole = start is None and stop is None
            once = entry.step > 0 or whole
            first.append(span(start, stop, entry.step if once else 1))
            after.append(Expression(":") if once else span(step=entry.step))
    return _shortened(first), _shortened(after)


def part_of(
    x: Expression, entries: Sequence[At | Span | None], symbols: Sequence[Expression]
) -> Expression:
    """The part of an array that the entries mean."""
    first, after = index_text(entries, symbols)
    part = subscript(x, *first) if first else x
    return subscript(part, *after) if after else part


def _shortened(entries: list[Expression]) -> list[Expression]:
    while entries and entries[-1].text == ":":
        entries.pop()
    return entries


# --- operators ----------------------------------------------------------------------------------

COMMON: dict[str, Entry] = {}
"""What is written alike for all frameworks."""


def _binary(operator: str) -> Entry:
    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        if x.is_number and y.is_number and not _is_whole(v):
            x = w.strong(x, v.inputs[0].dtype)
        return binary(operator, x, y)

    return entry


def _whole_quotient(operator: str, of_numbers: str) -> Entry:
    plain = _binary(operator)

    def entry(w: Writer, v: Variable, x: Expression, y: Expression) -> Expression:
        is_checked = y.text.isdigit() and y.text != "0"
        if x.is_number and y.is_number and _is_whole(v) and not is_checked:
            return replace(call(w.brought(of_numbers), x, y), is_number=True, items=())
        return plain(w, v, x, y)

    return entry


def _is_whole(v: Variable) -> bool:
    """Whether arithmetic of Python ints does: of sizes, which no int64 is too small for."""
    return all(x.dtype == np.int64 for x in v.inputs)


COMMON |= {
    "add": _binary("+"),
    "subtract": _binary("-"),
    "multiply": _binary("*"),
    "divide": _binary("/"),
    "floor_divide": _whole_quotient("//", "quotient"),
    "remainder": _whole_quotient("%", "rest"),
    "equal": _binary("=="),
    "not_equal": _binary("!="),
    "less": _binary("<"),
    "less_equal": _binary("<="),
    "greater": _binary(">"),
    "greater_equal": _binary(">="),
    "bitwise_and": _binary("&"),
    "bitwise_or": _binary("|"),
    "bitwise_xor": _binary("^"),
    "left_shift": _binary("<<"),
    "right_shift": _binary(">>"),
    "matmul": _binary("@"),
}


def _entry(name: str) -> Callable[[Entry], Entry]:
    def add(function: Entry) -> Entry:
        COMMON[name] = function
        return function

    return add


@_entry("negative")
def _negative(w: Writer, v: Variable, x: Expression) -> Expression:
    return unary("-", x)


@_entry("invert")
def _invert(w: Writer, v: Variable, x: Expression) -> Expression:
    return unary("~", w.strong(x, v.dtype))


@_entry("reciprocal")
def _reciprocal(w: Writer, v: Variable, x: Expression) -> Expression:
    return binary("/", Expression("1.0"), w.strong(x, v.dtype))


@_entry("square")
def _square(w: Writer, v: Variable, x: Expression) -> Expression:
    x = w.strong(x, v.dtype)
    # The power of a scalar is rounded otherwise than its product with itself.
    if x.is_name and not v.ndim:
        return binary("*", x, x)
    return binary("**", x, Expression("2")) if v.ndim else call(w.brought("square"), x)


def _first(w: Writer, v: Variable, x: Expression, *others: Expression) -> Expression:
    return x


COMMON |= dict.fromkeys(("stop_gradient", "clip_gradient", "in_step"), _first)


@_entry("rearrange")
def _rearrange(w: Writer, v: Variable, x: Expression) -> Expression:
    (order,) = v.params
    x = w.strong(x, v.dtype)
    kept = [axis for axis in order if axis is not None]
    dropped = [axis for axis in range(v.inputs[0].ndim) if axis not in kept]
    moved = kept + dropped
    if kept == sorted(kept):
        moved = list(range(v.inputs[0].ndim))
    elif moved == [1, 0]:
        x = method_free(x, ".T")
    else:
        x = _permuted(x, moved)
    entries = index_of_axes([None if a is None else moved.index(a) for a in order], len(moved))
    return subscript(x, *entries) if entries else x


def method_free(x: Expression, suffix: str) -> Expression:
    """``x.attribute``."""
    return Expression(x.held() + suffix, nodes=x.nodes)


def _permuted(x: Expression, order: Sequence[int]) -> Expression:
    if len(order) == 2:
        return method_free(x, ".T")
    return method(x, "transpose", *map(str, order))


def index_of_axes(order: Sequence[int | None], ndim: int) -> list[str]:
    """The index that makes new axes, and drops those that the order, which ascends, leaves out."""
    entries: list[str] = []
    axis = 0
    for wanted in order:
        if wanted is None:
            entries.append("None")
            continue
        entries += ["0"] * (wanted - axis)
        entries.append(":")
        axis = wanted + 1
    entries += ["0"] * (ndim - axis)
    while entries and entries[-1] == ":":
        entries.pop()
    return entries


@_entry("slice")
def _slice(w: Writer, v: Variable, x: Expression, *symbols: Expression) -> Expression:
    return part_of(x, v.params[0], symbols)


@_entry("gather")
def _gather(w: Writer, v: Variable, x: Expression, *indices: Expression) -> Expression:
    return subscript(x, *places_of(v.params[0], indices))


def places_of(axes: Sequence[int], indices: Sequence[Expression]) -> list[Expression]:
    entries = [Expression(":")] * (axes[-1] + 1)
    for axis, index in zip(axes, indices, strict=True):
        entries[axis] = index
    return entries


@_entry("scatter_set")
def _scatter_set(
    w: Writer, v: Variable, x: Expression, values: Expression, *indices: Expression
) -> Expression:
    part = subscript(Expression("{}"), *places_of(v.params[0], indices))
    return w.assigned(v, x, (part, "="), (values, ""))


@_entry("set_slice")
def _set_slice(
    w: Writer, v: Variable, x: Expression, values: Expression, *symbols: Expression
) -> Expression:
    return w.assigned(v, x, (_part(v, symbols), "="), (values, ""))


@_entry("add_slice")
def _add_slice(
    w: Writer, v: Variable, x: Expression, values: Expression, *symbols: Expression
) -> Expression:
    sign = "|=" if v.dtype == np.bool_ else "+="
    return w.assigned(v, x, (_part(v, symbols), sign), (values, ""))


def _part(v: Variable, symbols: Sequence[Expression]) -> Expression:
    first, after = index_text(v.params[0], symbols)
    part = subscript(Expression("{}"), *(first or ["..."]))
    return subscript(part, *after) if after else part


@_entry("size")
def _size(w: Writer, v: Variable, x: Expression) -> Expression:
    return Expression(f"{x.held()}.shape[{v.params[0]}]", nodes=x.nodes, is_number=True)


@_entry("random_bits")
def _random_bits(w: Writer, v: Variable, key: Expression, *symbols: Expression) -> Expression:
    template, domain = v.params
    shape = tuple_of(template_of(template, symbols)) if template else Expression("()")
    return call(w.brought("random_bits"), key, shape, str(domain))


@_entry("fold_in")
def _fold_in(w: Writer, v: Variable, key: Expression, data: Expression) -> Expression:
    return call(w.brought("fold_in"), key, data)
