"""NumPy's functions on variables: ``np.tanh(x)``, ``np.concatenate([x, y])``, ``np.ones(3) * x``.

NumPy asks the argument first (`__array_ufunc__`, `__array_function__`); the function of the same
name is looked up here and called with the same arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import SymgraphTypeError
from ..core.variable import Variable
from . import (
    comparison,
    contractions,
    create,
    cumulative,
    diagonals,
    differences,
    elementwise,
    extremes,
    join,
    linalg,
    norms,
    padding,
    positions,
    ranges,
    reduce,
    repeat,
    rounding,
    shape,
    softmax,
    sort,
    transcendental,
)

__all__ = ["LINALG_FUNCTIONS", "NUMPY_FUNCTIONS"]

_MODULES = (
    create,
    ranges,
    elementwise,
    rounding,
    transcendental,
    comparison,
    reduce,
    extremes,
    cumulative,
    differences,
    softmax,
    join,
    repeat,
    padding,
    shape,
    positions,
    linalg,
    contractions,
    diagonals,
    sort,
)


def _where(condition: Any, *choices: Any) -> Any:
    return elementwise.where(condition, *choices) if choices else positions.nonzero(condition)


def _ndim(x: Variable) -> int:
    return x.ndim


# By the name that NumPy has for it.
NUMPY_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{
        name: getattr(module, name)
        for module in _MODULES
        for name in module.__all__
        if inspect.isfunction(getattr(module, name)) and hasattr(np, name)
    },
    "copy": lambda x: x,
    "ndim": _ndim,
    "where": _where,
}
# Those of `numpy.linalg`.
LINALG_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "norm": norms.norm,
    "matmul": linalg.matmul,
    "tensordot": contractions.tensordot,
}
# What ``np.add.reduce`` and ``np.add.accumulate`` are under their own names.
_REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": reduce.sum,
    "multiply": reduce.prod,
    "maximum": extremes.max,
    "minimum": extremes.min,
    "logical_and": reduce.all,
    "logical_or": reduce.any,
}
_RUNNING: Mapping[str, Callable[..., Any]] = {
    "add": cumulative.cumsum,
    "multiply": cumulative.cumprod,
}


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function along the first axis where no other is given."""

    @functools.wraps(function)
    def reduced(x: Any, axis: Any = 0, **options: Any) -> Any:
        return function(x, axis, **options)

    return reduced


def _method_of(name: str, method: str) -> Callable[..., Any] | None:
    """What ``np.NAME.METHOD`` is on variables; None where there is nothing."""
    found = {"reduce": _REDUCTIONS, "accumulate": _RUNNING}.get(method, {}).get(name)
    return None if found is None else _reduced(found)


# NumPy's names of arguments that have another name here.
_RENAMED = {"a_min": "min", "a_max": "max", "fill_value": "value", "newshape": "shape"}
_RENAMED |= {"pad_width": "widths", "a": "x", "b": "y"}
# What NumPy passes, or users write, to say that they want nothing special.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "out": (None,),
    "where": (True,),
    "order": ("C", "K", None),
    "subok": (True, False),
    "casting": ("same_kind",),
    "dtype": (None,),
    "kind": (None, "stable", "mergesort"),
    "stable": (None, True),
    "optimize": (True, False, "greedy", "optimal"),
    "initial": (np._NoValue,),
    "reflect_type": ("even",),
}


def _array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """``ufunc(*inputs)`` for inputs of which one is a variable."""
    name = ufunc.__name__
    function = _method_of(name, method) if method != "__call__" else NUMPY_FUNCTIONS.get(name)
    if method != "__call__":
        name = f"{name}.{method}"
        if function is None:
            raise _unsupported(f"np.{name}", _METHOD_REMEDY)
    out = options.get("out")
    if isinstance(out, tuple) and any(isinstance(target, np.ndarray) for target in out):
        raise _unsupported(
            f"np.{name} into an array (out=, or += on an array)",
            "Write the result as a new variable: y = y + x.",
        )
    return _call(f"np.{name}", function, inputs, options)


def _array_function(
    self: Variable,
    function: Callable[..., Any],
    types: Any,
    args: Sequence[Any],
    options: dict[str, Any],
) -> Any:
    """``function(*args)`` for arguments of which one is a variable."""
    module, name = function.__module__, function.__name__
    table = {"numpy": NUMPY_FUNCTIONS, "numpy.linalg": LINALG_FUNCTIONS}.get(module, {})
    return _call(f"{module.replace('numpy', 'np')}.{name}", table.get(name), args, options)


_METHOD_REMEDY = (
    "np.add has reduce and accumulate, as multiply has; maximum, minimum, logical_and and "
    "logical_or have reduce. x[:, None] with x is every element with every other; x.add_at adds at "
    "indices."
)
_REMEDY = "Write it with symgraph's functions, or get a value first: variable.eval({input: value})."


def _call(
    name: str, function: Callable[..., Any] | None, args: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    if function is None:
        raise _unsupported(name, _REMEDY)
    kept = {
        _RENAMED.get(key, key): value
        for key, value in options.items()
        if not (key in _DEFAULTS and any(value is default for default in _DEFAULTS[key]))
    }
    try:
        _signature(function).bind(*args, **kept)
    except TypeError as error:
        raise _unsupported(
            f"{name} with these arguments ({error})",
            f"On variables it takes {name.removeprefix('np.')}{_signature(function)}.",
        ) from None
    return function(*args, **kept)


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(
        return_annotation=inspect.Signature.empty,
        parameters=[
            p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()
        ],
    )


def _unsupported(what: str, remedy: str) -> SymgraphTypeError:
    return SymgraphTypeError.here(f"{what} does not work on variables", remedy=remedy)


def _attach() -> None:
    for name, function in (
        ("__array_ufunc__", _array_ufunc),
        ("__array_function__", _array_function),
    ):
        setattr(Variable, name, function)


_attach()
