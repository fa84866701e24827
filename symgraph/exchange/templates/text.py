"""Formulas written as text, made functions of the names in them."""

from __future__ import annotations

import ast
import difflib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ...core.errors import ExchangeError, SymgraphError
from ...core.variable import Variable, constant_value
from ...ops import (
    activation,
    comparison,
    contractions,
    conv,
    create,
    cumulative,
    diagonals,
    differences,
    elementwise,
    extremes,
    gradient,
    join,
    linalg,
    padding,
    positions,
    ranges,
    reduce,
    repeat,
    rounding,
    shape,
    softmax,
    sort,
    special_functions,
    transcendental,
)
from ...ops.broadcast import broadcast_to

__all__ = ["Formula", "parse_formula", "public_function"]

_MODULES: tuple[ModuleType, ...] = (
    activation,
    comparison,
    contractions,
    conv,
    create,
    cumulative,
    diagonals,
    differences,
    elementwise,
    extremes,
    gradient,
    join,
    linalg,
    padding,
    positions,
    ranges,
    reduce,
    repeat,
    rounding,
    shape,
    softmax,
    sort,
    special_functions,
    transcendental,
)
# What the modules have for one another.
_OWN = frozenset({"along_axis", "count_of", "iota", "log1mexp", "masked", "normalise_axes"})
_OWN |= {"normalise_axis", "products_of_others", "reduced_axes", "scale", "terms_of", "to_int64"}
_OWN |= {"unscale", "weight_of_first", "zero_like"}
# Lines of formulas count as symgraph's own: an error names the line at which they are given.
_FILE = f"{__file__} (a template)"
# What may stand in a formula.
_NODES = (
    ast.Expression,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Call,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.Subscript,
    ast.Slice,
    ast.Tuple,
    ast.List,
    ast.Attribute,
)


@dataclass(frozen=True)
class Formula:
    """A formula as a function of the names in it."""

    text: str
    holes: tuple[str, ...]
    """The names that stand for variables, in order."""
    parameters: tuple[str, ...]
    """The names that stand for other arguments: those that follow ``=``."""
    code: Any

    def __call__(self, **values: Any) -> Any:
        """The value for variables and arguments by name."""
        try:
            return eval(self.code, {"__builtins__": {}}, _functions() | values)
        except SymgraphError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ExchangeError.here(f"the template {self.text!r}: {error}") from None


def parse_formula(text: str) -> Formula:
    """The formula as a function; an `ExchangeError` where it is none."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ExchangeError.here(
            f"a template is a Python expression, not {text!r}: {error.msg}"
        ) from None
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    roots = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    arguments = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg
    }
    holes: dict[str, None] = {}
    parameters: dict[str, None] = {}
    for node in sorted(ast.walk(tree), key=_position):
        _check(node, text)
        if not isinstance(node, ast.Name):
            continue
        if id(node) in called:
            _check_function(node.id, text)
        elif node.id == "pi" or (id(node) in roots and node.id in ("sg", "np")):
            continue
        elif id(node) in arguments:
            parameters[node.id] = None
        else:
            holes[node.id] = None
    for name in holes:
        parameters.pop(name, None)
    return Formula(text, tuple(holes), tuple(parameters), compile(tree, _FILE, "eval"))


def _position(node: ast.AST) -> tuple[float, int]:
    return getattr(node, "lineno", math.inf), getattr(node, "col_offset", 0)


def _check(node: ast.AST, text: str) -> None:
    if not isinstance(node, _NODES):
        what = ast.unparse(node) or type(node).__name__
        raise ExchangeError.here(
            f"there may be no {what!r} in the template {text!r}",
            remedy="It is made of operators, numbers, indices and calls of symgraph's functions; "
            "anything else is a function of the holes.",
        )
    if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        raise ExchangeError.here(f"the template {text!r} asks for {node.attr!r}, which is private")


def _check_function(name: str, text: str) -> None:
    if name in _functions():
        return
    near = difflib.get_close_matches(name, _functions(), 1)
    raise ExchangeError.here(
        f"the template {text!r} calls {name!r}, which is no function of symgraph",
        remedy=f"Write {near[0]!r}?"
        if near
        else "Functions of your own are called in a function of the holes.",
    )


@functools.lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    """The functions that formulas may call, by name; ``sg`` and ``np`` have them as well."""
    found: dict[str, Any] = {"broadcast_to": _of_numbers("broadcast_to", broadcast_to)}
    for module in _MODULES:
        for name in module.__all__:
            function = getattr(module, name)
            if callable(function) and name.islower() and name not in _OWN:
                found[name] = _of_numbers(name, function)
    namespace = SimpleNamespace(**found, pi=math.pi, e=math.e)
    return found | {"sg": namespace, "np": namespace, "pi": math.pi}


def public_function(name: str) -> Callable[..., Any] | None:
    """The function of symgraph's that formulas call by this name."""
    found = _functions().get(name)
    return getattr(found, "__wrapped__", None)


def _of_numbers(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which of Python's numbers alone gives one: ``sqrt(2)`` has no dtype."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if args and not kwargs and all(type(x) in (int, float) for x in args):
            numbers = getattr(np, name, None)
            value = constant_value(result) if isinstance(result, Variable) else None
            if value is not None and value.ndim == 0:
                return value.item()
            if numbers is not None and isinstance(result, Variable) and result.ndim == 0:
                return numbers(*map(float, args)).item()
        return result

    return call
