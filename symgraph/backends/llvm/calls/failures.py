"""What a call that failed has to say: statuses of a program as errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....core import provenance
from ....core.binding import bind_sizes, shape_numbers
from ....core.dims import Atom
from ....core.errors import CallError, TooLargeError, explain
from ....scan.op import SCAN
from ...too_large import array_text
from ..lowering.image import Lowered
from ..lowering.program import Check
from ..machine.frame import Frame
from .python_nodes import error_of, error_on_shapes, in_steps

__all__ = ["error_of_status", "no_room_for_arena", "no_room_for_result"]


def error_of_status(
    lowered: Lowered, status: int, types: Sequence[Any], frame: Frame,
    arrays: Sequence[np.ndarray],
) -> Exception:  # fmt: skip
    """The error that one of the program's own checks stands for, in a call on these arrays."""
    check = lowered.checks[status - 1]
    if check.text is None and status in lowered.input_checks:
        return _misfit(lowered, types, arrays)
    return in_steps(lambda: _error_of(check, frame), check.loops, frame)


def _error_of(check: Check, frame: Frame) -> Exception:
    if check.text is None:
        return error_on_shapes(check.node, _sizes(check, frame))
    text = check.text(*(frame[slot] for slot in check.slots))
    if check.node.op is SCAN:
        return check.error(explain(text, line=provenance.line_of(check.node)))
    return error_of(check.node, check.error, text, _sizes(check, frame), _place(check, frame))


def _sizes(check: Check, frame: Frame) -> dict[Atom, int]:
    return {atom: frame[slot] for atom, slot in check.sizes.items()}


def _place(check: Check, frame: Frame) -> tuple[int, ...]:
    """Where in an array of indices the one stands that is out of range."""
    if check.place is None:
        return ()
    slot, shape = check.place
    numbers = [n for n in shape_numbers(shape, _sizes(check, frame)) if n]
    if len(numbers) != len(shape):
        return ()
    return tuple(map(int, np.unravel_index(frame[slot], numbers)))


def no_room_for_arena(lowered: Lowered, frame: Frame) -> Exception:
    """The error of a call for whose values there is no memory: it names the largest."""
    sizes = [frame[room.elements] * room.itemsize for room in lowered.rooms]
    check = lowered.checks[lowered.rooms[sizes.index(max(sizes))].status - 1]
    assert check.text is not None
    largest = check.text(*(frame[slot] for slot in check.slots))
    text = f"no memory is left for the {len(sizes)} values that this call keeps at once"
    return error_of(check.node, TooLargeError, f"{text}: {largest}", _sizes(check, frame))


def no_room_for_result(
    lowered: Lowered, number: int, shape: Sequence[int], dtype: np.dtype
) -> Exception:
    """The error of a call for one of whose results there is no memory."""
    v = lowered.outputs[number]
    text = f"no memory is left for a result: {array_text(shape, dtype)}"
    return TooLargeError(explain(text, line=provenance.nearest_line(v) if v is not None else None))


def _misfit(lowered: Lowered, types: Sequence[Any], arrays: Sequence[np.ndarray]) -> Exception:
    """What is to say of arguments whose sizes do not agree."""
    sizes = bind_sizes(types, [x.shape for x in arrays])
    for v in lowered.taken_for_granted:
        axis, other_axis, _ = v.params
        x, other = v.inputs
        a, b = shape_numbers((x.type.shape[axis], other.type.shape[other_axis]), sizes)
        if a != b:
            return error_on_shapes(v, sizes)
    shapes = ", ".join(map(str, (x.shape for x in arrays)))
    return CallError(f"arguments of shapes {shapes} do not fit together")
