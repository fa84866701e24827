"""NumPy under symgraph's names: the functions that programs use, computed at once.

Written against the documentation of each function, not against its code. Whatever is not here is
NumPy's function of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import scipy.special

__all__ = ["Eager", "as_eager", "nudged", "rounding", "states_of_one_size"]


class Eager(np.ndarray):
    """An array that has the methods which variables have and arrays have not."""

    def set(self, index: Any, value: Any) -> Eager:
        """A copy with other values at the index."""
        result = self.copy()
        result[index] = value
        return result

    def add_at(self, index: Any, value: Any) -> Eager:
        """A copy to which values are added at the index, repeated ones several times."""
        result = self.copy()
        np.add.at(result, index, value)
        return result


def as_eager(value: Any) -> Eager:
    """The value as an array with those methods."""
    return np.asarray(value).view(Eager)


def __getattr__(name: str) -> Any:
    """NumPy's function of this name."""
    found = getattr(np, name)
    if not callable(found):
        return found

    def call(*arguments: Any, **options: Any) -> Any:
        result = found(*arguments, **options)
        if isinstance(result, (list, tuple)):
            return [as_eager(r) for r in result]
        return as_eager(result)

    return call


# --- rounding -----------------------------------------------------------------------------------

# How far a float is moved, relative to its size.
_NUDGE = {"float32": 3e-7, "float64": 1e-14}
_rounded: ContextVar[Callable[[Any], Any]] = ContextVar("rounded", default=lambda value: value)


def nudged(value: Any, random: np.random.Generator) -> Any:
    """The value with its floats moved by about one rounding; others as they are."""
    part = _NUDGE.get(getattr(getattr(value, "dtype", None), "name", ""))
    if part is None:
        return value
    moves = random.choice([-part, 0.0, part], np.shape(value))
    return as_eager((value * (1 + moves) + moves * 0.1).astype(value.dtype))


@contextmanager
def rounding(seed: int) -> Iterator[Callable[[Any], Any]]:
    """What moves the floats that steps of loops make, and that the caller gives it; 0: nothing."""
    if not seed:
        yield _rounded.get()
        return
    token = _rounded.set(partial(nudged, random=np.random.default_rng(seed)))
    try:
        yield _rounded.get()
    finally:
        _rounded.reset(token)


# --- functions that NumPy lacks -----------------------------------------------------------------


def constant(value: Any, dtype: Any = None) -> Eager:
    if dtype is None and isinstance(value, float):
        dtype = "float32"
    return as_eager(np.asarray(value, dtype))


def cast(x: Any, dtype: Any) -> Eager:
    return as_eager(np.asarray(x).astype(dtype))


def zeros(shape: Any, dtype: Any = "float32") -> Eager:
    return as_eager(np.zeros(shape, dtype))


def ones(shape: Any, dtype: Any = "float32") -> Eager:
    return as_eager(np.ones(shape, dtype))


def full(shape: Any, value: Any, dtype: Any = "float32") -> Eager:
    return as_eager(np.full(shape, value, dtype))


def stop_gradient(x: Any) -> Any:
    return x


def eq(x: Any, y: Any) -> Eager:
    return as_eager(np.equal(x, y))


def ne(x: Any, y: Any) -> Eager:
    return as_eager(np.not_equal(x, y))


def ifelse(condition: Any, x: Any, y: Any) -> Any:
    return as_eager(np.where(np.asarray(condition), x, y))  # whose shapes are unified


def one_hot(indices: Any, size: int, dtype: Any = "float32") -> Eager:
    return as_eager((np.asarray(indices)[..., None] == np.arange(size)).astype(dtype))


def relu(x: Any) -> Eager:
    return as_eager(np.maximum(x, np.zeros((), x.dtype)))


def sigmoid(x: Any) -> Eager:
    return as_eager(scipy.special.expit(x))


def softplus(x: Any) -> Eager:
    return as_eager(np.logaddexp(x, np.zeros((), x.dtype)))


def erf(x: Any) -> Eager:
    return as_eager(scipy.special.erf(x))


def softmax(x: Any, axis: int = -1) -> Eager:
    raised = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return as_eager(raised / np.sum(raised, axis=axis, keepdims=True))


def log_softmax(x: Any, axis: int = -1) -> Eager:
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return as_eager(shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True)))


def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Eager:
    return as_eager(np.logaddexp.reduce(x, axis=axis, keepdims=keepdims))


# --- loops --------------------------------------------------------------------------------------

_sizes_stay: ContextVar[bool] = ContextVar("sizes_stay", default=False)


@contextmanager
def states_of_one_size() -> Iterator[None]:
    """Within it a state whose new value has another shape is a ValueError, not stretched."""
    token = _sizes_stay.set(True)
    try:
        yield
    finally:
        _sizes_stay.reset(token)


class until:
    """The condition that ends a loop."""

    def __init__(self, condition: Any) -> None:
        self.condition: bool = bool(condition)


