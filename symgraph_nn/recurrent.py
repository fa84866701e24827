"""Loops over cells: one direction or both, with masks and carried state.

Layout: sequences are [time, batch, features], masks [time, batch], float or bool (zero: masked).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ScanError,
    ShapeError,
    SymgraphTypeError,
    describe,
)
from symgraph.typing import ArrayLike

from .buffers import moving_where
from .cells import CellOptions, GRUCell, GRUOptions, LSTMCell, LSTMOptions, RNNCell
from .checks import as_mask, as_variable, check_axes, check_features, check_sizes
from .module import Module
from .typing import Activation, Cell, StateLike, StateT
from .walk import params_of

__all__ = ["Bidirectional", "GRU", "LSTM", "RNN", "Recurrent"]

BackwardT = TypeVar("BackwardT")


class Recurrent(Module, Generic[StateT]):
    """A cell run over a sequence, from the first step on, or with ``reverse`` from the last.

    cell
        One of `RNNCell`, `LSTMCell`, `GRUCell`, or any object with ``params``,
        ``initial_state(batch)`` and ``step(x_t, state)``; another one is a `SymgraphTypeError`.
    reverse
        Whether it begins with the last step.

    Called as ``y = layer(x)``, ``layer(x, mask=m, state=s)``, ``y, s = layer(x,
    return_state=True)``:

    x, y
        [time, batch, features] and [time, batch, units], in input order for both directions.
    mask
        [time, batch], bools or numbers (zero: masked). A masked step carries the state through, and
        its output is that of the step taken before it (before any, the initial state, or zeros
        where the output is no part of the state). So a padded batch gives what its rows give alone,
        in both directions, and ``y[-1]`` of a forward layer is each row's last output.
    state
        Replaces the cell's initial state: a variable or an array, or as many as the cell has.
    return_state
        Whether the state comes back as well: that of the last step taken (for a reverse layer, of
        the first time), the initial one where there is none.

    Raises a `ShapeError` for other axes or features, a `DtypeError` where the sequence or the state
    is of another dtype than the cell's, and a `ScanError` where the cell's step returns other
    states than it begins with.

    >>> layer = nn.Recurrent(nn.LSTMCell(3, 5, rng=0))
    >>> x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    >>> y, (h, c) = layer(x, mask=mask, return_state=True)
    >>> print(y.type, c.type)
    float32[T, B, 5] float32[B, 5]
    """

    cell: Cell[StateT]
    reverse: bool

    def __init__(self, cell: Cell[StateT], *, reverse: bool = False) -> None:
        for name in ("params", "initial_state", "step"):
            if not hasattr(cell, name):
                raise SymgraphTypeError.here(
                    f"Recurrent: {cell!r} is no cell: it has no {name!r}",
                    remedy="A cell has params, initial_state(batch) and step(x_t, state).",
                )
        self.cell = cell
        self.reverse = reverse

    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: Literal[False] = False,
    ) -> sg.Variable: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: Literal[True],
    ) -> tuple[sg.Variable, StateT]: ...
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: bool = False,
    ) -> sg.Variable | tuple[sg.Variable, StateT]:
        """The outputs [time, batch, units]; with ``return_state`` also the last step's state."""
        x = as_variable(x, self)
        check_axes(x, 3, self, "a sequence [time, batch, features]")
        n_in = getattr(self.cell, "n_in", None)
        if isinstance(n_in, int):
            check_features(x, n_in, self)
        self._check_dtype(x)
        initial = self.cell.initial_state(x.shape[1])
        if state is not None:
            initial = self._checked_state(state, initial)
        mask = self._prepared_mask(mask, x)
        if mask is not None:
            # Zeros, since in the products of the gradient 0 times a padding of NaN is NaN.
            x = sg.where(sg.expand_dims(mask, 2), x, 0)
        y, last = self._run(x, mask, initial, wants_state=return_state)
        return (y, last) if return_state else y

    def _run(
        self, x: sg.Variable, mask: sg.Variable | None, initial: Any, *, wants_state: bool
    ) -> tuple[sg.Variable, Any]:
        """The outputs in input order and, where it is wanted, the state of the last step."""
        states = _as_list(initial)
        with moving_where(False):
            output, *new = self._step(sg.zeros(x.shape[1:], dtype=x.dtype), initial, len(states))
        self._check_width(x, states, output)
        # An output that is no part of the state is a further result of the loop; with a mask it is
        # carried over masked steps as states are.
        place = _position(output, new)
        extra = [] if place < len(states) else [None if mask is None else sg.zeros_like(output)]
        results = sg.scan(
            self._loop_step(initial, returns_output=bool(extra), is_masked=mask is not None),
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

    def _loop_step(
        self, initial: Any, *, returns_output: bool, is_masked: bool
    ) -> Callable[..., list[sg.Variable]]:
        """The cell's step as `sg.scan` calls it: rows and old states in, new states out."""
        n_states = len(_as_list(initial))

        @functools.wraps(self.cell.step)  # so that errors name the cell's own line
        def step(x_t: sg.Variable, *others: sg.Variable) -> list[sg.Variable]:
            m_t, old = (others[0], others[1:]) if is_masked else (None, others)
            state = _like(initial, old[:n_states])
            with moving_where(None if m_t is None else sg.any(m_t)):
                output, *new = self._step(x_t, state, n_states)
            if returns_output:
                new.append(output)
            if m_t is None:
                return new
            return [_choose(m_t, n, o) for n, o in zip(new, old, strict=True)]

        return step

    def _step(self, x_t: sg.Variable, state: Any, n_states: int) -> list[sg.Variable]:
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

    def _checked_state(self, state: StateLike, initial: Any) -> Any:
        """The state as variables, in the form that the cell has it."""
        parts, expected = _as_list(state), _as_list(initial)
        if len(parts) != len(expected):
            raise ShapeError.here(
                f"{self}: a state of {len(expected)} parts is expected, not of {len(parts)}",
                remedy="Give the state as the layer returned it (an LSTM's is the tuple h, c).",
            )
        variables = [as_variable(part, self) for part in parts]
        for part, like in zip(variables, expected, strict=True):
            check_axes(part, like.ndim, self, f"a state like {describe(like)}")
            check_sizes(str(self), part, like, range(like.ndim))
            if part.dtype != like.dtype:
                raise DtypeError.here(
                    f"{self}: a state of {like.dtype} is expected; found {describe(part)} of "
                    f"{part.dtype}",
                    remedy=f"Convert it with .astype('{like.dtype}').",
                )
        return _like(initial, variables)

    def _prepared_mask(self, mask: ArrayLike | None, x: sg.Variable) -> sg.Variable | None:
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


class Bidirectional(Module, Generic[StateT, BackwardT]):
    """Two layers over one sequence, the second one in reverse; their features side by side.

    forward, backward
        Each a `Recurrent` (``nn.LSTM(…)``) or a bare cell, of as many features in; ``backward`` may
        be reversed already or not.

    Called as `Recurrent` is: ``x`` is [time, batch, features], ``y`` [time, batch, forward units +
    backward units], a mask [time, batch]. The state is a pair, of the forward and of the backward
    layer, another one a `SymgraphTypeError`.

    >>> layer = nn.Bidirectional(nn.LSTM(3, 5, rng=0), nn.GRU(3, 4, rng=1))
    >>> y, ((h, c), back) = layer(sg.zeros((7, 2, 3)), return_state=True)
    >>> y.shape, c.shape, back.shape
    ((7, 2, 9), (2, 5), (2, 4))
    """

    forward: Recurrent[StateT]
    backward: Recurrent[BackwardT]

    def __init__(
        self,
        forward: Recurrent[StateT] | Cell[StateT],
        backward: Recurrent[BackwardT] | Cell[BackwardT],
    ) -> None:
        self.forward = forward if isinstance(forward, Recurrent) else Recurrent(forward)
        if isinstance(backward, Recurrent):
            self.backward = backward if backward.reverse else Recurrent(backward.cell, reverse=True)
        else:
            self.backward = Recurrent(backward, reverse=True)

    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: Literal[False] = False,
    ) -> sg.Variable: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: Literal[True],
    ) -> tuple[sg.Variable, tuple[StateT, BackwardT]]: ...
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: tuple[StateLike | None, StateLike | None] | None = None,
        return_state: bool = False,
    ) -> sg.Variable | tuple[sg.Variable, tuple[StateT, BackwardT]]:
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
    activation: Activation = sg.tanh,
    *,
    reverse: bool = False,
    **options: Unpack[CellOptions],
) -> Recurrent[sg.Variable]:
    """A plain recurrent layer (Elman 1990): `Recurrent` over an `RNNCell`.

    ``h[t] = activation(x[t] W + h[t-1] U + b)`` from zeros on; the output is h.

    n_in, n_units
        The features of x and of h.
    activation
        A function of a variable; ``sg.tanh`` by default.
    reverse
        Whether it begins with the last step; no by default.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, n_units], ``U`` [n_units, n_units] and ``b`` [n_units] begin: initialisers
        or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state h [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last h); see `Recurrent`. The errors are those of the two classes.

    >>> layer = nn.RNN(3, 5, sg.relu, rng=0)
    >>> layer(sg.tensor("x", ("T", "B", 3)))
    <slice: float32[T, B, 5]>
    >>> [p.name for p in layer.params]
    ['cell.W', 'cell.U', 'cell.b']
    """
    return Recurrent(RNNCell(n_in, n_units, activation, **options), reverse=reverse)


