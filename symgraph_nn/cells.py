"""Cells: one step of a recurrent net. The loop around them is `Recurrent`.

Any object with these three is a cell, and runs as fast as the ones here:

- ``params``: the shared variables that are trained;
- ``initial_state(batch)``: the state before the first step, a variable or a tuple of variables,
  for a batch of this size (a number or a symbolic size);
- ``step(x_t, state)``: the output of one step and the new state; ``x_t`` is [batch, features].
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError, check_flags
from symgraph.typing import SizeLike

from .checks import check_activation, check_positive
from .init import (
    default_bias,
    default_weights,
    generator,
    orthogonal,
)
from .module import Module
from .parameters import parameter
from .typing import Activation, Initial, Rng

__all__ = ["CellOptions", "GRUCell", "GRUOptions", "LSTMCell", "LSTMOptions", "RNNCell"]


class CellOptions(TypedDict, total=False):
    """What all cells take by keyword."""

    input_weights: Initial | None
    recurrent_weights: Initial | None
    bias: Initial | None
    rng: Rng
    dtype: str


class LSTMOptions(CellOptions, total=False):
    """What an `LSTMCell` takes by keyword."""

    peepholes: bool
    forget_bias: float


class GRUOptions(CellOptions, total=False):
    """What a `GRUCell` takes by keyword."""

    reset: Literal["after", "before"]
    second_bias: bool


class _GatedCell(Module):
    """What the cells share: one input and one recurrent matrix for all gates, side by side."""

    n_gates: int = 1
    n_in: int
    n_units: int
    dtype: str
    W: sg.SharedVariable
    U: sg.SharedVariable
    b: sg.SharedVariable

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        input_weights: Initial | None = None,
        recurrent_weights: Initial | None = None,
        bias: Initial | None = None,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive(type(self).__name__, n_in=n_in, n_units=n_units)
        rng = generator(rng)
        self.n_in, self.n_units, self.dtype = n_in, n_units, dtype
        n_out = self.n_gates * n_units
        input_weights = default_weights if input_weights is None else input_weights
        recurrent_weights = orthogonal() if recurrent_weights is None else recurrent_weights
        self.W = parameter(input_weights, rng, (n_in, n_out), dtype, "W", n_blocks=self.n_gates)
        self.U = parameter(
            recurrent_weights, rng, (n_units, n_out), dtype, "U", n_blocks=self.n_gates
        )
        bias = default_bias if bias is None else bias
        self.b = parameter(bias, rng, (n_out,), dtype, "b")

    def gate(self, z: sg.Variable, k: int) -> sg.Variable:
        """The columns of gate ``k`` among those in ``z`` [batch, gates · n_units].

        >>> cell = nn.GRUCell(3, 5)
        >>> cell.gate(sg.zeros((2, 15)), 1)
        <slice: float32[2, 5]>
        """
        return z[:, k * self.n_units : (k + 1) * self.n_units]

    def _zeros(self, batch: SizeLike) -> sg.Variable:
        return sg.zeros((batch, self.n_units), dtype=self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_in}, {self.n_units})"


class RNNCell(_GatedCell):
    """The plain recurrent cell (Elman 1990): ``h' = activation(x W + h U + b)``; the state is h.

    n_in, n_units
        The features of x and of h; whole numbers of at least 1, else a `SymgraphValueError`.
    activation
        A function of a variable; ``sg.tanh`` by default.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, n_units], ``U`` [n_units, n_units] and ``b`` [n_units] begin: initialisers
        or arrays. By default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng
        A seed or NumPy Generator for the initialisers; by default others each time.
    dtype
        That of the parameters and the state, ``"float32"`` by default.

    >>> cell = nn.RNNCell(3, 5, sg.relu, rng=0)
    >>> nn.Recurrent(cell)(sg.zeros((7, 2, 3)))
    <slice: float32[7, 2, 5]>
    """

    activation: Activation

    def __init__(
        self,
        n_in: int,
        n_units: int,
        activation: Activation = sg.tanh,
        **initial: Unpack[CellOptions],
    ) -> None:
        super().__init__(n_in, n_units, **initial)
        check_activation("RNNCell", activation)
        self.activation = activation

    def initial_state(self, batch: SizeLike) -> sg.Variable:
        """Zeros [batch, n_units].

        >>> nn.RNNCell(3, 5).initial_state(2)
        <broadcast_to: float32[2, 5]>
        """
        return self._zeros(batch)

    def step(self, x_t: sg.Variable, state: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        """The new h [batch, n_units], as output and as state.

        ``x_t`` is [batch, n_in], ``state`` h.

        >>> cell = nn.RNNCell(3, 5)
        >>> output, h = cell.step(sg.zeros((2, 3)), cell.initial_state(2))
        >>> output is h, h
        (True, <tanh: float32[2, 5]>)
        """
        h = self.activation(sg.dot(x_t, self.W) + sg.dot(state, self.U) + self.b)
        return h, h


class LSTMCell(_GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate; state (h, c).

    With ``z = x W + h U + b``, whose columns are the gates i, f, g, o side by side::

        c' = σ(f) c + σ(i) tanh(g)
        h' = σ(o) tanh(c')

    n_in, n_units
        The features of x and of h; whole numbers of at least 1, else a `SymgraphValueError`.
    peepholes
        Whether the gates see the memory through one weight for each unit (Gers and Schmidhuber
        2000): i and f add ``c p_i`` and ``c p_f``, o adds ``c' p_o``. Off by default.
    forget_bias
        The initial bias of the forget gate where ``bias`` is not given, 1 by default: a new cell
        remembers.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 4 n_units], ``U`` [n_units, 4 n_units] and ``b`` [4 n_units] begin:
        initialisers, which draw each gate's matrix by itself, or arrays. By default
        `init.glorot_uniform`, `init.orthogonal` and zeros. Peepholes ``p_i``, ``p_f``, ``p_o``
        [n_units] begin as zeros.
    rng
        A seed or NumPy Generator for the initialisers; by default others each time.
    dtype
        That of the parameters and the state, ``"float32"`` by default.

    >>> cell = nn.LSTMCell(3, 5, peepholes=True, rng=0)
    >>> [p.name for p in cell.params]
    ['W', 'U', 'b', 'p_i', 'p_f', 'p_o']
    >>> nn.Recurrent(cell)(sg.zeros((7, 2, 3)))
    <slice: float32[7, 2, 5]>
    """

    n_gates = 4
    peepholes: bool
    p_i: sg.SharedVariable
    p_f: sg.SharedVariable
    p_o: sg.SharedVariable

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        peepholes: bool = False,
        forget_bias: float = 1.0,
        **initial: Unpack[CellOptions],
    ) -> None:
        check_flags("LSTMCell", peepholes=peepholes)
        super().__init__(n_in, n_units, **initial)
        if initial.get("bias") is None:
            bias = self.b.get_value()
            bias[n_units : 2 * n_units] = forget_bias
            self.b.set_value(bias)
        self.peepholes = peepholes
        if peepholes:
            zeros = np.zeros(n_units, self.dtype)
            self.p_i = sg.shared(zeros, "p_i")
            self.p_f = sg.shared(zeros, "p_f")
            self.p_o = sg.shared(zeros, "p_o")

    def initial_state(self, batch: SizeLike) -> tuple[sg.Variable, sg.Variable]:
        """Zeros [batch, n_units] for h and for c.

        >>> h, c = nn.LSTMCell(3, 5).initial_state(2)
        >>> h.shape, c.shape
        ((2, 5), (2, 5))
        """
        zeros = self._zeros(batch)
        return zeros, zeros

    def step(
        self, x_t: sg.Variable, state: tuple[sg.Variable, sg.Variable]
    ) -> tuple[sg.Variable, tuple[sg.Variable, sg.Variable]]:
        """The new h [batch, n_units] as output; the new (h, c) as state.

        ``x_t`` is [batch, n_in], ``state`` the pair (h, c).

        >>> cell = nn.LSTMCell(3, 5)
        >>> output, (h, c) = cell.step(sg.zeros((2, 3)), cell.initial_state(2))
        >>> output is h, c
        (True, <add: float32[2, 5]>)
        """
        h, c = state
        z = sg.dot(x_t, self.W) + sg.dot(h, self.U) + self.b
        i, f, g, o = (self.gate(z, k) for k in range(4))
        if self.peepholes:
            i, f = i + c * self.p_i, f + c * self.p_f
        c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
        if self.peepholes:
            o = o + c * self.p_o
        h = sg.sigmoid(o) * sg.tanh(c)
        return h, (h, c)


