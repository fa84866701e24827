"""Normalisation over groups of features."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphValueError, describe
from symgraph.typing import ArrayLike

from .checks import as_variable, check_features, check_positive
from .module import Module

__all__ = ["GroupNorm"]


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
