"""The tensors of a model as arrays, from the model's own bytes and from files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ExchangeError
from . import library
from .limits import MAX_AXES, Budget

if TYPE_CHECKING:
    from onnx import SparseTensorProto, TensorProto

__all__ = ["Tensors"]

# How the elements of each dtype lie in raw data, and in which field where they are not raw.
_LAYOUTS = {
    "FLOAT": ("<f4", "float_data"),
    "DOUBLE": ("<f8", "double_data"),
    "FLOAT16": ("<f2", "int32_data"),
    "BOOL": ("|b1", "int32_data"),
    "INT8": ("|i1", "int32_data"),
    "INT16": ("<i2", "int32_data"),
    "INT32": ("<i4", "int32_data"),
    "INT64": ("<i8", "int64_data"),
    "UINT8": ("|u1", "int32_data"),
    "UINT16": ("<u2", "int32_data"),
    "UINT32": ("<u4", "uint64_data"),
    "UINT64": ("<u8", "uint64_data"),
}


@dataclass(frozen=True)
class Tensors:
    """What reads the tensors of a model; whatever is wrong with one is an `ExchangeError`."""

    folder: Path | None
    """Where tensors in files of their own may lie, or None where they may not."""
    budget: Budget

    def check(self, tensor: TensorProto | SparseTensorProto) -> None:
        """Raise `ExchangeError` unless the tensor has as much data as it says, and not too much."""
        if isinstance(tensor, library.onnx.SparseTensorProto):
            self.check(tensor.values)
            self.check(tensor.indices)
            _check_sizes(tensor.dims, tensor.values.name)
            return
        _check_sizes(tensor.dims, tensor.name)
        layout = _LAYOUTS.get(_kind_of(tensor))
        if layout is None:
            return  # `array` refuses it
        self.budget.declare(tensor.dims, np.dtype(layout[0]).itemsize, tensor.name)
        if _is_external(tensor):
            self._locate(tensor, np.dtype(layout[0]))
            return
        expected, data = prod(tensor.dims), _data_of(tensor, layout[1])
        if isinstance(data, bytes):
            expected *= np.dtype(layout[0]).itemsize
        if len(data) != expected:
            raise ExchangeError.here(
                f"tensor {tensor.name!r} of the model has sizes {list(tensor.dims)}, for which it "
                f"needs {expected} {'bytes' if isinstance(data, bytes) else 'elements'}, but "
                f"has {len(data)}"
            )

    def array(self, tensor: TensorProto | SparseTensorProto) -> np.ndarray:
        """The tensor, which was checked, as an array of its own, and with its zeros."""
        if isinstance(tensor, library.onnx.SparseTensorProto):
            return self._dense(tensor)
        kind = _kind_of(tensor)
        if kind not in _LAYOUTS:
            raise ExchangeError.here(
                f"tensor {tensor.name!r} of the model has the dtype {kind.lower()}, which is not "
                "read"
            )
        dtype, field = np.dtype(_LAYOUTS[kind][0]), _LAYOUTS[kind][1]
        if _is_external(tensor):
            flat = self._read_file(tensor, dtype)
        else:
            data = _data_of(tensor, field)
            flat = np.frombuffer(data, dtype) if isinstance(data, bytes) else _of_field(data, dtype)
        if kind == "BOOL":  # bytes other than 0 and 1 are true too
            flat = flat.view(np.uint8) != 0
        return np.array(flat, dtype.newbyteorder("=")).reshape(tuple(tensor.dims))

    def _dense(self, tensor: SparseTensorProto) -> np.ndarray:
        values, indices = self.array(tensor.values), self.array(tensor.indices)
        name, sizes = tensor.values.name, tuple(tensor.dims)
        self.budget.compute(sizes, values.dtype.itemsize)
        if indices.ndim == 2 and indices.shape[1] == len(sizes):
            positions: tuple[np.ndarray, ...] = tuple(indices.T)
        else:
            positions = np.unravel_index(indices, sizes) if _are_in(indices, prod(sizes)) else ()
        if not all(map(_are_in, positions, sizes)) or len(positions) != len(sizes):
            raise ExchangeError.here(
                f"sparse tensor {name!r} of the model has elements outside its sizes {list(sizes)}"
            )
        dense = np.zeros(sizes, values.dtype)
        dense[positions] = values
        return dense

    def _read_file(self, tensor: TensorProto, dtype: np.dtype) -> np.ndarray:
        path, offset = self._locate(tensor, dtype)
        try:
            flat = np.fromfile(path, dtype, prod(tensor.dims), offset=offset)
        except OSError as error:
            raise ExchangeError.here(f"{path} cannot be read: {error}") from None
        if len(flat) != prod(tensor.dims):
            raise ExchangeError.here(f"{path} changed while it was read")
        return flat

    def _locate(self, tensor: TensorProto, dtype: np.dtype) -> tuple[Path, int]:
        """The file that has the tensor's data, and from which byte on."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            raise ExchangeError.here(
                f"tensor {tensor.name!r} of the model lies in the file {location!r}",
                remedy="Say in which folder: sg.import_onnx(…, folder=…).",
            )
        path = self._path_below(location, tensor.name)
        size = prod(tensor.dims) * dtype.itemsize
        offset, length = (
            _number(entries.get(key) or default, tensor.name)
            for key, default in (("offset", "0"), ("length", str(size)))
        )
        if length != size or offset + size > path.stat().st_size:
            raise ExchangeError.here(
                f"tensor {tensor.name!r} of the model needs {size} bytes from byte {offset} of "
                f"{location!r}, which has {path.stat().st_size}"
                + (f", and says that it has {length}" if length != size else "")
            )
        return path, offset

    def _path_below(self, location: str, name: str) -> Path:
        """The file of that name, which really lies below the folder."""
        assert self.folder is not None
        try:
            folder = self.folder.resolve(strict=True)
            path = (folder / location).resolve(strict=True)
            is_below = path.is_relative_to(folder) and path.is_file()
        except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
            is_below, path = False, self.folder
        if not is_below or not location:
            raise ExchangeError.here(
                f"tensor {name!r} of the model lies in {location!r}, which is no file below "
                f"{self.folder}"
            )
        return path


