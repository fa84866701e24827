"""Loops as loops: ``for t in range(n)``, one call of the step's function, what is kept over time.

A state of which only the last value is read is one variable. What is read over time is stored row
by row in an array, or, where sizes or the number of steps are known at the end alone, in a list.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.variable import ITEM, Variable
from ...ops.slices import SLICE, At, Span
from ...scan.op import Loop
from ...scan.source_names import states_in_source
from .expression import Expression, subscript, tuple_of
from .function import FunctionWriter
from .identifiers import as_identifier
from .layouts import laid_out_otherwise
from .live import counts_steps, row_of
from .surroundings import InnerFunction
from .words import word_for

__all__ = ["LoopWriter"]


# What stands for a sequence of the numbers of the steps.
_NUMBERS = Expression("", is_number=True)


@dataclass
class Kept:
    """A result of the loop: a state or a plain output, and what of it is read."""

    value: Variable
    depth: int
    """How many rows stand before the first step's; 0 for a plain output."""
    wants_rows: bool = False
    wants_initial: bool = False
    """Whether the rows before the first step are read with the others."""
    name: str = ""
    """What its value is called in the loop; empty where it has no name of its own."""
    over_time: str = ""
    """What its values over time are called."""
    is_list: bool = False

    @property
    def offset(self) -> int:
        """Where the first step's row is in what is kept."""
        return self.depth if self.wants_initial else 0


