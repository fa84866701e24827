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
from typing import Any, NamedTuple

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


class _Storage(NamedTuple):
    """The elements that tensors are views of."""

    dtype: str
    content: bytes

    def elements(self) -> np.ndarray[Any, Any]:
        """All of them; those of bfloat16 as float32."""
        wide = "float32" if self.dtype == "bfloat16" else self.dtype
        size = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        stored = StoredArray(self.dtype, (len(self.content) // size,), self.content)
        return stored.widened(np.dtype(wide))


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
        super().__init__(archive.open(entry))

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What stands for a name in the file."""
        if module_name == "torch" and global_name in _STORAGES:
            return global_name
        known = _KNOWN.get((module_name, global_name))
        if known is None:
            raise SymgraphError(f"{module_name}.{global_name}")
        return known

    def persistent_load(self, pid: Any) -> _Storage:
        """The elements of a storage, which have a file of their own."""
        _, kind, key, *_ = pid
        return _Storage(_STORAGES[kind], self._archive.read(f"{self._folder}data/{key}"))


def _tensor(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> np.ndarray[Any, Any]:
    """A copy of these elements of a storage."""
    elements = storage.elements()
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
