"""Cells over images: convolutions in the place of products."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.typing import SizeLike

from .checks import check_positive
from .init import default_weights, generator
from .module import Module
from .parameters import parameter
from .typing import Initial, Rng

__all__ = ["ConvGRUCell", "ConvLSTMCell"]


class _ConvCell(Module):
    """What the cells share: one filter bank for inputs and one for states, of all gates."""

    n_axes: int = 3  # height, width, channels
    n_gates: int = 1
    W: sg.SharedVariable
    U: sg.SharedVariable
    b: sg.SharedVariable
    n_in: int
    n_units: int
    size: tuple[int, int]
    dtype: str

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int | tuple[int, int],
        *,
        weights: Initial = default_weights,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        name = type(self).__name__
        check_positive(name, n_in=n_in, n_units=n_units, height=height, width=width)
        self.n_in, self.n_units, self.size, self.dtype = n_in, n_units, (height, width), dtype
        rng, n_out = generator(rng), self.n_gates * n_units
        for label, n in (("W", n_in), ("U", n_units)):
            setattr(self, label, parameter(weights, rng, (height, width, n, n_out), dtype, label))
        self.b = sg.shared(np.zeros(n_out, dtype), "b")

    def _zeros(self, batch: SizeLike, x_t: sg.Variable) -> sg.Variable:
        """A state for images of the size of the inputs'."""
        _, height, width, _ = x_t.shape
        return sg.zeros((batch, height, width, self.n_units), dtype=self.dtype)

    def _gates(self, z: sg.Variable) -> list[sg.Variable]:
        """The channels of each gate."""
        n = self.n_units
        return [z[..., k * n : (k + 1) * n] for k in range(self.n_gates)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_in}, {self.n_units}, {self.size})"


class ConvLSTMCell(_ConvCell):
    """An `LSTMCell` over images (Shi et al. 2015): ``z = x * W + h * U + b``, ``*`` a convolution.

    Inputs are [batch, height, width, n_in], the state (h, c) is [batch, height, width, n_units];
    filters of ``size``, an int or a pair, keep the height and width. ``W`` is [*size, n_in,
    4 n_units], ``U`` [*size, n_units, 4 n_units], ``b`` [4 n_units], zeros at first; ``weights``
    says how the filters begin.

    >>> layer = nn.Recurrent(nn.ConvLSTMCell(1, 4, 3))
    >>> layer(np.ones((5, 2, 8, 6, 1), "float32")).eval().shape
    (5, 2, 8, 6, 4)
    """

    n_gates = 4

    def initial_state(self, batch: SizeLike, x_t: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        """Zeros for h and for c, for images of the size of ``x_t``.

        >>> h, c = nn.ConvLSTMCell(1, 4, 3).initial_state(2, x_t=sg.zeros((2, 8, 6, 1)))
        >>> h.shape
        (2, 8, 6, 4)
        """
        zeros = self._zeros(batch, x_t)
        return zeros, zeros

    def step(
        self, x_t: sg.Variable, state: tuple[sg.Variable, sg.Variable]
    ) -> tuple[sg.Variable, tuple[sg.Variable, sg.Variable]]:
        """The new h as output, the new (h, c) as state.

        >>> cell, x_t = nn.ConvLSTMCell(1, 4, 3), sg.zeros((2, 8, 6, 1))
        >>> cell.step(x_t, cell.initial_state(2, x_t))[0].shape
        (2, 8, 6, 4)
        """
        h, c = state
        z = sg.conv2d(x_t, self.W, padding="same") + sg.conv2d(h, self.U, padding="same") + self.b
        i, f, g, o = self._gates(z)
        c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
        h = sg.sigmoid(o) * sg.tanh(c)
        return h, (h, c)


class ConvGRUCell(_ConvCell):
    """A `GRUCell` over images, reset after the convolution; the state is h.

    Inputs are [batch, height, width, n_in], h is [batch, height, width, n_units]; filters of
    ``size``, an int or a pair, keep the height and width. ``W`` is [*size, n_in, 3 n_units], ``U``
    [*size, n_units, 3 n_units], ``b`` [3 n_units], zeros at first; ``weights`` says how the filters
    begin.

    >>> layer = nn.Recurrent(nn.ConvGRUCell(1, 4, (3, 1)))
    >>> layer(np.ones((5, 2, 8, 6, 1), "float32")).eval().shape
    (5, 2, 8, 6, 4)
    """

    n_gates = 3

    def initial_state(self, batch: SizeLike, x_t: sg.Variable) -> sg.Variable:
        """Zeros for images of the size of ``x_t``.

        >>> nn.ConvGRUCell(1, 4, 3).initial_state(2, x_t=sg.zeros((2, 8, 6, 1))).shape
        (2, 8, 6, 4)
        """
        return self._zeros(batch, x_t)

    def step(self, x_t: sg.Variable, state: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        """The new h, as output and as state.

        >>> cell, x_t = nn.ConvGRUCell(1, 4, 3), sg.zeros((2, 8, 6, 1))
        >>> cell.step(x_t, cell.initial_state(2, x_t))[0].shape
        (2, 8, 6, 4)
        """
        z_r, z_u, z_n = self._gates(sg.conv2d(x_t, self.W, padding="same") + self.b)
        y_r, y_u, y_n = self._gates(sg.conv2d(state, self.U, padding="same"))
        u = sg.sigmoid(z_u + y_u)
        h = u * state + (1 - u) * sg.tanh(z_n + sg.sigmoid(z_r + y_r) * y_n)
        return h, h
