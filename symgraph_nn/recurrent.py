"""Loops over cells, with masks and carried state.

Layout: sequences are [time, batch, features], masks [time, batch], float or bool (zero: masked).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypedDict, overload

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    check_flags,
    describe,
)
from symgraph.typing import ArrayLike

from .buffers import moving_where
from .cell_step import CellStep, arguments_of
from .checks import as_mask, as_variable, check_axes, check_features, check_sizes
from .init import generator
from .layers import Dropout
from .module import Module
from .states import parts_of_state, position_of, state_like
from .typing import Cell, Rng, StateLike, StateT
from .walk import params_of

__all__ = ["Recurrent", "RecurrentOptions", "altered"]


class RecurrentOptions(TypedDict, total=False):
    """What all recurrent layers take by keyword, besides what their cells do."""

    reverse: bool
    learn_initial: bool
    truncate_gradient: int | None
    checkpoint_every: int | Literal["auto"] | None
    memory: int | str | None
    dropout: float
    recurrent_dropout: float


class Recurrent(Module, Generic[StateT]):
    """A cell run over a sequence, from the first step on, or with ``reverse`` from the last.

    cell
        One of `RNNCell`, `LSTMCell`, `GRUCell`, or any object with ``params``,
        ``initial_state(batch)`` and ``step(x_t, state)``; another one is a `SymgraphTypeError`. Its
        state is a variable or a tree of tuples; ``x_t`` may have any axes after the batch. A step
        that has arguments ``training`` or ``constants`` gets those of the call, an
        ``initial_state`` with one named ``x_t`` gets zeros like a row of the sequence.
    reverse
        Whether it begins with the last step.
    learn_initial
        Whether the state that it begins with is trained: ``initial``, a row for each part of the
        state, which begins as the cell has it.
    truncate_gradient
        How many steps the gradient goes back; all by default.
    checkpoint_every, memory
        After how many steps states are kept for the gradient, which computes those between again:
        a number, or ``"auto"``; or how much memory the gradient may take, as ``"200MB"``. As
        `sg.scan` takes them.
    dropout, recurrent_dropout
        The share of inputs, and of the state that is the output, that are zero while training; the
        same ones in all steps of a sequence (Gal and Ghahramani 2016).
    rng
        A seed or NumPy Generator for these.

    Called as ``y = layer(x)``, ``layer(x, mask=m, state=s)``, ``y, s = layer(x,
    return_state=True)``; step by step as ``y_t, s = layer.step(x_t, s)``:

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
    training, constants
        For a cell that takes them, and for dropout; ``constants`` is whatever all steps of a batch
        share, such as what an attention looks at.

    Raises a `ShapeError` for other axes or features, a `DtypeError` where the sequence or the state
    is of another dtype than the cell's, and a `ScanError` where the cell's step returns other
    states than it begins with.

    >>> layer = nn.Recurrent(nn.LSTMCell(3, 5, rng=0), learn_initial=True)
    >>> x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    >>> y, (h, c) = layer(x, mask=mask, return_state=True)
    >>> print(y.type, c.type)
    float32[T, B, 5] float32[B, 5]
    >>> [p.name for p in layer.params]
    ['cell.W', 'cell.U', 'cell.b', 'initial.0', 'initial.1']
    """

    cell: Cell[StateT]
    initial: list[sg.SharedVariable]
    dropouts: list[Dropout | None]
    reverse: bool
    truncate_gradient: int | None
    checkpoint_every: int | Literal["auto"] | None
    memory: int | str | None

    def __init__(
        self,
        cell: Cell[StateT],
        *,
        reverse: bool = False,
        learn_initial: bool = False,
        truncate_gradient: int | None = None,
        checkpoint_every: int | Literal["auto"] | None = None,
        memory: int | str | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        rng: Rng = None,
    ) -> None:
        for name in ("params", "initial_state", "step"):
            if not hasattr(cell, name):
                raise SymgraphTypeError.here(
                    f"Recurrent: {cell!r} is no cell: it has no {name!r}",
                    remedy="A cell has params, initial_state(batch) and step(x_t, state).",
                )
        check_flags("Recurrent", reverse=reverse, learn_initial=learn_initial)
        self.cell = cell
        self.reverse = reverse
        self.truncate_gradient = truncate_gradient
        self.checkpoint_every, self.memory = checkpoint_every, memory
        _check_loop_options(self)
        if learn_initial:
            self.initial = _first_rows(cell)
        if dropout or recurrent_dropout:
            draws = generator(rng)
            rates = (dropout, recurrent_dropout)
            self.dropouts = [Dropout(rate, rng=draws) if rate else None for rate in rates]

    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: Literal[False] = False,
        training: bool = False,
        constants: Any = None,
    ) -> sg.Variable: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: Literal[True],
        training: bool = False,
        constants: Any = None,
    ) -> tuple[sg.Variable, StateT]: ...
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        state: StateLike | None = None,
        return_state: bool = False,
        training: bool = False,
        constants: Any = None,
    ) -> sg.Variable | tuple[sg.Variable, StateT]:
        """The outputs [time, batch, units]; with ``return_state`` also the last step's state."""
        check_flags(self, return_state=return_state, training=training)
        x = self._checked(x, "time, batch")
        mask = self._prepared_mask(mask, x)
        if mask is not None:
            # Zeros, since in the products of the gradient 0 times a padding of NaN is NaN.
            x = sg.where(sg.expand_dims(mask, tuple(range(2, x.ndim))), x, 0)
        initial = self._initial_state(x, state)
        step = CellStep(self, initial, self._extras(constants, training=training))
        if training:
            step.drop(x.shape[1:], x.dtype)
        y, last = self._run(x, mask, step, wants_state=return_state)
        return (y, last) if return_state else y

    def step(
        self,
        x_t: ArrayLike,
        state: StateLike | None = None,
        *,
        training: bool = False,
        constants: Any = None,
    ) -> tuple[sg.Variable, StateT]:
        """The output of one step on ``x_t`` [batch, features], and the new state.

        ``state`` is that of the step before, None at first. For inputs that come one by one, from
        the same weights; raises a `SymgraphTypeError` for a layer in reverse.

        >>> layer = nn.GRU(3, 5)
        >>> x_t, h = sg.tensor("x_t", ("B", 3)), sg.tensor("h", ("B", 5))
        >>> y_t, h_next = layer.step(x_t, h)
        >>> y_t is h_next, y_t.type
        (True, TensorType(float32[B, 5]))
        """
        if self.reverse:
            raise SymgraphTypeError.here(f"{self}: a layer in reverse needs the whole sequence")
        check_flags(self, training=training)
        x_t = self._checked(x_t, "batch")
        initial = self._initial_state(sg.expand_dims(x_t, 0), state)
        step = CellStep(self, initial, self._extras(constants, training=training))
        if training:
            step.drop(x_t.shape, x_t.dtype)
        output, *new = step(x_t, initial)
        return output, state_like(initial, new)

    def _checked(self, x: ArrayLike, leading: str) -> sg.Variable:
        """The input as a variable with the axes, features and dtype that the cell takes."""
        x = as_variable(x, self)
        n_in, n_leading = getattr(self.cell, "n_in", None), len(leading.split(", "))
        n_axes = getattr(self.cell, "n_axes", 1 if isinstance(n_in, int) else None)
        if n_axes is not None:
            own = "features" if n_axes == 1 else f"{n_axes} axes of the cell's"
            what = "a sequence" if n_leading == 2 else "a step"
            check_axes(x, n_leading + n_axes, self, f"{what} [{leading}, {own}]")
        elif x.ndim < n_leading:
            raise ShapeError.here(f"{self}: [{leading}, ...] is expected; found {describe(x)}")
        if isinstance(n_in, int):
            check_features(x, n_in, self)
        self._check_dtype(x)
        return x

    def _initial_state(self, x: sg.Variable, state: StateLike | None) -> Any:
        """The state before the first step of ``x`` [time, batch, ...]: the given one, if any."""
        batch = x.shape[1]
        if "x_t" in arguments_of(self.cell.initial_state):
            row = sg.zeros(x.shape[1:], dtype=x.dtype)
            model: Any = self.cell.initial_state(batch, x_t=row)  # type: ignore[call-arg]
        else:
            model = self.cell.initial_state(batch)
        if state is not None:
            return self._checked_state(state, model)
        rows = getattr(self, "initial", None)
        if rows is None:
            return model
        shapes = [part.shape for part in parts_of_state(model)]
        wide = [sg.broadcast_to(row, shape) for row, shape in zip(rows, shapes, strict=True)]
        return state_like(model, wide)

    def _extras(self, constants: Any, *, training: bool) -> dict[str, Any]:
        """What the cell's step takes besides the input and the state."""
        names = arguments_of(self.cell.step)
        if constants is not None and "constants" not in names:
            raise SymgraphTypeError.here(
                f"{self}: the step of {self.cell!r} takes no constants",
                remedy="Give it an argument named constants.",
            )
        extras = {"constants": constants, "training": training}
        return {name: value for name, value in extras.items() if name in names}

    def _run(
        self, x: sg.Variable, mask: sg.Variable | None, step: CellStep, *, wants_state: bool
    ) -> tuple[sg.Variable, Any]:
        """The outputs in input order and, where it is wanted, the state of the last step."""
        states = parts_of_state(step.initial)
        with moving_where(False):
            output, *new = step(sg.zeros(x.shape[1:], dtype=x.dtype), step.initial)
        self._check_width(x, states, output)
        # An output that is no part of the state is a further result of the loop; with a mask it is
        # carried over masked steps as states are.
        place = position_of(output, new)
        extra = [] if place < len(states) else [None if mask is None else sg.zeros_like(output)]
        results = sg.scan(
            step.in_loop(returns_output=bool(extra), is_masked=mask is not None),
            sequences=[x] if mask is None else [x, mask],
            outputs_info=[*states, *extra],
            go_backwards=self.reverse,
            truncate_gradient=self.truncate_gradient,
            checkpoint_every=self.checkpoint_every,
            memory=self.memory,
            name=_name_of(self.cell),
        )
        results = parts_of_state(results)
        y = results[place]
        last = None
        if wants_state:
            pairs = zip(results[: len(states)], states, strict=True)
            last = state_like(step.initial, [sg.last_value(trace, at) for trace, at in pairs])
        return (y[::-1] if self.reverse else y), last

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
        parts, expected = parts_of_state(state), parts_of_state(initial)
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
        return state_like(initial, variables)

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


