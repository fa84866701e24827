"""What a function's loops store over time, in bytes: as formulas of sizes, and for given ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby

import numpy as np

from ..core.dims import Atom, Size, product, size_atoms
from ..core.errors import SymgraphTypeError, SymgraphValueError
from ..core.origins import call_in_steps
from ..core.provenance import Line, lines_of
from ..core.variable import Variable
from ..ops.sizes import size_of
from ..scan.op import Loop
from ..scan.storage import StoredResult, stored_results
from .graphs import Graphs
from .size_names import SizeNames, in_numbers
from .step_names import StepNames
from .tables import Places, format_table, shown_bytes

__all__ = ["Storage", "StoredLoop", "StoredValue", "format_stored"]


@dataclass(frozen=True)
class StoredValue:
    """One value that a loop stores over time."""

    label: str
    """Its name, or which of the loop's states or outputs it is."""
    rows: Size
    """Of how many steps it is stored, initial rows counted."""
    bytes: Size
    """A number, or a formula of sizes by name; ``str`` of it is the text."""
    reason: str
    lines: tuple[Line, ...]
    """The user's lines that made it, innermost first."""

    def __str__(self) -> str:
        return f"{self.label}: {self.bytes} bytes, {self.reason}"


@dataclass(frozen=True)
class StoredLoop:
    """What one loop of the compiled graph stores over time."""

    loop: str | None
    """Its name."""
    lines: tuple[Line, ...]
    """The user's lines that made it; a gradient loop has those of the loop it is of."""
    depth: int
    """0 outside other loops; a loop in a loop stores for one step of the outer one at a time."""
    values: tuple[StoredValue, ...]
    bytes: Size
    """The sum of the values'."""

    def __str__(self) -> str:
        place = f" at {self.lines[0]}" if self.lines else ""
        return f"{self.loop or 'loop'}{place}: {self.bytes} bytes"


def format_stored(loops: Sequence[StoredLoop], *, when: str = "") -> str:
    """A table: each loop with what it stores, its values in groups of one reason; loops that
    follow one another and store alike, such as both directions of a layer, in one. ``when``: of
    which call that is."""
    rows = []
    has_unit = all(isinstance(loop.bytes, int) for loop in loops)
    shown = _with_unit if has_unit else _shown
    lines = [str(loop.lines[0]) if loop.lines else "" for loop in loops]
    places = Places(lines)
    for (loop, line), alike in groupby(zip(loops, lines, strict=True)):
        count = len(list(alike))
        margin = "  " * loop.depth
        times = f"{count} × " if count > 1 else ""
        name = f"{margin}{times}{loop.loop or 'loop'}{places.of(line)}"
        rows.append((name, shown(count * loop.bytes)))
        by_reason: dict[str, list[StoredValue]] = {}
        for value in loop.values:
            by_reason.setdefault(value.reason, []).append(value)
        for reason, values in by_reason.items():
            rows.append((f"{margin}  {_named(values, reason)}", shown(count * _total(values))))
    if len(loops) > 1:
        rows.append(("total", shown(_total(loops))))
    unit = "memory" if has_unit else "bytes"
    return format_table((f"stored over time{when}{places.heading}", unit), rows)


# How many names of values a row of the table has, and how many letters a formula.
_NAMES, _LETTERS = 8, 40


def _with_unit(size: Size) -> str:
    return shown_bytes(size) if isinstance(size, int) else _shown(size)


def _shown(size: Size) -> str:
    """The size; of a long formula what it is made of."""
    text = str(size)
    if isinstance(size, int) or len(text) <= _LETTERS:
        return text
    names = sorted({atom[1] for atom in size_atoms(size) if atom[0] == "name"})
    return f"a formula of {', '.join(names)}"


def _named(values: Sequence[StoredValue], reason: str) -> str:
    """What is stored, and why; names whole in one line."""
    names = [value.label.replace(" ", "\xa0") for value in values]
    more = len(names) - _NAMES
    shown = names if more <= 0 else [*names[:_NAMES], f"{more} more"]
    return f"{', '.join(shown)}: {reason}"


def _total(parts: Sequence[StoredValue | StoredLoop]) -> Size:
    total: Size = 0
    for part in parts:
        total = total + part.bytes
    return total


