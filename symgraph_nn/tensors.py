"""The safetensors format read: eight bytes with the header's length, a JSON header, the data.

It is read here, since NumPy's types do not hold all of its own, and since an error is to name the
file and the array. See https://github.com/huggingface/safetensors for the format.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from symgraph.errors import SymgraphValueError

from .files import as_path, naming

__all__ = ["StoredArray", "read_arrays"]

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
# What widens exactly to which.
_WIDER = {"bfloat16": ("float32", "float64"), "float16": ("float32", "float64")}


@dataclass(frozen=True)
class StoredArray:
    """An array as a file holds it: its bytes, which may be of a dtype that NumPy has not."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes

    def misfit(self, dtype: np.dtype, shape: tuple[int, ...]) -> str | None:
        """Why it does not fit a variable of this type; None if it does."""
        if self.shape != shape:
            return f"has shape {shape}, the new value has {self.shape}"
        if self.dtype != str(dtype) and str(dtype) not in _WIDER.get(self.dtype, ()):
            return f"has dtype {dtype}, the new value has {self.dtype}"
        return None

    def widened(self, dtype: np.dtype) -> np.ndarray:
        """The values in a dtype that holds them exactly."""
        if self.dtype == "bfloat16":  # the upper half of a float32
            halves = np.frombuffer(self.content, "<u2").astype("<u4") << np.uint32(16)
            return halves.view("<f4").reshape(self.shape).astype(dtype)
        stored = np.frombuffer(self.content, np.dtype(self.dtype).newbyteorder("<"))
        return stored.reshape(self.shape).astype(dtype)


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, StoredArray], dict[str, str]]:
    """The arrays and the metadata of a safetensors file."""
    source = as_path(path)
    with naming(source, "cannot be read"):
        content = source.read_bytes()
    if len(content) < 8:
        raise _broken(source, f"it has {len(content)} bytes")
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise _broken(source, "its header is longer than the file")
    header = _parsed(source, content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(source, "its metadata are no texts by name")
    data = memoryview(content)[8 + length :]
    arrays = {name: _stored(source, name, entry, data) for name, entry in header.items()}
    end = 0
    for begin, stop in sorted(tuple(entry["data_offsets"]) for entry in header.values()):
        if begin != end:
            raise _broken(source, f"its data have a gap or an overlap at byte {end}")
        end = stop
    if end != len(data):
        raise _broken(source, f"it has {len(data)} bytes of data, the header tells of {end}")
    return arrays, metadata


def _parsed(source: Path, header: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _broken(source, f"its header is no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise _broken(source, "its header is no JSON object")
    return parsed


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name stands twice")
    return entries


def _stored(source: Path, name: str, entry: Any, data: memoryview) -> StoredArray:
    """One array of the file; an error that names it where its entry makes no sense."""
    if not isinstance(entry, Mapping):
        raise _broken(source, f"{name} has no entry of dtype, shape and data_offsets")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise _broken(source, f"{name} has no dtype")
    if not _are_counts(shape):
        raise _broken(source, f"{name} has the shape {shape!r}")
    if not _are_counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= len(data):
        raise _broken(source, f"{name} has the data_offsets {offsets!r} of {len(data)} bytes")
    named = _DTYPES.get(dtype, dtype)
    length = offsets[1] - offsets[0]
    if named != dtype:
        size = 2 if named == "bfloat16" else np.dtype(named).itemsize
        if length != math.prod(shape) * size:
            raise _broken(source, f"{name} of {named} and shape {shape} has {length} bytes of data")
    return StoredArray(named, tuple(shape), bytes(data[offsets[0] : offsets[1]]))


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value
    )


def _broken(source: Path, why: str) -> SymgraphValueError:
    return SymgraphValueError.here(f"{source} is no whole safetensors file: {why}")
