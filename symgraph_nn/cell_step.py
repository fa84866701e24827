"""The step of a cell in one call of a recurrent layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import ScanError, SymgraphTypeError

from .buffers import moving_where
from .checks import as_variable
from .states import chosen, parts_of_state, position_of, state_like

__all__ = ["CellStep", "arguments_of"]


class CellStep:
    """The cell's step in one call of the layer."""

    def __init__(self, layer: Any, initial: Any, extras: dict[str, Any]) -> None:
        self.layer, self.initial, self.extras = layer, initial, extras
        self.n_states = len(parts_of_state(initial))
        self._kept: tuple[sg.Variable | None, sg.Variable | None] = (None, None)
        self._place = 0

    def drop(self, row_shape: Sequence[Any], dtype: np.dtype) -> None:
        """Draw which inputs and which of the state are zero in this call, in all of its steps."""
        dropouts = getattr(self.layer, "dropouts", None)
        if dropouts is None:
            return
        row = sg.zeros(row_shape, dtype=dtype)
        with moving_where(False):
            output, *new = self(row, self.initial)
        place = position_of(output, new)
        if dropouts[1] is not None and place == self.n_states:
            raise SymgraphTypeError.here(
                f"{self.layer}: recurrent_dropout is of the state that is the output, and the "
                "output of this cell is no part of its state"
            )
        self._place = place
        inputs, state = (
            None if dropout is None else dropout(sg.ones_like(like), training=True)
            for dropout, like in zip(dropouts, (row, output), strict=True)
        )
        self._kept = (inputs, state)

    def __call__(self, x_t: sg.Variable, state: Any) -> list[sg.Variable]:
        """The cell's output and the parts of its new state."""
        inputs, of_state = self._kept
        if inputs is not None:
            x_t = x_t * inputs
        if of_state is not None:
            parts = parts_of_state(state)
            parts[self._place] = parts[self._place] * of_state
            state = state_like(state, parts)
        result = self.layer.cell.step(x_t, state, **self.extras)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ScanError.here(
                f"{self.layer}: the step of a cell returns (output, state), not {result!r}"
            )
        output, new = result[0], parts_of_state(result[1])
        if len(new) != self.n_states:
            raise ScanError.here(
                f"{self.layer}: the cell's initial state has {self.n_states} parts, "
                f"its step returns a state of {len(new)}"
            )
        return [as_variable(value, self.layer) for value in (output, *new)]

    def in_loop(self, *, returns_output: bool, is_masked: bool) -> Callable[..., list[sg.Variable]]:
        """The step as `sg.scan` calls it: rows and old states in, new states out."""

        @functools.wraps(self.layer.cell.step)  # so that errors name the cell's own line
        def step(x_t: sg.Variable, *others: sg.Variable) -> list[sg.Variable]:
            m_t, old = (others[0], others[1:]) if is_masked else (None, others)
            with moving_where(None if m_t is None else sg.any(m_t)):
                output, *new = self(x_t, state_like(self.initial, old[: self.n_states]))
            if returns_output:
                new.append(output)
            if m_t is None:
                return new
            return [chosen(m_t, n, o) for n, o in zip(new, old, strict=True)]

        return step


def arguments_of(function: Callable[..., Any]) -> Sequence[str]:
    """The names of a function's arguments."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin
        return []