class Storage:
    """What the loops of a function store; `Report.stored` and `Report.stored_bytes` tell it."""

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs

    @cached_property
    def sizes(self) -> SizeNames:
        """The function's sizes by name."""
        return SizeNames(self._graphs.program, self._graphs.rewritten)

    @cached_property
    def loops(self) -> list[StoredLoop]:
        """A row for each loop that stores something, in the order of the report's loops."""
        return self._graphs.tell(self._found)

    def _found(self) -> list[StoredLoop]:
        by_path: dict[tuple[Variable, ...], list[StoredResult]] = {}
        for each in stored_results(self._graphs.rewritten):
            by_path.setdefault(each.path, []).append(each)
        return [call_in_steps(path, partial(self._loop, group)) for path, group in by_path.items()]

    @cached_property
    def _steps_around(self) -> list[list[Size]]:
        """For each of these loops how many steps the loops take that it is in."""
        paths = dict.fromkeys(each.path for each in stored_results(self._graphs.rewritten))
        return [
            [self.sizes.in_words(size_of(scan.inputs[0])) for scan in path[:-1]] for path in paths
        ]

    def _loop(self, group: Sequence[StoredResult]) -> StoredLoop:
        path = group[0].path
        step = StepNames(self._graphs.rewritten, path, self._graphs.built)
        names = step.values | step.results
        values = tuple(
            StoredValue(
                each.value.name or names.get(each.value, each.label),
                self.sizes.in_words(each.rows),
                self.sizes.in_words(each.bytes),
                each.reason,
                each.lines,
            )
            for each in group
        )
        scan = path[-1]
        return StoredLoop(Loop(scan).title, lines_of(scan), len(path) - 1, values, _total(values))

    def in_call(self, values: Mapping[Atom, int]) -> list[StoredLoop]:
        """The rows with numbers for formulas, as far as the sizes of a call tell them."""
        loops = self.loops
        known = self.sizes.numbers_of_call(values)
        return [
            replace(
                loop,
                values=tuple(replace(x, bytes=in_numbers(x.bytes, known)) for x in loop.values),
                bytes=in_numbers(loop.bytes, known),
            )
            for loop in loops
        ]

    def bytes_for(self, sizes: Mapping[str, int]) -> int:
        """The total for sizes by name; a loop that is in one of no steps stores nothing."""
        loops, steps_around = self.loops, self._steps_around
        used = self.sizes.asked_for(each.bytes for each in loops)
        _check("stored_bytes", sizes, {*self.sizes.names, *used}, used)
        values = self.sizes.numbers(sizes)
        total = 0
        for each, around in zip(loops, steps_around, strict=True):
            number = in_numbers(each.bytes, values)
            if isinstance(number, int) and all(in_numbers(x, values) != 0 for x in around):
                total += number
        return total

    def taken_for(self, sizes: Mapping[str, int]) -> int | None:
        """The bytes of a call's buffers and results for sizes by name; None where the backend does
        not say."""
        buffers = self._graphs.buffers
        if buffers is None:
            return None
        results = [v.type for v in self._graphs.rewritten.outputs]
        taken = [*buffers, *(product(x.shape) * x.dtype.itemsize for x in results)]
        words = [self.sizes.in_words(size) for size in taken]
        names = set(self.sizes.names)
        told = [size for size in words if self.sizes.asked_for([size]) <= names]
        _check("call_bytes", sizes, names, self.sizes.asked_for(told))
        values = self.sizes.numbers(sizes)
        numbers = (in_numbers(size, values) for size in told)
        return sum(max(number, 0) for number in numbers if isinstance(number, int))


def _check(method: str, sizes: Mapping[str, int], known: set[str], used: set[str]) -> None:
    """Refuse sizes that are none, and too few for formulas of those that are used."""
    count = sorted(used)
    remedy = f"The sizes that count are: {', '.join(count) or 'none'}."
    for name, value in sizes.items():
        if name not in known:
            raise SymgraphTypeError.here(f"{method}: {name!r} is no size", remedy=remedy)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise SymgraphTypeError.here(f"{method}: {name} is a number, not {value!r}")
        if value < 0:
            raise SymgraphValueError.here(f"{method}: {name} is at least 0, not {value}")
    if missing := [name for name in count if name not in sizes]:
        raise SymgraphTypeError.here(
            f"{method} takes the size{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            remedy=f"Write {method}({', '.join(f'{name}=…' for name in count)}).",
        )
