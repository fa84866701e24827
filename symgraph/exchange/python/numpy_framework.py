"""NumPy, as programs are written for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import numpy_functions
from .expression import Expression, call
from .numpy_table import NUMPY
from .sources import functions_of
from .table import Entry, dtype_text, number_text

__all__ = ["NumpyFramework"]


class NumpyFramework:
    """NumPy alone: arrays and NumPy's scalars."""

    name = "numpy"
    title = "NumPy"
    name_of_infinity = "np"
    keeps_lists = False
    imports = ("import numpy as np",)
    decorator: str | None = '@np.errstate(all="ignore")'

    def __init__(self) -> None:
        self.table: Mapping[str, Entry] = NUMPY
        self.functions: Mapping[str, str] = functions_of(numpy_functions.__name__)

    def argument(self, name: str, dtype: np.dtype) -> str:
        """The statement that makes an argument an array."""
        return f'{name} = np.asarray({name}, {dtype_text(dtype)}, order="C")'

    def loading(self, file: str) -> list[str]:
        """The statements that read parameters from a file beside the program."""
        return [f'params = dict(np.load(Path(__file__).with_name("{file}")))']

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """A Python number as a scalar of the dtype."""
        return call(dtype_text(dtype), x)

    def array(self, value: np.ndarray) -> Expression:
        """A small array."""
        if value.size == 0:
            return call("np.zeros", str(value.shape), dtype_text(value.dtype))
        texts = _nested(value)
        return call("np.array", texts, dtype_text(value.dtype))

    def copied(self, x: Expression) -> Expression:
        """A copy."""
        return call("np.array", x)

    def empty(self, shape: Expression, dtype: np.dtype) -> Expression:
        """An array whose elements are stored later."""
        return call("np.empty", shape, dtype_text(dtype))

    def stacked(self, rows: str, shape: Expression, dtype: np.dtype) -> Expression:
        """An array of the rows in a list; each has this shape, if there are any."""
        return call("stacked", rows, shape, dtype_text(dtype))


def _nested(value: np.ndarray) -> str:
    if value.ndim == 0:
        return number_text(value, value.dtype).text
    return f"[{', '.join(_nested(part) for part in value)}]"
