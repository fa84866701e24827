"""`composite`: functions of variables of which each call is one node."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np

from ..core import provenance
from ..core.errors import SymgraphTypeError
from ..core.graph import has_effect, replace
from ..core.shared import SharedVariable
from ..core.tracing import current_loop
from ..core.types import TupleType
from ..core.variable import CONSTANT, ITEM, Variable, ancestors, make_input, next_serial
from .broadcast import BROADCAST_TO
from .composite import Argument, make_composite
from .sizes import is_size

__all__ = ["composite"]

P = ParamSpec("P")
R = TypeVar("R")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# What an argument has to be for a picture to tell it.
_PLAIN = (bool, int, float, complex, str, type(None), np.dtype, np.generic)


@overload
def composite(function: Callable[P, R], *, name: str | None = None) -> Callable[P, R]: ...
@overload
def composite(
    function: None = None, *, name: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def composite(function: Callable[..., Any] | None = None, *, name: str | None = None) -> Any:
    """The function, each call of which is one op: a decorator.

    The op has the function's name, or ``name``, in pictures, listings, messages and exports, where
    it stays whole; `compile` puts in its place what it is made of, so that it costs nothing, and
    its derivatives are those of the expressions inside. The function is called once for each call,
    on symbols of the arguments' types; variables among its arguments, in tuples, lists and dicts
    too, are inputs of the op, other arguments are handed on as they are. What else it uses
    (shared variables, variables from around it) becomes inputs of the op by itself. It returns a
    variable, or a tuple, list or dict of variables; anything else is a `SymgraphTypeError`.

    >>> @sg.composite
    ... def swish(x, *, beta=1.0):
    ...     return x * sg.sigmoid(beta * x)
    >>> y = swish(sg.vector("x"), beta=2.0)
    >>> print(sg.listing(y))
    %0 'x' = input : float32[?]
    %1 = swish(%0; beta=2.0) : float32[?]
    outputs: %1
    """
    if function is None:
        return functools.partial(composite, name=name)
    if not callable(function):
        raise SymgraphTypeError.here(f"composite takes a function, not {function!r}")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise SymgraphTypeError.here(f"the name of a composite is an identifier, not {name!r}")
    called = _Called(function, name or _name_of(function))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return called(args, kwargs)

    return call


def _name_of(function: Callable[..., Any]) -> str:
    """The function's name; that of its class where it is what calls an object."""
    path = getattr(function, "__qualname__", type(function).__name__).split(".")
    name = path[-2] if path[-1] == "__call__" and len(path) > 1 else path[-1]
    return name if name.isidentifier() else "composite"


class _Called:
    """A function that is called on symbols, and the name of its calls."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.name = function, name
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # a builtin that does not tell
            parameters = ()
        self.labels = [p.name for p in parameters if p.kind in _POSITIONAL]
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, with results of one node for the variables in it."""
        given = [*zip_longest(self.labels[: len(args)], args, fillvalue=""), *kwargs.items()]
        start = next_serial()
        symbols = {
            make_input(v.type, label): v
            for name, value in given
            for v, label in _labelled_variables(value, name)
        }
        rest = iter(symbols)
        args = _with_variables(args, rest)
        with _values_kept_of(symbols), provenance.record_lines_of_step():
            returned = self.function(*args, **_with_variables(kwargs, rest))
        outputs = _variables_in(returned, self.name)
        _shorten_lines(outputs, symbols, start)
        inputs = symbols | {v: v for v in _find_outer(outputs, symbols, start)}
        names = {v: v.name or "" for v in inputs}
        arguments = _written(self.defaults | {name: value for name, value in given if name})
        made = make_composite(self.name, inputs, outputs, names=names, arguments=arguments)
        return _with_variables(returned, iter(made))


@contextlib.contextmanager
def _values_kept_of(symbols: Mapping[Variable, Variable]) -> Iterator[None]:
    """Let what a loop is given to keep meanwhile be made of the variables, not their symbols."""
    loop = current_loop()
    before = len(loop.kept) if loop else 0
    yield
    if loop:
        loop.kept[before:] = [
            (lambda make=make: replace(make(), symbols), receive)
            for make, receive in loop.kept[before:]
        ]


# --- arguments and results: trees of tuples, lists and dicts -------------------------------------


