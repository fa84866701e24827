"""Parameters of layers: shared variables of their own, or variables that others own, which ties."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

import symgraph as sg
from symgraph.errors import DtypeError, ShapeError, describe
from symgraph.typing import DTypeLike

from .graphs import shared_variables
from .init import initial_value, side_by_side
from .typing import Initial

__all__ = ["parameter", "tied_to"]

# The note on an expression that stands for a layer's weights.
_TIED = "tied"


def parameter(
    source: Initial,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    name: str,
    *,
    n_blocks: int = 1,
) -> sg.SharedVariable:
    """A shared variable that begins as the source says; a variable given in its place, as it is.

    ``n_blocks``: how many matrices, side by side, an initialiser draws one by one.

    Said to be shared where it may be any variable: only who ties weights gets another kind.
    """
    if isinstance(source, sg.Variable):
        _check(source, shape, np.dtype(dtype), name)
        if not isinstance(source, sg.SharedVariable):
            source.note(_TIED, None)
        return cast("sg.SharedVariable", source)
    if n_blocks == 1:
        return sg.shared(initial_value(source, rng, shape, dtype), name)
    n_in, n_units = shape
    return sg.shared(side_by_side(source, rng, n_in, n_units // n_blocks, n_blocks, dtype), name)


def tied_to(value: Any) -> list[sg.SharedVariable]:
    """The shared variables behind an expression that a layer has as weights; of others none."""
    is_tied = isinstance(value, sg.Variable) and _TIED in value.notes
    return shared_variables([value]) if is_tied else []


def _check(source: sg.Variable, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Raise unless the variable may stand for weights of this shape and dtype."""
    fits = source.ndim == len(shape) and all(
        size == n for size, n in zip(source.shape, shape, strict=True) if isinstance(size, int)
    )
    if not fits:
        raise ShapeError.here(
            f"weights {name} of shape {shape} are expected; found {describe(source)}",
            remedy="A matrix is (inputs, outputs): tie the transposed one with .T.",
        )
    if source.dtype != dtype:
        raise DtypeError.here(
            f"weights {name} of dtype {dtype} are expected; found {describe(source)}",
            remedy="Make the layer with the dtype of the weights that it is tied to.",
        )
