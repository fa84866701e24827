"""One row of the op table: how an op is called, on what, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """What the tests know of one op; an op may have several rows.

    ``op``: the name in `symgraph.core.op.OPS` that ``call`` must give (anywhere in its graph).
    ``call(*variables)``: one variable, or a list of them. ``reference(*arrays)``: the same by
    NumPy, SciPy or mpmath, in NumPy's dtype. ``samples``: tuples of arrays, with awkward points;
    float64 arrays are tried in each of ``dtypes``, those of other dtypes as they are.

    Gradients of ``call`` by all float arrays are held against finite differences, first and second
    order, on ``smooth`` (None: the samples), where the function has to be smooth.

    ``tolerance``: the relative error allowed, in units of the dtype's epsilon; ``absolute``: the
    absolute one, in the same units. ``errors``: (arguments, exception) pairs; the arguments are
    made variables and ``call`` has to raise.
    """

    op: str
    call: Callable[..., Any]
    reference: Callable[..., Any]
    samples: Sequence[tuple[Any, ...]]
    dtypes: tuple[str, ...] = ("float32", "float64")
    differentiable: bool = True
    smooth: Sequence[tuple[Any, ...]] | None = None
    tolerance: float = 8.0
    absolute: float = 0.0
    errors: Sequence[tuple[tuple[Any, ...], type[Exception]]] = ()
    label: str = ""

    def cases(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Every sample in every dtype."""
        for sample in self.samples:
            arrays = [np.asarray(a) for a in sample]
            if any(a.dtype == np.float64 for a in arrays):
                for dtype in self.dtypes:
                    yield tuple(a.astype(dtype) if a.dtype == np.float64 else a for a in arrays)
            else:
                yield tuple(arrays)

    def __str__(self) -> str:
        return self.label or self.op
