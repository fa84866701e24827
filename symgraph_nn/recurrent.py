"""Loops over cells: one direction or both, with masks and carried state.

Layout: sequences are [time, batch, features], masks [time, batch], float or bool (zero: masked).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ScanError,
    ShapeError,
    SymgraphTypeError,
    describe,
)

from .buffers import moving_where
from .cells import GRUCell, LSTMCell, RNNCell, State
from .checks import as_mask, as_variable, check_axes, check_features, check_sizes
from .module import Module
from .walk import params_of

__all__ = ["Bidirectional", "GRU", "LSTM", "RNN", "Recurrent"]


class Recurrent(Module):
    """A cell run over a sequence, from the first step on, or with ``reverse`` from the last.

    Called as ``y = layer(x)``, ``layer(x, mask=m, state=s)``, ``y, s = layer(x,
    return_state=True)``: ``x`` is [time, batch, features], ``y`` [time, batch, units] in input
    order for both directions. ``state`` replaces the cell's initial state; the state returned is
    that of the last step taken (for a reverse layer, of the first time), the initial one of none.

    A masked step carries the state through, and its output is that of the step taken before it
    (before any, the initial state, or zeros where the output is no part of the state). So a padded
    batch gives what its rows give alone, in both directions, and ``y[-1]`` of a forward layer is
    each row's last output.
    """

    def __init__(self, cell: Any, *, reverse: bool = False) -> None:
        for name in ("params", "initial_state", "step"):
            if not hasattr(cell, name):
                raise SymgraphTypeError.here(
                    f"Recurrent: {cell!r} is no cell: it has no {name!r}",
                    remedy="A cell has params, initial_state(batch) and step(x_t, state).",
                )
        self.cell = cell
        self.reverse = reverse

    def __call__(
        self,
        x: Any,
        *,
        mask: Any = None,
        state: State | None = None,
        return_state: bool = False,
    ) -> Any:
        """The outputs [time, batch, units]; with ``return_state`` also the last step's state."""
        x = as_variable(x, self)
        check_axes(x, 3, self, "a sequence [time, batch, features]")
        n_in = getattr(self.cell, "n_in", None)
        if isinstance(n_in, int):
            check_features(x, n_in, self)
        self._check_dtype(x)
        initial = self.cell.initial_state(x.shape[1])
        if state is not None:
            initial = self._given_state(state, initial)
        mask = self._prepared_mask(mask, x)
        if mask is not None:
            # Zeros, since in the products of the gradient 0 times a padding of NaN is NaN.
            x = sg.where(sg.expand_dims(mask, 2), x, 0)
        y, last = self._run(x, mask, initial, wants_state=return_state)
        return (y, last) if return_state else y

    def _run(
        self, x: sg.Variable, mask: sg.Variable | None, initial: State, *, wants_state: bool
    ) -> tuple[sg.Variable, State | None]:
        """The outputs in input order and, where it is wanted, the state of the last step."""
        states = _as_list(initial)
        with moving_where(False):
            first = self._step(sg.zeros(x.shape[1:], dtype=x.dtype), initial, len(states))
        self._check_width(x, states, first[0])
        # An output that is no part of the state is a further result of the loop; with a mask it is
        # carried over masked steps as states are.
        place = _position(first[0], first[1:])
        extra = [] if place < len(states) else [None if mask is None else sg.zeros_like(first[0])]

        @functools.wraps(self.cell.step)  # so that errors name the cell's own line
        def step(x_t: sg.Variable, *others: sg.Variable) -> list[sg.Variable]:
            m_t, old = (None, others) if mask is None else (others[0], others[1:])
            state = _like(initial, old[: len(states)])
            with moving_where(None if m_t is None else sg.any(m_t)):
                output, *new = self._step(x_t, state, len(states))
            if extra:
                new.append(output)
            return (
                new if m_t is None else [_choose(m_t, n, o) for n, o in zip(new, old, strict=True)]
            )

        results = sg.scan(
            step,
            sequences=[x] if mask is None else [x, mask],
            outputs_info=[*states, *extra],
            go_backwards=self.reverse,
            name=_name_of(self.cell),
        )
        results = _as_list(results)
        y = results[place]
        last = None
        if wants_state:
            pairs = zip(results[: len(states)], states, strict=True)
            last = _like(initial, [sg.last_value(trace, state) for trace, state in pairs])
        return (y[::-1] if self.reverse else y), last

    def _step(self, x_t: sg.Variable, state: State, n_states: int) -> list[sg.Variable]:
        """The cell's output and the parts of its new state."""
        result = self.cell.step(x_t, state)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ScanError.here(
                f"{self}: the step of a cell returns (output, state), not {result!r}"
            )
        output, new = result[0], _as_list(result[1])
        if len(new) != n_states:
            raise ScanError.here(
                f"{self}: the cell's initial state has {n_states} parts, "
                f"its step returns a state of {len(new)}"
            )
        return [as_variable(value, self) for value in (output, *new)]

    def _check_dtype(self, x: sg.Variable) -> None:
        """Raise where the step would give a wider dtype than the state has."""
        dtype = getattr(self.cell, "dtype", None)
        if dtype is not None and np.result_type(x.dtype, dtype) != np.dtype(dtype):
            raise DtypeError.here(
                f"{self}: a sequence of {dtype} is expected; found {describe(x)}",
                remedy=f"Convert it with .astype('{dtype}'), or make the cell with "
                f"dtype='float64'.",
            )

    def _check_width(
        self, x: sg.Variable, states: Sequence[sg.Variable], output: sg.Variable
    ) -> None:
        """Raise where it is the initial state alone that makes the outputs wider."""
        narrow = [v.dtype for v in (x, *params_of(self.cell)) if v.dtype.kind == "f"]
        wide = [s for s in states if s.dtype.kind == "f"]
        if not narrow or output.dtype.kind != "f":
            return
        dtype = np.result_type(*narrow)
        wider = [s for s in wide if np.result_type(dtype, s.dtype) != dtype]
        if wider and np.result_type(dtype, output.dtype) != dtype:
            raise DtypeError.here(
                f"{self}: the cell's initial state is {wider[0].dtype}, its inputs and "
                f"parameters are {dtype}: the outputs would be {output.dtype}",
                remedy=f"Make the initial state with dtype='{dtype}', or .astype('{dtype}').",
            )

    def _given_state(self, state: State, initial: State) -> State:
        """The state that the user gave, in the form that the cell has it."""
        given, expected = _as_list(state), _as_list(initial)
        if len(given) != len(expected):
            raise ShapeError.here(
                f"{self}: a state of {len(expected)} parts is expected, not of {len(given)}",
                remedy="Give the state as the layer returned it (an LSTM's is the tuple h, c).",
            )
        given = [as_variable(part, self) for part in given]
        for part, like in zip(given, expected, strict=True):
            check_axes(part, like.ndim, self, f"a state like {describe(like)}")
            check_sizes(str(self), part, like, range(like.ndim))
            if part.dtype != like.dtype:
                raise DtypeError.here(
                    f"{self}: a state of {like.dtype} is expected; found {describe(part)} of "
                    f"{part.dtype}",
                    remedy=f"Convert it with .astype('{like.dtype}').",
                )
        return _like(initial, given)

    def _prepared_mask(self, mask: Any, x: sg.Variable) -> sg.Variable | None:
        """The mask as bools [time, batch]."""
        if mask is None:
            return None
        mask = as_mask(mask, self)
        check_axes(mask, 2, self, "a mask [time, batch]")
        check_sizes(str(self), mask, x, (0, 1))
        return mask if mask.dtype == np.bool_ else sg.ne(mask, 0)

    def __repr__(self) -> str:
        return f"Recurrent({self.cell!r}{', reverse=True' if self.reverse else ''})"