def _kind_of(tensor: TensorProto) -> str:
    """What ONNX calls the tensor's dtype."""
    kind = library.onnx.TensorProto.DataType
    known = tensor.data_type in kind.values()
    return kind.Name(tensor.data_type) if known else f"number {tensor.data_type}"


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == library.onnx.TensorProto.EXTERNAL


def _data_of(tensor: TensorProto, field: str) -> bytes | Sequence[float]:
    """The raw data, or the elements that stand in a field of their kind."""
    return tensor.raw_data if tensor.HasField("raw_data") else getattr(tensor, field)


def _of_field(elements: Sequence[float], dtype: np.dtype) -> np.ndarray:
    """Elements that stand in a field, where smaller integers have four bytes, and halves their
    bits."""
    if dtype == np.float16:
        return np.array(elements, np.int32).astype(np.uint16).view(np.float16)
    wide = np.int32 if dtype.itemsize < 4 else np.uint64 if dtype == np.uint32 else dtype
    return np.array(elements, wide).astype(dtype)


def _are_in(positions: np.ndarray, size: int) -> bool:
    return bool(np.all((positions >= 0) & (positions < size)))


def _check_sizes(sizes: Sequence[int], name: str) -> None:
    if any(size < 0 for size in sizes) or len(sizes) > MAX_AXES:
        raise ExchangeError.here(
            f"tensor {name!r} of the model has the sizes {list(sizes)[:MAX_AXES]}, of which none "
            f"may be negative, and no more than {MAX_AXES} may be"
        )


def _number(text: str, name: str) -> int:
    """A number of bytes as it stands in a model, in decimal digits."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ExchangeError.here(f"tensor {name!r} of the model has {text!r} for a number of bytes")
    return int(text)
