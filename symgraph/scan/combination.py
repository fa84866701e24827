"""The function of two rows that `associative_scan` is given, called once, on symbols."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from ..core import provenance
from ..core.dims import Size
from ..core.errors import ScanError
from ..core.size_differences import known_different
from ..core.values import takes_kind, weak_kind
from ..core.variable import Variable, make_constant, make_input
from ..ops.promotion import as_variable
from ..ops.reshape import fit
from ..ops.sizes import CHECK_SIZE
from .composites import open_composites
from .late import find_late
from .stacked import stacked
from .step import Step

__all__ = ["Combination"]

RowFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Combination:
    """What comes of two rows, as expressions of symbols for them."""

    left: list[Variable]
    right: list[Variable]
    outputs: list[Variable]

    @classmethod
    def traced(cls, op: RowFunction, sequences: Sequence[Variable]) -> Combination:
        """What ``op`` makes of two rows of the sequences; a `ScanError` unless these are rows."""
        names = [x.name or f"sequence {i}" for i, x in enumerate(sequences)]
        left, right = (
            [
                make_input(x.type.row, f"{side} row of {name}")
                for x, name in zip(sequences, names, strict=True)
            ]
            for side in ("left", "right")
        )
        several = len(sequences) > 1
        with provenance.record_lines_of_step():
            returned = _call(op, *(tuple(x) if several else x[0] for x in (left, right)))
        values = list(returned) if isinstance(returned, (list, tuple)) else [returned]
        if len(values) != len(left) or any(x is None or isinstance(x, dict) for x in values):
            wanted = f"{len(left)} rows, one for each sequence" if several else "one row"
            raise _misfit(op, repr(returned), wanted)
        parts = zip(values, left, names, strict=True)
        return cls(left, right, [_as_row(op, *part) for part in parts])

    def is_one_of(self, op: Callable[[Any, Any], Variable]) -> bool:
        """Whether it is just this commutative op of its two rows, which are numbers."""
        if len(self.outputs) > 1 or self.outputs[0].dtype.kind == "b":
            return False
        (left,), (right,) = self.left, self.right
        return self.outputs[0] in (op(left, right), op(right, left))

    @property
    def is_elementwise(self) -> bool:
        """Whether each element of its results is made of those at its place, and nothing else."""
        computed = find_late(self.outputs, [*self.left, *self.right])
        return all(v.op.formula is not None or v.op is CHECK_SIZE for v in computed)

    def stacked(self, stacks: Sequence[Variable]) -> Combination | None:
        """The same on stacks of rows, of the types of these; None where there is no rule for it."""
        left, right = [[make_input(x.type) for x in stacks] for _ in range(2)]
        rows = dict(zip([*self.left, *self.right], [*left, *right], strict=True))
        outputs = stacked(open_composites(self.outputs), rows)
        if outputs is None:
            return None
        parts = zip(outputs, left, strict=True)
        return Combination(left, right, [fit(x, like, "associative_scan") for x, like in parts])


def _call(op: RowFunction, left: Any, right: Any) -> Any:
    try:
        return op(left, right)
    except TypeError:
        try:
            inspect.signature(op, follow_wrapped=False).bind(left, right)
        except ValueError:
            pass  # a builtin that does not tell
        except TypeError as error:
            raise ScanError.here(
                f"associative_scan: op is called with two arguments: {error} ({_line_of(op)})",
                remedy="It takes the left and the right row; of several sequences, tuples of rows.",
            ) from None
        raise


def _as_row(op: RowFunction, value: Any, like: Variable, name: str) -> Variable:
    """What ``op`` returned, of the type of the row that it stands for."""
    kind = weak_kind(value)
    if kind is not None and takes_kind(like.dtype, kind):
        value = make_constant(value, like.dtype, what="associative_scan")
    found = as_variable(value, "associative_scan")
    expected = f"{like.type} as a row of {name} is"
    if found.dtype != like.dtype:
        remedy = f"Convert the result with .astype('{like.dtype}'), or the sequence before."
        raise _misfit(op, str(found.type), expected, remedy)
    sizes = zip(found.type.shape, like.type.shape, strict=False)
    if found.ndim != like.ndim or any(starmap(_misfits, sizes)):
        raise _misfit(op, str(found.type), expected)
    return fit(found, like, "associative_scan")


def _misfits(size: Size, expected: Size) -> bool:
    """Whether the one size cannot be the other: one of 1 is not broadcast."""
    return size != expected and (size == 1 or known_different(size, expected))


def _misfit(op: RowFunction, found: str, expected: str, remedy: str | None = None) -> ScanError:
    return ScanError.here(
        f"associative_scan: op returns {found}, not {expected} ({_line_of(op)})",
        remedy=remedy
        or "It returns what it is given: a row, or for several sequences a tuple of rows.",
    )


def _line_of(op: RowFunction) -> str:
    return Step(op).line.replace("step", "op", 1)
