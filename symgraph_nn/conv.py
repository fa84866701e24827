"""Convolutions and pooling, channels last.

Signals are [batch, time, channels], or with ``time_major`` [time, batch, channels] as recurrent
layers have them; images are [batch, height, width, channels].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphValueError

from .checks import as_variable, check_activation, check_axes, check_features, check_positive
from .init import Initialiser, default_bias, default_weights, generator, initial_value
from .module import Module

__all__ = ["Conv1D", "Conv2D", "MaxPool1D", "MaxPool2D"]

_LAYOUTS = {
    "signals": "a signal [batch, time, channels]",
    "time-major signals": "a signal [time, batch, channels]",
    "images": "an image [batch, height, width, channels]",
}


class _Convolution(Module):
    """What convolutions over one and two axes share."""

    n_axes = 1

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int | tuple[int, ...],
        activation: Callable[[sg.Variable], sg.Variable] | None,
        *,
        stride: Any,
        padding: Any,
        dilation: Any,
        weights: Initialiser | Any,
        bias: Initialiser | Any | None,
        rng: int | np.random.Generator | None,
        dtype: str,
    ) -> None:
        name = type(self).__name__
        check_positive(name, n_in=n_in, n_units=n_units)
        check_activation(name, activation)
        self.n_in, self.n_units, self.activation = n_in, n_units, activation
        self.size = _sizes(name, size, self.n_axes)
        self.options = {"stride": stride, "padding": padding, "dilation": dilation}
        rng, shape = generator(rng), (*self.size, n_in, n_units)
        self.W = sg.shared(initial_value(weights, rng, shape, dtype), "W")
        self.b = None
        if bias is not None:
            self.b = sg.shared(initial_value(bias, rng, (n_units,), dtype), "b")

    def _finished(self, y: sg.Variable) -> sg.Variable:
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def __repr__(self) -> str:
        size = self.size[0] if self.n_axes == 1 else self.size
        return f"{type(self).__name__}({self.n_in}, {self.n_units}, {size})"


class Conv1D(_Convolution):
    """A convolution over time: [batch, time, n_in] becomes [batch, time', n_units].

    ``padding``: ``valid`` (none), ``same``, ``causal`` (as ``same``, but no output sees the
    future), or a number of zeros on either side. ``W`` is [size, n_in, n_units], ``b`` [n_units];
    filters are not reversed.
    """

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int,
        activation: Callable[[sg.Variable], sg.Variable] | None = None,
        *,
        stride: int = 1,
        padding: Any = "valid",
        dilation: int = 1,
        time_major: bool = False,
        weights: Initialiser | Any = default_weights,
        bias: Initialiser | Any | None = default_bias,
        rng: int | np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        initial = {"weights": weights, "bias": bias, "rng": rng, "dtype": dtype}
        super().__init__(n_in, n_units, size, activation, **options, **initial)
        self.time_major = time_major

    def __call__(self, x: Any) -> sg.Variable:
        """The filtered signal, in the layout of ``x``."""
        x = _checked(x, self, "time-major signals" if self.time_major else "signals")
        check_features(x, self.n_in, self)
        if self.time_major:
            return self._finished(sg.swapaxes(self._filtered(sg.swapaxes(x, 0, 1)), 0, 1))
        return self._finished(self._filtered(x))

    def _filtered(self, x: sg.Variable) -> sg.Variable:
        return sg.conv1d(x, self.W, **self.options)


class Conv2D(_Convolution):
    """A convolution over images: [batch, height, width, n_in] becomes [..., n_units].

    ``size``, ``stride`` and ``dilation`` are an int or a pair. ``padding``: ``valid`` (none),
    ``same``, or a number (or pair) of zeros on either side. ``W`` is [height, width, n_in,
    n_units], ``b`` [n_units]; filters are not reversed.
    """

    n_axes = 2

    def __init__(
        self,
        n_in: int,
        n_units: int,
        size: int | tuple[int, int],
        activation: Callable[[sg.Variable], sg.Variable] | None = None,
        *,
        stride: Any = 1,
        padding: Any = "valid",
        dilation: Any = 1,
        weights: Initialiser | Any = default_weights,
        bias: Initialiser | Any | None = default_bias,
        rng: int | np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        initial = {"weights": weights, "bias": bias, "rng": rng, "dtype": dtype}
        super().__init__(n_in, n_units, size, activation, **options, **initial)

    def __call__(self, x: Any) -> sg.Variable:
        """The filtered images."""
        x = _checked(x, self, "images")
        check_features(x, self.n_in, self)
        return self._finished(sg.conv2d(x, self.W, **self.options))


class MaxPool1D(Module):
    """The maximum over stretches of time: [batch, time, channels] becomes [batch, time', channels].

    ``stride`` is the size where it is not given. Ties share the gradient.
    """

    def __init__(
        self,
        size: int,
        *,
        stride: int | None = None,
        padding: Any = "valid",
        time_major: bool = False,
    ) -> None:
        self.size = _sizes("MaxPool1D", size, 1)
        self.stride, self.padding, self.time_major = stride, padding, time_major

    def __call__(self, x: Any) -> sg.Variable:
        """The pooled signal, in the layout of ``x``."""
        x = _checked(x, self, "time-major signals" if self.time_major else "signals")
        if self.time_major:
            return sg.swapaxes(self._pooled(sg.swapaxes(x, 0, 1)), 0, 1)
        return self._pooled(x)

    def _pooled(self, x: sg.Variable) -> sg.Variable:
        return sg.max_pool(x, self.size[0], stride=self.stride, padding=self.padding)

    def __repr__(self) -> str:
        return f"MaxPool1D({self.size[0]})"


class MaxPool2D(Module):
    """The maximum over rectangles: [batch, height, width, channels] with smaller sides.

    ``size`` is an int or a pair; so is ``stride``, the size where it is not given.
    """

    def __init__(
        self, size: int | tuple[int, int], *, stride: Any = None, padding: Any = "valid"
    ) -> None:
        self.size = _sizes("MaxPool2D", size, 2)
        self.stride, self.padding = stride, padding

    def __call__(self, x: Any) -> sg.Variable:
        """The pooled images."""
        x = _checked(x, self, "images")
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


def _checked(x: Any, owner: Module, layout: str) -> sg.Variable:
    x = as_variable(x, owner)
    check_axes(x, 4 if layout == "images" else 3, owner, _LAYOUTS[layout])
    return x