def scan(
    step: Callable[..., Any],
    sequences: Sequence[Any] = (),
    outputs_info: Sequence[Any] = (),
    non_sequences: Sequence[Any] = (),
    n_steps: Any = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int | None = None,
    checkpoint_every: int | str | None = None,
    memory: int | str | None = None,
) -> Any:
    """The outputs of the step, called once for each row."""
    read = [s if isinstance(s, dict) else {"input": s, "taps": [0]} for s in sequences]
    infos = [
        i if i is None or isinstance(i, dict) else {"initial": as_eager(i)[None], "taps": [-1]}
        for i in outputs_info
    ]
    n = _steps(read, n_steps)
    past = [list(info["initial"]) if info else [] for info in infos]
    depths = [len(rows) for rows in past]
    several = True
    taken = 0
    while taken < max(n, 1):
        rows = [r for s in read for r in _rows(s, taken, n, go_backwards=go_backwards)]
        earlier = [
            as_eager(p[tap])
            for p, info in zip(past, infos, strict=True)
            if info
            for tap in info["taps"]
        ]
        results = step(*rows, *earlier, *non_sequences)
        stop = False
        if isinstance(results, tuple) and len(results) == 2 and isinstance(results[1], until):
            results, stop = results[0], results[1].condition
        several = isinstance(results, (list, tuple))
        for p, depth, result in zip(past, depths, results if several else [results], strict=True):
            p.append(_rounded.get()(_as_row(result, p[:depth])))
        taken += 1
        if stop:
            break
    traces = [
        as_eager(np.stack([np.asarray(r) for r in p[depth:]]))[:n]
        for p, depth in zip(past, depths, strict=True)
    ]
    return traces if several else traces[0]


def _as_row(result: Any, initial: Sequence[Any]) -> Any:
    """The new value of a state as large as its initial rows; of any other output as it is."""
    if initial and _sizes_stay.get() and np.shape(result) != np.shape(initial[0]):
        raise ValueError("a state changes its size")
    if initial and np.ndim(result) == np.ndim(initial[0]):
        return np.broadcast_to(result, np.broadcast_shapes(np.shape(result), np.shape(initial[0])))
    return result


def map(step: Callable[..., Any], sequences: Sequence[Any], **options: Any) -> Any:
    """The step of each row."""
    return scan(step, sequences, [None], **options)


def reduce(step: Callable[..., Any], sequences: Sequence[Any], initial: Any) -> Any:
    """The last value of one accumulator."""
    result = initial
    for rows in zip(*sequences, strict=False):
        result = step(*map_eager(rows), result)
    return as_eager(result)


def foldr(step: Callable[..., Any], sequences: Sequence[Any], initial: Any) -> Any:
    """The last value of one accumulator, from the end of one sequence."""
    return reduce(step, [s[::-1] for s in sequences], initial)


foldl = reduce


def associative_scan(op: Callable[..., Any], sequences: Any, *, reverse: bool = False) -> Any:
    """The running results, one after the other."""
    several = isinstance(sequences, (list, tuple))
    columns = [np.asarray(x) for x in (sequences if several else [sequences])]
    order = range(len(columns[0]))[:: -1 if reverse else 1]
    found: list[list[Any]] = []
    for t in order:
        row = map_eager([x[t] for x in columns])
        if found and several:
            row = list(op(tuple(map_eager(found[-1])), tuple(row)))
        elif found:
            row = [op(as_eager(found[-1][0]), row[0])]
        found.append([_rounded.get()(x) for x in row])
    if not found:
        results = [as_eager(x) for x in columns]
    else:
        stacks = [np.stack([np.asarray(x) for x in rows]) for rows in zip(*found, strict=True)]
        results = [as_eager(x[::-1] if reverse else x) for x in stacks]
    return results if several else results[0]


def map_eager(values: Sequence[Any]) -> list[Eager]:
    return [as_eager(v) for v in values]


def _steps(read: Sequence[dict[str, Any]], n_steps: Any) -> int:
    if n_steps is not None:
        return max(0, int(n_steps))
    return min(
        max(0, len(s["input"]) - (max(0, *s["taps"]) - min(0, *s["taps"])))
        if len(s["taps"]) > 1
        else max(0, len(s["input"]) - abs(s["taps"][0]))
        for s in read
    )


def _rows(sequence: dict[str, Any], t: int, n: int, *, go_backwards: bool) -> list[Eager]:
    """The rows that a step reads; zeros where there are no steps."""
    x, taps = sequence["input"], sequence["taps"]
    if n == 0:
        return [as_eager(np.zeros(x.shape[1:], x.dtype)) for _ in taps]
    if go_backwards:
        first = len(x) - 1 - t - max(0, max(taps))
    else:
        first = t - min(0, min(taps))
    if min(first + tap for tap in taps) < 0:
        raise IndexError("a loop that reads before the first row")
    return [as_eager(x[first + tap]) for tap in taps]


# --- what takes the place of derivatives --------------------------------------------------------


def grad(cost: Any, wrt: Sequence[Any], **options: Any) -> list[Eager]:
    """Something of the gradients' types; NumPy does not know their values."""
    return [as_eager(np.full_like(x, 0.5)) for x in wrt]


def vjp(outputs: Any, inputs: Sequence[Any], cotangents: Any) -> list[Eager]:
    return grad(outputs, inputs)


def jvp(outputs: Any, inputs: Any, tangents: Any) -> Eager:
    return grad(None, [outputs])[0]


def hessian_vector_product(cost: Any, x: Any, v: Any) -> Eager:
    return grad(None, [x])[0]


def jacobian(y: Any, x: Any) -> Eager:
    return as_eager(np.full((*np.shape(y), *np.shape(x)), 0.5, np.asarray(y).dtype))


def hessian(cost: Any, x: Any) -> Eager:
    return jacobian(x, x)
