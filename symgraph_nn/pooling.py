"""Means over stretches of time and over rectangles, and over all of them; channels last."""

from __future__ import annotations

from collections.abc import Sequence

import symgraph as sg
from symgraph.errors import ShapeError, check_flags, describe
from symgraph.typing import ArrayLike

from .checks import as_mask, as_variable, check_axes, check_sizes
from .leading import over_leading
from .module import Module
from .typing import Padding

__all__ = ["AveragePool1D", "AveragePool2D", "GlobalAveragePool", "GlobalMaxPool"]


class AveragePool1D(Module):
    """The mean over stretches of time: [batch, time, channels] becomes [batch, time', channels].

    size
        How many steps a stretch has.
    stride
        How far apart stretches begin; the size by default.
    padding
        ``"valid"`` (what is left at the end is dropped; the default), ``"same"``, or how many steps
        to add on either side, which do not count.
    time_major
        Whether signals are [time, batch, channels], as those of recurrent layers; no by default.

    >>> nn.AveragePool1D(2)(np.arange(6, dtype="float32").reshape(1, 6, 1)).eval().ravel()
    array([0.5, 2.5, 4.5], dtype=float32)
    """

    size: int
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
        check_flags("AveragePool1D", time_major=time_major)
        self.size, self.stride, self.padding = size, stride, padding
        self.time_major = time_major

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The pooled signal, in the layout of ``x``; raises `ShapeError` for another layout."""
        if self.time_major:
            x = as_variable(x, self)
            check_axes(x, 3, self, "a signal [time, batch, channels]")
            return sg.swapaxes(self._pooled(sg.swapaxes(x, 0, 1)), 0, 1)
        return over_leading(x, 2, self._pooled, self)

    def _pooled(self, x: sg.Variable) -> sg.Variable:
        return sg.average_pool(x, self.size, stride=self.stride, padding=self.padding)

    def __repr__(self) -> str:
        return f"AveragePool1D({self.size})"


class AveragePool2D(Module):
    """The mean over rectangles: [batch, height, width, channels] with smaller sides.

    size
        The height and width of a rectangle, one number for both.
    stride
        How far apart rectangles begin, a number or a pair; the size by default.
    padding
        As `AveragePool1D` has it.

    >>> nn.AveragePool2D(2)(np.ones((1, 4, 6, 3), "float32")).eval().shape
    (1, 2, 3, 3)
    """

    size: int | Sequence[int]
    stride: int | Sequence[int] | None
    padding: Padding

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: Padding = "valid",
    ) -> None:
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: ArrayLike) -> sg.Variable:
        """The pooled images; raises `ShapeError` for another layout."""
        return over_leading(x, 3, self._pooled, self)

    def _pooled(self, x: sg.Variable) -> sg.Variable:
        return sg.average_pool(x, self.size, stride=self.stride, padding=self.padding)

    def __repr__(self) -> str:
        return f"AveragePool2D({self.size})"


class _GlobalPool(Module):
    """What takes all of a signal or an image together."""

    time_major: bool

    def __init__(self, *, time_major: bool = False) -> None:
        check_flags(type(self).__name__, time_major=time_major)
        self.time_major = time_major

    def _axes(self, x: sg.Variable) -> tuple[int, ...]:
        """All axes but those of the batch and the channels."""
        if x.ndim < 3:
            raise ShapeError.here(
                f"{self}: an axis for the batch, one for the channels and others between or before "
                f"are expected; found {describe(x)}"
            )
        batch = int(self.time_major)
        return tuple(axis for axis in range(x.ndim - 1) if axis != batch)

    def _counts(self, x: sg.Variable, mask: ArrayLike) -> sg.Variable:
        """Where the mask [time, batch], or [batch, time], holds: with an axis for the channels."""
        condition = as_mask(mask, self)
        check_axes(condition, x.ndim - 1, self, "a mask with all axes but the channels")
        check_sizes(f"{self}: mask", condition, x, range(condition.ndim))
        condition = condition if condition.dtype == bool else sg.ne(condition, 0)
        return sg.expand_dims(condition, -1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GlobalAveragePool(_GlobalPool):
    """The mean of each channel: [batch, ..., channels] becomes [batch, channels].

    With ``time_major`` signals are [time, batch, channels]. ``mask``, float or bool, of all axes
    but the channels, chooses what counts.

    >>> nn.GlobalAveragePool()(np.ones((2, 4, 6, 3), "float32")).eval().shape
    (2, 3)
    """

    def __call__(self, x: ArrayLike, *, mask: ArrayLike | None = None) -> sg.Variable:
        """The means [batch, channels]; NaN over nothing."""
        x = as_variable(x, self)
        axes = self._axes(x)
        if mask is None:
            return sg.mean(x, axis=axes)
        counts = self._counts(x, mask)
        return sg.sum(sg.where(counts, x, 0), axis=axes) / sg.sum(counts.astype(x.dtype), axis=axes)


class GlobalMaxPool(_GlobalPool):
    """The largest element of each channel: [batch, ..., channels] becomes [batch, channels].

    As `GlobalAveragePool`; ties share the gradient.

    >>> nn.GlobalMaxPool(time_major=True)(np.ones((5, 2, 3), "float32")).eval().shape
    (2, 3)
    """

    def __call__(self, x: ArrayLike, *, mask: ArrayLike | None = None) -> sg.Variable:
        """The maxima [batch, channels]; minus infinity over nothing that a mask leaves."""
        x = as_variable(x, self)
        if mask is not None:
            x = sg.where(self._counts(x, mask), x, -float("inf"))
        return sg.max(x, axis=self._axes(x))