def _labelled_variables(value: Any, label: str) -> list[tuple[Variable, str]]:
    """The variables in an argument, each with a name."""
    variables = _leaves(value)
    if isinstance(value, Variable) or not label:
        return [(v, label) for v in variables if isinstance(v, Variable)]
    return [(v, f"{label}_{i}") for i, v in enumerate(variables) if isinstance(v, Variable)]


def _variables_in(returned: Any, name: str) -> list[Variable]:
    found = _leaves(returned)
    for v in found:
        if not isinstance(v, Variable):
            raise SymgraphTypeError.here(
                f"the composite {name!r} returned {returned!r}",
                remedy="It returns a variable, or a tuple, list or dict of variables.",
            )
    if not found:
        raise SymgraphTypeError.here(f"the composite {name!r} returned no variable")
    return found


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in _leaves(part)]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def _with_variables(tree: Any, variables: Iterator[Variable]) -> Any:
    """The tree with other variables in it, in order."""
    if isinstance(tree, Mapping):
        return {key: _with_variables(part, variables) for key, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        parts = [_with_variables(part, variables) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(variables) if isinstance(tree, Variable) else tree


def _written(values: Mapping[str, Any]) -> list[Argument]:
    """The arguments that are no variables and can be written down."""
    texts = {name: _plain_text(value) for name, value in values.items()}
    return [
        # A function is told by its name alone: it may be no part of a pickle.
        Argument(name, text, None if callable(values[name]) else values[name])
        for name, text in texts.items()
        if text
    ]


def _plain_text(value: Any) -> str:
    """An argument as it is written in Python; empty where that would tell little."""
    if isinstance(value, (tuple, list)):
        texts = [_plain_text(part) for part in value]
        text = ", ".join(texts) + ("," if isinstance(value, tuple) and len(texts) == 1 else "")
        brackets = "()" if isinstance(value, tuple) else "[]"
        return f"{brackets[0]}{text}{brackets[1]}" if all(texts) else ""
    if isinstance(value, np.dtype):
        return repr(value.name)
    if isinstance(value, _PLAIN):
        return repr(value.item() if isinstance(value, np.generic) else value)
    name = getattr(value, "__name__", "") if callable(value) else ""
    return name if name.isidentifier() else ""


# --- what the function takes from around it ------------------------------------------------------


def _find_outer(
    outputs: Sequence[Variable], symbols: Mapping[Variable, Variable], start: int
) -> list[Variable]:
    """What the outputs take from around the function, in the order of a walk from them.

    That are leaves, and what was made before of others than shared variables. Sizes and broadcasts
    are made again inside; and so is what depends on shared variables alone: it may be alive or not
    from some other call, and equal calls are to have equal bodies.
    """
    from_outside = _made_outside(outputs, symbols, start)
    outer: dict[Variable, None] = {}
    seen = set(symbols)
    stack = list(reversed(outputs))
    while stack:
        v = stack.pop()
        if v in seen or v.op is CONSTANT:
            continue
        seen.add(v)
        if "leaf" in v.op.traits or (v in from_outside and not _is_made_again(v)):
            outer[v] = None
        else:
            stack.extend(reversed(v.inputs))
    return list(outer)


def _made_outside(
    outputs: Sequence[Variable], symbols: Mapping[Variable, Variable], start: int
) -> set[Variable]:
    """What was made before the function was called, of others than shared variables."""
    varying, free = set(symbols), set[Variable]()
    for v in ancestors(outputs, symbols):
        if v in varying:
            continue
        if any(x in varying for x in v.inputs):
            varying.add(v)
        elif "leaf" in v.op.traits:
            if v.op is not CONSTANT and not isinstance(v, SharedVariable):
                free.add(v)
        elif has_effect(v) or any(x in free for x in v.inputs):
            free.add(v)
    return {v for v in free if (v.inputs[0] if v.op is ITEM else v).serial < start}


def _is_made_again(v: Variable) -> bool:
    return isinstance(v.type, TupleType) or v.op is BROADCAST_TO or is_size(v)


def _shorten_lines(
    outputs: Sequence[Variable], symbols: Mapping[Variable, Variable], start: int
) -> None:
    """Let what the function made have no lines but its own: each call adds those that led to it."""
    callers = provenance.user_lines()
    for v in ancestors(outputs, symbols):
        if v.serial > start:
            provenance.leave_out_callers(v, callers)
