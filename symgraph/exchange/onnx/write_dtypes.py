"""For which dtypes an op of ONNX is not allowed, or not run by onnxruntime, and what stands in.

The gaps are those of onnxruntime 1.32's CPU provider, at opset 21. A stand-in gives the same result
after it is converted back: of integers a wider dtype, or one as wide for what wraps.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BOOLEAN", "TYPED", "stand_in"]


def _gaps(**dtypes: str) -> dict[np.dtype, np.dtype]:
    return {np.dtype(name): np.dtype(other) for name, other in dtypes.items()}


_SHORT = _gaps(int16="int32", uint16="int32")
# Sums and products, which wrap: no less wide, and their lowest bits are kept.
_SUMS = _gaps(bool="int32", int8="int32", int16="int32", uint8="int32", uint16="int32")
_SUMS |= _gaps(uint32="int64", uint64="int64")
_SMALL = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32")
_EXTREMES = _gaps(bool="uint8", int16="int32", uint16="int32", uint32="int64")

_GAPS: dict[str, dict[np.dtype, np.dtype]] = {
    "ArgMax": _EXTREMES,
    "ArgMin": _EXTREMES,
    "AveragePool": _gaps(float64="float32"),
    "Clip": _SHORT,
    "CumSum": _SUMS,
    **dict.fromkeys(("Less", "LessOrEqual", "Greater", "GreaterOrEqual"), _gaps(bool="uint8")),
    "MatMul": _gaps(int8="int32", int16="int32", uint8="int32", uint16="int32", bool="int32"),
    "Max": _SHORT,
    "Min": _SHORT,
    "NonZero": _gaps(int8="int32", int16="int32", uint16="int32", uint32="int64", uint64="int64"),
    "Pad": _SHORT,
    "Range": _gaps(int8="int32", uint8="int32", uint16="int32", uint32="int64", uint64="int64"),
    "ReduceMax": _EXTREMES,
    "ReduceMin": _EXTREMES,
    "ReduceProd": _SUMS,
    # onnxruntime adds integers up in float64, and takes the largest for what is too large.
    "ReduceSum": _gaps(**dict.fromkeys(_SMALL, "int64"), uint64="int64"),
    "TopK": _gaps(bool="uint8", uint16="int32", uint32="int64"),
    "Where": _gaps(bool="uint8", int16="int32", uint16="int32", uint64="int64"),
}

# The operands that have the dtype which counts, where they are not all.
TYPED: dict[str, tuple[int, ...]] = {
    "CumSum": (0,),
    "Pad": (0, 2),
    "ReduceMax": (0,),
    "ReduceMin": (0,),
    "ReduceProd": (0,),
    "ReduceSum": (0,),
    "TopK": (0,),
    "Where": (1, 2),
}


BOOLEAN = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
"""Ops with gaps whose results are bools, whatever the operands are."""


def stand_in(op_type: str, dtype: np.dtype) -> np.dtype | None:
    """The dtype in which the op is computed for another one; None where that is its own."""
    gaps = _GAPS.get(op_type)
    return gaps.get(dtype) if gaps else None
