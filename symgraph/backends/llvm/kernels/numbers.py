"""Constants of a nest that its kernel is told, so that nests which differ by them have one kernel.

A decay, a threshold or one over the number of units is an operand, loaded once before the loops.
What becomes other code with its value stays in the text: bools, exponents, and whole numbers that
are divided by, shifted by, or are powers of two to multiply by.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....ops.comparison import LEFT_SHIFT, RIGHT_SHIFT
from ....ops.elementwise import FLOOR_DIVIDE, MULTIPLY, REMAINDER
from ....ops.transcendental import POWER
from .nest import Operation, Reference

__all__ = ["Number", "is_told", "numbers_apart"]

# Of integers: a division by a known number is a product, a shift by one an instruction.
_WHOLE = {op.formula for op in (FLOOR_DIVIDE, REMAINDER, LEFT_SHIFT, RIGHT_SHIFT)}
# Each use of a constant is an operand of its own, as two that are equal here may differ in the next
# program. Beyond so many uses, equal ones are one operand; and beyond so many operands, text.
_APART = 16
_MOST = 64


class Number(NamedTuple):
    """A constant among a kernel's operands."""

    bits: bytes
    dtype: np.dtype

    @property
    def word(self) -> int:
        """The operand: these bits, and zeros above them."""
        return int.from_bytes(self.bits, sys.byteorder, signed=len(self.bits) == 8)


def numbers_apart(operations: Sequence[Operation]) -> tuple[tuple[Operation, ...], list[Number]]:
    """The operations with references ``("number", i)`` to these numbers in place of constants."""
    numbers: list[Number] = []
    by_number: dict[Number, int] = {}

    def apart(operation: Operation, reference: Reference) -> Reference:
        if reference[0] != "constant" or not is_told(operation, reference):
            return reference
        number = Number(*reference[1:])
        if len(numbers) >= _APART and number in by_number:
            return ("number", by_number[number])
        if len(numbers) == _MOST:
            return reference
        by_number[number] = len(numbers)
        numbers.append(number)
        return ("number", by_number[number])

    new = []
    for operation in operations:
        arguments = tuple([apart(operation, reference) for reference in operation.arguments])
        new.append(operation._replace(arguments=arguments))
    return tuple(new), numbers


def is_told(operation: Operation, constant: Reference) -> bool:
    """Whether the operation is written alike for all values of the constant."""
    _, bits, dtype = constant
    formula = operation.formula
    if dtype.kind == "b" or formula is POWER.formula:
        return False
    if dtype.kind not in "iu":
        return True
    number = abs(int(np.frombuffer(bits, dtype)[0]))
    return not (formula in _WHOLE or (formula is MULTIPLY.formula and number & (number - 1) == 0))
