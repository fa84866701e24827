"""Looks at values while a program runs: printed, or held to a condition, and given back."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core import provenance, tracing
from ..core.annotations import ArrayLike
from ..core.errors import DebugAssertError, ShapeError, SymgraphTypeError, SymgraphValueError
from ..core.op import Op
from ..core.shared import make_shared
from ..core.types import TensorType
from ..core.variable import Variable, make_constant, node
from .comparison import as_condition, eq, logical_and
from .elementwise import add, remainder
from .promotion import as_variable

__all__ = ["debug_assert", "debug_print"]

# Tells the looks of a program apart, and in which order they were written.
_numbers: Iterator[int] = itertools.count()


def debug_print(
    x: ArrayLike, label: str, *, every: int = 1, when: ArrayLike | None = None
) -> Variable:
    """``x``, printed as ``label: value`` when it is computed.

    It prints in each step of the loop in whose step it is written, and in each call of the function
    where it is in none; prints follow each other as they were written. ``every``: in step 0 of the
    innermost loop and every so-many-th one after it, or in as many calls. ``when``: a symbolic
    condition, a scalar; it prints only where that holds. Gradients pass through, and print nothing.
    What nobody needs is not computed, and so not printed: go on with what comes back.
    ``compile(..., debug=False)`` leaves all looks out.

    Raises `SymgraphTypeError` for a label that is no string, `SymgraphValueError` where ``every``
    is no number from 1 on, and `ShapeError` where ``when`` is no scalar.

    >>> x = sg.vector("x")
    >>> sg.debug_print(x * 2, "doubled").sum().eval({x: [1.0, 2.0]})
    doubled: [2. 4.]
    np.float32(6.0)
    """
    x = as_variable(x, "debug_print")
    if not isinstance(label, str):
        raise SymgraphTypeError.here(
            f"debug_print: the label is a string, not {label!r}",
            remedy='Write x = sg.debug_print(x, "label").',
        )
    shown = _is_due(every)
    if when is not None:
        condition = as_condition(when, "debug_print")
        if condition.ndim:
            raise ShapeError.here(
                f"debug_print: when is a scalar, not {provenance.describe(condition)}",
                remedy="Reduce it with .any() or .all().",
            )
        shown = condition if shown is None else logical_and(shown, condition)
    looked_at = [x] if shown is None else [x, shown]
    return node(DEBUG_PRINT, looked_at, (label, shown is not None, next(_numbers)))


def debug_assert(
    x: ArrayLike, condition: ArrayLike, message: str, /, **values: ArrayLike
) -> Variable:
    """``x``; where an element of the condition does not hold, a `DebugAssertError` instead.

    It is an AssertionError and a `CallError`, names the user's line and the step of the loop, and
    no update is stored. ``message`` may have a ``{name}`` for each of ``values``, which are
    variables. As with `debug_print`, go on with what comes back; gradients pass through unchecked,
    and ``compile(..., debug=False)`` leaves it out. Raises `SymgraphValueError` at once for a
    ``{name}`` of which no value is given.

    >>> x = sg.scalar("x")
    >>> root = sg.sqrt(sg.debug_assert(x, x >= 0, "{x} has no root", x=x))
    >>> root.eval({x: 9.0})
    np.float32(3.0)
    """
    x, condition = as_variable(x, "debug_assert"), as_condition(condition, "debug_assert")
    if not isinstance(message, str):
        raise SymgraphTypeError.here(
            f"debug_assert: the message is a string, not {message!r}",
            remedy='Write sg.debug_assert(x, condition, "message {value}", value=variable).',
        )
    _check_message(message, values)
    shown = [as_variable(value, f"debug_assert: {name}") for name, value in values.items()]
    return node(DEBUG_ASSERT, [x, condition, *shown], (message, tuple(values), next(_numbers)))


def _is_due(every: Any) -> Variable | None:
    """Whether this step, or call, is an every so-many-th one; None where all are."""
    if not isinstance(every, int | np.integer) or isinstance(every, bool) or every < 1:
        raise SymgraphValueError.here(
            f"debug_print: every is a number from 1 on, not {every!r}",
            remedy="It counts steps, or calls outside of loops: every=100 prints each 100th.",
        )
    if every == 1:
        return None
    steps = tracing.current_steps()
    if steps:
        count: Variable = steps[-1]
    else:
        calls = make_shared(np.int64(0), "debug_counter")
        calls.default_update = add(calls, 1)
        count = calls
    return eq(remainder(count, make_constant(every, "int64")), 0)


def _check_message(message: str, values: Any) -> None:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(message) if name is not None]
    except ValueError as error:
        raise SymgraphValueError.here(
            f"debug_assert: the message {message!r} cannot be filled in: {error}",
            remedy="Write {{ and }} for braces.",
        ) from None
    fields = {name.split(".")[0].split("[")[0] for name in names}
    unknown = sorted(fields.difference(values))
    if unknown:
        raise SymgraphValueError.here(
            f"debug_assert: the message {message!r} has a {{{unknown[0]}}}, but no such value is "
            "given",
            remedy='Write sg.debug_assert(x, condition, "{value}", value=variable).',
        )


# --- what happens -------------------------------------------------------------------------------


def _infer(inputs: Sequence[Variable], *params: Any) -> TensorType:
    return inputs[0].type


def _print(arrays: Sequence[Any], label: str, is_conditional: bool, number: int) -> Any:
    x = np.asarray(arrays[0])
    if not is_conditional or arrays[1]:
        print(f"{label}: {_text(x, len(label) + 2)}", flush=True)
    return x.copy()


def _assert(arrays: Sequence[Any], message: str, names: Sequence[str], number: int) -> Any:
    x, condition, *values = (np.asarray(array) for array in arrays)
    if not condition.all():
        shown = {name: _value(value) for name, value in zip(names, values, strict=False)}
        try:
            text = message.format(**shown)
        except (ValueError, TypeError, IndexError, AttributeError, KeyError):
            pairs = (f"{name} = {value}" for name, value in shown.items())
            text = f"{message} ({', '.join(pairs)})"
        raise DebugAssertError(text)
    return x.copy()


def _value(array: np.ndarray) -> Any:
    """The value as a message takes it: of no dimensions, a number of Python's."""
    return array if array.ndim else array.item()


def _text(array: np.ndarray, indent: int) -> str:
    return np.array2string(array, prefix=" " * indent) if array.ndim else str(array)


def _vjp(v: Variable, cotangent: Variable) -> list[Variable | None]:
    return [cotangent, *(None for _ in v.inputs[1:])]


_TRAITS = frozenset({"effect", "observer", "traced"})

# Behind what they take there may be values that have to be there before: those of earlier looks.
DEBUG_PRINT = Op(
    "debug_print",
    _infer,
    evaluate=_print,
    vjp=_vjp,
    params=("label", "is_conditional", "number"),
    traits=_TRAITS,
)
DEBUG_ASSERT = Op(
    "debug_assert",
    _infer,
    evaluate=_assert,
    vjp=_vjp,
    params=("message", "names", "number"),
    traits=_TRAITS | {"check"},
)
