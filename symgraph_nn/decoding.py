"""Strings written step by step: each symbol from those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph.errors import ShapeError, SymgraphValueError

from .checks import check_positive
from .states import parts_of_state, state_like

__all__ = ["beam_search", "edit_distance"]

Step = Callable[[np.ndarray, Any], tuple[np.ndarray, Any]]


def edit_distance(found: Sequence[Any], expected: Sequence[Any]) -> int:
    """How many symbols to insert, delete or change to make one string the other (Levenshtein 1966).

    Divided by the number of expected symbols, for all strings together, it is the rate of errors.

    >>> nn.edit_distance([1, 2, 2, 4], [1, 2, 3])
    2
    >>> nn.edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(expected) + 1))
    for i, x in enumerate(found, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(expected, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def beam_search(
    step: Step, state: Any, *, start: int, end: int, longest: int, width: int = 1
) -> list[list[int]]:
    """For each row of a batch the likeliest string, without the ``end`` that ends it.

    step
        ``step(symbols, state)`` gives the log-probabilities [rows, symbols] of the next symbol,
        and the state after it: what a compiled function of one step gives. Its rows are ``width``
        for each row of the batch, side by side; what it looks at besides is repeated as often
        (``np.repeat(memory, width, axis=1)``).
    state
        The state before the first step: an array [batch, ...], or a tree of tuples of them.
    start, end
        The symbol before the first one, and the one after the last.
    longest
        How many symbols are written at most; what has not ended then ends there.
    width
        How many beginnings go on from each step: the likeliest ones. With 1, the default, it is
        the likeliest symbol each time (greedy).

    Raises a `ShapeError` or `SymgraphValueError` for arguments that are none of these.

    >>> logs = np.log([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])  # after 0, after 1, ...
    >>> def step(symbols, state):
    ...     return logs[symbols], state
    >>> nn.beam_search(step, np.zeros((1, 0)), start=0, end=0, longest=5)
    [[1]]
    >>> nn.beam_search(step, np.zeros((1, 0)), start=0, end=0, longest=5, width=3)
    [[2]]
    """
    check_positive("beam_search", width=width, longest=longest)
    n = len(parts_of_state(state)[0])
    state = _rows_of(state, np.repeat(np.arange(n), width))
    firsts = np.arange(n)[:, None] * width
    scores = np.where(np.arange(width) > 0, -np.inf, np.zeros((n, 1)))  # all begin alike
    symbols, written = np.full(n * width, start), np.zeros((n * width, 0), int)
    ended = np.zeros(n * width, bool)
    for _ in range(longest):
        if ended.all():
            break
        logs, state = step(symbols, state)
        logs = _going_on(logs, ended, end)
        totals = (scores[:, :, None] + logs.reshape(n, width, -1)).reshape(n, -1)
        best = np.argsort(-totals, axis=1, kind="stable")[:, :width]
        scores = np.take_along_axis(totals, best, axis=1)
        parents, symbols = (firsts + best // logs.shape[1]).ravel(), (best % logs.shape[1]).ravel()
        state, ended = _rows_of(state, parents), ended[parents] | (symbols == end)
        written = np.concatenate([written[parents], symbols[:, None]], axis=1)
    return [_until(row, end) for row in written[::width].tolist()]


def _rows_of(state: Any, rows: np.ndarray) -> Any:
    return state_like(state, [np.asarray(part)[rows] for part in parts_of_state(state)])


def _going_on(logs: np.ndarray, ended: np.ndarray, end: int) -> np.ndarray:
    """The log-probabilities, where an ended string goes on with ``end`` for certain."""
    logs = np.asarray(logs)
    if logs.ndim != 2 or len(logs) != len(ended) or not 0 <= end < logs.shape[1]:
        raise ShapeError.here(
            f"beam_search: step gives log-probabilities [{len(ended)}, symbols], of the symbol "
            f"{end} too; found an array of shape {logs.shape}"
        )
    if np.isnan(logs).any():
        raise SymgraphValueError.here("beam_search: step gave log-probabilities that are NaN")
    certain = np.where(np.arange(logs.shape[1]) == end, 0.0, -np.inf)
    return np.where(ended[:, None], certain, logs)


def _until(row: list[int], end: int) -> list[int]:
    """A string up to its end."""
    return row[: row.index(end)] if end in row else row
