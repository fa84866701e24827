"""First derivatives in programs held against finite differences of NumPy's values."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from .program import Program, run_eagerly

__all__ = ["wrong_gradient"]

_GRADIENT = re.compile(r"^(\w+(?:, \w+)*),? = sg\.grad\((\w+), \[([\w, ]+)\]", re.MULTILINE)
_STEP = 1e-4
# Kinks on both sides can look smooth along one direction.
_DIRECTIONS = 3
# What truncation changes on purpose is no derivative.
_CUT = ("truncate_gradient", "stop_gradient")
_TOLERANCE = 1e-6


def wrong_gradient(
    program: Program, arrays: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray]
) -> str | None:
    """What is wrong with a gradient among the results, in words; None where all are right.

    Gradients of costs that NumPy knows, by float64 inputs, along random directions.
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
    """What is wrong with one gradient along each of a few directions."""
    if not np.all(np.isfinite(gradient)):
        return None
    text = None
    for seed in range(_DIRECTIONS):
        direction = np.random.default_rng(seed).uniform(-1.0, 1.0, gradient.shape)

        def at(step: float, direction: np.ndarray = direction) -> float:
            moved = {**arrays, by: arrays[by] + step * direction}
            return float(run_eagerly(program, moved, [cost])[cost])

        centre, found = at(0.0), float(np.sum(gradient * direction))
        right, left = (at(_STEP) - centre) / _STEP, (centre - at(-_STEP)) / _STEP
        further = (at(2 * _STEP) - 2.0 * centre + at(-2 * _STEP)) / (2 * _STEP)
        scale = max(1.0, abs(right), abs(left), float(np.max(np.abs(gradient), initial=0.0)))
        noise = 1e-13 * max(1.0, abs(centre)) / _STEP
        # What the two sides differ by grows with the step where the function is curved; it is the
        # same for all steps where it has a kink.
        kink = abs(2.0 * (right - left) - further)
        room = _TOLERANCE * scale + 2.0 * kink + 10.0 * noise
        if not np.isfinite(right + left) or abs(found - (right + left) / 2.0) <= room:
            return None
        text = (
            f"along a direction in {by} {found!r}, by differences of NumPy's values "
            f"{(right + left) / 2.0!r}"
        )
    return text
