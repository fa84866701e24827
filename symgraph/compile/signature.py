"""The arguments of a compiled function: arranged, converted and checked before anything runs.

Nothing here holds a variable: a signature knows labels, types and defaults, so that what is cached
for a variable does not keep it alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import provenance
from ..core.binding import bind_sizes
from ..core.dims import Dim
from ..core.errors import (
    DtypeError,
    InputError,
    ShapeError,
    SymbolicValueError,
    SymgraphError,
    SymgraphTypeError,
    explain,
)
from ..core.types import TensorType, is_integer
from ..core.values import as_array, brief, fit_array, refuse_masked, weak_kind
from ..core.variable import Variable

__all__ = ["Parameter", "Signature", "as_argument", "with_prefix"]


@dataclass(frozen=True)
class Parameter:
    """One input of a function as its caller sees it."""

    name: str | None
    label: str
    """What messages call it: its name, or its number."""
    type: TensorType
    default: np.ndarray | None = None


class Signature:
    """The parameters of a function, ready to check the arguments of a call."""

    def __init__(self, parameters: Sequence[Parameter], function: str | None = None) -> None:
        self.parameters: tuple[Parameter, ...] = tuple(parameters)
        self._prefix = f"{function}: " if function else ""
        self._converters = [_converter(p) for p in parameters]
        self._sizes = _Sizes(self.parameters)

    def arrays(self, arguments: Sequence[Any], by_name: Mapping[str, Any]) -> list[np.ndarray]:
        """The arguments of a call as arrays of the parameters' types, in order."""
        if by_name or len(arguments) != len(self._converters):
            arguments = self.arranged(arguments, by_name)
        try:
            arrays = [
                convert(argument)
                for convert, argument in zip(self._converters, arguments, strict=True)
            ]
            self._sizes.check(arrays)
        except (ShapeError, SymgraphTypeError) as error:
            raise with_prefix(error, self._prefix) from None
        return arrays

    def arranged(self, arguments: Sequence[Any], by_name: Mapping[str, Any]) -> list[Any]:
        """One argument for each parameter, from positions, then names, then defaults."""
        parameters = self.parameters
        if len(arguments) > len(parameters):
            raise self._error(
                f"{len(arguments)} arguments are given for {self._count()}", self._listing()
            )
        known: dict[int, Any] = dict(enumerate(arguments))
        for name, argument in by_name.items():
            position = self._position(name)
            if position in known:
                raise self._error(f"input '{name}' is given twice: by position and by name")
            known[position] = argument
        missing = [p for i, p in enumerate(parameters) if i not in known and p.default is None]
        if missing:
            labels = ", ".join(f"{p.label} {p.type}" for p in missing)
            raise self._error(
                f"{len(known)} of {self._count()} are given; missing: {labels}",
                self._listing(),
            )
        return [known.get(i, p.default) for i, p in enumerate(parameters)]

    def _position(self, name: str) -> int:
        positions = [i for i, p in enumerate(self.parameters) if p.name == name]
        if not positions:
            raise self._error(f"there is no input named '{name}'", self._listing())
        if len(positions) > 1:
            raise self._error(
                f"{len(positions)} inputs are named '{name}'", "Pass them by position instead."
            )
        return positions[0]

    def _count(self) -> str:
        n = len(self.parameters)
        return f"{n} input{'' if n == 1 else 's'}"

    def _listing(self) -> str:
        return f"The inputs are: {', '.join(map(_described, self.parameters)) or 'none'}."

    def _error(self, what: str, remedy: str | None = None) -> InputError:
        return InputError.here(f"{self._prefix}{what}", remedy=remedy)

    def __str__(self) -> str:
        return ", ".join(map(_described, self.parameters))


def _described(parameter: Parameter) -> str:
    default = "" if parameter.default is None else f" = {parameter.default}"
    return f"{parameter.label} {parameter.type}{default}"


def with_prefix(error: SymgraphError, prefix: str) -> SymgraphError:
    """The error about an argument with the prefix before it, and with the user's line."""
    line = provenance.user_line()
    is_named = line is not None and line in str(error)
    return type(error)(explain(f"{prefix}{error}", line=None if is_named else line))


# --- conversion ---------------------------------------------------------------------------------


def _converter(parameter: Parameter) -> Callable[[Any], np.ndarray]:
    """A function that makes an argument an array of the parameter's dtype and number of axes."""
    dtype, ndim = parameter.type.dtype, parameter.type.ndim

    def convert(value: Any) -> np.ndarray:
        # The fast lane, for what most calls pass.
        if type(value) is np.ndarray and value.dtype is dtype and value.ndim == ndim:
            flags = value.flags
            if flags.c_contiguous and flags.aligned:
                return value
        return as_argument(value, parameter.type, parameter.label)

    return convert