def altered(layer: Recurrent[StateT], **options: Any) -> Recurrent[StateT]:
    """A layer with the same cell and initial state, and options but for these."""
    other: Recurrent[StateT] = object.__new__(type(layer))
    other.__dict__.update(layer.__dict__, **options)
    _check_loop_options(other)
    return other


def _check_loop_options(layer: Recurrent[Any]) -> None:
    """Raise what `sg.scan` has to say of the options that it will be given."""
    options = (layer.truncate_gradient, layer.checkpoint_every, layer.memory)
    if options != (None, None, None):
        truncate, every, memory = options
        sg.scan(
            lambda h: h,
            outputs_info=sg.constant(0.0),
            n_steps=1,
            truncate_gradient=truncate,
            checkpoint_every=every,
            memory=memory,
        )


def _first_rows(cell: Any) -> list[sg.SharedVariable]:
    """The state that the cell begins with, as parameters without the axis of the batch."""
    if "x_t" in arguments_of(cell.initial_state):
        raise SymgraphTypeError.here(
            f"Recurrent: the initial state of {cell!r} depends on the sequence's sizes, so it "
            "cannot be learned"
        )
    parts = parts_of_state(cell.initial_state(1))
    return [sg.shared(as_variable(part, cell).eval()[0], f"{i}") for i, part in enumerate(parts)]


def _name_of(cell: Any) -> str:
    """What the cell's loop is called: the same in every process."""
    has_text = type(cell).__repr__ is not object.__repr__
    return repr(cell) if has_text else f"{type(cell).__name__}()"
