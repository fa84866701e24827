"""Rows of a table that steps read at indices from sequences, read of it for all steps at once.

``table[i_t]`` is a row of the sequence ``table[i]`` then, and ``table[i_t] @ W`` is computed before
the loop as products of other rows are (`products`). It is done for products alone: the rows of all
steps take room.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core import provenance
from ..core.graph import replace
from ..core.variable import Variable, ancestors, make_input
from ..ops.broadcast import REARRANGE
from ..ops.gather import GATHER
from ..ops.join import CONCATENATE
from ..ops.slices import SLICE
from .close import find_varying
from .open import OpenLoop
from .over_time import rows_between
from .products import has_fixed_factor
from .stacked import stacked

__all__ = ["is_read_before", "read_at_indices_before"]

# The rows that symbols stand for: sequences, and how far ahead of the first ones that are read.
_Rows = dict[Variable, tuple[Variable, int]]


def read_at_indices_before(loop: OpenLoop) -> None:
    """Let the loop read rows of sequences in place of those at indices that products multiply.

    An index out of range fails before the loop, and the error tells the step. What steps print or
    check comes before that, so nothing is done where they do.
    """
    if loop.condition is not None or loop.is_lean or loop.node.params[0].has_effects:
        return
    symbols: dict[tuple[Variable, int], Variable] = {}
    alike: dict[Variable, dict[Variable, int]] = {}
    for v in _multiplied(loop):
        template, first = _in_any_step(loop, v, symbols)
        alike.setdefault(template, {})[v] = first
    rows_of = {symbol: place for place, symbol in symbols.items()}
    replaced: dict[Variable, Variable] = {}
    for template, found in alike.items():
        low, high = min(found.values()), max(found.values())
        rows = _over_time(loop, template, rows_of, low, high)
        if rows is not None:
            for v, first in found.items():
                symbol = replaced[v] = make_input(v.type)
                loop.read(rows, symbol, first - low)
    if replaced:
        loop.substitute(replaced)


def is_read_before(loop: OpenLoop, value: Variable) -> bool:
    """Whether a value of the body as it was is at an index there, and a row of a sequence now."""
    return value.op in (GATHER, SLICE) and loop.as_now([value])[0] in loop.reads


def _multiplied(loop: OpenLoop) -> list[Variable]:
    """What the body reads at indices from sequences and multiplies by fixed matrices, the oldest
    first; joined to something else perhaps, or something is computed of it, in between."""
    varying = loop.varying
    stack = [v.inputs[0] for v in loop.products if has_fixed_factor(v, varying)]
    late = loop.late if stack else set()
    seen: set[Variable] = set()
    found: list[Variable] = []
    while stack:
        v = stack.pop()
        if v in seen or v not in varying:
            continue
        seen.add(v)
        is_fixed_table = v.op in (GATHER, SLICE) and v.inputs[0] not in varying
        if is_fixed_table and v not in late and loop.has_fixed_size(v):
            found.append(v)
        elif v.op in (REARRANGE, CONCATENATE) or v not in late:
            stack.extend(v.inputs)
    return sorted(found, key=lambda v: v.serial)


def _in_any_step(
    loop: OpenLoop, v: Variable, symbols: dict[tuple[Variable, int], Variable]
) -> tuple[Variable, int]:
    """The value, of ``symbols`` for rows as far from each other as those that it reads; and which
    is the first of these: values at other taps differ in that alone."""
    reads = [loop.reads[x] for x in ancestors([v], loop.reads) if x in loop.reads]
    first = min(read.offset for read in reads)
    for sequence, offset, symbol in reads:
        symbols.setdefault((sequence, offset - first), make_input(symbol.type))
    given = {read.symbol: symbols[read.sequence, read.offset - first] for read in reads}
    return replace([v], given, keep_lines=True)[0], first


def _over_time(
    loop: OpenLoop, template: Variable, rows_of: _Rows, low: int, high: int
) -> Variable | None:
    """The value for each row that is the first one in a step, from the one ``low`` in step 0 on to
    the one ``high`` in the last; None where it is not computed for all at once."""
    below = [x for x in ancestors([template], rows_of) if x in rows_of]
    rows = {
        x: rows_between(loop, sequence, low + ahead, high + ahead)
        for x, (sequence, ahead) in ((x, rows_of[x]) for x in below)
    }
    if len({x.type.shape[0] for x in rows.values()}) != 1:
        return None
    arrays = {x: make_input(given.type) for x, given in rows.items()}
    values = stacked([template], arrays, may_fail=True)
    if values is None:
        return None
    words, is_part = provenance.loop_words(loop.node), loop.node.params[1].is_numbered
    told = provenance.Steps(words, high - low, is_part)
    for v in find_varying(values, list(arrays.values())).difference(arrays.values()):
        provenance.tell_steps(v, told)
    outside: Mapping[Variable, Variable] = {arrays[x]: rows[x] for x in below} | loop.fixed
    return replace(values, outside)[0]  # what the user has written of all rows is of no step
