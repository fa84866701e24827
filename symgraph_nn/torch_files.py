"""What ``torch.save`` wrote, read without PyTorch: a zip file of a pickle and the tensors' bytes.

The pickle may make dicts and tensors, and nothing else: whatever a file says, nothing of it runs.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.errors import SymgraphError, SymgraphValueError

from .files import naming
from .tensors import StoredArray

__all__ = ["read_torch"]

_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


def read_torch(path: Path) -> Any:
    """The object that the file holds, with arrays for tensors; those of bfloat16 as float32."""
    with naming(path, "cannot be read"):
        content = path.open("rb")
    with content:
        try:
            with zipfile.ZipFile(content) as archive:
                return _Unpickler(archive).load()
        except zipfile.BadZipFile:
            raise SymgraphValueError.here(
                f"{path} is no zip file, as torch.save writes them since PyTorch 1.6",
                remedy="Read it with torch.load, and give the state dict.",
            ) from None
        except SymgraphError as error:
            raise SymgraphValueError.here(
                f"{path} holds more than tensors: {error}",
                remedy="Save model.state_dict(), not the model.",
            ) from None
        except Exception as error:  # a pickle that is none can end in any way
            raise SymgraphValueError.here(
                f"{path} is nothing that torch.save wrote: {error!r}"
            ) from None


class _Unpickler(pickle.Unpickler):
    """Makes what a state dict is made of."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        entry = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        self._archive, self._folder = archive, entry.removesuffix("data.pkl")
        self._elements: dict[str, np.ndarray[Any, Any]] = {}
        super().__init__(archive.open(entry))

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What stands for a name in the file."""
        if module_name == "torch" and global_name in _STORAGES:
            return global_name
        known = _KNOWN.get((module_name, global_name))
        if known is None:
            raise SymgraphError(f"{module_name}.{global_name}")
        return known

    def persistent_load(self, pid: Any) -> np.ndarray[Any, Any]:
        """All elements of a storage, which has a file of its own; tensors are views of it."""
        _, kind, key, *_ = pid
        if key not in self._elements:
            content = self._archive.read(f"{self._folder}data/{key}")
            self._elements[key] = _elements_of(_STORAGES[kind], content)
        return self._elements[key]


def _elements_of(dtype: str, content: bytes) -> np.ndarray[Any, Any]:
    """The elements in these bytes; those of bfloat16 as float32."""
    size = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    wide = np.dtype("float32" if dtype == "bfloat16" else dtype)
    return StoredArray(dtype, (len(content) // size,), content).widened(wide)


def _tensor(
    elements: np.ndarray[Any, Any], offset: int, shape: Sequence[int], strides: Sequence[int],
    *_: Any,
) -> np.ndarray[Any, Any]:  # fmt: skip
    """A copy of these elements of a storage."""
    if not math.prod(shape):
        return np.zeros(shape, elements.dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if offset < 0 or min(strides, default=0) < 0 or last >= len(elements):
        raise ValueError(f"a tensor of {len(elements)} elements ends at {last}")
    steps = [stride * elements.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(elements[offset:], shape, steps).copy()


def _parameter(tensor: np.ndarray[Any, Any], *_: Any) -> np.ndarray[Any, Any]:
    return tensor


_KNOWN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
