"""Plain kernels for tests: formulas on arrays, and any kernel on plain arguments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from symgraph.backends.llvm.code.cpu import Cpu, host
from symgraph.backends.llvm.code.emit import Function
from symgraph.backends.llvm.code.engine import Kernel, Loaded, engine
from symgraph.backends.llvm.machine.frame import SIGNATURE, operand, operand_address, return_success
from symgraph.backends.llvm.maths.functions import VectorMaths


def write(
    formula: Callable[..., Any], dtypes: list[np.dtype], cpu: Cpu | None = None
) -> tuple[Kernel, np.dtype]:
    """The kernel ``out[i] = formula(a[i], b[i], …)``, and the dtype of its result."""
    cpu = cpu or host()
    lanes = max(1, cpu.vector_bytes // max(4, *(d.itemsize for d in dtypes)))
    f = Function(SIGNATURE)
    arrays = [operand_address(f, i) for i in range(len(dtypes) + 1)]
    n = operand(f, len(dtypes) + 1)
    maths = VectorMaths(f, lanes, cpu)
    loop = f.begin_loop(n, by=str(lanes))
    i = loop.index.text
    mask = f.tail_mask(i, n, lanes)
    values = [
        f.load(f.pointer(a, i, d), d, lanes, mask) for a, d in zip(arrays[:-1], dtypes, strict=True)
    ]
    result = formula(maths, *values)
    f.store(result, f.pointer(arrays[-1], i, result.dtype), mask)
    f.end_loop(loop)
    return_success(f)
    return f.kernel(), result.dtype


def call(kernel: Kernel, loaded: Loaded, *arguments: Any) -> int:
    """The kernel's status for these arrays and numbers."""
    words = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    operands = np.array(words, np.int64)
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
    return kind(loaded.addresses[kernel.name])(None, operands.ctypes.data)


def compiled(
    formula: Callable[..., Any], *dtypes: Any, cpu: Cpu | None = None
) -> Callable[..., np.ndarray]:
    """The formula as a function of arrays, written for this CPU or one that can do less."""
    kinds = [np.dtype(d) for d in dtypes]
    kernel, result_dtype = write(formula, kinds, cpu)
    loaded = engine().load([kernel])

    def run(*arrays: Any) -> np.ndarray:
        given = [np.ascontiguousarray(a, d) for a, d in zip(arrays, kinds, strict=True)]
        result = np.empty(given[0].shape, result_dtype)
        call(kernel, loaded, *given, result, result.size)
        return result

    return run
