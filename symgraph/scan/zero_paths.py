"""Which inputs of a loop have a gradient of zero, as its body is piecewise constant in them."""

from __future__ import annotations

from collections.abc import Sequence

from ..autodiff.flow import find_path
from ..core.variable import Variable
from .op import SCAN, Loop

__all__ = ["step_inputs_of_scan"]


def step_inputs_of_scan(scan: Variable, result: int) -> set[Variable]:
    """The loop's inputs from which a result is made without a path's being cut for good.

    A path may go through states, from one step to the one before.
    """
    loop = Loop(scan)
    outputs = [value for value, _ in loop.results]
    taps = [list(state.taps.values()) for state in loop.states]
    # The checkpoints of a state are rows of it.
    pending = [result % len(outputs)]
    roots = set(pending)
    while pending:
        ends = [outputs[pending.pop()]]
        for i, symbols in enumerate(taps):
            if i not in roots and _is_made_of(ends, symbols):
                roots.add(i)
                pending.append(i)
    ends = [outputs[k] for k in sorted(roots)]
    operands = zip(loop.operands, loop.body.inputs, strict=True)
    return {x for x, symbol in operands if _is_made_of(ends, [symbol])}


def _is_made_of(ends: Sequence[Variable], symbols: Sequence[Variable]) -> bool:
    paths = (find_path(ends, symbol) for symbol in symbols)
    return any(path is not None and (path.is_zero or not path.cuts) for path in paths)


SCAN.attach(step_inputs=step_inputs_of_scan)
