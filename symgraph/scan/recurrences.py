"""Loops whose steps can be grouped: sums, products, extremes, linear recurrences.

What a step makes of the states is told by a *form*, found from their symbols on: in which algebra
it is linear (``plus``: sums of products; ``maximum``, ``minimum``, ``logaddexp``: these of sums;
``and``, ``or``), and how much of that it uses. Factors and summands may be anything that no state
changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..core import provenance
from ..core.dims import Size, product
from ..core.graph import Graph
from ..core.types import is_float
from ..core.variable import Variable
from ..ops.broadcast import REARRANGE
from ..ops.comparison import BITWISE_AND, BITWISE_OR
from ..ops.elementwise import (
    ADD,
    DIVIDE,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    SCALE,
    SUBTRACT,
    UNSCALE,
    WHERE,
)
from ..ops.linalg import MATMUL
from ..ops.promotion import CAST
from ..ops.sizes import CHECK_SIZE
from ..ops.softmax import LOGADDEXP
from ..rewrite.engine import sweep
from ..rewrite.simplify import SIMPLIFY
from .close import find_varying
from .late import read_values
from .op import Loop, make_alike, rebuild_alike
from .written import has_gradient, loops_written

__all__ = ["Recurrence", "find_recurrences"]

# How much of an algebra is used, what is more general after what it includes: the state itself; a
# sum with it; a product; sums of products; products of matrices.
_KINDS = ("state", "sum", "product", "linear", "matrix")
_REPEATED = {
    MAXIMUM: "maximum",
    MINIMUM: "minimum",
    LOGADDEXP: "logaddexp",
    BITWISE_AND: "and",
    BITWISE_OR: "or",
}
"""Ops that add up in an algebra of their own."""
_SHIFTED = frozenset({"maximum", "minimum", "logaddexp"})
"""Algebras in which sums are products."""

_IDEMPOTENT = frozenset({"maximum", "minimum", "and", "or"})
"""Algebras in which a value added to itself is the value."""

# For each algebra that a value is linear in, how much of it is used.
Form = Mapping[str, str]


class Recurrence(NamedTuple):
    """A loop whose states are recurrences that can be grouped, element by element."""

    scan: Variable
    algebra: str
    kind: str
    """``"sum"``, ``"product"`` or ``"linear"``: of the state that takes the most."""
    row: Size
    """How many numbers a row of the largest state has."""
    is_float: bool
    has_gradient: bool

    @property
    def is_one_operation(self) -> bool:
        """Whether it is a running sum or product."""
        return self.algebra == "plus" and self.kind in ("sum", "product")

    @property
    def is_accumulated(self) -> bool:
        """Whether a ufunc of NumPy accumulates it, and its steps cost little where others do not:
        those of a gradient."""
        return self.kind == "sum" and self.algebra in _IDEMPOTENT and not self.has_gradient


def find_recurrences(graph: Graph) -> Iterator[Recurrence]:
    """The loops that `associative_scan` could do, in a graph as it was built."""
    for around, scan in loops_written(graph):
        loop = Loop(scan)
        found = _algebra_of(_simplified(loop)) if _may_be_grouped(loop) else None
        if found is not None and found[1] != "matrix":
            row = max((product(s.new.type.shape) for s in loop.states), key=_known_first)
            floats = all(is_float(state.new.dtype) for state in loop.states)
            yield Recurrence(scan, *found, row, floats, has_gradient(scan, around))


def _simplified(loop: Loop) -> Loop:
    """The loop without what changes nothing, such as a factor of 1."""
    with provenance.without_lines():
        body = sweep(loop.body, SIMPLIFY, rebuild=rebuild_alike)
        return Loop(make_alike(loop.node, loop.node.inputs, body=body))


def _known_first(size: Size) -> tuple[bool, int]:
    return (False, size) if isinstance(size, int) else (True, 0)


def _may_be_grouped(loop: Loop) -> bool:
    layout = loop.layout
    is_plain = not (layout.until or layout.truncate or layout.is_lean)
    return (
        is_plain
        and bool(loop.states)
        and not any("effect" in v.op.traits for v in loop.body.nodes)
        and not all(_is_counter(loop, k) for k in range(len(loop.states)))
    )


def _is_counter(loop: Loop, k: int) -> bool:
    """Whether a state is a whole number that goes up by what does not change."""
    new = loop.states[k].new
    return new.dtype.kind in "iu" and new not in find_varying(
        [new], [read.symbol for read in loop.reads]
    )


def _algebra_of(loop: Loop) -> tuple[str, str] | None:
    """The algebra and kind of the state that takes the most; None unless all states have some."""
    late = _late(loop)
    forms = _forms(loop, late)
    found: list[tuple[str, str]] = []
    for k, state in enumerate(loop.states):
        options = dict(forms.get(state.new, {}))
        if state.new not in late:
            options = {"plus": "state"}  # it has nothing of an earlier step
        elif not _stays_within(loop, k):
            # States of each other's, or of several steps: one state of all together.
            options = {"plus": "matrix"} if "plus" in options else {}
        if not options:
            return None
        found.append(min(options.items(), key=lambda option: _KINDS.index(option[1])))
    recurrent = [pair for pair in found if pair[1] != "state"]
    if not recurrent or not late:
        return None
    return max(recurrent, key=lambda pair: (_KINDS.index(pair[1]), pair[0] != "plus"))


def _symbols(loop: Loop) -> list[Variable]:
    return [symbol for state in loop.states for symbol in state.taps.values()]


def _late(loop: Loop) -> set[Variable]:
    """What in the body depends on the values of states, and not on their sizes alone."""
    late = set(_symbols(loop))
    for v in loop.body.nodes:
        if not late.isdisjoint(read_values(v)):
            late.add(v)
    return late


def _stays_within(loop: Loop, k: int) -> bool:
    """Whether a state is made of the last value of itself alone."""
    others = [s for i, state in enumerate(loop.states) if i != k for s in state.taps.values()]
    state = loop.states[k]
    return list(state.taps) == [-1] and state.new not in find_varying([state.new], others)


def _forms(loop: Loop, late: set[Variable]) -> dict[Variable, Form]:
    """The forms of what is made of states, but for what is linear in no algebra."""
    algebras = ("plus", *_REPEATED.values())
    forms: dict[Variable, Form] = {x: dict.fromkeys(algebras, "state") for x in _symbols(loop)}
    for v in loop.body.nodes:
        if v in late and v not in forms and v.inputs:
            operands = [forms.get(x, {}) if x in late else None for x in v.inputs]
            forms[v] = _form_of(v, operands)
    return forms


def _form_of(v: Variable, operands: list[Form | None]) -> Form:
    """The form of an operation, of those of its operands; None for what no state changes."""
    if v.op in (ADD, SUBTRACT):
        return _of_sum(v, operands)
    if v.op in (MULTIPLY, SCALE, DIVIDE, UNSCALE):
        return _of_product(v, operands)
    if v.op is MATMUL:
        known = [form for form in operands if form is not None]
        return {"plus": "matrix"} if len(known) == 1 and "plus" in known[0] else {}
    if v.op in _REPEATED:
        algebra = _REPEATED[v.op]
        return _joined(algebra, operands)
    if v.op is WHERE and operands[0] is None:
        joined = [_joined(algebra, operands) for algebra in ("plus", *sorted(_SHIFTED))]
        return {a: _more(kind, "linear") for form in joined for a, kind in form.items()}
    if operands[0] is not None and (v.op is CHECK_SIZE or _keeps_order(v)):
        return operands[0]
    if v.op is NEGATIVE and operands[0] is not None and "plus" in operands[0]:
        return {"plus": _more(operands[0]["plus"], "product")}
    if v.op is CAST and operands[0] is not None and np.can_cast(v.inputs[0].dtype, v.dtype):
        return operands[0]
    return {}


def _keeps_order(v: Variable) -> bool:
    """Whether axes are put in or left out, and no more."""
    if v.op is not REARRANGE:
        return False
    axes = [axis for axis in v.params[0] if axis is not None]
    return axes == sorted(axes)


def _of_sum(v: Variable, operands: list[Form | None]) -> Form:
    plus = _joined("plus", operands)
    if v.op is SUBTRACT and operands[1] is not None and plus:
        plus = {"plus": _more(plus["plus"], "linear")}
    first, second = operands
    shifted = first if second is None else second if first is None and v.op is ADD else None
    found = {a: _more(kind, "linear") for a, kind in (shifted or {}).items() if a in _SHIFTED}
    return {**found, **plus}


def _of_product(v: Variable, operands: list[Form | None]) -> Form:
    first, second = operands
    if first is not None and second is not None:
        return {}
    if first is None and v.op in (DIVIDE, UNSCALE):
        return {}
    form = first if first is not None else second
    kind = (form or {}).get("plus")
    if kind is None:
        return {}
    return {"plus": "product" if kind in ("state", "product") else _more(kind, "linear")}


def _joined(algebra: str, operands: list[Form | None]) -> Form:
    """What is added up in an algebra, of operands that are linear in it or that no state changes;
    a sum where one of them is the state."""
    kinds = [form.get(algebra) for form in operands if form is not None]
    if not kinds or None in kinds:
        return {}
    kind = max((kind for kind in kinds if kind), key=_KINDS.index)
    if (len(kinds) == 1 or algebra in _IDEMPOTENT) and kind in ("state", "sum"):
        return {algebra: "sum"}
    return {algebra: _more(kind, "linear")}


def _more(kind: str, other: str) -> str:
    return max(kind, other, key=_KINDS.index)
