"""A graph for each rewrite rule on which it fires, over variables of any dtype and shape."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.types import DTYPES
from symgraph.core.variable import INPUT, Variable, ancestors, make_constant, node
from symgraph.ops.broadcast import BROADCAST_TO
from symgraph.ops.join import CONCATENATE
from symgraph.ops.sizes import CHECK_SIZE
from symgraph.ops.slices import SLICE, At, Span
from symgraph.rewrite.engine import Rule, RuleSet, sweep
from symgraph.rewrite.simplify import SIMPLIFY
from symgraph.rewrite.specialise import SPECIALISE
from symgraph.rewrite.stabilise import STABILISE

__all__ = [
    "SAMPLES",
    "SETS",
    "Letters",
    "closed",
    "dtypes_of",
    "fires",
    "is_template",
    "names_in",
    "pattern",
]

SETS = {"simplify": SIMPLIFY, "stabilise": STABILISE, "specialise": SPECIALISE}


@dataclass
class Letters:
    """The variables of samples, of one dtype but for the mask, the labels and the size."""

    dtype: Any

    def __post_init__(self) -> None:
        self.a = sg.tensor("a", ("T", "B"), self.dtype)
        self.b = sg.tensor("b", ("T", "B"), self.dtype)
        self.row = sg.tensor("row", ("B",), self.dtype)
        self.fixed = sg.tensor("fixed", (2, 3), self.dtype)
        self.mask = sg.tensor("mask", ("T", "B"), "bool")
        self.labels = sg.tensor("labels", ("T",), "int64")

    def number(self, value: float) -> Variable:
        """A scalar constant of the dtype."""
        return sg.constant(value, self.dtype)


def slices(x: Variable, *entries: object) -> Variable:
    return node(SLICE, (x,), (entries,))


def joined(*parts: Variable) -> Variable:
    return node(CONCATENATE, parts, (0,))


def zeros_like(x: Variable, shape: Any) -> Variable:
    return sg.zeros(shape, dtype=x.dtype)


def parts_among_zeros(s: Letters) -> Variable:
    repeated = sg.broadcast_to(s.fixed[0], (3, 3))
    return zeros_like(s.fixed, (5, 3)).add_at(slice(2, 5), repeated).add_at(slice(0, 2), s.fixed)


# Rules that are functions. Templates are their own samples.
SAMPLES: dict[str, Callable[[Letters], Variable]] = {
    "add_once": lambda s: (s.row + s.number(3)) - s.number(5),
    "multiply_once": lambda s: (s.row * s.number(2)) * s.number(3),
    "merge_wheres": lambda s: sg.where(
        s.mask, sg.where(s.mask, s.a, s.number(1)), sg.where(s.mask, s.number(2), s.b)
    ),
    "fold_constants": lambda s: sg.where(s.mask, s.a, sg.maximum(s.number(2), s.number(3))),
    "narrow_constant": lambda s: sg.maximum(s.row, sg.constant(np.full((4, 1), 2), s.dtype)),
    "merge_casts": lambda s: s.row.astype("float64").astype(s.dtype),
    "find_size": lambda s: zeros_like(s.a, sg.maximum(s.a, s.b).shape),
    "drop_check": lambda s: node(CHECK_SIZE, (s.a, s.b), (0, 0, "add")),
    "drop_bound": lambda s: sg.maximum(s.a.shape[0], 0),
    "merge_broadcasts": lambda s: node(
        BROADCAST_TO, (sg.broadcast_to(s.row, (1, *s.row.shape)), *s.a.shape), ((None, None),)
    ),
    "fix_sizes": lambda s: node(
        BROADCAST_TO, (s.fixed[0], make_constant(np.int64(7))), ((None, 3),)
    ),
    "view_of_one_value": lambda s: zeros_like(s.a, s.a.shape).T,
    "narrow_operands": lambda s: sg.maximum(s.a, sg.broadcast_to(s.row, s.a.shape)),
    "merge_rearranges": lambda s: sg.expand_dims(s.a.T, 0).T,
    "merge_reshapes": lambda s: sg.reshape(sg.reshape(s.fixed, (6,)), (3, 2)),
    "reshape_axes_of_one": lambda s: sg.reshape(s.fixed, (2, 1, 3)),
    "slice_before_rearrange": lambda s: s.a.T[2],
    "drop_slice": lambda s: slices(s.fixed, Span(0, 2, 1), None),
    "merge_slices": lambda s: slices(slices(s.a, Span(2, None, 1), None), At(3), Span(0, None, -1)),
    "index_of_reversed": lambda s: slices(slices(s.a, Span(1, None, -1), None), At(0), At(2)),
    "index_of_last": lambda s: s.a[s.a.shape[0] - 1],
    "merge_concatenates": lambda s: joined(
        joined(s.a, s.b), zeros_like(s.a, (0, s.a.shape[1])), s.a
    ),
    "slice_of_concatenate": lambda s: slices(
        joined(s.fixed, sg.maximum(s.fixed, s.number(1))), Span(2, 4, 1), None
    ),
    "add_to_part": lambda s: (
        s.b
        + zeros_like(s.a, s.a.shape).add_at((slice(None), 0), s.a[:, 1])
        + zeros_like(s.a, s.a.shape).add_at([1, 0, 1], s.row)
    ),
    "join_parts": parts_among_zeros,
    "merge_sums": lambda s: total(total(s.a, axis=1, keepdims=True), axis=0),
    "negate_sum": lambda s: total(-s.a),
    "sum_of_equals": lambda s: total(sg.broadcast_to(s.row, (3, *s.row.shape)), axis=0),
    "log_of_view": lambda s: sg.log(sg.softmax(s.a)[sg.arange(s.a.shape[0]), s.labels]),
    "log_of_softmax": lambda s: sg.log(sg.softmax(s.a)),
    "log_of_sum": lambda s: sg.log(sg.sum(sg.exp(s.a), axis=1)),
    "log_of_mean": lambda s: sg.log(sg.mean(sg.exp(s.fixed), axis=1)),
    "shares": lambda s: sg.exp(s.a) / sg.sum(sg.exp(s.a), axis=1, keepdims=True),
    "log_shares": lambda s: s.a - sg.expand_dims(sg.logsumexp(s.a, axis=1), 1),
    "cancel_factor": lambda s: sg.softmax(s.a) * (s.b / sg.softmax(s.a) - s.row),
    "cancel_product": lambda s: (
        (s.b / sg.sigmoid(s.a)) * (sg.sigmoid(s.a) * (1.0 - sg.sigmoid(s.a)))
    ),
    "cancel_quotient": lambda s: (s.b / sg.sigmoid(s.a)) * (sg.sigmoid(s.a) / 3.0),
    "weights_by_shares": lambda s: sg.exp(s.a) * (s.b / sg.sum(sg.exp(s.a), axis=1, keepdims=True)),
    "cancel_divisor": lambda s: (s.b * sg.sigmoid(s.a)) / sg.sigmoid(s.a),
    "cancel_across": lambda s: (s.b / (1.0 + sg.exp(s.a))) * (sg.exp(s.a) * s.b),
    "divide_by_power_of_two": lambda s: s.a / 4.0,
}


def total(x: Variable, **options: Any) -> Variable:
    """The sum in the dtype of what is added."""
    return sg.sum(x, dtype=x.dtype, **options)


def is_template(rule: Rule) -> bool:
    """Whether the rule's name is its formula, from which its pattern can be built."""
    return rule.name == rule.formula