def LSTM(
    n_in: int, n_units: int, *, reverse: bool = False, **options: Unpack[LSTMOptions]
) -> Recurrent[tuple[sg.Variable, sg.Variable]]:
    """A layer of long short-term memory: `Recurrent` over an `LSTMCell`.

    With the columns of ``z = x[t] W + h[t-1] U + b`` as the gates i, f, g, o, from zeros on::

        c[t] = σ(f) c[t-1] + σ(i) tanh(g)
        h[t] = σ(o) tanh(c[t])

    (Hochreiter and Schmidhuber 1997, with a forget gate). The output is h, the state (h, c).

    n_in, n_units
        The features of x and of h.
    reverse
        Whether it begins with the last step; no by default.
    peepholes
        Whether gates see c through weights ``p_i``, ``p_f``, ``p_o`` [n_units], zeros at first
        (Gers and Schmidhuber 2000); no by default.
    forget_bias
        What the forget gate's bias begins as where ``bias`` is not given; 1 by default.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 4 n_units], ``U`` [n_units, 4 n_units] and ``b`` [4 n_units] begin:
        initialisers or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state (h, c), each [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last (h, c)); see `Recurrent`. The errors are those of the two
    classes.

    >>> layer = nn.LSTM(3, 5, rng=0)
    >>> y, (h, c) = layer(sg.tensor("x", ("T", "B", 3)), return_state=True)
    >>> print(y.type, h.type)
    float32[T, B, 5] float32[B, 5]
    >>> [p.name for p in layer.params]
    ['cell.W', 'cell.U', 'cell.b']
    """
    return Recurrent(LSTMCell(n_in, n_units, **options), reverse=reverse)


