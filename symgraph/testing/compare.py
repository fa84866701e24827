"""Results of two computations compared, with no more tolerance than rounding needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backends.base import Backend
from ..compile.function import compile
from ..core.annotations import ArrayLike
from ..core.shared import SharedVariable
from ..core.types import is_float
from ..core.variable import Variable, ancestors

__all__ = ["check_backends", "difference"]

# How much of a float's digits may go, relative to the largest number that took part.
_TOLERANCE = {"float32": 2e-4, "float64": 1e-9}


def difference(
    found: Any, expected: Any, *, magnitude: float = 1.0, only_finite: bool = False
) -> str | None:
    """Where two arrays differ by more than rounding, in words; None where they agree.

    Integers and bools agree exactly. Floats may differ by a part of their size, or of ``magnitude``
    (of numbers that may have cancelled) times a hundredth of it; NaN and infinities agree in place,
    or, with ``only_finite``, are not looked at where ``expected`` has them.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype:
        return f"dtype {found.dtype} for {expected.dtype}"
    if found.shape != expected.shape:
        return f"shape {found.shape} for {expected.shape}"
    if is_float(found.dtype):
        part = _TOLERANCE[found.dtype.name]
        with np.errstate(all="ignore"):
            room = part * np.maximum(np.abs(expected), 0.01 * max(1.0, magnitude))
            same = np.isfinite(expected) & (np.abs(found - expected) <= room)
            same |= (found == expected) | (np.isnan(found) & np.isnan(expected))
        if only_finite:
            same |= ~np.isfinite(expected)
    else:
        same = found == expected
    if np.all(same):
        return None
    index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(~same)))[: found.ndim]
    count = int(np.sum(~same))
    return f"{count} of {found.size}, at {index} {found[index]!r} for {expected[index]!r}"


def check_backends(
    outputs: Variable | Sequence[Variable],
    inputs: Sequence[Variable] = (),
    arrays: Sequence[ArrayLike] = (),
    *,
    updates: Mapping[SharedVariable, Variable] | None = None,
    more: Sequence[Sequence[ArrayLike]] = (),
    threads: int = 1,
    backend: str | Backend = "native",
    magnitude: float = 1.0,
) -> list[list[np.ndarray]]:
    """The reference's results of each call, after the backend's were found to be the same.

    ``outputs`` is a variable or a list; an input that nothing needs is left out. The first call
    gets ``arrays``, each further one what ``more`` has for it; shared variables move with each
    call, are compared too, and get their first values back. Raises AssertionError where results
    differ, and what a backend raises.

    >>> x = sg.vector("x", dtype="float64")
    >>> sg.testing.check_backends(x * 2, [x], [np.array([1.0, 2.0])])
    [[array([2., 4.])]]
    """
    targets = [outputs] if isinstance(outputs, Variable) else list(outputs)
    changed = dict(updates or {})
    below = set(ancestors([*targets, *changed.values()]))
    used = [i for i, x in enumerate(inputs) if x in below]
    given = [[call[i] for i in used] for call in (arrays, *more)]
    results = []
    for name in ("numpy", backend):
        first = {w: w.get_value() for w in changed}
        try:
            function = compile(
                [inputs[i] for i in used], targets, updates=changed, backend=name, threads=threads
            )
            results.append([[*function(*a), *(w.get_value() for w in changed)] for a in given])
        finally:
            for w, value in first.items():
                w.set_value(value)
    labels = [f"output {i}" for i in range(len(targets))] + [f"new {w.name}" for w in changed]
    for i, (expected, found) in enumerate(zip(*results, strict=True)):
        for label, e, f in zip(labels, expected, found, strict=True):
            wrong = difference(f, e, magnitude=magnitude)
            if wrong:
                raise AssertionError(f"call {i}, {label} of {backend!r}: {wrong} by the reference")
    return [r[: len(targets)] for r in results[0]]