class LoopWriter:
    """Writes one loop into a function, and knows what its results are afterwards."""

    def __init__(self, writer: FunctionWriter, scan: Variable) -> None:
        self._w = writer
        self._loop = Loop(scan)
        self._items = {v.params[0]: v for v in writer.readers(scan) if v.op is ITEM}
        # The backend reads states from where it stores them, row after row.
        self._otherwise: set[Variable] = set()
        if writer.program.target.rounds_by_layout:
            self._otherwise = laid_out_otherwise(self._loop.body, ())
        self._kept = [Kept(r.value, r.depth) for r in self._loop.results]
        for index, item in self._items.items():
            self._look_at_reads(self._kept[index], item)
        # A step reads what is further back than one step where all rows are.
        for kept, state in zip(self._kept, self._loop.states, strict=False):
            if set(state.taps) != {-1}:
                kept.wants_rows = kept.wants_initial = True

    def _look_at_reads(self, kept: Kept, item: Variable) -> None:
        if item in self._w.graph.outputs:
            kept.wants_rows = kept.wants_initial = True
        for user in self._w.readers(item):
            if user.op is not SLICE:
                kept.wants_rows = kept.wants_initial = True
            elif not (kept.depth and _is_last(user)):
                kept.wants_rows = True
                kept.wants_initial |= bool(kept.depth) and not _is_after(user, kept.depth)

    # --- the loop -------------------------------------------------------------------------------

    def write(self) -> None:
        """Write the loop."""
        w = self._w
        self._name_results()
        operands = [
            _NUMBERS if counts_steps(read.sequence) else w.named(read.sequence)
            for read in self._loop.reads
        ]
        fixed = [w.named(x) for x in self._loop.fixed.values()]
        n_steps = w.counted(self._loop.n_steps)
        step = self._step(operands, fixed)
        self._begin(n_steps)
        t = w.counter()
        w.say(f"for {t} in range({n_steps.text}):")
        w.depth += 1
        self._call(step, self._arguments(t, operands, fixed))
        self._store(t)
        w.depth -= 1
        self._end()

    def _name_results(self) -> None:
        """Names for states, and for outputs that are not stored where they are made."""
        w, names = self._w, self._w.program.names
        n_states = len(self._loop.states)
        in_source = states_in_source(self._loop)
        called_so = [
            called or (f"state_{i}" if n_states > 1 else "state")
            for i, called in enumerate(in_source)
        ]
        for i, kept in enumerate(self._kept):
            word = (
                "output" if kept.value in self._loop.body.inputs else word_for(kept.value.op.name)
            )
            usual = called_so[i] if i < n_states else word
            called = names.get(kept.value) or usual
            if i < n_states and set(self._loop.states[i].taps) == {-1}:
                kept.name = w.unique(called)
            if kept.wants_rows:
                item = self._items.get(i)
                over_time = self._name_over_time(item)
                plural = called if called.endswith("s") else f"{called}s"
                kept.over_time = w.unique(plural if over_time in (None, called) else over_time)

    def _name_over_time(self, item: Variable | None) -> str | None:
        """What the user calls the values over time, where that is one thing."""
        if item is None:
            return None
        w = self._w
        users = w.readers(item)
        wanted = w.program.names.get(item) or (w.program.names.get(users[0]) if users else None)
        return wanted if len(users) <= 1 else None

    def _step(self, operands: list[Expression], fixed: list[Expression]) -> InnerFunction:
        """The function of the body, whose parameters are called as what they are given here."""
        names: list[str] = []
        for read, x in zip(self._loop.reads, operands, strict=True):
            base = "t" if x is _NUMBERS else f"{as_identifier(x.text)}_t"
            names.append(base + (f"_{read.offset}" if read.offset else ""))
        for kept, state in zip(self._kept, self._loop.states, strict=False):
            base = kept.name or kept.over_time.removesuffix("s")
            names += [base if tap == -1 else f"{base}_{-tap}" for tap in state.taps]
        names += [x.text if x.is_name else "value" for x in fixed]
        is_number = [counts_steps(read.sequence) for read in self._loop.reads]
        is_number += [False] * (len(names) - len(is_number) - len(fixed))
        is_number += [x.is_number for x in fixed]
        return self._w.program.inner_function(self._loop.body, names, tuple(is_number))

    def _begin(self, n_steps: Expression) -> None:
        """What is there before the first step."""
        w = self._w
        starts: dict[str, list[str]] = {}
        for kept, state in zip(self._kept, self._loop.states, strict=False):
            if kept.name:
                row = row_of(state.initial)
                text = subscript(w.use(state.initial), "0") if row is None else w.row(row)
                starts.setdefault(text.text, []).append(kept.name)
        for text, targets in starts.items():
            w.say(f"{' = '.join(targets)} = {text}")
        for i, kept in enumerate(self._kept):
            if kept.wants_rows:
                self._make_room(kept, i, n_steps)

    def _make_room(self, kept: Kept, i: int, n_steps: Expression) -> None:
        """Where values over time are stored, with the rows before the first step."""
        w = self._w
        initial = self._loop.states[i].initial if kept.depth else None
        sizes = self._row_sizes(kept)
        kept.is_list = (
            w.program.target.keeps_lists or self._loop.condition is not None or sizes is None
        )
        if kept.is_list or sizes is None:
            first = ""
            if kept.wants_initial and initial is not None:
                first = kept.name or f"*{w.use(initial).held()}"
            w.say(f"{kept.over_time} = [{first}]")
            return
        n = n_steps
        if kept.offset:
            n = w.plus(n_steps, kept.offset)
        shape = tuple_of([n, *sizes])
        w.say_value(f"{kept.over_time} = ", w.program.target.empty(shape, kept.value.dtype))
        if kept.offset and initial is not None:
            if kept.name:
                w.say(f"{kept.over_time}[0] = {kept.name}")
            else:
                w.say(f"{kept.over_time}[:{kept.depth}] = {w.use(initial).text}")

    def _row_sizes(self, kept: Kept) -> list[Expression] | None:
        """The sizes of a row of what is kept, as far as they are known before the loop."""
        sizes = [self._w.size(size) for size in kept.value.type.shape]
        if None not in sizes:
            return [size for size in sizes if size is not None]
        return [Expression(f"*{kept.name}.shape")] if kept.name and kept.depth else None

    def _arguments(self, t: str, operands: list[Expression], fixed: list[Expression]) -> list[str]:
        arguments: list[str] = []
        for read, x in zip(self._loop.reads, operands, strict=True):
            at = _later(t, read.offset)
            arguments.append(at if counts_steps(read.sequence) else f"{x.text}[{at}]")
        for kept, state in zip(self._kept, self._loop.states, strict=False):
            for tap in state.taps:
                if kept.name:
                    arguments.append(kept.name)
                elif kept.is_list:
                    arguments.append(f"{kept.over_time}[{tap}]")
                else:
                    arguments.append(f"{kept.over_time}[{_later(t, kept.depth + tap)}]")
        return [*arguments, *(x.text for x in fixed)]

    def _call(self, step: InnerFunction, arguments: list[str]) -> None:
        w = self._w
        targets = [kept.name for kept in self._kept]
        t = w.counter()
        for i, kept in enumerate(self._kept):
            if not kept.name and not kept.over_time:
                targets[i] = "_"
            elif not kept.name and not kept.is_list:
                targets[i] = f"{kept.over_time}[{_later(t, kept.offset)}]"
            elif not kept.name:
                targets[i] = kept.name = w.unique(self._w.program.names.get(kept.value) or "row")
        if self._loop.condition is not None:
            targets.append(w.unique("stop"))
        if len(targets) == 1 and self._kept[0].over_time and not self._kept[0].is_list:
            kept = self._kept[0]
            row = f"{kept.over_time}[{_later(t, kept.offset)}]"
            targets = [f"{row} = {kept.name}" if kept.name else row]
            self._stored = {0}
        made = Expression(f"{step.name}({', '.join(arguments)})", items=tuple(arguments))
        self._condition = targets[-1]
        target = f"{', '.join(targets)} = "
        if len(target) + len(step.name) < w.room:
            w.say_value(target, made)
            return
        results = w.unique("results")
        w.say_value(f"{results} = ", made)
        for i, target in enumerate(targets):
            w.say(f"{target} = {results}[{i}]")

    def _store(self, t: str) -> None:
        w = self._w
        stored: set[int] = getattr(self, "_stored", set())
        for i, kept in enumerate(self._kept):
            if not kept.over_time or i in stored:
                continue
            if kept.is_list:
                w.say(f"{kept.over_time}.append({kept.name})")
            elif kept.name:
                w.say(f"{kept.over_time}[{_later(t, kept.offset)}] = {kept.name}")
        for kept in self._kept:
            if kept.depth and kept.name and kept.value in self._otherwise:
                w.say(f"{kept.name} = {w.program.target.in_rows(kept.name)}")
        if self._loop.condition is not None:
            w.say(f"if {self._condition}:")
            w.depth += 1
            w.say("break")
            w.depth -= 1

    def _end(self) -> None:
        """Lists become arrays; from here on results are read."""
        w = self._w
        for i, kept in enumerate(self._kept):
            if kept.is_list:
                w.say_value(f"{kept.over_time} = ", self._stacked(kept))
            item = self._items.get(i)
            if item is not None and kept.over_time:
                w.expressions[item] = Expression(kept.over_time)
        w.loops[self._loop.node] = self
        w.finish(self._loop.node)

    def _stacked(self, kept: Kept) -> Expression:
        w = self._w
        sizes = [w.size(size) or Expression("0") for size in kept.value.type.shape]
        shape = tuple_of(sizes) if sizes else Expression("()")
        w.program.brought("stacked")
        return w.program.target.stacked(kept.over_time, shape, kept.value.dtype)

    # --- results --------------------------------------------------------------------------------

    def read(self, v: Variable) -> Expression:
        """The expression for a slice of a result."""
        item, *symbols = v.inputs
        kept = self._kept[item.params[0]]
        first, *others = v.params[0]
        rest = [self._w.use(symbol) for symbol in symbols]
        part = self._w.program.target.part
        if kept.depth and _is_last(v) and kept.name:
            return part(Expression(kept.name), others, rest)
        if kept.depth and not kept.wants_initial and not _is_last(v):
            first = _moved(first, kept.depth)
        return part(Expression(kept.over_time), [first, *others], rest)


def _is_last(v: Variable) -> bool:
    """Whether a slice of a state's values reads the last one, which is the first if none is new."""
    return v.params[0][0] == At(-1)


def _is_after(v: Variable, depth: int) -> bool:
    """Whether a slice of a state's values reads none of those before the first step."""
    first = v.params[0][0]
    return (
        isinstance(first, Span)
        and isinstance(first.start, int)
        and first.start >= depth
        and (first.stop is None or (isinstance(first.stop, int) and first.stop < 0))
    )


def _moved(entry: Span, depth: int) -> Span | None:
    """The span of what is kept from the first step on."""
    assert isinstance(entry.start, int)
    start = entry.start - depth
    if (start, entry.stop, entry.step) == (0, None, 1):
        return None
    return Span(start, entry.stop, entry.step)


def _later(t: str, offset: int) -> str:
    return f"{t} + {offset}" if offset else t