def GRU(
    n_in: int, n_units: int, *, reverse: bool = False, **options: Unpack[GRUOptions]
) -> Recurrent[sg.Variable]:
    """A layer of gated recurrent units: `Recurrent` over a `GRUCell`.

    With the columns of ``z = x[t] W + b`` and ``y = h[t-1] U`` as r, u, n, from zeros on::

        h[t] = u h[t-1] + (1 - u) tanh(z_n + σ(z_r + y_r) y_n)        u = σ(z_u + y_u)

    (Cho et al. 2014, reset after the product). The output and the state are h.

    n_in, n_units
        The features of x and of h.
    reverse
        Whether it begins with the last step; no by default.
    reset, second_bias
        ``"after"`` (the default), or ``"before"``: ``tanh(z_n + (σ(z_r + y_r) h[t-1]) U_n)``;
        whether ``c`` [n_units], zeros at first, is added to ``y_n``, which needs ``"after"``.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 3 n_units], ``U`` [n_units, 3 n_units] and ``b`` [3 n_units] begin:
        initialisers or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state h [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last h); see `Recurrent`. The errors are those of the two classes.

    >>> layer = nn.GRU(3, 5, reverse=True, rng=0)
    >>> layer(sg.tensor("x", ("T", "B", 3)))
    <slice: float32[T, B, 5]>
    """
    return Recurrent(GRUCell(n_in, n_units, **options), reverse=reverse)


# --- states of one part and of several ----------------------------------------------------------


def _as_list(state: Any) -> list[Any]:
    return list(state) if isinstance(state, (tuple, list)) else [state]


def _like(model: Any, parts: Sequence[sg.Variable]) -> Any:
    """The parts as the model has them: one variable, or a tuple."""
    return tuple(parts) if isinstance(model, (tuple, list)) else parts[0]


def _position(output: sg.Variable, states: Sequence[sg.Variable]) -> int:
    """Where the output stands among the states; their number where it is none of them."""
    return next((i for i, state in enumerate(states) if state is output), len(states))


def _choose(mask: sg.Variable, new: sg.Variable, old: sg.Variable) -> sg.Variable:
    """The new value where the mask [batch] holds, elsewhere the old one; any number of axes."""
    axes = tuple(range(1, new.ndim))
    return sg.where(sg.expand_dims(mask, axes) if axes else mask, new, old)
