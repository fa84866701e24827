"""ONNX's numbers for dtypes, as far as symgraph computes with them.

The onnx package's own table will not do: older ones take floats of 8 bits for float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import library

__all__ = ["DTYPES_BY_NUMBER", "name_of_dtype"]

DTYPES_BY_NUMBER: Mapping[int, np.dtype] = {
    1: np.dtype("float32"),
    2: np.dtype("uint8"),
    3: np.dtype("int8"),
    4: np.dtype("uint16"),
    5: np.dtype("int16"),
    6: np.dtype("int32"),
    7: np.dtype("int64"),
    9: np.dtype("bool"),
    11: np.dtype("float64"),
    12: np.dtype("uint32"),
    13: np.dtype("uint64"),
}


def name_of_dtype(number: int) -> str:
    """What ONNX calls the dtype of a number."""
    try:
        return library.onnx.TensorProto.DataType.Name(number).lower()
    except ValueError:
        return f"number {number}, which has no name"
