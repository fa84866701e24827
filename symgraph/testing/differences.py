"""First derivatives in programs held against finite differences of NumPy's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import numpy as np

from .program import Program

__all__ = ["derivative", "wrong_gradient"]

Arrays = Mapping[str, np.ndarray]

_GRADIENT = re.compile(r"^(\w+(?:, \w+)*),? = sg\.grad\((\w+), \[([\w, ]+)\]", re.MULTILINE)
# The shorter one for functions that change fast.
_STEPS = (1e-4, 1e-6)
# Kinks on both sides can look smooth along one direction.
_DIRECTIONS = 3
# What is cut on purpose is no derivative, what is drawn afresh has none, and of what is rounded to
# float32 on its way differences tell none.
_NO_DERIVATIVES = ("truncate_gradient", "stop_gradient", "Dropout", "float32")
_TOLERANCE = 1e-6


def wrong_gradient(
    program: Program,
    arrays: Arrays,
    results: Arrays,
    value_of: Callable[[str, Arrays], float | None],
) -> str | None:
    """What is wrong with a gradient among the results, in words; None where all are right.

    Gradients by float64 inputs, along random directions. ``value_of`` gives the value of a cost
    for some inputs, None where it has none.
    """
    if any(mark in i for i in program.instructions for mark in _NO_DERIVATIVES):
        return None
    for instruction in program.instructions:
        match = _GRADIENT.search(instruction)
        if match is None:
            continue
        for name, by in zip(match[1].split(", "), match[3].split(", "), strict=True):
            if name in results and by in arrays and arrays[by].dtype == np.float64:
                cost = partial(value_of, match[2])
                text = _wrong_along(cost, by, arrays, results[name])
                if text:
                    return f"{name}: {text}"
    return None


def _wrong_along(
    cost: Callable[[Arrays], float | None], by: str, arrays: Arrays, gradient: np.ndarray
) -> str | None:
    """What is wrong with one gradient along each of a few directions."""
    if gradient.shape != arrays[by].shape:
        return f"shape {gradient.shape} for {by} of shape {arrays[by].shape}"
    steepest = float(np.max(np.abs(gradient), initial=0.0))
    # Where a step changes values by more than 1 it may pass whole waves of a sine.
    if not steepest * _STEPS[0] <= 1.0 or cost(arrays) is None:
        return None
    text = None
    for seed, step in product(range(_DIRECTIONS), _STEPS):
        direction = np.random.default_rng(seed).uniform(-1.0, 1.0, gradient.shape)

        def at(distance: float, direction: np.ndarray = direction) -> float:
            value = cost({**arrays, by: arrays[by] + distance * direction})
            return np.nan if value is None else value

        expected, room = derivative(at, step)
        found = float(np.sum(gradient * direction))
        room += _TOLERANCE * steepest
        if not np.isfinite(expected) or abs(found - expected) <= room:
            return None
        text = f"along a direction in {by} {found!r}, by differences {expected!r}"
    return text


def derivative(at: Callable[[float], float], step: float = _STEPS[0]) -> tuple[float, float]:
    """The derivative of a function at 0 by finite differences, and how much it may be off.

    Where the function has a kink, by what its two sides differ; NaN where it jumps.
    """
    centre = at(0.0)
    right, left = (at(step) - centre) / step, (centre - at(-step)) / step
    ahead, behind = at(2 * step), at(-2 * step)
    further = (ahead - 2.0 * centre + behind) / (2 * step)
    near, far = (right + left) / 2.0, (ahead - behind) / (4 * step)
    noise = 1e-13 * max(1.0, abs(centre)) / step
    # What the two sides differ by grows with the step where the function is curved; it is the same
    # for all steps where it has a kink.
    kink = abs(2.0 * (right - left) - further)
    scale = max(1.0, abs(right), abs(left))
    if abs(far - near) > 0.1 * max(1.0, abs(near), abs(far)):
        return np.nan, np.inf  # a jump
    room = _TOLERANCE * scale + 2.0 * kink + 10.0 * noise + abs(far - near)
    return (4.0 * near - far) / 3.0, room
