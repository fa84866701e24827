"""Loops of a user's own held against their steps written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import ShapeError, SymgraphTypeError
from ..core.provenance import describe
from ..core.values import brief
from ..core.variable import Variable
from ..scan.arguments import as_list
from ..scan.build import scan
from ..scan.step import Until
from .loops import unrolled
from .symbols import Symbols
from .twins import assert_alike, check_limits, hold, tolerance_of
from .unroll import unroll
from .walk import walk

__all__ = ["check_scan"]

# Options of scan that change the values of a loop or of its gradients.
_TELLING = ("n_steps", "go_backwards", "truncate_gradient")


def check_scan(
    step: Callable[..., Any],
    sequences: Any = (),
    outputs_info: Any = (),
    non_sequences: Any = (),
    *,
    orders: int = 3,
    tolerance: float | None = None,
    **options: Any,
) -> list[np.ndarray]:
    """The outputs of a loop, after holding them and their derivatives against independent twins.

    Takes what `scan` takes, with arrays where variables would be; an array that is given twice is
    one variable. Both backends run the loop, with lengths that are known and lengths that are not.
    Outputs are compared with those of a loop in Python that evaluates the step row by row.
    Derivatives by all float arrays, of orders 1 to ``orders``, in reverse and in forward mode, are
    compared with those of the steps written out, loops within the step too, and gradients also with
    finite differences, where all is float64 and nothing is truncated or stopped by
    `stop_gradient`. Derivatives are of the sum of all outputs with weights. Of a truncated
    gradient the twin stops at the value that each earlier step gave. Raises AssertionError where
    anything is off by more than ``tolerance`` (1e-8 for float64, 2e-3 for float32), relative to
    the largest number of an array where that is above 1.

    >>> x, start = np.array([1.0, 2.0]), np.array(0.5)
    >>> sg.testing.check_scan(lambda x_t, h: sg.tanh(x_t) * h, [x], [start], orders=1)[0].shape
    (2,)
    """
    check_limits("check_scan", orders, tolerance)
    given = (as_list(sequences), as_list(outputs_info), as_list(non_sequences))
    _check_arrays(*given[:2])
    telling = {name: options[name] for name in _TELLING if options.get(name) is not None}
    if telling.get("truncate_gradient") == -1:  # Theano's way to say: all the way
        del telling["truncate_gradient"]
    truncate = telling.pop("truncate_gradient", None)
    loops = {
        known: Symbols(*given, known=known).call(scan, step, options) for known in (True, False)
    }
    walked = walk(step, *given, **telling)
    given[1][:] = given[1] or [None] * len(walked.outputs)
    telling |= {"n_steps": walked.steps, "truncate_gradient": truncate}
    arguments = Symbols(*given, known=True)
    arguments.settle(walked.dtypes)
    written = arguments.call(unrolled, _without_until(step), telling)
    twin = replace(written, outputs=unroll(written.outputs, given=written.values))
    tolerance = tolerance_of(twin.outputs) if tolerance is None else tolerance
    results: list[np.ndarray] = []
    for known, found in loops.items():
        results = hold(found, twin, orders, tolerance, differences=known)
        for i, pair in enumerate(zip(results, walked.outputs, strict=True)):
            assert_alike(f"the outputs, by a loop in Python: number {i}", *pair, tolerance)
    return results


def _check_arrays(sequences: list[Any], infos: list[Any]) -> None:
    """Raise where a variable is given for an array, or a number for rows."""
    for role, entries in (("sequence", sequences), ("initial value", infos)):
        for i, entry in enumerate(entries):
            is_full = isinstance(entry, Mapping)
            value: Any = entry.get("input", entry.get("initial")) if is_full else entry
            if isinstance(value, Variable):
                raise SymgraphTypeError.here(
                    f"check_scan: {role} {i} is {describe(value)}, and not an array",
                    remedy="Give a value: the loop is built of variables of its type.",
                )
            if role == "sequence" and not np.ndim(value):
                raise ShapeError.here(f"check_scan: sequence {i} has no rows: {brief(value)}")


def _without_until(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step, of which no condition ends the loop."""

    def plain(*arguments: Any) -> Any:
        results = step(*arguments)
        if isinstance(results, (list, tuple)) and isinstance(results[-1], Until):
            return results[0] if len(results) == 2 else list(results[:-1])
        return results

    return plain
