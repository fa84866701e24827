"""Templates: rewrites written as formulas, compiled to Python functions.

``template("log(1 + x)", "log1p(x)", of=FLOATS)`` is a rule for ``log``. A template is a Python
expression of operators, numbers and ops called by name; every other name stands for any variable
of the dtypes for which the rule holds, the same one wherever it occurs. Commutative ops match in
both orders; a number matches a constant all of whose elements equal it, whatever its dtype and
shape. The result is brought to the type of the node that
it replaces, so ``x * 1`` may well become ``broadcast_to(x, …)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..core.dims import Size
from ..core.errors import SymgraphError, SymgraphValueError
from ..core.op import OPS
from ..core.variable import CONSTANT, Variable, make_constant, node
from ..ops import elementwise, transcendental  # noqa: F401 (operators in templates)
from ..ops.broadcast import BROADCAST_TO, REARRANGE, broadcast_to
from ..ops.promotion import cast_to
from ..ops.sizes import SIZE, known_size
from .engine import EVERY, Rule, check_op

__all__ = ["find_sizes", "fit", "if_typed", "is_full_of", "template", "uniform"]

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
    ast.USub: "negative",
}


# The ops of what `uniform` knows the value of.
_UNIFORM = ("constant", "broadcast_to", "rearrange")


def template(before: str, after: str, *, of: str, when: Callable[..., bool] | None = None) -> Rule:
    """The rule that replaces one formula by another, for variables of the dtypes ``of`` alone.

    They are letters of NumPy's kinds, such as `SIGNED`; a condition of ``where`` is a bool, which
    need not be said. ``when`` is asked with the matched variables, by their names in the template.
    """
    formula = f"{before} → {after}"
    pattern = _parse(before)
    root = _call(pattern)
    if root is None:
        raise SymgraphValueError.here(f"a template begins with an op: {before!r}")
    _check_names(before, after, formula)
    compiled: list[Callable[[Variable], Variable | None]] = []

    def apply(node: Variable) -> Variable | None:
        if not compiled:  # at first use: all templates together take milliseconds
            matcher = _Matcher(pattern, _parse(after), of, when)
            compiled.append(matcher.compile(f"<template {formula}>"))
        return compiled[0](node)

    return Rule(formula, (root[0],), of, apply, formula, _reads(root[1]))


# A name in a template, and whether it is called. Looking for them costs less than parsing.
_NAMES = re.compile(r"([A-Za-z_]\w*)\s*(\(?)")


def _check_names(before: str, after: str, formula: str) -> None:
    """Raise an error unless what is called are ops, and other names stand on the left too."""
    holes = {name for name, call in _NAMES.findall(before) if not call} | {"True", "False"}
    for name, call in _NAMES.findall(f"{before} {after}"):
        if call:
            check_op(name, formula)
        elif name not in holes:
            raise SymgraphValueError.here(f"the rule {formula} has no {name!r} on its left side")


def _parse(side: str) -> ast.expr:
    try:
        return ast.parse(side, mode="eval").body
    except SyntaxError:
        raise SymgraphValueError.here(f"a template is a Python expression: {side!r}") from None


def _call(pattern: ast.expr) -> tuple[str, list[ast.expr]] | None:
    """The op and the operands that an expression stands for; None for a name or a number."""
    if isinstance(pattern, ast.Call) and isinstance(pattern.func, ast.Name):
        return pattern.func.id, pattern.args
    if isinstance(pattern, ast.BinOp):
        return _operator(pattern.op), [pattern.left, pattern.right]
    if isinstance(pattern, ast.UnaryOp) and not isinstance(pattern.operand, ast.Constant):
        return _operator(pattern.op), [pattern.operand]
    return None


def _operator(symbol: ast.AST) -> str:
    op = _OPERATORS.get(type(symbol))
    if op is None:
        raise SymgraphValueError.here(f"a template has no operator {type(symbol).__name__}")
    return op


def _reads(operands: Sequence[ast.expr]) -> tuple[str, ...]:
    """The ops of which an input has to be: what is called, or else what a number may stand for."""
    calls = [call for operand in operands if (call := _call(operand)) is not None]
    if calls:
        return (calls[0][0],)
    return () if all(isinstance(operand, ast.Name) for operand in operands) else _UNIFORM


def _conditions(pattern: ast.expr) -> set[str]:
    """The names of variables that are conditions of ``where``."""
    parts = [part for part in ast.walk(pattern) if isinstance(part, ast.expr)]
    calls = [call for part in parts if (call := _call(part)) is not None]
    return {
        operands[0].id
        for name, operands in calls
        if name == "where" and isinstance(operands[0], ast.Name)
    }


class _Matcher:
    """The source of a matcher while it is written."""

    def __init__(
        self, before: ast.expr, after: ast.expr, of: str, when: Callable[..., bool] | None
    ) -> None:
        self.before, self.after, self.of, self.when = before, after, of, when
        self.lines = ["def apply(node):"]
        self.indent = "    "
        self.failure = "return None"
        self.bound: list[str] = []
        self.count = 0
        self.namespace: dict[str, Any] = {"_uniform": uniform, "_fit": fit, "_when": when}

    def compile(self, filename: str) -> Callable[[Variable], Variable | None]:
        """The function ``apply(node)``: the replacement of a node, or None."""
        # Breadth first: the cheap questions come before the deep ones.
        pending: list[tuple[ast.expr, str]] = [(self.before, "node")]
        while pending:
            pattern, local = pending.pop(0)
            call = _call(pattern)
            if call is None:
                self.leaf(pattern, local)
            else:
                if local != "node":
                    self.demand(f"{local}.op is {self.op(call[0])}")
                pending += zip(call[1], self.operands(call, local), strict=True)
        if self.of != EVERY:
            conditions = _conditions(self.before)
            for name in self.bound:
                if name not in conditions:
                    self.demand(f"{name}.dtype.kind in {self.of!r}")
        names = ", ".join(f"{name}={name}" for name in self.bound)
        if self.when is not None:
            self.demand(f"_when({names})")
        sources = "".join(f"{name}, " for name in self.bound)
        self.write(f"return _fit({self.expression(self.after)}, node, ({sources}))")
        self.lines.append("    return None")
        exec(compile("\n".join(self.lines), filename, "exec"), self.namespace)
        return self.namespace["apply"]

    def write(self, line: str) -> None:
        self.lines.append(self.indent + line)

    def demand(self, condition: str) -> None:
        self.write(f"if not ({condition}): {self.failure}")

    def op(self, name: str) -> str:
        """The local name of an op."""
        self.namespace[f"_{name}"] = OPS[name]
        return f"_{name}"

    def leaf(self, pattern: ast.expr, local: str) -> None:
        if isinstance(pattern, ast.Name) and pattern.id in self.bound:
            self.demand(f"{local} is {pattern.id}")
        elif isinstance(pattern, ast.Name):
            self.bound.append(pattern.id)
            self.write(f"{pattern.id} = {local}")
        else:
            self.demand(f"_uniform({local}) == {ast.literal_eval(pattern)!r}")

    def operands(self, call: tuple[str, list[ast.expr]], local: str) -> list[str]:
        """Local names of a node's inputs; where the op is commutative, tried in both orders."""
        name, patterns = call
        locals_ = [f"_{self.count + i}" for i in range(len(patterns))]
        self.count += len(patterns)
        targets = "".join(f"{each}, " for each in locals_)
        if "commutative" in OPS[name].traits:
            self.write(f"for {targets}in ({local}.inputs, {local}.inputs[::-1]):")
            self.indent += "    "
            self.failure = "continue"
        else:
            self.write(f"{targets}= {local}.inputs")
        return locals_

    def expression(self, after: ast.expr) -> str:
        call = _call(after)
        if call is None:
            return ast.unparse(after)
        operands = "".join(f"{self.expression(each)}, " for each in call[1])
        return f"{self.op(call[0])}.build(({operands}))"