def as_argument(value: Any, type: TensorType, label: str) -> np.ndarray:
    """The value as a C-contiguous, aligned array of this dtype and number of axes.

    Conversions follow NumPy's ``same_kind`` rule; Python numbers, and lists of them, may take any
    dtype in which they fit. A value that does not fit is a `NumberRangeError`.
    """
    array = _as_array(value, type, label)
    if array.ndim != type.ndim:
        raise ShapeError(
            f"{label} is {type}, of {type.ndim} axes; found an array of shape {array.shape}"
        )
    array = np.asarray(fit_array(array, type.dtype, f"{label} takes {type.dtype}"), order="C")
    return array if array.flags.aligned else array.copy()


def _as_array(value: Any, type: TensorType, label: str) -> np.ndarray:
    """The value as an array that may be converted to the type's dtype."""
    if isinstance(value, Variable):
        raise SymbolicValueError(
            f"{label} takes an array; found the symbol {provenance.describe(value)}\n"
            "  Compiled functions run on values; sg.substitute puts symbols into expressions."
        )
    refuse_masked(value, label)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SymgraphTypeError(
            f"{label} takes {type}; {brief(value)} cannot be made an array: {error}"
        ) from None
    if array.dtype.kind not in "biufc" and weak_kind(value) is not int:
        raise SymgraphTypeError(
            f"{label} takes {type}; found {brief(value)}, an array of dtype {array.dtype}"
        )
    if isinstance(value, (int, float, list, tuple)) and not isinstance(value, np.generic):
        if array.size == 0 or _takes(type.dtype, array.dtype):
            return array
        if (
            is_integer(type.dtype) and weak_kind(value) is int
        ):  # of which NumPy makes floats where no integer holds them all
            return as_array(value, type.dtype, f"{label} takes {type.dtype}")
    elif np.can_cast(array.dtype, type.dtype, "same_kind"):
        return array
    raise DtypeError(
        f"{label} takes {type.dtype}; {array.dtype} cannot be converted to it without loss\n"
        f"  Convert it with .astype('{type.dtype}') if that is meant."
    )


def _takes(dtype: np.dtype, source: np.dtype) -> bool:
    """Whether numbers that Python wrote, which NumPy gave a dtype, may become another one."""
    whole = is_integer(source) and is_integer(dtype)
    return whole or np.can_cast(source, dtype, "same_kind")


# --- sizes --------------------------------------------------------------------------------------

# An axis of an argument: the argument's number, the axis.
Place = tuple[int, int]


class _Sizes:
    """The sizes in the types of parameters, to be met by the shapes of arguments."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        places: dict[int | Dim, list[Place]] = {}
        for i, parameter in enumerate(parameters):
            for axis, size in enumerate(parameter.type.shape):
                places.setdefault(size, []).append((i, axis))
        self._fixed = [
            (n, at) for n, all_at in places.items() if isinstance(n, int) for at in all_at
        ]
        sizes = [(size, at) for size, at in places.items() if isinstance(size, Dim)]
        plain = [(size, at) for size, at in sizes if size.is_name or size.is_unknown]
        # What stands in one place alone can be of any size.
        self._tied = [(size, at[0], at[1:]) for size, at in plain if len(at) > 1]
        # Such as ``T - 1``, which an inner variable that is made an input may have.
        self._derived = [(size, at) for size, at in sizes if not (size.is_name or size.is_unknown)]

    def check(self, arrays: Sequence[np.ndarray]) -> None:
        """Raise a `ShapeError` where arrays do not have these sizes."""
        for number, (i, axis) in self._fixed:
            if arrays[i].shape[axis] != number:
                raise self._wrong(i, axis, f"{number}", arrays)
        for size, (i, axis), others in self._tied:
            number = arrays[i].shape[axis]
            for other, other_axis in others:
                if arrays[other].shape[other_axis] != number:
                    label, other_label = self._parameters[i].label, self._parameters[other].label
                    raise ShapeError(
                        f"size {size} is {number} in {label} (axis {axis}) but "
                        f"{arrays[other].shape[other_axis]} in {other_label} (axis {other_axis})"
                    )
        if self._derived:
            self._check_derived(arrays)

    def _check_derived(self, arrays: Sequence[np.ndarray]) -> None:
        types = [parameter.type for parameter in self._parameters]
        values = bind_sizes(types, [array.shape for array in arrays])
        for size, places in self._derived:
            number = size.evaluate(values)
            for i, axis in places:
                if number is not None and number != arrays[i].shape[axis]:
                    raise self._wrong(i, axis, f"{number} here", arrays)

    def _wrong(self, i: int, axis: int, size: str, arrays: Sequence[np.ndarray]) -> ShapeError:
        label, type = self._parameters[i].label, self._parameters[i].type
        return ShapeError(
            f"{label} is {type}: axis {axis} has size {size}; "
            f"found an array of shape {arrays[i].shape}"
        )
