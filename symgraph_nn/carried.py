"""A compiled step of a training or an evaluation, and the state that its calls hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import (
    DtypeError,
    ShapeError,
    SymgraphTypeError,
    SymgraphValueError,
    describe,
)

from .axes import is_named
from .batches import Batch
from .graphs import ancestors
from .states import parts_of_state
from .typing import StateMap, UpdatesLike

__all__ = ["Step", "needed_pairs", "state_pairs"]


class Step:
    """A compiled function of batches that gives figures by name, and keeps what it hands on.

    ``pairs``: inputs that are no data, each with what the next batch gets for it.
    """

    inputs: list[sg.Variable]
    names: list[str]
    values: list[np.ndarray[Any, Any]] | None
    """What the next batch gets; None for zeros."""

    def __init__(
        self,
        inputs: Sequence[sg.Variable],
        figures: Mapping[str, sg.Variable],
        pairs: Sequence[tuple[sg.Variable, sg.Variable]] = (),
        *,
        updates: UpdatesLike | None = None,
        name: str,
        backend: str,
    ) -> None:
        self.inputs, self.names, self.values = list(inputs), list(figures), None
        self._symbols = [before for before, _ in pairs]
        self._function = sg.compile(
            [*inputs, *self._symbols],
            [*figures.values(), *(after for _, after in pairs)],
            updates=updates,
            name=name,
            backend=backend,
        )
        self.report = self._function.report

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The dtype of each part of the state."""
        return [x.dtype for x in self._symbols]

    @property
    def is_stateful(self) -> bool:
        """Whether anything goes from one batch to the next."""
        return bool(self._symbols)

    def check(self, first: Batch, second: Batch) -> None:
        """Raise where the state after one of these batches would not fit the other."""
        expected, found = self._shapes(first), self._shapes(second)
        if expected != found:
            raise self._misfit(expected, found)

    def __call__(self, batch: Batch, *, is_first: bool) -> dict[str, float]:
        """The figures of a batch; with ``is_first`` it may have other rows than the last one."""
        results = self._function(*batch.arrays, *self._state(batch, is_first=is_first))
        n = len(self.names)
        # In the order in which a file has them, so that products go on to the bit.
        self.values = [np.asarray(value, order="C") for value in results[n:]]
        return {k: float(v) for k, v in zip(self.names, results[:n], strict=True)}

    def _state(self, batch: Batch, *, is_first: bool) -> list[np.ndarray[Any, Any]]:
        if not self._symbols:
            return []
        shapes = self._shapes(batch)
        old = None if self.values is None else [value.shape for value in self.values]
        if self.values is not None and old == shapes:
            return self.values
        if old is not None and not is_first:
            raise self._misfit(old, shapes)
        return [np.zeros(s, x.dtype) for s, x in zip(shapes, self._symbols, strict=True)]

    def _shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """The shapes of the states that go with a batch."""
        sizes = {
            str(size): n
            for x, array in zip(self.inputs, batch.arrays, strict=True)
            for size, n in zip(x.type.shape, array.shape, strict=True)
            if is_named(size)
        }
        return [tuple(_size(x, n, sizes, batch) for n in x.type.shape) for x in self._symbols]

    def _misfit(self, expected: Sequence[Any], found: Sequence[Any]) -> ShapeError:
        x, a, b = next(
            (x, a, b) for x, a, b in zip(self._symbols, expected, found, strict=True) if a != b
        )
        return ShapeError.here(
            f"fit: the state for {describe(x)} has shape {a} after one batch, and the next batch "
            f"needs {b}",
            remedy="All batches of an epoch have the same number of rows: choose a batch_size "
            "that divides it, or leave out the last rows.",
        )


def _size(x: sg.Variable, size: Any, sizes: Mapping[str, int], batch: Batch) -> int:
    """One size of a state: known, that of the data by its name, or the number of rows."""
    if isinstance(size, int):
        return size
    if str(size) in sizes:
        return sizes[str(size)]
    n_unnamed = sum(not isinstance(n, int) and not is_named(n) for n in x.type.shape)
    if is_named(size) or n_unnamed > 1 or batch.rows is None:
        raise ShapeError.here(
            f"fit: the state {describe(x)} has a size that the data do not tell",
            remedy="Give it numbers, and names that inputs have: "
            'sg.tensor("h", ("B", 64)) for x of ("T", "B", 8).',
        )
    return batch.rows


def state_pairs(
    state: StateMap | None, inputs: Sequence[sg.Variable], name: str = "state"
) -> list[tuple[sg.Variable, sg.Variable]]:
    """The pairs of ``{before: after}``, of trees too; an error where they do not go together."""
    if state is not None and not isinstance(state, Mapping):
        raise SymgraphTypeError.here(
            f"fit: {name} is a dict from symbols to what the next batch gets for them, "
            f"not {state!r}"
        )
    pairs: list[tuple[sg.Variable, sg.Variable]] = []
    for before, after in (state or {}).items():
        # None is the state of a layer that has none.
        ours, theirs = (
            [part for part in parts_of_state(tree) if part is not None] for tree in (before, after)
        )
        if len(ours) != len(theirs):
            raise SymgraphValueError.here(
                f"fit: {name}: {len(ours)} symbols get {len(theirs)} values"
            )
        pairs.extend(zip(ours, theirs, strict=True))
    for before, after in pairs:
        _check_pair(before, after, inputs, name)
    if len({before for before, _ in pairs}) < len(pairs):
        raise SymgraphValueError.here(f"fit: {name}: a symbol stands in it twice")
    return pairs


def _check_pair(before: Any, after: Any, inputs: Sequence[sg.Variable], name: str) -> None:
    if not isinstance(before, sg.Variable) or before.op.name != "input":
        raise SymgraphTypeError.here(
            f"fit: {name}: a symbol made by sg.tensor stands for the state, not {before!r}"
        )
    if not isinstance(after, sg.Variable):
        raise SymgraphTypeError.here(
            f"fit: {name}: {describe(before)} gets an expression, not {after!r}"
        )
    if before in inputs:
        raise SymgraphValueError.here(
            f"fit: {name}: {describe(before)} is an input of the data too",
            remedy="Leave it out of the inputs: it gets zeros first, then what the batch before "
            "gave.",
        )
    pairs = zip(before.type.shape, after.type.shape, strict=False)
    sizes_differ = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)
    differ = before.dtype != after.dtype, before.ndim != after.ndim or sizes_differ
    if any(differ):
        raise (DtypeError if differ[0] else ShapeError).here(
            f"fit: {name}: {describe(before)} gets {describe(after)}",
            remedy="It gets what is of its own type: the state after the last step, as "
            "layer(x, state=h, return_state=True) gives it.",
        )


def needed_pairs(
    pairs: Sequence[tuple[sg.Variable, sg.Variable]], outputs: Sequence[sg.Variable]
) -> list[tuple[sg.Variable, sg.Variable]]:
    """Those pairs that the outputs, over any number of batches, depend on."""
    needed: list[tuple[sg.Variable, sg.Variable]] = []
    while True:
        made_of = set(ancestors([*outputs, *(after for _, after in needed)]))
        more = [pair for pair in pairs if pair[0] in made_of]
        if len(more) == len(needed):
            return needed
        needed = more
