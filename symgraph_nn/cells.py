"""Cells: one step of a recurrent net. The loop around them is `Recurrent`.

Any object with these three is a cell, and runs as fast as the ones here:

- ``params``: the shared variables that are trained;
- ``initial_state(batch)``: the state before the first step, a variable or a tuple of variables,
  for a batch of this size (a number or a symbolic size);
- ``step(x_t, state)``: the output of one step and the new state; ``x_t`` is [batch, features].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg

from .checks import check_activation, check_positive
from .init import (
    Initialiser,
    default_bias,
    default_weights,
    generator,
    initial_value,
    orthogonal,
    side_by_side,
)
from .module import Module

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

State = Any  # a variable, or a tuple of variables


class _GatedCell(Module):
    """What the cells share: one input and one recurrent matrix for all gates, side by side."""

    n_gates = 1

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        input_weights: Initialiser | Any | None = None,
        recurrent_weights: Initialiser | Any | None = None,
        bias: Initialiser | Any | None = None,
        rng: int | np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        check_positive(type(self).__name__, n_in=n_in, n_units=n_units)
        rng = generator(rng)
        self.n_in, self.n_units, self.dtype = n_in, n_units, dtype
        sizes = (n_units, self.n_gates, dtype)
        input_weights = default_weights if input_weights is None else input_weights
        recurrent_weights = orthogonal() if recurrent_weights is None else recurrent_weights
        self.W = sg.shared(side_by_side(input_weights, rng, n_in, *sizes), "W")
        self.U = sg.shared(side_by_side(recurrent_weights, rng, n_units, *sizes), "U")
        bias = default_bias if bias is None else bias
        self.b = sg.shared(initial_value(bias, rng, (self.n_gates * n_units,), dtype), "b")

    def gate(self, z: sg.Variable, k: int) -> sg.Variable:
        """The columns of gate ``k`` among the gates side by side."""
        return z[:, k * self.n_units : (k + 1) * self.n_units]

    def initial_state(self, batch: Any) -> State:
        """Zeros [batch, n_units]."""
        return sg.zeros((batch, self.n_units), dtype=self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_in}, {self.n_units})"


class RNNCell(_GatedCell):
    """The plain recurrent cell (Elman 1990): ``h' = activation(x W + h U + b)``; the state is h.

    ``W`` is [n_in, n_units], ``U`` [n_units, n_units], ``b`` [n_units].
    """

    def __init__(
        self,
        n_in: int,
        n_units: int,
        activation: Callable[[sg.Variable], sg.Variable] = sg.tanh,
        **initial: Any,
    ) -> None:
        super().__init__(n_in, n_units, **initial)
        check_activation("RNNCell", activation)
        self.activation = activation

    def step(self, x_t: sg.Variable, state: State) -> tuple[sg.Variable, State]:
        """The new h [batch, n_units], as output and as state."""
        h = self.activation(sg.dot(x_t, self.W) + sg.dot(state, self.U) + self.b)
        return h, h


class LSTMCell(_GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate; state (h, c).

    With ``z = x W + h U + b``, whose columns are the gates i, f, g, o side by side::

        c' = σ(f) c + σ(i) tanh(g)
        h' = σ(o) tanh(c')

    ``peepholes``: the gates see the memory through one weight for each unit (Gers and Schmidhuber
    2000): i and f add ``c p_i`` and ``c p_f``, o adds ``c' p_o``. ``forget_bias`` is
    the initial bias of the forget gate where ``bias`` is not given: a new cell remembers. ``W`` is
    [n_in, 4 n_units], ``U`` [n_units, 4 n_units], ``b`` [4 n_units], a peephole [n_units].
    """

    n_gates = 4

    def __init__(
        self,
        n_in: int,
        n_units: int,
        *,
        peepholes: bool = False,
        forget_bias: float = 1.0,
        **initial: Any,
    ) -> None:
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

    def initial_state(self, batch: Any) -> State:
        """Zeros [batch, n_units] for h and for c."""
        zeros = super().initial_state(batch)
        return zeros, zeros

    def step(self, x_t: sg.Variable, state: State) -> tuple[sg.Variable, State]:
        """The new h [batch, n_units] as output; the new (h, c) as state."""
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
    """The gated recurrent unit (Cho et al. 2014), reset after the product; the state is h.

    With ``z = x W + b`` and ``y = h U``, whose columns are r, u, n side by side::

        h' = u h + (1 - u) tanh(z_n + σ(z_r + y_r) y_n)        u = σ(z_u + y_u)

    Resetting after the product needs one product with h instead of two, as Lasagne, cuDNN and
    PyTorch have it. ``W`` is [n_in, 3 n_units], ``U`` [n_units, 3 n_units], ``b`` [3 n_units].
    """

    n_gates = 3

    def step(self, x_t: sg.Variable, state: State) -> tuple[sg.Variable, State]:
        """The new h [batch, n_units], as output and as state."""
        h = state
        z = sg.dot(x_t, self.W) + self.b
        y = sg.dot(h, self.U)
        r = sg.sigmoid(self.gate(z, 0) + self.gate(y, 0))
        u = sg.sigmoid(self.gate(z, 1) + self.gate(y, 1))
        n = sg.tanh(self.gate(z, 2) + r * self.gate(y, 2))
        h = u * h + (1 - u) * n
        return h, h
