"""Small random graphs, as a Hypothesis strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies

from ..core.types import is_float
from ..core.variable import Variable
from ..ops.activation import relu, sigmoid, softplus
from ..ops.comparison import equal, greater_equal, less
from ..ops.cumulative import cumsum
from ..ops.elementwise import (
    absolute,
    add,
    divide,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    sign,
    square,
    subtract,
    where,
)
from ..ops.extremes import max as largest
from ..ops.extremes import min as smallest
from ..ops.inputs import tensor
from ..ops.join import concatenate
from ..ops.promotion import cast_to
from ..ops.reduce import mean, var
from ..ops.reduce import sum as total_of
from ..ops.repeat import flip
from ..ops.rounding import floor
from ..ops.shape import expand_dims, reshape, transpose
from ..ops.softmax import log_softmax, logsumexp, softmax
from ..ops.special_functions import erf
from ..ops.transcendental import (
    cos,
    exp,
    expm1,
    log,
    log1p,
    power,
    reciprocal,
    sin,
    sqrt,
    tanh,
)

__all__ = ["RandomGraph", "random_graphs"]

RandomGraph = tuple[list[Variable], list[Variable], list[np.ndarray]]

_UNARY = (negative, absolute, square, tanh, sigmoid, exp, log, sqrt, log1p, expm1, relu, softplus)
_UNARY += (sign, floor, sin, cos, erf, reciprocal)
_BINARY = (add, subtract, multiply, divide, maximum, minimum, power)
_REDUCTIONS = (total_of, mean, largest, smallest, logsumexp, var)
_SHAPED = (softmax, log_softmax, cumsum)
_WHOLE = (add, subtract, multiply, maximum, minimum, floor_divide, remainder)
_SIZES: dict[str, int] = {"T": 3, "B": 2}
_AWKWARD = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-3, 30.0, -200.0)


@strategies.composite
def random_graphs(
    draw: Any, *, operations: int = 8, dtypes: Sequence[str] = ("float64",)
) -> RandomGraph:
    """A Hypothesis strategy: (inputs, outputs, values for the inputs).

    The graphs mix elementwise ops, choices, reductions, products and changes of shape over axes of
    fixed and named sizes (T = 3, B = 2), on floats of the given dtypes, with some integers and
    bools among them. Values have signed zeros and large numbers, so that infinities and NaN occur;
    the gradients of float outputs may be taken.

    >>> import hypothesis
    >>> @hypothesis.given(sg.testing.random_graphs(operations=3))
    ... def test_something(graph):
    ...     inputs, outputs, values = graph
    """
    shapes = ((), ("T",), ("T", "B"), ("B", 4), ("T", 1), (1, 4), ("T", "B", 4))
    inputs: list[Variable] = []
    values: list[np.ndarray] = []
    for i in range(draw(strategies.integers(1, 3))):
        shape = draw(strategies.sampled_from(shapes))
        dtype = draw(strategies.sampled_from(dtypes))
        numbers = [_SIZES[n] if isinstance(n, str) else n for n in shape]
        entries = strategies.sampled_from(_AWKWARD) | strategies.floats(-3, 3, width=32)
        count = int(np.prod(numbers))
        drawn = draw(strategies.lists(entries, min_size=count, max_size=count))
        inputs.append(tensor(f"x{i}", shape, dtype))
        values.append(np.array(drawn, dtype).reshape(numbers))
    pool = list(inputs)
    for _ in range(draw(strategies.integers(1, operations))):
        pool.append(_grow(draw, pool))
    last = pool[-1]
    outputs = [last, *draw(strategies.lists(strategies.sampled_from(pool), max_size=2))]
    return inputs, outputs, values


def _grow(draw: Callable[..., Any], pool: Sequence[Variable]) -> Variable:
    """A new variable made of some in the pool, by an op that fits them."""
    x = draw(strategies.sampled_from(pool))
    floats = is_float(x.dtype)
    grown = [_choose, _reshape, _compare_with_partner]
    grown += (
        [_apply_unary, _apply_binary, _reduce_axes] * 2 if floats else [_as_float, _apply_whole]
    )
    return draw(strategies.sampled_from(grown))(draw, x, pool)


def _partner(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Any:
    """Something of the kind of ``x`` that it broadcasts with: a variable or a number."""
    fitting = [y for y in pool if y.dtype == x.dtype and _fits(x, y)]
    numbers = (0.0, 1.0, 2.0, -0.5) if is_float(x.dtype) else (0, 1, 3)
    return draw(strategies.sampled_from([*fitting, *numbers]))


def _fits(x: Variable, y: Variable) -> bool:
    """Whether the shapes broadcast: from the last axis on the sizes are equal or 1."""
    pairs = zip(reversed(x.type.shape), reversed(y.type.shape), strict=False)
    return not [1 for a, b in pairs if a != b and 1 not in (a, b)]


def _apply_unary(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    return draw(strategies.sampled_from(_UNARY))(x)


def _apply_binary(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    return draw(strategies.sampled_from(_BINARY))(x, _partner(draw, x, pool))


def _apply_whole(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    x = x if x.dtype.kind == "i" else cast_to(x, np.dtype("int64"))
    return draw(strategies.sampled_from(_WHOLE))(x, _partner(draw, x, pool))


def _as_float(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    """The integers or bools in the dtype of the first input."""
    return cast_to(x, pool[0].dtype)


def _compare_with_partner(
    draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]
) -> Variable:
    function = draw(strategies.sampled_from((equal, less, greater_equal)))
    return function(x, _partner(draw, x, pool))


def _choose(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    condition = _compare_with_partner(draw, x, pool)
    y, z = _partner(draw, x, pool), _partner(draw, x, pool)
    parts = [v for v in (condition, y, z) if isinstance(v, Variable)]
    if all(_fits(a, b) for a in parts for b in parts):
        return where(condition, y, z)
    return where(condition, x, 0)


def _reduce_axes(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    if x.ndim == 0:
        return square(x)
    axis = draw(strategies.integers(-x.ndim, x.ndim - 1))
    if draw(strategies.booleans()):
        return draw(strategies.sampled_from(_SHAPED))(x, axis)
    keepdims = draw(strategies.booleans())
    return draw(strategies.sampled_from(_REDUCTIONS))(x, axis, keepdims=keepdims)


def _reshape(draw: Callable[..., Any], x: Variable, pool: Sequence[Variable]) -> Variable:
    if x.ndim == 0:
        return expand_dims(x, 0)
    axis = draw(strategies.integers(0, x.ndim - 1))
    changes: list[Callable[[], Variable]] = [
        lambda: transpose(x),
        lambda: flip(x, axis),
        lambda: concatenate([x, x], axis),
        lambda: x[0],
        lambda: x[..., ::2],
        lambda: reshape(x, (-1,)),
    ]
    if x.ndim < 3:
        changes.append(lambda: expand_dims(x, axis))
    return draw(strategies.sampled_from(changes))()
