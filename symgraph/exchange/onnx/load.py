"""A model as its file has it, checked as far as that can be done without knowing any op.

`load_model` gives a `LoadedModel`: a graph in which every name is defined once and before it is
used, local functions that do not call themselves, and tensors that are as large as they say. A
file may come from anywhere: what it may cost in time and memory stands in `limits`, and whatever
is wrong with it is an `ExchangeError`.

Its reader calls ``budget.read_nodes`` for each node that it reads, and ``budget.compute`` before
each array that it computes, since bodies that are read often, and sizes in a model, make much of
little.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...core.errors import ExchangeError
from . import library
from .limits import MAX_DATA_BYTES, Budget
from .names import FunctionKey, check_names, functions_of, tensors_of
from .tensors import Tensors
from .wire import check_fields

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto

__all__ = ["LoadedModel", "ModelSource", "load_model"]

ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | ModelProto"
"""A file, its bytes, or a model that was made in this process."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that was checked, and what may still be spent on reading it."""

    graph: GraphProto
    opsets: Mapping[str, int]
    """The versions of sets of ops by domain; the standard domain is ""."""
    functions: Mapping[FunctionKey, FunctionProto]
    """The local functions by domain and name. They go before standard ops of their name."""
    states: Set[str]
    """The initialisers that are inputs as well: what a call may be given in place of them."""
    tensors: Tensors
    budget: Budget

    def array(self, tensor: TensorProto | SparseTensorProto) -> np.ndarray:
        """An initialiser or the value of an attribute as an array of its own.

        Raises `ExchangeError` where NumPy has no such dtype.
        """
        return self.tensors.array(tensor)


def load_model(source: ModelSource, *, folder: str | os.PathLike[str] | None = None) -> LoadedModel:
    """The model in a file or in bytes; `ExchangeError` where it is none that can be read.

    Tensors in files of their own are read below ``folder`` alone, which is the folder of the
    model's own file where nothing is said.
    """
    is_file = isinstance(source, (str, os.PathLike))
    name = os.fspath(source) if is_file else "the model"
    if folder is None and is_file:
        folder = Path(source).parent
    proto = _parse(source, name)
    if not proto.HasField("graph"):
        raise ExchangeError.here(f"{name} is no ONNX model: it has no graph")
    budget = Budget()
    tensors = Tensors(None if folder is None else Path(folder), budget)
    functions = functions_of(proto)
    check_names(proto.graph, functions.values())
    for tensor in tensors_of(proto):
        tensors.check(tensor)
    opsets = {"" if e.domain == "ai.onnx" else e.domain: e.version for e in proto.opset_import}
    return LoadedModel(proto.graph, opsets, functions, _states_of(proto), tensors, budget)


def _states_of(proto: ModelProto) -> Set[str]:
    """The initialisers that are inputs as well, as all had to be in the first three versions."""
    if proto.ir_version < 4:
        return frozenset()
    return {info.name for info in proto.graph.input}.intersection(
        tensor.name for tensor in proto.graph.initializer
    )


def _parse(source: Any, name: str) -> ModelProto:
    """The model as onnx has it, whose fields were counted before."""
    if isinstance(source, library.onnx.ModelProto):
        return source
    with ExitStack() as resources:
        if isinstance(source, (str, os.PathLike)):
            data: Any = resources.enter_context(_map_file(Path(source)))
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = source
        else:
            raise ExchangeError.here(
                f"a model is a file's path, its bytes or a ModelProto; found {source!r}"
            )
        view: Any = resources.enter_context(memoryview(data).cast("B"))
        check_fields(view, name)
        proto = library.onnx.ModelProto()
        try:
            proto.ParseFromString(view)
        except Exception as error:  # of protobuf, which is onnx's dependency and not ours
            raise ExchangeError.here(f"{name} is no ONNX model: {error}") from None
    return proto


def _map_file(path: Path) -> Any:
    """The bytes of a file, which are read as they are looked at."""
    try:
        if not path.is_file():
            raise ExchangeError.here(f"there is no file {path}")
        size = path.stat().st_size
        if size > MAX_DATA_BYTES:
            raise ExchangeError.here(
                f"{path} has more than {MAX_DATA_BYTES >> 30} GiB, and can be no ONNX model"
            )
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else memoryview(b"")
    except (OSError, ValueError) as error:
        if isinstance(error, ExchangeError):
            raise
        raise ExchangeError.here(f"{path} cannot be read: {error}") from None
