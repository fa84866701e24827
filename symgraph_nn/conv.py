"""Convolutions and pooling, channels last.

Signals are [batch, time, channels], or with ``time_major`` [time, batch, channels] as recurrent
layers have them; images are [batch, height, width, channels].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import symgraph as sg
from symgraph.errors import SymgraphValueError, check_flags
from symgraph.typing import ArrayLike

from .checks import (
    as_variable,
    check_activation,
    check_axes,
    check_features,
    check_groups,
    check_positive,
)
from .init import default_bias, default_weights, generator
from .leading import over_leading
from .module import Module
from .parameters import parameter
from .typing import Activation, Initial, Padding, Rng

__all__ = ["Conv1D", "Conv2D", "ConvOptions", "MaxPool1D", "MaxPool2D"]


class ConvOptions(TypedDict, total=False):
    """What convolutions take by keyword."""

    stride: int | Sequence[int]
    padding: Padding
    dilation: int | Sequence[int]
    groups: int
    weights: Initial
    bias: Initial | None
    rng: Rng
    dtype: str


class _Convolution(Module):
    """What convolutions over one and two axes share."""

    n_axes: int = 1
    n_in: int
    n_units: int
    size: tuple[int, ...]
    activation: Activation | None
    options: dict[str, Any]
    W: sg.SharedVariable
    b: sg.SharedVariable | None

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int | Sequence[int],
        activation: Activation | None = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: Padding = "valid",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        weights: Initial = default_weights,
        bias: Initial | None = default_bias,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        name = type(self).__name__
        check_positive(name, n_in=n_in, n_units=n_units, groups=groups)
        check_groups(name, n_in, n_units, groups)
        check_activation(name, activation)
        self.n_in, self.n_units, self.activation = n_in, n_units, activation
        self.size = _sizes(name, size, self.n_axes)
        self.options = {"stride": stride, "padding": padding, "dilation": dilation}
        self.options["groups"] = groups
        rng, shape = generator(rng), (*self.size, n_in // groups, n_units)
        self.W = parameter(weights, rng, shape, dtype, "W")
        self.b = None
        if bias is not None:
            self.b = parameter(bias, rng, (n_units,), dtype, "b")

    def _finished(self, y: sg.Variable) -> sg.Variable:
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def __repr__(self) -> str:
        size = self.size[0] if self.n_axes == 1 else self.size
        return f"{type(self).__name__}({self.n_in}, {self.n_units}, {size})"


class Conv1D(_Convolution):
    """A convolution over time: [batch, time, n_in] becomes [batch, time', n_units].

    There may be more leading axes than the batch.

    ``y[t] = activation(Σ_k x[stride · t + dilation · k] W[k] + b)``: filters are not reversed.

    n_in, n_units, size
        The channels of x and y, and how many steps a filter covers; whole numbers of at least 1,
        else a `SymgraphValueError`.
    activation
        A function of a variable, such as ``sg.relu``; None, as by default, for none.
    stride, dilation
        How far the filter moves on, and how far apart the steps are that it sees; 1 by default.
    groups
        Into how many groups the channels part, each with filters of its own: ``W`` is [size,
        n_in / groups, n_units]; 1 by default. Numbers that do not divide are a
        `SymgraphValueError`.
    padding
        ``"valid"`` (none; the default), ``"same"`` (with stride 1 time stays), ``"causal"`` (as
        ``"same"``, but no output sees the future), or a number of zeros on either side.
    time_major
        Whether signals are [time, batch, channels], as those of recurrent layers; no by default.
    weights, bias
        How ``W`` [size, n_in, n_units] and ``b`` [n_units] begin: initialisers or arrays; by
        default `init.glorot_uniform` and zeros. ``bias=None`` leaves the bias out.
    rng, dtype
        A seed or NumPy Generator for the initialisers; the dtype of the parameters.

    >>> layer = nn.Conv1D(3, 8, 5, sg.relu, padding="causal", rng=0)
    >>> layer(sg.zeros((2, 20, 3))).shape
    (2, 20, 8)
    """

    time_major: bool

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int,
        activation: Activation | None = None,
        *,
        time_major: bool = False,
        **options: Unpack[ConvOptions],
    ) -> None:
        check_flags("Conv1D", time_major=time_major)
        super().__init__(n_in, n_units, size, activation, **options)
        self.time_major = time_major

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The filtered signal, in the layout of ``x``.

        A `ShapeError` where ``x`` has not three axes, or other channels than ``n_in``.
        """
        if self.time_major:
            x = _time_major(x, self)
            check_features(x, self.n_in, self)
            return self._finished(sg.swapaxes(self._filtered(sg.swapaxes(x, 0, 1)), 0, 1))
        return self._finished(over_leading(x, 2, self._filtered, self))

    def _filtered(self, x: sg.Variable) -> sg.Variable:
        check_features(x, self.n_in, self)
        return sg.conv1d(x, self.W, **self.options)


class Conv2D(_Convolution):
    """A convolution over images: [batch, height, width, n_in] becomes [..., n_units].

    There may be more leading axes than the batch: [time, batch, height, width, n_in] are images in
    each step.

    ``y[i, j] = activation(Σ_kl x[stride · i + dilation · k, stride · j + dilation · l] W[k, l] +
    b)``: filters are not reversed.

    n_in, n_units
        The channels of x and y; whole numbers of at least 1, else a `SymgraphValueError`.
    size
        The height and width of a filter; one number stands for both, here and below.
    activation
        A function of a variable, such as ``sg.relu``; None, as by default, for none.
    stride, dilation
        How far the filter moves on, and how far apart the pixels are that it sees; 1 by default.
    groups
        As for `Conv1D`.
    padding
        ``"valid"`` (none; the default), ``"same"`` (with stride 1 sizes stay), or a number (or
        pair) of zeros on either side.
    weights, bias
        How ``W`` [height, width, n_in, n_units] and ``b`` [n_units] begin: initialisers or arrays;
        by default `init.glorot_uniform` and zeros. ``bias=None`` leaves the bias out.
    rng, dtype
        A seed or NumPy Generator for the initialisers; the dtype of the parameters.

    >>> layer = nn.Conv2D(1, 8, (3, 5), padding="same", rng=0)
    >>> layer(sg.zeros((2, 28, 28, 1))).shape
    (2, 28, 28, 8)
    """

    n_axes = 2

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The filtered images.

        A `ShapeError` where ``x`` has not four axes, or other channels than ``n_in``.
        """
        return self._finished(over_leading(x, 3, self._filtered, self))

    def _filtered(self, x: sg.Variable) -> sg.Variable:
        check_features(x, self.n_in, self)
        return sg.conv2d(x, self.W, **self.options)


class MaxPool1D(Module):
    """The maximum over stretches of time: [batch, time, channels] becomes [batch, time', channels].

    There may be more leading axes than the batch.

    size
        How many steps a stretch has; a whole number of at least 1, else a `SymgraphValueError`.
    stride
        How far apart stretches begin; the size by default.
    padding
        ``"valid"`` (what is left at the end is dropped; the default), ``"same"``, or how many steps
        to add on either side; what is added is never the maximum.
    time_major
        Whether signals are [time, batch, channels], as those of recurrent layers; no by default.

    Elements that are equal share the gradient.

    >>> nn.MaxPool1D(2)(np.array([[[1], [3], [2], [0]]], "float32")).eval()[0, :, 0]
    array([3., 2.], dtype=float32)
    """

    size: tuple[int, ...]
    stride: int | None
    padding: Padding
    time_major: bool

    def __init__(
        self,
        size: int,
        *,
        stride: int | None = None,
        padding: Padding = "valid",
        time_major: bool = False,
    ) -> None:
        check_flags("MaxPool1D", time_major=time_major)
        self.size = _sizes("MaxPool1D", size, 1)
        self.stride, self.padding, self.time_major = stride, padding, time_major

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The pooled signal, in the layout of ``x``."""
        if self.time_major:
            return sg.swapaxes(self._pooled(sg.swapaxes(_time_major(x, self), 0, 1)), 0, 1)
        return over_leading(x, 2, self._pooled, self)

    def _pooled(self, x: sg.Variable) -> sg.Variable:
        return sg.max_pool(x, self.size[0], stride=self.stride, padding=self.padding)

    def __repr__(self) -> str:
        return f"MaxPool1D({self.size[0]})"


class MaxPool2D(Module):
    """The maximum over rectangles: [batch, height, width, channels] with smaller sides.

    There may be more leading axes than the batch.

    size
        The height and width of a rectangle, one number for both; at least 1, else a
        `SymgraphValueError`.
    stride
        How far apart rectangles begin, a number or a pair; the size by default.
    padding
        ``"valid"`` (what is left at the end is dropped; the default), ``"same"``, or how many
        pixels to add on either side; what is added is never the maximum.

    Elements that are equal share the gradient.

    >>> nn.MaxPool2D(2)(sg.zeros((2, 28, 28, 8))).shape
    (2, 14, 14, 8)
    """

    size: tuple[int, ...]
    stride: int | Sequence[int] | None
    padding: Padding

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: Padding = "valid",
    ) -> None:
        self.size = _sizes("MaxPool2D", size, 2)
        self.stride, self.padding = stride, padding

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The pooled images."""
        return over_leading(x, 3, self._pooled, self)

    def _pooled(self, x: sg.Variable) -> sg.Variable:
        return sg.max_pool(x, self.size, stride=self.stride, padding=self.padding)

    def __repr__(self) -> str:
        return f"MaxPool2D({self.size})"


def _sizes(owner: str, size: Any, n_axes: int) -> tuple[int, ...]:
    """One size for each axis, from an int or a tuple."""
    sizes = (size,) * n_axes if isinstance(size, int) else size
    if not isinstance(sizes, (tuple, list)) or len(sizes) != n_axes:
        raise SymgraphValueError.here(
            f"{owner}: a size is an int or {n_axes} of them, not {size!r}"
        )
    for side in sizes:
        check_positive(owner, size=side)
    return tuple(sizes)


def _time_major(x: ArrayLike, owner: Module) -> sg.Variable:
    x = as_variable(x, owner)
    check_axes(x, 3, owner, "a signal [time, batch, channels]")
    return x