# --- what templates and rules ask and make ------------------------------------------------------


def uniform(x: Variable) -> Any:
    """The value (a NumPy scalar) of a constant of one element, broadcast or not; else None."""
    while x.op is BROADCAST_TO or x.op is REARRANGE:
        x = x.inputs[0]
    if x.op is not CONSTANT:
        return None
    array = x.params[0].array
    return array.reshape(-1)[0] if array.size == 1 else None


def is_full_of(x: Variable, value: float) -> bool:
    """Whether all elements of a constant are known to have this value."""
    return uniform(x) == value


def fit(made: Any, model: Variable, sources: Sequence[Variable]) -> Variable | None:
    """``made`` (a variable or a number), cast and broadcast to the type of ``model``.

    Symbolic sizes are read off ``sources``; None where they do not have them.
    """
    if not isinstance(made, Variable):
        made = make_constant(model.dtype.type(made))
    if made.type is model.type:
        return made
    made = cast_to(made, model.dtype)
    if made.type is model.type:
        return made
    sizes = find_sizes(model.type.shape, (*model.inputs, *sources))
    return None if sizes is None else broadcast_to(made, sizes)


def find_sizes(shape: Sequence[Size], sources: Sequence[Variable]) -> list[Any] | None:
    """The sizes as ints and integer scalars, read off the sources; None where they lack one."""
    found: list[Any] = []
    for size in shape:
        scalar = size if isinstance(size, int) else _find_size(size, sources)
        if scalar is None:
            return None
        found.append(scalar)
    return found


def _find_size(size: Size, sources: Sequence[Variable]) -> Variable | None:
    for source in sources:
        if size in source.type.shape:
            return node(SIZE, (source,), (source.type.shape.index(size),))
    for source in sources:
        if source.type.shape == () and source.dtype.kind in "iu" and known_size(source) == size:
            return source
    return None


def if_typed(model: Variable, make: Callable[[], Variable]) -> Variable | None:
    """What is made; None where it cannot be made, or be shown to have the type of ``model``."""
    try:
        made = make()
    except SymgraphError:
        return None
    return made if made.type is model.type else None
