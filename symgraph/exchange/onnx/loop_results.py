"""What is read of a loop's results, and where a node of ONNX has that.

A state's result is its initial rows and then its values over time. Most who read it read the values
over time, the last one, or the values from the last one to the first; a node gives each of these as
it is. What reads a result otherwise gets it put together.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.graph import Graph
from ...core.variable import Variable, item
from ...ops.slices import SLICE, At, Entry, Span
from ...scan.op import Loop, is_scan
from .write_slices import sliced
from .writer import Part, Value, Writer

__all__ = ["LoopResult"]

_LAST = At(-1)


class LoopResult:
    """One result of a loop: what is read of it, and the values that the node has of that."""

    last: Value
    """The last row of a state."""
    trace: Value
    """The values over time, where they are read."""

    def __init__(self, loop: Loop, number: int, program: Graph) -> None:
        value, self.depth = loop.results[number]
        self.item = item(loop.node, number)
        self.type = value.type
        """The type of a row."""
        self.initial = loop.states[number].initial if self.depth else None
        self.may_be_empty = True
        """Whether what is read makes sense after no step."""
        self.is_last_read = self.depth > 0
        """Whether the last row is read."""
        self.is_over_time = True
        """Whether more is read than the last row."""
        self.is_reversed = False
        """Whether the trace is from the last step to the first."""
        self._of_trace: list[Variable] = []
        self._look_at_readers(program, may_turn=not loop.layout.until)

    def _look_at_readers(self, program: Graph, *, may_turn: bool) -> None:
        if self.item in program.outputs or self.item.inputs[0] not in program.users:
            return
        users = [user for user, _ in program.users.get(self.item, ())]
        last = [user for user in users if self.depth and _is_last(user, self.item)]
        self._of_trace = [user for user in users if self._is_read_for_last(user, program)]
        others = [user for user in users if user not in last and user not in self._of_trace]
        self.may_be_empty = bool(last or others)
        self.is_last_read = bool(last or self._of_trace)
        self.is_over_time = bool(others)
        self.is_reversed = (
            may_turn and bool(others) and all(self._is_backwards(user, program) for user in others)
        )

    def _is_read_for_last(self, user: Variable, program: Graph) -> bool:
        """Whether it is a state's values over time, of which just the last one is read."""
        readers = [reader for reader, _ in program.users[user]]
        return (
            self.depth > 0
            and _entries(user) == [Span(self.depth, None, 1)]
            and bool(readers)
            and user not in program.outputs
            and all(_is_last(reader, user) for reader in readers)
        )

    def _is_backwards(self, user: Variable, program: Graph) -> bool:
        """Whether it is the values over time from the last to the first, and not for loops, which
        read backwards themselves."""
        is_for_loops = any(is_scan(reader) for reader, _ in program.users[user])
        return _entries(user) == [self._backwards] and not is_for_loops

    @property
    def _backwards(self) -> Span:
        """The entry that gives the values over time from the last to the first."""
        return Span(self.depth, None, -1)

    def define(self, w: Writer) -> None:
        """Let those who read the result find what they read, once the node is there."""
        w.define_parts(self.item, self._part, lambda: self._whole(w))
        for v in self._of_trace:
            w.define_parts(v, lambda entries: (self.last, entries[1:]), lambda: self.trace)

    def _whole(self, w: Writer) -> Value:
        trace = self.trace
        if self.is_reversed:
            turned = [Span(0, None, -1), *[None] * self.type.ndim]
            trace = sliced(w, trace, turned, [])
        if self.initial is None:
            return trace
        return w.emit("Concat", w.value(self.initial), trace, axis=0)

    def _part(self, entries: Sequence[Entry]) -> Part | None:
        """A value, and the entries by which it gives what these entries give of the result; None
        where that takes the whole."""
        first, *others = entries
        if self.depth and first == _LAST:
            return self.last, others
        if self.is_reversed:
            return (self.trace, [None, *others]) if first == self._backwards else None
        if not self.depth or (moved := self._moved(first)) is None:
            return None
        return self.trace, [None if moved == Span(0, None, 1) else moved, *others]

    def _moved(self, entry: Entry) -> Entry:
        """The entry on what follows the initial rows; None where it reads these too."""
        depth = self.depth
        if isinstance(entry, At):
            index = entry.index
            return At(index - depth) if isinstance(index, int) and index >= depth else None
        if not isinstance(entry, Span) or not isinstance(entry.start, int):
            return None
        stop = entry.stop
        if entry.start < depth or not (stop is None or isinstance(stop, int)):
            return None
        return Span(
            entry.start - depth, stop - depth if stop is not None and stop > 0 else stop, entry.step
        )


def _entries(v: Variable) -> list[Entry]:
    """By which entries a variable is a slice: those that are not all of an axis."""
    if v.op is not SLICE or len(v.inputs) > 1:
        return []
    first, *others = v.params[0]
    return [first, *(entry for entry in others if entry is not None)]


def _is_last(user: Variable, read: Variable) -> bool:
    """Whether the user reads the last row of something, or part of that, alone."""
    return user.op is SLICE and user.inputs == (read,) and user.params[0][0] == _LAST
