"""The last rows of a result, where nobody reads others: so many of a state a loop keeps."""

from __future__ import annotations

from collections.abc import Callable, Container

from ..core.graph import Graph
from ..core.variable import Variable
from ..ops.sizes import SIZE
from ..ops.slices import SLICE, SYMBOL, At, Entry, Span

__all__ = ["kept_rows", "last_rows_read"]

# So many rows are a few: a loop moves them at every step, or carries them in registers.
_A_FEW = 8


def kept_rows(
    graph: Graph,
    result: Variable | None,
    depth: int,
    *,
    needed: Container[Variable] | None = None,
    is_copied: Callable[[Variable], bool] = lambda v: False,
) -> int | None:
    """How many last rows of a state a loop keeps, those that steps read included; None for all.

    ``result`` is what has the state's rows, None where nobody reads it; steps read the last
    ``depth`` rows. For the others see `last_rows_read`.
    """
    count = (
        0 if result is None else last_rows_read(graph, result, needed=needed, is_copied=is_copied)
    )
    return max(count, depth) if count is not None and count <= max(depth, _A_FEW) else None


def last_rows_read(
    graph: Graph,
    result: Variable,
    *,
    needed: Container[Variable] | None = None,
    is_copied: Callable[[Variable], bool] = lambda v: False,
) -> int | None:
    """How many of an array's last rows are read at most; None where it may be others, or all.

    Slices up to the end are looked through, but for those that are copied; nodes that are not
    ``needed`` read nothing.
    """
    outputs, most = set(graph.outputs), 0
    pending: list[tuple[Variable, int | None]] = [(result, None)]
    while pending:
        x, within = pending.pop()  # of which all rows are the last ones of so many
        users = [user for user, _ in graph.users[x] if needed is None or user in needed]
        counts = [within] if x in outputs or is_copied(x) else []
        for user in (user for user in users if user.op is not SIZE):
            is_part = user.op is SLICE and user.inputs[0] is x
            entry = user.params[0][0] if is_part else None
            if isinstance(entry, Span) and entry.stop is None and entry.step == 1:
                pending.append((user, _fewer(within, entry)))
            else:
                counts.append(_fewer(within, entry))
        if None in counts:
            return None
        most = max([most, *filter(None, counts)])
    return most


def _fewer(within: int | None, entry: Entry) -> int | None:
    """Among how many last rows are those that an entry for the first axis leaves of so many."""
    start = entry.index if isinstance(entry, At) else entry.start if entry is not None else 0
    if start == SYMBOL or int(start) >= 0:
        return within
    return -int(start) if within is None else min(within, -int(start))
