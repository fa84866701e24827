"""Layers without a loop over time: dense, embedding, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    SymgraphTypeError,
    check_flags,
    describe,
)
from symgraph.typing import ArrayLike

from .checks import (
    as_variable,
    check_activation,
    check_features,
    check_float,
    check_positive,
    check_share,
)
from .init import default_bias, default_weights, generator, normal
from .module import Module
from .parameters import parameter
from .typing import Activation, Initial, Rng

__all__ = ["Dense", "Dropout", "Embedding"]

_SMALL = normal(0.1)


class Dense(Module):
    """``activation(x W + b)`` on the last axis: [..., n_in] becomes [..., n_units].

    n_in, n_units
        The numbers of features; whole numbers of at least 1, else a `SymgraphValueError`.
    activation
        A function of a variable, such as ``sg.tanh``; None, as by default, for none.
    weights, bias
        How ``W`` [n_in, n_units] and ``b`` [n_units] begin: initialisers or arrays; by default
        `init.glorot_uniform` and zeros. ``bias=None`` leaves the bias out. A variable is taken as
        it is, and so tied to where it comes from: ``weights=embedding.W.T``. It is trained and
        saved once, under the name of the first place where it stands; all layers do so.
    rng
        A seed or NumPy Generator for the initialisers; by default others each time.
    dtype
        That of the parameters, ``"float32"`` by default.

    >>> layer = nn.Dense(3, 4, sg.tanh, rng=0)
    >>> layer(sg.tensor("x", ("T", "B", 3)))
    <tanh: float32[T, B, 4]>
    >>> embedding = nn.Embedding(26, 8)
    >>> net = nn.Sequential(embedding, nn.GRU(8, 8), nn.Dense(8, 26, weights=embedding.W.T))
    >>> [p.name for p in net.params]
    ['layers.0.W', 'layers.1.cell.W', 'layers.1.cell.U', 'layers.1.cell.b', 'layers.2.b']
    """

    n_in: int
    n_units: int
    activation: Activation | None
    W: sg.SharedVariable
    b: sg.SharedVariable | None

    def __init__(
        self,
        n_in: int,
        n_units: int,
        activation: Activation | None = None,
        *,
        weights: Initial = default_weights,
        bias: Initial | None = default_bias,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive("Dense", n_in=n_in, n_units=n_units)
        check_activation("Dense", activation)
        rng = generator(rng)
        self.n_in, self.n_units, self.activation = n_in, n_units, activation
        self.W = parameter(weights, rng, (n_in, n_units), dtype, "W")
        self.b = None
        if bias is not None:
            self.b = parameter(bias, rng, (n_units,), dtype, "b")

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The units [..., n_units] of ``x`` [..., n_in].

        A `ShapeError` where ``x`` is known to have another number of features.
        """
        x = as_variable(x, self)
        check_features(x, self.n_in, self)
        y = sg.dot(x, self.W)
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def __repr__(self) -> str:
        return f"Dense({self.n_in}, {self.n_units})"


