"""NumPy, as programs are written for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.types import DTYPES
from .expression import Expression, call
from .numpy_table import NUMPY
from .sources import functions_in
from .surroundings import Framework
from .table import Entry, dtype_text, nested_text, part_of

__all__ = ["NumpyFramework"]


class NumpyFramework(Framework):
    """NumPy alone: arrays and NumPy's scalars."""

    name = "numpy"
    title = "NumPy"
    name_of_infinity = "np"
    keeps_lists = False
    rounds_by_layout = True
    dtypes = frozenset(DTYPES)
    decorator: str | None = '@np.errstate(all="ignore")'

    def __init__(self) -> None:
        self.table: Mapping[str, Entry] = NUMPY
        self.functions: Mapping[str, str] = functions_in(_FUNCTIONS)

    def imports(self, *, loads: bool) -> Sequence[str]:
        """What the program imports."""
        return ["import numpy as np"]

    def argument(self, value: str, dtype: np.dtype) -> str:
        """The text that makes an argument an array."""
        return f'np.asarray({value}, {dtype_text(dtype)}, order="C")'

    def loading(self, file: str) -> list[str]:
        """The statements that read parameters from a file beside the program."""
        return [f'params = dict(np.load(Path(__file__).with_name("{file}")))']

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """A Python number as a scalar of the dtype."""
        return call(dtype_text(dtype), x)

    def part(
        self, x: Expression, entries: Sequence[Any], symbols: Sequence[Expression]
    ) -> Expression:
        """The part of an array that the entries of a slice mean."""
        return part_of(x, entries, symbols)

    def array(self, value: np.ndarray) -> Expression:
        """A small array."""
        if value.size == 0:
            return call("np.zeros", str(value.shape), dtype_text(value.dtype))
        texts = nested_text(value)
        return call("np.array", texts, dtype_text(value.dtype))

    def copied(self, x: Expression) -> Expression:
        """A copy."""
        return call("np.array", x)

    def in_rows(self, name: str) -> str:
        """The text of an array laid out row after row."""
        return f"np.ascontiguousarray({name})"

    def empty(self, shape: Expression, dtype: np.dtype) -> Expression:
        """An array whose elements are stored later."""
        return call("np.empty", shape, dtype_text(dtype))

    def stacked(self, rows: str, shape: Expression, dtype: np.dtype) -> Expression:
        """An array of the rows in a list; each has this shape, if there are any."""
        return call("stacked", rows, shape, dtype_text(dtype))

    def stored(self, value: np.ndarray) -> np.ndarray:
        """A value as it is kept beside the program."""
        return value


_FUNCTIONS = Path(__file__).with_name("numpy_functions.py")
