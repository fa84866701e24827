"""Functions of two rows that are stacks of small matrices, as functions of the matrices' elements.

Each element of a stack is a row of its own, and a product of matrices is written out: operations on
such rows go through many matrices at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np

from ..core import provenance
from ..core.dims import product
from ..core.graph import rebuild
from ..core.variable import Variable, make_input
from ..ops.broadcast import REARRANGE
from ..ops.join import stack
from ..ops.linalg import MATMUL
from ..ops.reshape import fit, reshape
from ..ops.sizes import CHECK_SIZE, shape_of
from ..ops.slices import SLICE
from .combination import Combination
from .late import find_late

__all__ = ["Apart", "taken_apart"]

_MOST_ELEMENTS = 9
"""Of more the operations on each take longer than products of matrices one after the other."""

Elements: TypeAlias = np.ndarray
"""An array of variables; of values in a step with axes of 1 for those of the stack."""


@dataclass(frozen=True)
class Apart:
    """A function of two rows, and sequences, taken apart."""

    combine: Combination
    rows: list[Variable]
    wholes: Sequence[Variable]
    """The sequences as they were."""
    n_kept: int
    """How many axes of these stay together."""

    def together(self, results: Sequence[Variable]) -> list[Variable]:
        """The results for each of the sequences as they were."""
        rest, found = iter(results), []
        for x in self.wholes:
            n_elements = int(np.prod(x.type.shape[self.n_kept :]))
            parts = [next(rest) for _ in range(n_elements)]
            found.append(parts[0] if x.ndim == self.n_kept else _joined(parts, x))
        return found


def taken_apart(combine: Combination, rows: Sequence[Variable]) -> Apart | None:
    """The function and the sequences taken apart; None but for products of stacks of small
    matrices, and what is done beside them to the elements of each."""
    late = sorted(find_late(combine.outputs, [*combine.left, *combine.right]), key=_serial)
    n_stacked = max((v.ndim - 2 for v in late if v.op is MATMUL), default=0)
    if n_stacked < 1 or not all(_is_small(x, rows[0], n_stacked) for x in rows):
        return None
    sequences = [_elements(x, n_stacked + 1) for x in rows]
    left, right = (
        [_symbols(x, v, n_stacked) for x, v in zip(sequences, side, strict=True)]
        for side in (combine.left, combine.right)
    )
    known = dict(zip([*combine.left, *combine.right], [*left, *right], strict=True))
    with provenance.hand_on_lines():
        for v in late:
            provenance.derive_from(v)
            value = _value(v, known, n_stacked)
            if value is None:
                return None
            known[v] = value
    if not all(v in known for v in combine.outputs):
        return None
    flat_left, flat_right = (list(np.concatenate([x.ravel() for x in s])) for s in (left, right))
    outputs = np.concatenate([known[v].ravel() for v in combine.outputs])
    parts = zip(outputs, flat_left, strict=True)
    whole = Combination(flat_left, flat_right, [fit(x, v, "associative_scan") for x, v in parts])
    return Apart(whole, list(np.concatenate([x.ravel() for x in sequences])), rows, n_stacked + 1)


_serial = attrgetter("serial")


def _is_small(x: Variable, first: Variable, n_stacked: int) -> bool:
    """Whether rows are stacks of few elements, as large as the first sequence's may be."""
    if x.ndim <= n_stacked:
        return False
    *stacked, elements = x.type.shape[1 : n_stacked + 1], product(x.type.shape[n_stacked + 1 :])
    pairs = zip(stacked[0], first.type.shape[1:], strict=False)
    alike = all((a == 1) == (b == 1) for a, b in pairs)
    return alike and isinstance(elements, int) and 0 < elements <= _MOST_ELEMENTS


def _elements(x: Variable, n_kept: int) -> Elements:
    """The elements of an array, each of which has the first axes."""
    found = np.empty(x.type.shape[n_kept:], object)
    for place in np.ndindex(found.shape):
        found[place] = x[(slice(None),) * n_kept + place]
    return found


def _symbols(elements: Elements, row: Variable, n_stacked: int) -> Elements:
    """Symbols for rows of sequences of elements."""
    found = np.empty((*(1,) * n_stacked, *elements.shape), object)
    for place, (index, x) in enumerate(np.ndenumerate(elements)):
        name = f"{row.name}, element {place}"
        found[(*(0,) * n_stacked, *index)] = make_input(x.type.row, name)
    return found


def _value(v: Variable, known: Mapping[Variable, Elements], n_stacked: int) -> Elements | None:
    """The elements of what an operation gives; None where there is no rule for it."""
    operands = [known.get(x) for x in v.inputs]
    if v.op.formula is not None:
        return _by_element(v, operands)
    first = operands[0]
    if first is None or v.op is CHECK_SIZE:  # what the elements' sizes are is checked anew
        return first
    if v.op is MATMUL:
        second = operands[1]
        return None if second is None or first.ndim != second.ndim else np.matmul(first, second)
    kept = {REARRANGE: tuple(range(n_stacked)), SLICE: (None,) * n_stacked}
    if v.op not in kept or len(v.inputs) > 1 or tuple(v.params[0][:n_stacked]) != kept[v.op]:
        return None
    assert v.op.evaluate is not None
    return v.op.evaluate([first], *v.params)


def _by_element(v: Variable, operands: Sequence[Elements | None]) -> Elements | None:
    """What an elementwise operation gives; it takes numbers from outside alone."""
    arrays = []
    for x, operand in zip(v.inputs, operands, strict=True):
        if x.ndim != (0 if operand is None else v.ndim):
            return None
        if operand is None:
            operand = np.empty((1,) * v.ndim, object)
            operand.flat[0] = x
        arrays.append(operand)
    places = np.broadcast(*arrays)
    found = np.empty(places.shape, object)
    for place, parts in zip(np.ndindex(found.shape), places, strict=True):
        found[place] = rebuild(v, list(parts))
    return found


def _joined(parts: Sequence[Variable], like: Variable) -> Variable:
    return reshape(stack(parts, axis=-1), shape_of(like))
