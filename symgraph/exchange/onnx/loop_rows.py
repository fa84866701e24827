"""What the steps of a loop read row by row: which rows, in which direction; and initial rows."""

from __future__ import annotations

from ...core.dims import maximum_zero
from ...core.variable import CONSTANT, Variable, ancestors
from ...ops.create import zeros
from ...ops.elementwise import add
from ...ops.sizes import SIZE, shape_of, size_of
from ...ops.slices import SLICE, At, Entry, Span, read_slice, slice_axis
from ...rewrite.shapes import find_size
from ...rewrite.views import VIEWS
from ...scan.op import Loop, Read, State, rebuild_alike

__all__ = ["has_steps", "initial_rows", "is_made_of_sizes", "no_rows", "rows_read"]


def has_steps(loop: Loop) -> bool | None:
    """Whether there is a step; None where that is not known."""
    n = size_of(loop.n_steps)
    if n == 0:
        return False
    return True if maximum_zero(n - 1) == n - 1 else None


def rows_read(loop: Loop, read: Read) -> tuple[Variable, int]:
    """The rows that the steps read, in their order or, with direction 1, from the last one on."""
    x, n = read.sequence, size_of(loop.n_steps)
    beyond = x.type.shape[0] - read.offset - n
    if not isinstance(beyond, int):
        return slice_axis(x, 0, read.offset, add(loop.n_steps, read.offset)), 0
    backwards = _backwards(x)
    if backwards is not None:
        return _simplified(slice_axis(backwards, 0, beyond, -read.offset or None)), 1
    return _simplified(slice_axis(x, 0, read.offset, -beyond or None)), 0


def initial_rows(state: State) -> list[Variable]:
    """The initial rows of a state, the oldest first."""
    x = state.initial
    others: list[Entry] = [None] * (x.ndim - 1)
    return [_simplified(read_slice(x, [At(k), *others], ())) for k in range(state.depth)]


def no_rows(x: Variable) -> Variable:
    """None of the rows of ``x``."""
    if not is_made_of_sizes(x):
        return slice_axis(x, 0, 0, 0)
    sizes = (_older_size(s) if isinstance(s, Variable) else s for s in shape_of(x)[1:])
    return zeros((0, *sizes), dtype=x.dtype)


def is_made_of_sizes(v: Variable) -> bool:
    """Whether a value takes nothing but sizes of others, and constants: zeros, for one."""
    sizes = [x for x in ancestors([v]) if x.op is SIZE]
    return all(x.op is CONSTANT or x.inputs or x in sizes for x in ancestors([v], sizes))


def _backwards(x: Variable) -> Variable | None:
    """What ``x`` is from its end to its beginning, if it is made so."""
    if x.op is not SLICE:
        return None
    source, *symbols = x.inputs
    entries: tuple[Entry, ...] = x.params[0]
    first, others = entries[0], entries[1:]
    if symbols or any(others) or not isinstance(first, Span) or first.step != -1:
        return None
    return read_slice(source, [Span(first.start, first.stop, 1), *others], ())


def _simplified(v: Variable) -> Variable:
    """The variable in terms of simpler views, such as one slice for two, and of older sizes."""
    while True:
        changes = (rule.apply(v) for rule in VIEWS.candidates(v))
        found = next((new for new in changes if new is not None and new is not v), None)
        if found is None or found.type is not v.type:
            break
        v = found
    changed = rebuild_alike(v, [_older_size(x) for x in v.inputs])
    return changed if changed.type is v.type else v


def _older_size(x: Variable) -> Variable:
    """A size read where it comes from."""
    older = find_size.apply(x) if x.op is SIZE else None
    return x if older is None else older