class Embedding(Module):
    """A vector for each symbol: integers [...] become [..., n_units].

    n_symbols, n_units
        How many symbols there are, and how long a vector is; whole numbers of at least 1, else a
        `SymgraphValueError`.
    padding_index
        A symbol that stands for nothing, -1 say: its vector is zeros and gets no gradient; its row
        of ``W``, if it has one, starts as zeros. None, as by default, for none.
    weights
        How ``W`` [n_symbols, n_units] begins: an initialiser or an array; ``init.normal(0.1)`` by
        default.
    rng
        A seed or NumPy Generator for the initialiser; by default others each time.
    dtype
        That of the vectors, ``"float32"`` by default.

    >>> layer = nn.Embedding(26, 8, padding_index=-1, rng=0)
    >>> layer(np.array([[0, 25], [3, -1]])).eval()[1, 1]
    array([0., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)
    """

    n_symbols: int
    n_units: int
    padding_index: int | None
    W: sg.SharedVariable

    def __init__(
        self,
        n_symbols: int,
        n_units: int,
        padding_index: int | None = None,
        *,
        weights: Initial = _SMALL,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive("Embedding", n_symbols=n_symbols, n_units=n_units)
        _check_padding(padding_index)
        self.n_symbols, self.n_units, self.padding_index = n_symbols, n_units, padding_index
        self.W = parameter(weights, generator(rng), (n_symbols, n_units), dtype, "W")
        is_own = not isinstance(weights, sg.Variable)
        if is_own and padding_index is not None and 0 <= padding_index < n_symbols:
            table = self.W.get_value()
            table[padding_index] = 0
            self.W.set_value(table)

    def __call__(self, symbols: ArrayLike) -> sg.Variable:
        """The vectors [..., n_units] of ``symbols`` [...], integers (others are a `DtypeError`).

        A symbol that is not from 0 to below ``n_symbols``, -1 too, is an `IndexRangeError` at the
        call, unless it is ``padding_index``.
        """
        symbols = as_variable(symbols, self)
        if symbols.dtype.kind not in "iu":
            raise DtypeError.here(
                f"{self}: symbols are integers; found {describe(symbols)}",
                remedy="Convert them with .astype('int64').",
            )
        limits = np.iinfo(symbols.dtype)
        padding = self.padding_index
        if padding is None or not limits.min <= padding <= limits.max:
            return self.W[sg.in_range(symbols, self.n_symbols, f"{self}: symbol")]
        is_padding = sg.eq(symbols, padding)
        others = sg.where(is_padding, 0, symbols)
        vectors = self.W[sg.in_range(others, self.n_symbols, f"{self}: symbol")]
        return sg.where(sg.expand_dims(is_padding, -1), 0, vectors)

    def __repr__(self) -> str:
        return f"Embedding({self.n_symbols}, {self.n_units})"


def _check_padding(index: Any) -> None:
    if index is not None and (isinstance(index, bool) or not isinstance(index, (int, np.integer))):
        raise SymgraphTypeError.here(f"Embedding: padding_index is an int, not {index!r}")


class Dropout(Module):
    """Elements set to 0 with probability ``rate`` while training (Srivastava et al. 2014).

    The others are divided by ``1 - rate``, so that the mean stays. Draws are fresh at each call of
    the compiled function, and at each step within a loop. There is nothing to train.

    rate
        The probability, from 0 to below 1, else a `SymgraphValueError`.
    rng
        A seed is that of ``stream``, a `random.Stream` whose counter starts at 0. A Generator, or
        the system's chance where there is none, says where the counter starts; so that whoever
        keeps the counter, as ``fit(resume=…)`` and ``save(…, updates=…)`` do, can go on exactly.

    >>> layer = nn.Dropout(0.5, rng=0)
    >>> np.unique(layer(np.ones((2, 50), "float32"), training=True).eval())
    array([0., 2.], dtype=float32)
    """

    rate: float
    stream: sg.random.Stream

    def __init__(self, rate: float, *, rng: Rng = None) -> None:
        check_share("Dropout", rate=rate)
        self.rate = rate
        drawn = int(generator(rng).integers(2**31))
        is_seed = isinstance(rng, (int, np.integer))
        self.stream = sg.random.Stream(drawn if is_seed else 0)
        if not is_seed:
            self.stream.counter.set_value(np.int64(drawn << 31))

    def __call__(self, x: ArrayLike, *, training: bool = False) -> sg.Variable:
        """``x`` [...] with elements dropped; without ``training``, as by default, as it is.

        A `DtypeError` where ``x`` is not of floats.
        """
        check_flags(self, training=training)
        x = as_variable(x, self)
        if not training or self.rate == 0:
            return x
        check_float(x, self)
        stays = self.stream.bernoulli(x.shape, 1 - self.rate, dtype="bool")
        return sg.where(stays, x / (1 - self.rate), 0)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
