"""The arguments of `scan` taken apart: sequences, initial values and the number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Dim, Size
from ..core.errors import ScanError
from ..core.size_differences import known_different
from ..core.types import is_integer
from ..core.values import weak_kind
from ..core.variable import CONSTANT, Variable, make_constant
from ..ops.broadcast import rearrange
from ..ops.elementwise import maximum, minimum, subtract, to_int64
from ..ops.promotion import as_variable, cast_to, is_weak
from ..ops.sizes import as_scalar, check_size, shape_of
from .sizes import of_length

__all__ = [
    "SequenceArgument",
    "StateArgument",
    "as_list",
    "is_int",
    "number_of_steps",
    "parse_fixed",
    "parse_sequence",
    "parse_state",
]

_INT64 = np.dtype("int64")


@dataclass
class SequenceArgument:
    """What each step reads a row of: the rows at ``offsets`` from the step's own number."""

    variable: Variable
    offsets: tuple[int, ...]
    taps: tuple[int, ...]

    @property
    def reach(self) -> int:
        """How many rows at an end no step starts at."""
        return max((0, *self.taps)) - min((0, *self.taps))


@dataclass
class StateArgument:
    """An output: its initial rows and taps, or neither where later steps do not read it."""

    initial: Variable | None
    taps: tuple[int, ...]
    weak: Any = None
    """The initial rows as Python numbers, where those were given: their dtype is not settled."""
    label: str = "output"

    def rows_of(self, dtype: np.dtype) -> Variable | None:
        """The initial rows in the dtype of the outputs."""
        if self.weak is not None:
            return make_constant(self.weak, dtype, what=f"scan: {self.label}")
        return None if self.initial is None else cast_to(self.initial, dtype)


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value]


def is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def _parse_taps(value: Any, default: int, label: str) -> tuple[int, ...]:
    taps = [default] if value is None else value if np.iterable(value) else [value]
    if not all(is_int(tap) for tap in taps):
        raise _error(f"taps of {label} are ints, not {value!r}")
    taps = tuple(int(tap) for tap in taps)
    if len(set(taps)) != len(taps):
        raise _error(f"a tap of {label} is given twice: {list(taps)}")
    return taps


def _parse_dict(value: dict[Any, Any], key: str, label: str) -> tuple[Any, Any]:
    unknown = set(value) - {key, "taps"}
    if unknown or key not in value:
        raise _error(
            f"{label} is a variable or a dict with {key!r} and 'taps'; found the keys {list(value)}"
        )
    return value[key], value.get("taps")


def parse_sequence(value: Any, *, go_backwards: bool) -> SequenceArgument:
    taps = None
    if isinstance(value, dict):
        value, taps = _parse_dict(value, "input", "a sequence")
    x = as_variable(value, "scan")
    if x.ndim == 0:
        raise _error(
            f"a sequence has at least one axis; {provenance.describe(x)} has none",
            "What does not change over time belongs into non_sequences.",
        )
    taps = _parse_taps(taps, 0, "a sequence")
    if not taps:
        raise _error("a sequence with an empty list of taps would never be read")
    earliest, latest = min((0, *taps)), max((0, *taps))
    if go_backwards:
        return SequenceArgument(x[::-1], tuple(latest - tap for tap in taps), taps)
    return SequenceArgument(x, tuple(tap - earliest for tap in taps), taps)


def parse_state(position: int, value: Any) -> StateArgument:
    label = f"output {position}"
    taps, in_rows = None, False
    if isinstance(value, dict):
        value, taps = _parse_dict(value, "initial", "an entry of outputs_info")
        in_rows = taps is not None
    if value is None:
        return StateArgument(None, (), label=label)
    taps = _parse_taps(taps, -1, label)
    if not taps:
        return StateArgument(None, (), label=label)
    if max(taps) >= 0:
        raise _error(f"taps of {label} are negative, for past values; found {list(taps)}")
    initial = as_variable(value, "scan")
    weak = weak_kind(value) is not None
    if initial.name:
        label = f"output {position} (from {initial.name!r})"
    depth = -min(taps)
    # What has no axis is no row of anything: with the tap -1 alone, the value itself.
    in_rows &= taps != (-1,) or initial.ndim > 0
    if not in_rows:
        rows = rearrange(initial, [None, *range(initial.ndim)])
        return StateArgument(rows, taps, [value] if weak else None, label)
    if initial.ndim == 0 or not _may_be_rows(initial.type.shape[0], depth):
        raise _error(
            f"taps {list(taps)} of {label} need {depth} initial row{'s' * (depth > 1)}; "
            f"{provenance.describe(initial)} has "
            f"{initial.type.shape[0] if initial.ndim else 'no axis'}",
            "Stack one row for each step back to the oldest tap, the oldest first."
            if depth > 1
            else "Give the value itself without a dict, or with a leading axis of size 1: v[None].",
        )
    if initial.type.shape[0] != depth:
        initial = check_size(initial, 0, of_length(depth), 0, f"scan: initial rows of {label}")
    return StateArgument(initial, taps, value if weak else None, label)


def _may_be_rows(size: Size, depth: int) -> bool:
    """Whether an axis of this size can be the initial rows, and not what a single value has.

    A size with a name is no single row: Theano's users give the value itself for the tap -1.
    """
    named = depth == 1 and isinstance(size, Dim) and size.is_name
    return not named and not known_different(size, depth)


def parse_fixed(value: Any) -> Any:
    """A non-sequence as the step gets it: Python numbers stay weak."""
    return value if is_weak(value) or callable(value) else as_variable(value, "scan")


def number_of_steps(sequences: Sequence[SequenceArgument], n_steps: Any) -> Variable:
    """The number of steps, an int64 scalar: ``n_steps``, or as many as the sequences allow."""
    allowed: list[Any] = []
    for sequence in sequences:
        length = shape_of(sequence.variable)[0]
        if sequence.reach:
            length = (
                max(length - sequence.reach, 0)
                if isinstance(length, int)
                else maximum(subtract(length, sequence.reach), 0)
            )
        allowed.append(length)
    if n_steps is not None:
        return _check_steps(n_steps, sequences)
    if not allowed:
        raise _error("the number of steps is not known", "Give n_steps, or a sequence.")
    numbers = [length for length in allowed if isinstance(length, int)]
    symbols = list(dict.fromkeys(v for v in allowed if isinstance(v, Variable)))
    shortest: Any = min(numbers) if numbers else symbols.pop(0)
    for length in symbols:
        shortest = minimum(shortest, length)
    return as_scalar(shortest)


def _check_steps(n_steps: Any, sequences: Sequence[SequenceArgument]) -> Variable:
    steps = as_variable(n_steps, "scan")
    if steps.ndim != 0 or not is_integer(steps.dtype):
        raise _error(
            f"n_steps is an integer scalar, not {provenance.describe(steps)}",
            "Convert it with .astype('int64')." if steps.ndim == 0 else None,
        )
    if steps.op is CONSTANT:
        number = int(steps.params[0].array)
        if number < 0:
            raise _error(f"n_steps is at least 0, not {number}")
        for sequence in sequences:
            length = sequence.variable.type.shape[0]
            if isinstance(length, int) and length - sequence.reach < number:
                raise _error(
                    f"n_steps is {number}, but {provenance.describe(sequence.variable)} "
                    f"allows {max(length - sequence.reach, 0)} steps"
                )
    return to_int64(steps)


def _error(what: str, remedy: str | None = None) -> ScanError:
    return ScanError.here(f"scan: {what}", remedy=remedy)
