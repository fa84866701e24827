"""Loops without loops: the step repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.variable import Variable
from ..ops.create import zeros
from ..ops.gradient import stop_gradient
from ..ops.join import stack

__all__ = ["unrolled"]


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

    >>> x = sg.constant([1.0, 2.0])
    >>> sg.testing.unrolled(lambda x_t, total: total + x_t, [x], [sg.constant(0.0)]).eval()
    array([1., 3.], dtype=float32)
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
