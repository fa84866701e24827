"""First derivatives in programs held against finite differences of NumPy's values."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from .program import Program, run_eagerly

__all__ = ["wrong_gradient"]

_GRADIENT = re.compile(r"^(\w+(?:, \w+)*),? = sg\.grad\((\w+), \[([\w, ]+)\]", re.MULTILINE)
_STEPS = (1e-3, 1e-4)
# What truncation changes on purpose is no derivative.
_CUT = ("truncate_gradient", "stop_gradient")
_TOLERANCE = 1e-5


def wrong_gradient(
    program: Program, arrays: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray]
) -> str | None:
    """What is wrong with a gradient among the results, in words; None where all are right.

    Gradients of costs that NumPy knows, by float64 inputs, along one random direction. Where the
    derivatives from the left and from the right differ there is a kink, and no gradient to hold.
    """
    if any(mark in i for i in program.instructions for mark in _CUT):
        return None
    untold = program.untold()
    for instruction in program.instructions:
        match = _GRADIENT.search(instruction)
        if match is None or match[2] in untold:
            continue
        for name, by in zip(match[1].split(", "), match[3].split(", "), strict=True):
            if name in results and by in arrays and arrays[by].dtype == np.float64:
                text = _wrong_along(program, match[2], by, arrays, results[name])
                if text:
                    return f"{name}: {text}"
    return None


def _wrong_along(
    program: Program, cost: str, by: str, arrays: Mapping[str, np.ndarray], gradient: np.ndarray
) -> str | None:
    """What is wrong with one gradient along one direction."""
    direction = np.random.default_rng(gradient.size).uniform(0.5, 1.5, gradient.shape)
    direction *= np.random.default_rng(gradient.size + 1).choice([-1.0, 1.0], gradient.shape)

    def at(step: float) -> float:
        moved = {**arrays, by: arrays[by] + step * direction}
        return float(run_eagerly(program, moved, [cost])[cost])

    if not np.all(np.isfinite(gradient)):
        return None
    centre, found = at(0.0), float(np.sum(gradient * direction))
    largest = float(np.max(np.abs(gradient), initial=1.0))
    scale = largest
    differences = []
    for step in _STEPS:
        right, left = (at(step) - centre) / step, (centre - at(-step)) / step
        scale = max(largest, abs(right), abs(left))
        if not np.isfinite(right + left) or abs(right - left) > 200 * step * scale:
            return None
        further = (at(2 * step) - at(-2 * step)) / (4 * step)
        differences.append((right + left) / 2 - (further - (right + left) / 2) / 3)
    rough = abs(differences[0] - differences[1])
    noise = 1e-13 * max(1.0, abs(centre)) / _STEPS[1]
    if abs(found - differences[1]) <= _TOLERANCE * scale + 10 * rough + 100 * noise:
        return None
    return (
        f"along a direction in {by} {found!r}, by differences of NumPy's values {differences[1]!r}"
    )
