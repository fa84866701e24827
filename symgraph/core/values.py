"""Values that users give, made arrays: Python numbers by what they meet, others by their dtype.

A Python number has no dtype of its own, and neither has a nested list of them: it is *weak*, takes
the dtype of what it meets, and must not be rounded to any other one on the way. A value that does
not fit the dtype it is asked to take (an integer out of range, a finite number that would become
infinite, NaN as an integer) is a `NumberRangeError`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .errors import DtypeError, NumberRangeError, SymgraphTypeError
from .types import as_dtype

__all__ = [
    "array_for",
    "as_array",
    "brief",
    "entries_of",
    "fit_array",
    "listed",
    "refuse_masked",
    "takes_kind",
    "weak_kind",
    "whole_number",
]

_FLOAT32, _FLOAT64 = np.dtype("float32"), np.dtype("float64")
_KINDS = (bool, int, float)


def weak_kind(value: Any) -> type | None:
    """``bool``, ``int`` or ``float``, the widest in a Python number or nested list of them.

    None for what has a dtype, or is no number. An empty list counts as floats, as in NumPy.
    """
    if not isinstance(value, (list, tuple)):
        return _number_kind(value)
    widest, stack = -1, list(value)
    while stack:
        entry = stack.pop()
        if isinstance(entry, (list, tuple)):
            stack.extend(entry)
            continue
        kind = _number_kind(entry)
        if kind is None:
            return None
        widest = max(widest, _KINDS.index(kind))
    return _KINDS[widest]


def _number_kind(value: Any) -> type | None:
    if not isinstance(value, (int, float)) or isinstance(value, np.generic):
        return None
    return bool if isinstance(value, bool) else int if isinstance(value, int) else float


def takes_kind(dtype: np.dtype, kind: type) -> bool:
    """Whether Python numbers of this kind may become the dtype without losing what they are."""
    return dtype.kind == "f" or kind is bool or (kind is int and dtype.kind != "b")


def as_array(value: Any, dtype: Any = None, what: str = "a constant") -> np.ndarray:
    """The value as an array of the dtype; perhaps the given array itself.

    Without a dtype, Python floats become float32 and others keep theirs.
    """
    if type(value) is np.ndarray and dtype is None:  # what most constants are made of
        return value.astype(as_dtype(value.dtype), copy=False)
    refuse_masked(value, what)
    kind = weak_kind(value)
    wanted = _FLOAT32 if dtype is None and kind is float else dtype
    if wanted is None:
        array = _converted(value, None, what)
        if kind is int and array.dtype.kind == "O":
            raise _misfit(what, value, "int64 or uint64")
        return array.astype(as_dtype(array.dtype), copy=False)
    wanted = as_dtype(wanted)
    if kind is None:
        return fit_array(_converted(value, None, what), wanted, what)
    # By way of the widest dtype of the kind, in which everything is exact or out of range.
    wide = _FLOAT64 if kind is float or wanted.kind == "f" else wanted
    return fit_array(_converted(value, wide, what), wanted, what)


def array_for(value: Any, dtype: np.dtype, what: str) -> np.ndarray:
    """The value as an array to take the place of one of this dtype, by the ``same_kind`` rule."""
    refuse_masked(value, what)
    kind = weak_kind(value)
    if kind is None:
        takes = np.can_cast(as_array(value, what=what).dtype, dtype, "same_kind")
    else:
        takes = takes_kind(dtype, kind)
    if takes:
        return as_array(value, dtype, what)
    raise DtypeError.here(
        f"{what} is {dtype}; {brief(value)} cannot become it without loss",
        remedy=f"Convert it with .astype('{dtype}') if that is meant.",
    )


def _converted(value: Any, dtype: np.dtype | None, what: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=dtype)
    except OverflowError:
        raise _misfit(what, brief(value), dtype) from None
    except (TypeError, ValueError) as error:
        raise SymgraphTypeError.here(
            f"{what}: {brief(value)} cannot be made an array: {error}"
        ) from None


def fit_array(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """The array converted to the dtype; itself where it has it. All its values have to fit."""
    if array.dtype == dtype:
        return array if array.dtype.isnative else array.astype(dtype)
    if array.dtype.kind not in "biuf":
        raise DtypeError.here(f"{what}: {array.dtype} cannot become {dtype}")
    if dtype.kind == "f":
        with np.errstate(all="ignore", over="raise"):
            try:
                return array.astype(dtype)
            except FloatingPointError:
                fits = (np.abs(array) <= np.finfo(dtype).max) | ~np.isfinite(array)
    elif dtype.kind == "b" or _holds(array, dtype):
        return array.astype(dtype)
    else:
        fits = _in_range(array, dtype)
    misfits = array[~fits]
    raise _misfit(what, misfits.flat[0] if misfits.size else array.max(), dtype)


def _misfit(what: str, value: Any, dtype: Any) -> NumberRangeError:
    return NumberRangeError.here(
        f"{what}: {value} does not fit into {dtype}",
        remedy="Give what holds it a wider dtype, or bring the value into range first.",
    )


def _holds(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether an integer dtype holds all the values, without their fractions."""
    if not array.size or np.can_cast(array.dtype, dtype, "safe"):
        return True
    if array.dtype.kind == "f":
        return bool(_in_range(array, dtype).all())
    limits = np.iinfo(dtype)
    return limits.min <= int(array.min()) and int(array.max()) <= limits.max


def _in_range(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    if array.dtype.kind != "f":
        whole = array.astype(object)
        return np.asarray((whole >= limits.min) & (whole <= limits.max), bool)
    # Powers of two, and so exact: the limits themselves need not be.
    whole = np.trunc(array.astype(_FLOAT64))
    return (whole >= float(limits.min)) & (whole < float(int(limits.max) + 1))


def refuse_masked(value: Any, what: str) -> None:
    """A `SymgraphTypeError` for a masked array, or a list of them: its mask would be lost."""
    masked = sys.modules.get("numpy.ma")  # where nobody has imported it there are none
    if masked is None:
        return
    entries = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(entry, masked.MaskedArray) for entry in entries):
        raise SymgraphTypeError.here(
            f"{what}: a masked array would lose its mask",
            remedy="Give .filled(value), and the mask as an array of its own: "
            "sg.where(mask, …) leaves out what it hides.",
        )


def whole_number(value: Any) -> int | None:
    """The int for an int of Python's or NumPy's, an array of no dimensions included; or None."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    return None


def entries_of(value: Any) -> list[Any] | None:
    """The entries of what names several axes, sizes or numbers of repeats; None for a single one.

    A list, a tuple, a range, or a vector of NumPy's.
    """
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim == 1 else None
    return list(value) if isinstance(value, (list, tuple, range)) else None


def listed(value: Any) -> list[Any]:
    """The entries of what names one or several axes, sizes or numbers of repeats."""
    several = entries_of(value)
    return [value] if several is None else several


def brief(value: Any) -> str:
    """The value as text of one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