def pattern(rule: Rule, letters: Mapping[str, Any], number: Callable[[Any], Any]) -> Variable:
    """The left-hand side of a template over these variables; its numbers as ``number`` has them."""
    return eval(_code(rule), {**vars(sg), **_INNER, **letters, "number": number})


def _where(condition: Any, x: Any, y: Any) -> Variable:
    """As `sg.where`, which takes no plain bool."""
    return sg.where(sg.constant(condition) if isinstance(condition, bool) else condition, x, y)


# Ops that only derivatives use, and what patterns alone may say.
_INNER = {**{name: OPS[name] for name in ("scale", "unscale")}, "where": _where}


def names_in(rule: Rule) -> set[str]:
    """The names in the left-hand side of a template; ``number`` where it has numbers."""
    return set(_code(rule).co_names)


@functools.cache
def _code(rule: Rule) -> types.CodeType:
    tree = ast.parse(rule.formula.split(" → ")[0], mode="eval")
    return compile(ast.fix_missing_locations(_Numbers().visit(tree)), rule.name, "eval")


class _Numbers(ast.NodeTransformer):
    """``number(1)`` for ``1``."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.operand, ast.Constant):
            return _number(node)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return _number(node)


def _number(node: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("number", ast.Load()), [node], [])


def dtypes_of(rule: Rule) -> list[np.dtype]:
    """The dtypes for which a rule says that it holds."""
    return [dtype for dtype in DTYPES if dtype.kind in rule.of]


def closed(sample: Variable) -> Graph:
    """The sample as a graph of its free variables."""
    return Graph([v for v in ancestors([sample]) if v.op is INPUT], [sample])


def fires(rule: Rule, sample: Variable) -> Variable | None:
    """What a rule alone makes of a sample; None where it does not fire."""
    after = sweep(closed(sample), RuleSet(rule)).outputs[0]
    return None if after is sample else after
