"""PyTorch, as programs are written for it; it need not be there to write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.types import DTYPES
from .expression import Expression, call, method
from .sources import functions_in
from .surroundings import Framework
from .table import Entry, nested_text
from .torch_parts import TORCH_PARTS, part_of
from .torch_table import TORCH, torch_dtype

__all__ = ["TorchFramework"]


class TorchFramework(Framework):
    """PyTorch: tensors, and gradients by its own autograd where parameters ask for them."""

    name = "torch"
    title = "PyTorch"
    name_of_infinity = "torch"
    keeps_lists = True
    rounds_by_layout = False
    decorator: str | None = None
    # Of unsigned integers PyTorch computes with bytes alone; words are int64, see `torch_table`.
    dtypes = frozenset(DTYPES) - {np.dtype("uint16"), np.dtype("uint64")}

    def __init__(self) -> None:
        self.table: Mapping[str, Entry] = TORCH | TORCH_PARTS
        self.functions: Mapping[str, str] = functions_in(_FUNCTIONS)

    def imports(self, *, loads: bool) -> Sequence[str]:
        """What the program imports."""
        return ["import numpy as np", "import torch"] if loads else ["import torch"]

    def argument(self, value: str, dtype: np.dtype) -> str:
        """The text that makes an argument a tensor."""
        return f"torch.as_tensor({value}, dtype={torch_dtype(dtype)})"

    def loading(self, file: str) -> list[str]:
        """The statements that read parameters from a file beside the program."""
        return [
            f'values = np.load(Path(__file__).with_name("{file}"))',
            "params = {key: torch.as_tensor(values[key]) for key in values}",
        ]

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """A Python number as a tensor of the dtype."""
        return call("torch.tensor", x, dtype=torch_dtype(dtype))

    def part(
        self, x: Expression, entries: Sequence[Any], symbols: Sequence[Expression]
    ) -> Expression:
        """The part of an array that the entries of a slice mean."""
        return part_of(x, entries, symbols)

    def array(self, value: np.ndarray) -> Expression:
        """A small tensor."""
        dtype = torch_dtype(value.dtype)
        if value.size == 0:
            return call("torch.zeros", str(value.shape), dtype=dtype)
        return call("torch.tensor", nested_text(value, "torch"), dtype=dtype)

    def copied(self, x: Expression) -> Expression:
        """A copy."""
        return method(x, "clone")

    def in_rows(self, name: str) -> str:
        """The text of an array laid out row after row."""
        return f"{name}.contiguous()"

    def empty(self, shape: Expression, dtype: np.dtype) -> Expression:
        """A tensor whose elements are stored later."""
        return call("torch.empty", shape, dtype=torch_dtype(dtype))

    def stacked(self, rows: str, shape: Expression, dtype: np.dtype) -> Expression:
        """A tensor of the rows in a list; each has this shape, if there are any."""
        return call("stacked", rows, shape, torch_dtype(dtype))

    def stored(self, value: np.ndarray) -> np.ndarray:
        """A value as it is kept beside the program."""
        return value.astype(np.int64) if value.dtype == np.uint32 else value


_FUNCTIONS = Path(__file__).with_name("torch_functions.py")
