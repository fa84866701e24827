"""A sample of arguments: what the program in C is run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, product

import numpy as np

from ...backends.llvm.backend import BACKEND
from ...core.binding import bind_sizes, shape_numbers
from ...core.dims import Atom
from ...core.errors import SymgraphError
from .interface import Array
from .program import NativeProgram

__all__ = ["Sample", "sample_of"]

# Sizes to try, one after another for each size that is an argument; and integers.
_SIZES = ((3, 2, 4), (1,), (4,), (8,), (16,), (32,), (64,))
_INTEGERS = ((1, 0), (0,))


@dataclass(frozen=True)
class Sample:
    """Arguments of one call."""

    sizes: tuple[int, ...]
    inputs: tuple[np.ndarray, ...]


def sample_of(program: NativeProgram, given: Sequence[np.ndarray | None]) -> Sample:
    """Arguments that the program takes: those that are given, and others that are made up."""
    executable, first = BACKEND.prepare(program.graph), None
    for sample in _samples(program, given):
        first = first or sample
        try:
            ends = program.ends
            executable(*(sample.inputs[end] if isinstance(end, int) else end for end in ends))
        except SymgraphError:
            continue
        return sample
    assert first is not None
    return first


def _samples(program: NativeProgram, given: Sequence[np.ndarray | None]) -> Iterator[Sample]:
    interface, types = program.interface, [v.type for v in program.graph.inputs]
    pairs = [(types[i], given[end]) for i, end in enumerate(program.ends) if isinstance(end, int)]
    known = [(type, array.shape) for type, array in pairs if array is not None]
    told = bind_sizes([type for type, _ in known], [shape for _, shape in known])
    for sizes, integers in product(_SIZES, _INTEGERS):
        values: dict[Atom, int] = dict(zip(interface.sizes, cycle(sizes), strict=False)) | told
        draws = np.random.default_rng(0)
        yield Sample(
            tuple(values[atom] for atom in interface.sizes),
            tuple(
                _made_up(x, values, integers, draws) if array is None else array
                for x, array in zip(interface.inputs, given, strict=True)
            ),
        )


def _made_up(
    x: Array, sizes: dict[Atom, int], integers: tuple[int, ...], draws: np.random.Generator
) -> np.ndarray:
    shape = [max(0, n or 0) for n in shape_numbers(x.shape, sizes)]
    if x.dtype.kind == "f":
        return np.round(draws.normal(size=shape), 2).astype(x.dtype)
    return np.resize(np.array(integers), shape).astype(x.dtype)
