"""Normalisation: over features, over the batch, over groups of features."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphValueError, check_flags, describe
from symgraph.typing import ArrayLike

from .buffers import Buffer
from .checks import as_variable, check_features, check_positive
from .module import Module

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm"]


class LayerNorm(Module):
    """The last axis brought to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    ``(x - μ) / √(σ² + ε) · gain + bias`` with the mean μ and the (biased) variance σ² of each row
    [n_units] by itself.

    n_units
        The size of the last axis; a whole number of at least 1, else a `SymgraphValueError`.
    epsilon
        ε, 1e-5 by default.
    dtype
        That of ``gain`` [n_units], ones at first, and ``bias`` [n_units], zeros at first.

    >>> row = nn.LayerNorm(4)(np.array([1, 2, 3, 6], "float32"))
    >>> row.eval().round(2)
    array([-1.07, -0.53,  0.  ,  1.6 ], dtype=float32)
    """

    n_units: int
    epsilon: float
    gain: sg.SharedVariable
    bias: sg.SharedVariable

    def __init__(self, n_units: int, *, epsilon: float = 1e-5, dtype: str = "float32") -> None:
        check_positive("LayerNorm", n_units=n_units)
        self.n_units, self.epsilon = n_units, epsilon
        self.gain = sg.shared(np.ones(n_units, dtype), "gain")
        self.bias = sg.shared(np.zeros(n_units, dtype), "bias")

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The normalised ``x`` [..., n_units], of the same shape."""
        x = as_variable(x, self)
        check_features(x, self.n_units, self)
        centred = x - sg.mean(x, axis=-1, keepdims=True)
        variance = sg.mean(sg.square(centred), axis=-1, keepdims=True)
        return centred / sg.sqrt(variance + self.epsilon) * self.gain + self.bias

    def __repr__(self) -> str:
        return f"LayerNorm({self.n_units})"


class BatchNorm(Module):
    """Each feature brought to mean 0 and variance 1 over the batch, then scaled and shifted.

    ``(x - μ) / √(σ² + ε) · gain + bias`` (Ioffe and Szegedy 2015). With ``training=True`` by the
    mean μ and the (biased) variance σ² of the batch, over all axes but that of the features; with
    ``training=False`` by running means of them. These move at each call of a function whose update
    rule got a loss that this layer is in, by ``rate`` of the distance: ``mean' = mean + rate · (μ -
    mean)``; `buffer_updates` gives the same updates where you write your own. Within a loop they
    move once for each step.

    n_units
        The number of features; a whole number of at least 1, else a `SymgraphValueError`.
    axis
        That of the features: -1, the last one, by default; the others are averaged over.
    rate
        How far the running means move at a step, from 0 to 1; 0.1 by default.
    epsilon
        ε, 1e-5 by default.
    dtype
        That of ``gain`` and ``bias`` [n_units], which are trained, and of the buffers ``mean`` and
        ``variance`` [n_units]; they begin as ones, zeros, zeros and ones.

    >>> layer, x = nn.BatchNorm(3), sg.tensor("x", ("B", 3))
    >>> loss = sg.mean(layer(x, training=True) ** 3)
    >>> step = sg.compile([x], loss, updates=nn.sgd(loss, layer.params, 0.1))
    >>> _ = step(np.ones((4, 3)))
    >>> layer.mean.variable.get_value()
    array([0.1, 0.1, 0.1], dtype=float32)
    """

    n_units: int
    axis: int
    rate: float
    epsilon: float
    gain: sg.SharedVariable
    bias: sg.SharedVariable
    mean: Buffer
    variance: Buffer

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

    def __call__(self, x: ArrayLike, *, training: bool = False) -> sg.Variable:
        """The normalised ``x``, of the same shape; ``training`` says by which statistics."""
        check_flags(self, training=training)
        x = as_variable(x, self)
        check_features(x, self.n_units, self, self.axis)
        axis = self.axis % x.ndim
        others = tuple(i for i in range(x.ndim) if i != axis)
        if training:
            mean = sg.mean(x, axis=others)
            centred = x - sg.expand_dims(mean, others)
            variance = sg.mean(sg.square(centred), axis=others)
        else:
            mean, variance = self.mean.variable, self.variance.variable
            centred = x - sg.expand_dims(mean, others)
        scale = self.gain / sg.sqrt(variance + self.epsilon)
        y = centred * sg.expand_dims(scale, others) + sg.expand_dims(self.bias, others)
        if training:
            self.mean.follow(mean, self.rate, within=y)
            self.variance.follow(variance, self.rate, within=y)
        return y

    def __repr__(self) -> str:
        return f"BatchNorm({self.n_units})"


class GroupNorm(Module):
    """Groups of features of each row of the batch brought to mean 0 and variance 1 (Wu, He 2018).

    ``x`` is [batch, ..., n_units], or with ``time_major`` [time, batch, n_units]; the statistics
    are over a group's features and over all axes between. Then features are scaled by ``gain`` and
    shifted by ``bias``, both [n_units]. One group normalises over all features, n_units groups
    each by itself.

    n_groups, n_units
        Whole numbers of at least 1, the second a multiple of the first, else a
        `SymgraphValueError`.
    epsilon
        What is added to the variances; 1e-5 by default.
    dtype
        That of ``gain``, ones at first, and ``bias``, zeros at first.

    >>> nn.GroupNorm(2, 4)(np.arange(8, dtype="float32").reshape(1, 2, 4)).eval().round(2)
    array([[[-1.21, -0.73, -1.21, -0.73],
            [ 0.73,  1.21,  0.73,  1.21]]], dtype=float32)
    """

    n_groups: int
    n_units: int
    epsilon: float
    time_major: bool
    gain: sg.SharedVariable
    bias: sg.SharedVariable

    def __init__(
        self,
        n_groups: int,
        n_units: int,
        *,
        time_major: bool = False,
        epsilon: float = 1e-5,
        dtype: str = "float32",
    ) -> None:
        check_positive("GroupNorm", n_groups=n_groups, n_units=n_units)
        check_flags("GroupNorm", time_major=time_major)
        if n_units % n_groups:
            raise SymgraphValueError.here(
                f"GroupNorm: {n_units} units cannot be shared among {n_groups} groups",
                remedy="Give a number of units that is a multiple of the number of groups.",
            )
        self.n_groups, self.n_units, self.epsilon = n_groups, n_units, epsilon
        self.time_major = time_major
        self.gain = sg.shared(np.ones(n_units, dtype), "gain")
        self.bias = sg.shared(np.zeros(n_units, dtype), "bias")

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The normalised ``x``, of the same shape; raises `ShapeError` for another layout."""
        x = as_variable(x, self)
        if x.ndim < 2 + self.time_major:
            layout = "[time, batch, units]" if self.time_major else "[batch, ..., units]"
            raise ShapeError.here(f"{self}: {layout} is expected; found {describe(x)}")
        check_features(x, self.n_units, self)
        groups = sg.reshape(x, (*x.shape[:-1], self.n_groups, self.n_units // self.n_groups))
        batch, features = int(self.time_major), groups.ndim - 2
        axes = [axis for axis in range(groups.ndim) if axis not in (batch, features)]
        centred = groups - sg.mean(groups, axis=axes, keepdims=True)
        variance = sg.mean(sg.square(centred), axis=axes, keepdims=True)
        normal = sg.reshape(centred / sg.sqrt(variance + self.epsilon), x.shape)
        return normal * self.gain + self.bias

    def __repr__(self) -> str:
        return f"GroupNorm({self.n_groups}, {self.n_units})"
