"""Loop nests: elementwise work and reductions over one space.

A nest has a space (the sizes of its loops), inputs and outputs with a stride for each axis of the
space, and operations that compute one element. `nest_kernel.py` writes its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ....core.dims import Size

__all__ = ["Access", "Nest", "Operation", "Output", "Reference"]

# A value inside a nest: ("input", i), ("operation", i), or ("constant", its bits, its dtype); for a
# kernel also ("number", i), a constant that it is told.
Reference = tuple


class Operation(NamedTuple):
    """One elementwise op on values of the nest."""

    formula: Callable[..., Any]
    params: tuple[Any, ...]
    arguments: tuple[Reference, ...]


@dataclass(frozen=True)
class Access:
    """How a value in memory is reached: the slot of its address, a stride for each axis."""

    base: int
    strides: tuple[Size, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Output:
    """A value that is stored (``kind`` None), or reduced over the reduced axes and stored."""

    access: Access
    value: Reference
    kind: str | None = None


@dataclass
class Nest:
    """A nest as lowering describes it."""

    space: tuple[Size, ...]
    reduced: frozenset[int]
    inputs: list[Access]
    operations: list[Operation]
    outputs: list[Output]

    @property
    def accesses(self) -> list[Access]:
        """How memory is reached: by the inputs, and then by the outputs."""
        return [*self.inputs, *(output.access for output in self.outputs)]

    def collapsed(self) -> Nest:
        """The same nest with as few axes as its accesses allow."""
        return self._vectors_last()._merged()

    def _vectors_last(self) -> Nest:
        """The same nest with the axis last along which most accesses move by one."""
        # Totals are few: they do not count.
        accesses = [*self.inputs, *(o.access for o in self.outputs if o.kind is None)]
        n = len(self.space)
        counts = [sum(_is_one(a.strides[axis]) for a in accesses) for axis in range(n)]
        best = max(range(n), key=lambda axis: (counts[axis], axis), default=0)
        if not n or counts[best] == counts[-1] or self.space[best] == 1:
            return self
        order = [*(axis for axis in range(n) if axis != best), best]

        def permute(access: Access) -> Access:
            strides = tuple(access.strides[axis] for axis in order)
            return Access(access.base, strides, access.dtype)

        return Nest(
            tuple(self.space[axis] for axis in order),
            frozenset(i for i, axis in enumerate(order) if axis in self.reduced),
            [permute(a) for a in self.inputs],
            self.operations,
            [Output(permute(o.access), o.value, o.kind) for o in self.outputs],
        )

    def _merged(self) -> Nest:
        """The same nest with one axis where all accesses move along several as along one."""
        groups = _groups(self.space, self.reduced, [a.strides for a in self.accesses])
        if all(len(group) == 1 for group in groups) and len(groups) == len(self.space):
            return self
        space = []
        for group in groups:
            size: Size = 1
            for axis in group:
                size = size * self.space[axis]
            space.append(size)
        lasts = [group[-1] for group in groups]

        def fold(access: Access) -> Access:
            strides = tuple(access.strides[axis] for axis in lasts)
            return Access(access.base, strides, access.dtype)

        return Nest(
            tuple(space),
            frozenset(i for i, group in enumerate(groups) if group[0] in self.reduced),
            [fold(a) for a in self.inputs],
            self.operations,
            [Output(fold(o.access), o.value, o.kind) for o in self.outputs],
        )


def _is_one(stride: Size) -> bool:
    return isinstance(stride, int) and stride == 1


def _groups(
    space: Sequence[Size], reduced: frozenset[int], strides: Sequence[tuple[Size, ...]]
) -> list[list[int]]:
    """Axes that can be one loop: each access moves along them as along one."""
    groups: list[list[int]] = []
    for axis, size in enumerate(space):
        if size == 1:
            continue
        if groups:
            last = groups[-1][-1]
            if (last in reduced) == (axis in reduced) and all(
                s[last] == s[axis] * size for s in strides
            ):
                groups[-1].append(axis)
                continue
        groups.append([axis])
    return groups