def _name_of(cell: Any) -> str:
    """What the cell's loop is called: the same in every process."""
    has_text = type(cell).__repr__ is not object.__repr__
    return repr(cell) if has_text else f"{type(cell).__name__}()"


class Bidirectional(Module):
    """Two layers over one sequence, the second one in reverse; their features side by side.

    ``backward`` may be reversed already or not; either may be a bare cell. Called as `Recurrent`
    is; the state is a pair, of the forward and of the backward layer.
    """

    def __init__(self, forward: Any, backward: Any) -> None:
        self.forward = forward if isinstance(forward, Recurrent) else Recurrent(forward)
        if isinstance(backward, Recurrent):
            self.backward = backward if backward.reverse else Recurrent(backward.cell, reverse=True)
        else:
            self.backward = Recurrent(backward, reverse=True)

    def __call__(
        self,
        x: Any,
        *,
        mask: Any = None,
        state: tuple[State, State] | None = None,
        return_state: bool = False,
    ) -> Any:
        """The outputs [time, batch, forward units + backward units], with the state if wanted."""
        if state is None:
            state = (None, None)
        elif not isinstance(state, (tuple, list)) or len(state) != 2:
            raise SymgraphTypeError.here(
                f"{self}: the state is a pair (forward, backward), not {state!r}"
            )
        ahead, ahead_state = self.forward(x, mask=mask, state=state[0], return_state=True)
        back, back_state = self.backward(x, mask=mask, state=state[1], return_state=True)
        y = sg.concatenate([ahead, back], axis=-1)
        return (y, (ahead_state, back_state)) if return_state else y

    def __repr__(self) -> str:
        return f"Bidirectional({self.forward!r}, {self.backward!r})"


def RNN(
    n_in: int,
    n_units: int,
    activation: Callable[[sg.Variable], sg.Variable] = sg.tanh,
    *,
    reverse: bool = False,
    **options: Any,
) -> Recurrent:
    """``Recurrent(RNNCell(n_in, n_units, activation, **options), reverse=reverse)``."""
    return Recurrent(RNNCell(n_in, n_units, activation, **options), reverse=reverse)


def LSTM(n_in: int, n_units: int, *, reverse: bool = False, **options: Any) -> Recurrent:
    """``Recurrent(LSTMCell(n_in, n_units, **options), reverse=reverse)``."""
    return Recurrent(LSTMCell(n_in, n_units, **options), reverse=reverse)


def GRU(n_in: int, n_units: int, *, reverse: bool = False, **options: Any) -> Recurrent:
    """``Recurrent(GRUCell(n_in, n_units, **options), reverse=reverse)``."""
    return Recurrent(GRUCell(n_in, n_units, **options), reverse=reverse)


# --- states of one part and of several ----------------------------------------------------------


def _as_list(state: State) -> list[Any]:
    return list(state) if isinstance(state, (tuple, list)) else [state]


def _like(model: State, parts: Sequence[sg.Variable]) -> State:
    """The parts as the model has them: one variable, or a tuple."""
    return tuple(parts) if isinstance(model, (tuple, list)) else parts[0]


def _position(output: sg.Variable, states: Sequence[sg.Variable]) -> int:
    """Where the output stands among the states; their number where it is none of them."""
    return next((i for i, state in enumerate(states) if state is output), len(states))


def _choose(mask: sg.Variable, new: sg.Variable, old: sg.Variable) -> sg.Variable:
    """The new value where the mask [batch] holds, elsewhere the old one; any number of axes."""
    axes = tuple(range(1, new.ndim))
    return sg.where(sg.expand_dims(mask, axes) if axes else mask, new, old)
