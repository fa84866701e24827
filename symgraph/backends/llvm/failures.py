"""What a call that failed has to say: statuses of a program as errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import provenance
from ...core.binding import bind_sizes, shape_numbers
from ...core.dims import Atom
from ...core.errors import CallError, explain
from ...scan.op import SCAN
from .image import Lowered
from .lowering import Check
from .python_steps import error_of, error_on_shapes, in_steps

__all__ = ["error_of_status"]


def error_of_status(
    status: int, lowered: Lowered, types: Sequence[Any], frame: np.ndarray,
    arrays: Sequence[np.ndarray],
) -> Exception:  # fmt: skip
    """The error that one of the program's own checks stands for, in a call on these arrays."""
    check = lowered.checks[status - 1]
    if check.text is not None:
        text = check.text(*(int(frame[slot >> 3]) for slot in check.slots))
        if check.node.op is SCAN:
            error: Exception = check.error(explain(text, line=provenance.line_of(check.node)))
        else:
            error = error_of(check.node, check.error, text, _sizes(check, frame))
    elif status in lowered.input_checks:
        return _misfit(lowered, types, arrays)
    else:
        error = error_on_shapes(check.node, _sizes(check, frame))
    return in_steps(error, check.loops, frame)


def _sizes(check: Check, frame: np.ndarray) -> dict[Atom, int]:
    return {atom: int(frame[slot >> 3]) for atom, slot in check.sizes.items()}


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
