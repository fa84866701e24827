"""Layers without a loop over time: dense, embedding, dropout, normalisation, several in a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    SymgraphTypeError,
    describe,
)

from .buffers import Buffer
from .checks import (
    as_variable,
    check_activation,
    check_features,
    check_float,
    check_positive,
    check_share,
)
from .init import Initialiser, default_bias, default_weights, generator, initial_value, normal
from .module import Module

__all__ = ["BatchNorm", "Dense", "Dropout", "Embedding", "LayerNorm", "Sequential", "accepted"]

Rng = int | np.random.Generator | None
_SMALL = normal(0.1)


class Dense(Module):
    """``activation(x W + b)`` on the last axis: [..., n_in] becomes [..., n_units].

    ``weights`` and ``bias`` are initialisers or arrays; ``bias=None`` leaves the bias out.
    ``W`` is [n_in, n_units], ``b`` [n_units].
    """

    def __init__(
        self,
        n_in: int,
        n_units: int,
        activation: Callable[[sg.Variable], sg.Variable] | None = None,
        *,
        weights: Initialiser | Any = default_weights,
        bias: Initialiser | Any | None = default_bias,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive("Dense", n_in=n_in, n_units=n_units)
        check_activation("Dense", activation)
        rng = generator(rng)
        self.n_in, self.n_units, self.activation = n_in, n_units, activation
        self.W = sg.shared(initial_value(weights, rng, (n_in, n_units), dtype), "W")
        self.b = None
        if bias is not None:
            self.b = sg.shared(initial_value(bias, rng, (n_units,), dtype), "b")

    def __call__(self, x: Any) -> sg.Variable:
        """The units [..., n_units]."""
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

    ``W`` is [n_symbols, n_units]. The symbol ``padding_index`` stands for nothing: its vector is
    zeros and gets no gradient; its row of ``W``, if it has one, starts as zeros.
    """

    def __init__(
        self,
        n_symbols: int,
        n_units: int,
        padding_index: int | None = None,
        *,
        weights: Initialiser | Any = _SMALL,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive("Embedding", n_symbols=n_symbols, n_units=n_units)
        _check_padding(padding_index)
        self.n_symbols, self.n_units, self.padding_index = n_symbols, n_units, padding_index
        table = initial_value(weights, generator(rng), (n_symbols, n_units), dtype)
        if padding_index is not None and 0 <= padding_index < n_symbols:
            table = table.copy()
            table[padding_index] = 0
        self.W = sg.shared(table, "W")

    def __call__(self, symbols: Any) -> sg.Variable:
        """The vectors [..., n_units].

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
        found = sg.where(is_padding, 0, symbols)
        vectors = self.W[sg.in_range(found, self.n_symbols, f"{self}: symbol")]
        return sg.where(sg.expand_dims(is_padding, -1), 0, vectors)

    def __repr__(self) -> str:
        return f"Embedding({self.n_symbols}, {self.n_units})"


def _check_padding(index: Any) -> None:
    if index is not None and (isinstance(index, bool) or not isinstance(index, (int, np.integer))):
        raise SymgraphTypeError.here(f"Embedding: padding_index is an int, not {index!r}")


class Dropout(Module):
    """Elements set to 0 with probability ``rate`` while training, the others scaled to make up.

    Draws are fresh at each call of the compiled function, and at each step within a loop. With
    ``training=False`` the input is returned as it is (Srivastava et al. 2014).

    ``rng``: a seed is that of ``stream``, whose counter starts at 0. A Generator, or the system's
    chance where there is none, says where the counter starts; so that whoever keeps the counter,
    as ``fit(resume=…)`` and ``save(…, updates=…)`` do, can go on exactly.
    """

    def __init__(self, rate: float, *, rng: Rng = None) -> None:
        check_share("Dropout", rate=rate)
        self.rate = rate
        drawn = int(generator(rng).integers(2**31))
        is_seed = isinstance(rng, (int, np.integer))
        self.stream = sg.random.Stream(drawn if is_seed else 0)
        if not is_seed:
            self.stream.counter.set_value(np.int64(drawn << 31))

    def __call__(self, x: Any, *, training: bool = False) -> sg.Variable:
        """``x`` with elements dropped, or as it is."""
        x = as_variable(x, self)
        if not training or self.rate == 0:
            return x
        check_float(x, self)
        kept = self.stream.bernoulli(x.shape, 1 - self.rate, dtype="bool")
        return sg.where(kept, x / (1 - self.rate), 0)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class LayerNorm(Module):
    """The last axis brought to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    ``gain`` and ``bias`` are [n_units].
    """

    def __init__(self, n_units: int, *, epsilon: float = 1e-5, dtype: str = "float32") -> None:
        check_positive("LayerNorm", n_units=n_units)
        self.n_units, self.epsilon = n_units, epsilon
        self.gain = sg.shared(np.ones(n_units, dtype), "gain")
        self.bias = sg.shared(np.zeros(n_units, dtype), "bias")

    def __call__(self, x: Any) -> sg.Variable:
        """The normalised ``x``, of the same shape."""
        x = as_variable(x, self)
        check_features(x, self.n_units, self)
        centred = x - sg.mean(x, axis=-1, keepdims=True)
        variance = sg.mean(sg.square(centred), axis=-1, keepdims=True)
        return centred / sg.sqrt(variance + self.epsilon) * self.gain + self.bias

    def __repr__(self) -> str:
        return f"LayerNorm({self.n_units})"


class BatchNorm(Module):
    """Each feature brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    With ``training=True`` by the statistics of the batch, over all axes but that of the features;
    with ``training=False`` by running means of them (Ioffe and Szegedy 2015). The running means
    move at each call of a function whose update rule got a loss that this layer is in, by ``rate``
    of the distance; `buffer_updates` gives the same updates where you write your own. ``axis`` is
    that of the features: -1, the last one by default. ``gain`` and ``bias`` are [n_units], so are
    the buffers ``mean`` and ``variance`` (the biased one).
    """

    def __init__(
        self,
        n_units: int,
        *,
        axis: int = -1,
        rate: float = 0.1,
        epsilon: float = 1e-5,
        dtype: str = "float32",
    ) -> None:
        check_positive("BatchNorm", n_units=n_units)
        self.n_units, self.axis, self.rate, self.epsilon = n_units, axis, rate, epsilon
        self.gain = sg.shared(np.ones(n_units, dtype), "gain")
        self.bias = sg.shared(np.zeros(n_units, dtype), "bias")
        self.mean = Buffer(np.zeros(n_units, dtype), "mean")
        self.variance = Buffer(np.ones(n_units, dtype), "variance")

    def __call__(self, x: Any, *, training: bool = False) -> sg.Variable:
        """The normalised ``x``, of the same shape."""
        x = as_variable(x, self)
        check_features(x, self.n_units, self, self.axis)
        axis = self.axis % x.ndim
        others = tuple(i for i in range(x.ndim) if i != axis)
        if training:
            mean = sg.mean(x, axis=others)
            centred = x - sg.expand_dims(mean, others)
            variance = sg.mean(sg.square(centred), axis=others)
            self.mean.follow(mean, self.rate)
            self.variance.follow(variance, self.rate)
        else:
            centred = x - sg.expand_dims(self.mean.variable, others)
            variance = self.variance.variable
        scale = self.gain / sg.sqrt(variance + self.epsilon)
        return centred * sg.expand_dims(scale, others) + sg.expand_dims(self.bias, others)

    def __repr__(self) -> str:
        return f"BatchNorm({self.n_units})"


class Sequential(Module):
    """Layers and functions, one after the other.

    ``mask`` and ``training`` go to those layers that take them.
    """

    def __init__(self, *layers: Callable[..., sg.Variable]) -> None:
        for layer in layers:
            if not callable(layer):
                raise SymgraphTypeError.here(
                    f"Sequential: a layer or a function is expected, not {layer!r}",
                    remedy="Give the layers as arguments: Sequential(a, b, c).",
                )
        self.layers = list(layers)

    def __call__(self, x: Any, *, mask: Any = None, training: bool = False) -> sg.Variable:
        """What the last layer returns."""
        for layer in self.layers:
            x = layer(x, **accepted(layer, mask=mask, training=training))
        return x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def accepted(layer: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Those of the options that a layer has an argument for."""
    try:
        taken = inspect.signature(layer).parameters
    except ValueError:  # a builtin
        return {}
    return {name: option for name, option in options.items() if name in taken}