class GRUCell(_GatedCell):
    """The gated recurrent unit (Cho et al. 2014); the state is h.

    With ``z = x W + b`` and ``y = h U``, whose columns are r, u, n side by side::

        h' = u h + (1 - u) tanh(n)        u = σ(z_u + y_u)    r = σ(z_r + y_r)
        n = z_n + r (y_n + c)             reset="after", the default
        n = z_n + (r h) U_n               reset="before", as in the paper

    Resetting after the product needs one product with h instead of two, as Lasagne, cuDNN, PyTorch
    and Keras have it; with ``second_bias`` there is a bias c inside of it, as in the last three,
    and else none.

    n_in, n_units
        The features of x and of h; whole numbers of at least 1, else a `SymgraphValueError`.
    reset, second_bias
        ``"after"`` or ``"before"``; whether there is ``c`` [n_units], zeros at first, which needs
        ``"after"``. Else a `SymgraphValueError`.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 3 n_units], ``U`` [n_units, 3 n_units] and ``b`` [3 n_units] begin:
        initialisers, which draw each gate's matrix by itself, or arrays. By default
        `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng
        A seed or NumPy Generator for the initialisers; by default others each time.
    dtype
        That of the parameters and the state, ``"float32"`` by default.

    >>> cell = nn.GRUCell(3, 5, second_bias=True, rng=0)
    >>> cell.W.get_value().shape, cell.U.get_value().shape, cell.c.get_value().shape
    ((3, 15), (5, 15), (5,))
    >>> nn.Recurrent(cell, reverse=True)(sg.zeros((7, 2, 3))).shape
    (7, 2, 5)
    """

    n_gates = 3
    reset: Literal["after", "before"]
    second_bias: bool
    c: sg.SharedVariable

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        reset: Literal["after", "before"] = "after",
        second_bias: bool = False,
        **initial: Unpack[CellOptions],
    ) -> None:
        check_flags("GRUCell", second_bias=second_bias)
        super().__init__(n_in, n_units, **initial)
        if reset not in ("after", "before"):
            raise SymgraphValueError.here(f"GRUCell: reset is 'after' or 'before', not {reset!r}")
        if second_bias and reset == "before":
            raise SymgraphValueError.here(
                "GRUCell: a second bias stands inside the reset product, so it needs reset='after'",
                remedy="Leave second_bias out: it would be the same as b.",
            )
        self.reset, self.second_bias = reset, second_bias
        if second_bias:
            self.c = sg.shared(np.zeros(n_units, self.dtype), "c")

    def initial_state(self, batch: SizeLike) -> sg.Variable:
        """Zeros [batch, n_units].

        >>> nn.GRUCell(3, 5).initial_state(2)
        <broadcast_to: float32[2, 5]>
        """
        return self._zeros(batch)

    def step(self, x_t: sg.Variable, state: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        """The new h [batch, n_units], as output and as state.

        ``x_t`` is [batch, n_in], ``state`` h.

        >>> cell = nn.GRUCell(3, 5)
        >>> output, h = cell.step(sg.zeros((2, 3)), cell.initial_state(2))
        >>> output is h, h
        (True, <add: float32[2, 5]>)
        """
        h, n = state, self.n_units
        z = sg.dot(x_t, self.W) + self.b
        y = sg.dot(h, self.U if self.reset == "after" else self.U[:, : 2 * n])
        r = sg.sigmoid(self.gate(z, 0) + self.gate(y, 0))
        u = sg.sigmoid(self.gate(z, 1) + self.gate(y, 1))
        if self.reset == "before":
            memory = sg.dot(r * h, self.U[:, 2 * n :])
        else:
            memory = r * (self.gate(y, 2) + self.c if self.second_bias else self.gate(y, 2))
        h = u * h + (1 - u) * sg.tanh(self.gate(z, 2) + memory)
        return h, h
