"""Transposed convolutions: what makes signals and images larger, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

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
from .typing import Activation, Initial, Rng

__all__ = ["ConvTranspose1D", "ConvTranspose2D", "ConvTransposeOptions"]

_Padding: TypeAlias = Literal["valid", "same"] | int | Sequence[int]


class ConvTransposeOptions(TypedDict, total=False):
    """What transposed convolutions take by keyword."""

    stride: int | Sequence[int]
    padding: _Padding
    output_padding: int | Sequence[int]
    dilation: int | Sequence[int]
    groups: int
    weights: Initial
    bias: Initial | None
    rng: Rng
    dtype: str


class _ConvTranspose(Module):
    """The adjoint of a convolution, and a bias."""

    n_axes: int = 1
    n_in: int
    n_units: int
    size: tuple[int, ...]
    activation: Activation | None
    stride: tuple[int, ...]
    padding: Literal["valid", "same"] | tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
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
        padding: _Padding = "valid",
        output_padding: int | Sequence[int] = 0,
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
        self.groups = groups
        self.size = self._each(size, "size")
        self.stride = self._each(stride, "stride")
        self.dilation = self._each(dilation, "dilation")
        self.output_padding = self._each(output_padding, "output_padding", least=0)
        self.padding = self._checked_padding(padding)
        rng, shape = generator(rng), (*self.size, n_in, n_units // groups)
        self.W = parameter(weights, rng, shape, dtype, "W")
        self.b = None
        if bias is not None:
            self.b = parameter(bias, rng, (n_units,), dtype, "b")

    def _each(self, value: Any, what: str, *, least: int = 1) -> tuple[int, ...]:
        """One number for each axis, from an int or a tuple."""
        numbers = (value,) * self.n_axes if isinstance(value, int) else tuple(value)
        if len(numbers) != self.n_axes or not all(
            isinstance(n, int) and not isinstance(n, bool) and n >= least for n in numbers
        ):
            raise SymgraphValueError.here(
                f"{type(self).__name__}: {what} is a whole number of at least {least}, or "
                f"{self.n_axes} of them; not {value!r}"
            )
        return numbers

    def _checked_padding(self, padding: Any) -> Any:
        """A word, or a number for each axis."""
        if isinstance(padding, str):
            if padding in ("valid", "same"):
                return padding
            raise SymgraphValueError.here(
                f"{type(self).__name__}: padding is 'valid', 'same', or numbers of at least 0; "
                f"not {padding!r}"
            )
        return self._each(padding, "padding", least=0)

    def _undone(self, x: sg.Variable, stride: Any, dilation: Any) -> sg.Variable:
        """What the convolution from units to inputs takes to ``x``, in the sense of its gradient.

        What the convolution is given does not count, since it is linear.
        """
        check_features(x, self.n_in, self)
        convolve = sg.conv1d if self.n_axes == 1 else sg.conv2d
        sizes = [self._length(x.shape[1 + axis], axis) for axis in range(self.n_axes)]
        units = sg.zeros((x.shape[0], *sizes, self.n_units), dtype=x.dtype)
        filters = sg.swapaxes(self.W, -1, -2)
        alone = self.n_axes == 1 and not isinstance(self.padding, str)
        padding = self.padding[0] if alone else self.padding
        options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        inputs = convolve(units, filters, **options, groups=self.groups)
        return self._finished(sg.vjp(inputs, units, x))

    def _finished(self, y: sg.Variable) -> sg.Variable:
        if self.b is not None:
            y = y + self.b
        return y if self.activation is None else self.activation(y)

    def _length(self, length: Any, axis: int) -> Any:
        """How long an axis becomes."""
        stride, extra = self.stride[axis], self.output_padding[axis]
        if self.padding == "same":
            return length * stride + extra
        span = (self.size[axis] - 1) * self.dilation[axis] + 1
        margin = 0 if self.padding == "valid" else int(self.padding[axis])
        return (length - 1) * stride + span - 2 * margin + extra

    def __repr__(self) -> str:
        size = self.size[0] if self.n_axes == 1 else self.size
        return f"{type(self).__name__}({self.n_in}, {self.n_units}, {size})"


class ConvTranspose1D(_ConvTranspose):
    """A transposed convolution over time: [batch, time, n_in] becomes [batch, time', n_units].

    The adjoint of `Conv1D` from n_units to n_in channels: each input adds its filter to ``size``
    outputs, ``stride`` apart. With ``span = (size - 1) dilation + 1`` the new length is ``(time -
    1) stride + span``.

    n_in, n_units, size
        The channels of x and y, and how many steps a filter covers; whole numbers of at least 1,
        else a `SymgraphValueError`.
    activation
        A function of a variable, such as ``sg.relu``; None, as by default, for none.
    stride, dilation
        How far apart inputs come to lie, and the elements of a filter; 1 by default.
    padding, output_padding
        A number p takes p off either end, ``"same"`` makes the length ``time stride``, ``"valid"``
        (the default) leaves it; then ``output_padding``, 0 by default, is added to the end.
    groups
        Into how many groups the channels part, each with filters of its own; 1 by default. Numbers
        that do not divide are a `SymgraphValueError`.
    time_major
        Whether signals are [time, batch, channels], as those of recurrent layers; no by default.
    weights, bias
        How ``W`` [size, n_in, n_units / groups] and ``b`` [n_units] begin: initialisers or arrays;
        by default `init.glorot_uniform` and zeros. ``bias=None`` leaves the bias out.
    rng, dtype
        A seed or NumPy Generator for the initialisers; the dtype of the parameters.

    >>> nn.ConvTranspose1D(2, 4, 3, stride=2)(np.ones((1, 5, 2), "float32")).eval().shape
    (1, 11, 4)
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
        **options: Unpack[ConvTransposeOptions],
    ) -> None:
        check_flags("ConvTranspose1D", time_major=time_major)
        super().__init__(n_in, n_units, size, activation, **options)
        self.time_major = time_major

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The longer signal, in the layout of ``x``; raises `ShapeError` for another layout."""
        (stride,), (dilation,) = self.stride, self.dilation
        if self.time_major:
            x = as_variable(x, self)
            check_axes(x, 3, self, "a signal [time, batch, channels]")
            return sg.swapaxes(self._undone(sg.swapaxes(x, 0, 1), stride, dilation), 0, 1)
        return over_leading(x, 2, lambda y: self._undone(y, stride, dilation), self)


class ConvTranspose2D(_ConvTranspose):
    """A transposed convolution over images: [batch, height, width, n_in] becomes larger ones.

    As `ConvTranspose1D` on either axis, with the same arguments but ``time_major``; ``size``,
    ``stride``, ``dilation``, ``padding`` and ``output_padding`` are an int or a pair. ``W`` is
    [height, width, n_in, n_units / groups], ``b`` [n_units].

    >>> layer = nn.ConvTranspose2D(2, 4, 4, stride=2, padding=1)
    >>> layer(np.ones((1, 5, 6, 2), "float32")).eval().shape
    (1, 10, 12, 4)
    """

    n_axes = 2

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The larger images; raises `ShapeError` for another layout."""
        return over_leading(x, 3, lambda y: self._undone(y, self.stride, self.dilation), self)
