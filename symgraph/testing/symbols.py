"""The arguments of a loop with variables for arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.types import is_float
from ..core.values import weak_kind
from ..core.variable import Variable
from ..ops.inputs import constant, tensor
from ..scan.arguments import as_list
from .twins import Results

__all__ = ["Symbols"]


class Symbols:
    """The arguments of a loop with variables for arrays, of known lengths or not."""

    def __init__(
        self, sequences: list[Any], infos: list[Any], others: list[Any], *, known: bool
    ) -> None:
        self.values: dict[Variable, np.ndarray] = {}
        self._symbols: dict[int, Variable] = {}
        timed = [*sequences, *(info for info in infos if isinstance(info, Mapping))]
        # The arrays whose first axis is of a length that nobody knows.
        self._open = set() if known else {id(_array_of(x)) for x in timed}
        self.sequences = [self._symbol(s) for s in sequences]
        self.infos = [self._symbol(i) for i in infos]
        self.others = [self._symbol(x) for x in others]

    def _symbol(self, given: Any) -> Any:
        """The argument with variables for arrays, one for each array."""
        if isinstance(given, Mapping):
            return {k: v if k == "taps" else self._symbol(v) for k, v in given.items()}
        if not isinstance(given, (np.ndarray, np.generic, list, tuple)):
            return given  # None, a Python number, a variable of the user's own
        if id(given) not in self._symbols:
            array = np.asarray(given)
            shape: list[int | None] = list(array.shape)
            if id(given) in self._open:
                shape[0] = None
            symbol = tensor(f"argument_{len(self.values)}", shape, array.dtype)
            self.values[symbol], self._symbols[id(given)] = array, symbol
        return self._symbols[id(given)]

    def settle(self, dtypes: Sequence[np.dtype | None]) -> None:
        """Let Python numbers that states begin with have the dtypes of the states."""
        for i, (info, dtype) in enumerate(zip(self.infos, dtypes, strict=True)):
            if weak_kind(info) is not None:
                self.infos[i] = constant(info, dtype)

    def call(self, function: Callable[..., Any], step: Any, options: dict[str, Any]) -> Results:
        """The outputs of the loop, or of its twin."""
        outputs = as_list(function(step, self.sequences, self.infos, self.others, **options))
        return Results(outputs, [v for v in self.values if is_float(v.dtype)], self.values)


def _array_of(given: Any) -> Any:
    """What stands for the numbers of a sequence or of an entry of outputs_info."""
    return given.get("input", given.get("initial")) if isinstance(given, Mapping) else given
