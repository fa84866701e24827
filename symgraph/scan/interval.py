"""How far checkpoints are apart: as many steps as the user says, or as the sizes of a call choose.

With checkpoints every ``k`` of ``n`` steps, ``n / k`` states are kept, and ``k`` steps of what the
gradient needs while it is in a chunk. ``"auto"`` takes about the root of ``n``. Of memory of so
many bytes it is the interval that fits and lets the fewest steps run again, none where all fit.
Where nothing fits, it is one that takes the least.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.dims import Size, product
from ..core.errors import ScanError
from ..core.types import TensorType, is_float
from ..core.variable import Variable
from ..ops.intervals import interval_within, room_for
from ..ops.linalg import MATMUL
from .arguments import is_int
from .close import find_varying
from .layout import IntervalRule
from .op import Loop, make_alike
from .room import CHECKPOINT, STEP
from .side_by_side import parts_of_chunks
from .sizes import of_length, scalar_for

__all__ = ["check_interval", "parse_memory", "with_checkpoints"]

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def check_interval(value: Any) -> None:
    """A `ScanError` where this is no interval: a positive number, ``"auto"`` or None."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return
    if not is_int(value) or int(value) < 1:
        raise ScanError.here(
            f'scan: checkpoint_every is a positive number of steps, "auto" or None, not {value!r}',
            remedy='Write checkpoint_every="auto" where the sizes of a call are to choose.',
        )


def parse_memory(value: Any) -> int | None:
    """The bytes that ``"200MB"``, ``"1.5 GB"`` or a whole number mean; None for None.

    ``kB``, ``MB``, ``GB`` and ``TB`` are powers of 1000, ``KiB``, ``MiB``, … of 1024.
    """
    if value is None:
        return None
    if is_int(value) and value > 0:
        return int(value)
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        number, unit, binary = found.groups()
        amount = int(float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()])
        if amount > 0 and (unit or not binary):
            return amount
    raise ScanError.here(
        f"scan: memory is a positive number of bytes, not {value!r}",
        remedy='Write memory="200MB" ("1.5 GB", "64 kB", "512 MiB"), or the bytes as a number.',
    )


def with_checkpoints(scan: Variable, *, every: int | str | None, memory: int | None) -> Variable:
    """The loop with checkpoints, so many steps apart or as many as the memory allows."""
    loop = Loop(scan)
    rule: IntervalRule | None = None
    if every is not None and every != "auto":
        interval: int | Variable = int(every)
    elif memory is None:
        interval, rule = interval_within(loop.n_steps, 1, 1, 0), IntervalRule()
    else:
        interval, rule = _within(loop, memory), IntervalRule(memory)
    layout = loop.layout.with_checkpoints(rule, parts_of_chunks(loop))
    inputs = loop.layout.parts(scan.inputs)._replace(interval=of_length(interval)).flat()
    return make_alike(scan, inputs, body=loop.body, layout=layout)


def _within(loop: Loop, memory: int) -> Variable:
    """The interval for so many bytes, by estimates of what is taken; see `room`."""
    states = [state.initial.type for state in loop.states]
    estimates = {CHECKPOINT: _bytes_of(loop, states), STEP: _bytes_of_step(loop)}
    rooms = [
        room_for(what, scalar_for(size, loop.operands), loop.node.inputs)
        for what, size in estimates.items()
    ]
    return interval_within(loop.n_steps, rooms[0], rooms[1], memory)


# --- what is kept --------------------------------------------------------------------------------


def _bytes_of(loop: Loop, types: Sequence[TensorType]) -> Size:
    """The bytes of such arrays; not those whose sizes the steps alone tell."""
    sizes = (product(type.shape) * type.dtype.itemsize for type in types)
    return sum((size for size in sizes if scalar_for(size, loop.operands) is not None), start=0)


def _bytes_of_step(loop: Loop) -> Size:
    """At most so many bytes of each step are kept while the gradient is in its chunk.

    The states; what is dear to compute again; for a product what comes back to it as well, which
    the sums over time read; and what comes back to the rows that are read.
    """
    kept = [state.new.type for state in loop.states]
    kept += [read.symbol.type for read in loop.reads if is_float(read.symbol.dtype)]
    new = {state.new for state in loop.states}
    varying = find_varying(loop.body.outputs, loop.changing).difference(loop.changing)
    for v in varying:
        if not isinstance(v.type, TensorType) or not is_float(v.dtype) or v.op.is_cheap:
            continue
        if v not in new and "view" not in v.op.traits:
            kept.append(v.type)
        if v.op is MATMUL:
            kept.append(v.type)
    return _bytes_of(loop, kept)
