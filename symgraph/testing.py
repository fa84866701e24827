"""Checks for tests, of symgraph itself and of users' own models and ops.

>>> check_gradient(lambda x: sg.log(sg.sum(sg.exp(x))), np.array([0.5, -1.0, 2.0]))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies

from .autodiff.reverse import grad
from .backends.base import load_backend
from .core.graph import Graph
from .core.types import is_float
from .core.variable import SharedVariable, Variable, ancestors
from .core.verify import verify
from .ops.activation import relu, sigmoid, softplus
from .ops.comparison import equal, greater_equal, less
from .ops.create import constant, tensor, zeros
from .ops.cumulative import cumsum
from .ops.elementwise import (
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
from .ops.gradient import stop_gradient
from .ops.join import concatenate, stack
from .ops.promotion import cast_to
from .ops.reduce import max as largest
from .ops.reduce import mean, var
from .ops.reduce import min as smallest
from .ops.reduce import sum as total_of
from .ops.repeat import flip
from .ops.rounding import floor
from .ops.shape import expand_dims, reshape, transpose
from .ops.softmax import log_softmax, logsumexp, softmax
from .ops.special_functions import erf
from .ops.transcendental import (
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

__all__ = ["check_gradient", "check_op", "evaluate", "random_graphs", "unrolled"]

_REFERENCE = "numpy"


def evaluate(outputs: Any, values: Mapping[Variable, Any], *, backend: str = _REFERENCE) -> Any:
    """The values of outputs (one, or a list) for these inputs, without any rewriting."""
    several = isinstance(outputs, (list, tuple))
    run = _prepared(list(values), list(outputs) if several else [outputs], backend)
    results = run(*(np.asarray(a, v.dtype, order="C") for v, a in values.items()))
    return list(results) if several else results[0]


def _prepared(
    inputs: Sequence[Variable], outputs: Sequence[Variable], backend: str = _REFERENCE
) -> Callable[..., Sequence[np.ndarray]]:
    shared = [v for v in ancestors(outputs) if isinstance(v, SharedVariable)]
    graph = Graph([*inputs, *shared], outputs)
    verify(graph)
    run = load_backend(backend).prepare(graph)
    state = [v.get_value() for v in shared]
    return lambda *arrays: run(*arrays, *state)


# --- values -------------------------------------------------------------------------------------


def check_op(function: Callable[..., Any], *values: Any) -> list[np.ndarray]:
    """The results of ``function`` on arrays, after comparing what was inferred with what came out.

    Evaluated twice, with the sizes known and unknown when the graph is built; results must have the
    inferred dtypes and shapes, be the same in both, and no array given may have changed.
    """
    arrays = [np.asarray(value) for value in values]
    given = [array.copy() for array in arrays]
    results: list[list[np.ndarray]] = []
    for known in (True, False):
        # A size of 1 stays known: only such an axis is broadcast.
        shapes = [[n if known or n == 1 else None for n in array.shape] for array in arrays]
        inputs = [tensor(None, s, a.dtype) for s, a in zip(shapes, arrays, strict=True)]
        made = function(*inputs)
        outputs = list(made) if isinstance(made, (list, tuple)) else [made]
        found = list(_prepared(inputs, outputs)(*arrays))
        for output, result in zip(outputs, found, strict=True):
            _check_type(output, result)
        results.append(found)
    for array, copy in zip(arrays, given, strict=True):
        np.testing.assert_array_equal(array, copy, "an argument was changed")
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second, "unknown sizes give another result")
    return results[0]


def _check_type(variable: Variable, array: np.ndarray) -> None:
    """An AssertionError unless the array is what was inferred for the variable."""
    assert array.dtype == variable.dtype, f"{variable!r} came out as {array.dtype}"
    assert array.ndim == variable.ndim, f"{variable!r} came out with shape {array.shape}"
    for found, size in zip(array.shape, variable.type.shape, strict=True):
        assert not isinstance(size, int) or found == size, f"{variable!r}: shape {array.shape}"


# --- gradients ----------------------------------------------------------------------------------


def check_gradient(
    function: Callable[..., Any],
    *values: Any,
    order: int = 2,
    tolerance: float = 1e-6,
    step: float = 1e-4,
    backend: str = _REFERENCE,
) -> None:
    """Hold the gradients of ``function`` by its float arguments against finite differences.

    All floats are taken as float64; other arrays are passed on as they are. The cost is the sum of
    all results with fixed random weights, so that no error cancels; for each higher order, the sum
    of the last gradients with random weights. Raises AssertionError where a gradient is off by more
    than ``tolerance``, relative to its size where that is above 1.
    """
    arrays = [np.asarray(value) for value in values]
    arrays = [a.astype(np.float64) if is_float(a.dtype) else a for a in arrays]
    inputs = [tensor(f"argument_{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    wrt = [v for v in inputs if is_float(v.dtype)]
    positions = {v: i for i, v in enumerate(inputs)}
    generator = np.random.default_rng(0)
    made = function(*inputs)
    targets = list(made) if isinstance(made, (list, tuple)) else [made]
    for level in range(1, order + 1):
        cost = _weighted_sum(targets, generator)
        targets = grad(cost, wrt, disconnected="zero")
        gradients = _prepared(inputs, targets, backend)(*arrays)
        cost_of = _prepared(inputs, [cost], backend)
        for v, gradient in zip(wrt, gradients, strict=True):
            expected = _differences(cost_of, arrays, positions[v], step)
            _compare(gradient, expected, tolerance, f"{v.name} (order {level})")


def _weighted_sum(terms: Sequence[Variable], generator: np.random.Generator) -> Variable:
    """The sum of all elements of all float terms, each with a random weight from 0.5 to 1.5."""
    total: Variable | None = None
    for term in terms:
        if not is_float(term.dtype):
            continue
        # Sizes that nobody knows leave one weight for all elements of a term.
        known = all(isinstance(size, int) for size in term.type.shape)
        weights = generator.uniform(0.5, 1.5, term.type.shape if known else ())
        part = total_of(multiply(cast_to(term, np.dtype("float64")), constant(weights)))
        total = part if total is None else add(total, part)
    assert total is not None, "no result is a float"
    return total


def _differences(
    cost: Callable[..., Sequence[np.ndarray]],
    arrays: Sequence[np.ndarray],
    position: int,
    step: float,
) -> np.ndarray:
    """The derivative of the cost by each element of one argument, by five-point differences."""
    varied = [a.copy() for a in arrays]
    target = varied[position] = np.array(arrays[position], order="C")
    result = np.zeros(target.shape)
    for index in np.ndindex(target.shape):
        centre = target[index]
        at: dict[int, float] = {}
        for k in (-2, -1, 1, 2):
            target[index] = centre + k * step
            at[k] = float(cost(*varied)[0])
        target[index] = centre
        result[index] = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * step)
    return result


def _compare(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    scale = np.maximum(1.0, np.abs(expected))
    wrong = ~(np.abs(found - expected) <= tolerance * scale)
    if wrong.any():
        index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
        raise AssertionError(
            f"the gradient of {what} is wrong in {int(wrong.sum())} of {wrong.size} elements: "
            f"at {index} {np.atleast_1d(found)[index]!r}, "
            f"by finite differences {np.atleast_1d(expected)[index]!r}"
        )


# --- random graphs ------------------------------------------------------------------------------

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


def _grow(draw: Callable, pool: Sequence[Variable]) -> Variable:
    """A new variable made of some in the pool, by an op that fits them."""
    x = draw(strategies.sampled_from(pool))
    floats = is_float(x.dtype)
    grown = [_choose, _reshape, _compare_with_partner]
    grown += (
        [_apply_unary, _apply_binary, _reduce_axes] * 2 if floats else [_as_float, _apply_whole]
    )
    return draw(strategies.sampled_from(grown))(draw, x, pool)


def _partner(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Any:
    """Something of the kind of ``x`` that it broadcasts with: a variable or a number."""
    fitting = [y for y in pool if y.dtype == x.dtype and _fits(x, y)]
    numbers = (0.0, 1.0, 2.0, -0.5) if is_float(x.dtype) else (0, 1, 3)
    return draw(strategies.sampled_from([*fitting, *numbers]))


def _fits(x: Variable, y: Variable) -> bool:
    """Whether the shapes broadcast: from the last axis on the sizes are equal or 1."""
    pairs = zip(reversed(x.type.shape), reversed(y.type.shape), strict=False)
    return not [1 for a, b in pairs if a != b and 1 not in (a, b)]


def _apply_unary(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    return draw(strategies.sampled_from(_UNARY))(x)


def _apply_binary(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    return draw(strategies.sampled_from(_BINARY))(x, _partner(draw, x, pool))


def _apply_whole(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    x = x if x.dtype.kind == "i" else cast_to(x, np.dtype("int64"))
    return draw(strategies.sampled_from(_WHOLE))(x, _partner(draw, x, pool))


def _as_float(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    """The integers or bools in the dtype of the first input."""
    return cast_to(x, pool[0].dtype)


def _compare_with_partner(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    function = draw(strategies.sampled_from((equal, less, greater_equal)))
    return function(x, _partner(draw, x, pool))


def _choose(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    condition = _compare_with_partner(draw, x, pool)
    y, z = _partner(draw, x, pool), _partner(draw, x, pool)
    parts = [v for v in (condition, y, z) if isinstance(v, Variable)]
    if all(_fits(a, b) for a in parts for b in parts):
        return where(condition, y, z)
    return where(condition, x, 0)


def _reduce_axes(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
    if x.ndim == 0:
        return square(x)
    axis = draw(strategies.integers(-x.ndim, x.ndim - 1))
    if draw(strategies.booleans()):
        return draw(strategies.sampled_from(_SHAPED))(x, axis)
    keepdims = draw(strategies.booleans())
    return draw(strategies.sampled_from(_REDUCTIONS))(x, axis, keepdims=keepdims)


def _reshape(draw: Callable, x: Variable, pool: Sequence[Variable]) -> Variable:
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


# --- loops --------------------------------------------------------------------------------------


def unrolled(
    step: Callable[..., Any],
    sequences: Sequence[Any] = (),
    outputs_info: Sequence[Any] = (),
    non_sequences: Sequence[Any] = (),
    n_steps: int | None = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
) -> Any:
    """What `scan` gives for lists of sequences of known lengths, without a loop: the step repeated.

    No step is differentiated through but the last ``truncate_gradient`` ones.
    """
    read = [s if isinstance(s, dict) else {"input": s, "taps": [0]} for s in sequences]
    reaches = [max(0, *s["taps"]) - min(0, *s["taps"]) for s in read]
    lengths = [max(0, s["input"].shape[0] - r) for s, r in zip(read, reaches, strict=True)]
    n = min(lengths) if n_steps is None else n_steps
    past = [_initial_rows(info) for info in outputs_info]
    taps = [info["taps"] if isinstance(info, dict) else [-1] for info in outputs_info]
    new: list[list[Variable]] = [[] for _ in outputs_info]
    several = True
    for t in range(max(n, 1)):  # no steps: the types of one
        rows = [row for s in read for row in _rows_of_step(s, t, n, go_backwards=go_backwards)]
        earlier = [p[tap] for p, ts in zip(past, taps, strict=True) if p for tap in ts]
        results = step(*rows, *earlier, *non_sequences)
        several = isinstance(results, (list, tuple))
        for i, result in enumerate(results if several else [results]):
            if truncate_gradient is not None and t < n - truncate_gradient:
                result = stop_gradient(result)
            new[i].append(result)
            if past[i]:
                past[i].append(result)
    traces = [stack(values, axis=0)[:n] for values in new]
    return traces if several else traces[0]


def _initial_rows(info: Any) -> list[Variable]:
    if isinstance(info, dict):
        return list(info["initial"])
    return [] if info is None else [info]


def _rows_of_step(
    sequence: Mapping[str, Any], t: int, n: int, *, go_backwards: bool
) -> list[Variable]:
    """The rows that step ``t`` of ``n`` reads; where there are no steps, zeros of their type."""
    x, taps = sequence["input"], sequence["taps"]
    if not n:
        return [zeros(x.shape[1:], x.dtype) for _ in taps]
    first = x.shape[0] - 1 - t - max(0, *taps) if go_backwards else t - min(0, *taps)
    return [x[first + tap] for tap in taps]
