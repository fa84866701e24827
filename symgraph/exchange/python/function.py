"""One function as it is written: a closed graph as statements, values with names or in place.

What is used once stands where it is used, unless the user gave it a name or it would make a line
too long; what is used more often has a name. Statements come in the order of the graph.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core import provenance
from ...core.dims import PRIMITIVE, Dim, Size, atom_size
from ...core.errors import ExchangeError, explain
from ...core.graph import Graph
from ...core.variable import CONSTANT, ITEM, Variable
from ...ops.composite import is_composite
from ...ops.slices import SLICE, Span
from ...scan.op import is_scan
from .expression import Expression, binary
from .identifiers import as_identifier, numbered
from .layout import INDENT, Statement
from .live import Live
from .surroundings import Surroundings
from .table import Unwritable
from .words import word_for

__all__ = ["FunctionWriter"]

# The longest text of a value that stands in another one, and of what may stand there twice.
_LONGEST_INSIDE, _LONGEST_TWICE = 66, 20
# A text that is shorter than this gains nothing by a name.
_SHORTEST_NAMED = 8
_STATEMENTS = frozenset({"set_slice", "add_slice", "scatter_set"})


class FunctionWriter:
    """Writes the statements of one function."""

    def __init__(
        self, program: Surroundings, graph: Graph, inputs: Mapping[Variable, Expression]
    ) -> None:
        self.program, self.graph = program, graph
        self.statements: list[Statement] = []
        self.depth = 1
        self.expressions: dict[Variable, Expression] = dict(inputs)
        self.loops: dict[Variable, Any] = {}
        """For each result of a loop the writer of the loop."""
        # What has each name; None for what is never to be given up.
        self._holders: dict[str, Variable | None] = dict.fromkeys(program.names_of_functions)
        for v, expression in inputs.items():
            if expression.is_name:
                self._holders[expression.text] = v
        self._sizes: dict[Size, Expression] = {}
        for v, expression in inputs.items():
            if expression.is_name:
                self._know_sizes(v, expression)
        self._live = Live(graph, self._sizes)
        self._written: set[Variable] = set()
        self._counter: str | None = None
        # What the last statement gave names to, which those of the same group may join.
        self._group: tuple[Hashable, list[tuple[str, str]], int] = (None, [], 0)

    # --- what a value is written as -------------------------------------------------------------

    def write(self) -> list[Expression]:
        """The statements for all that the outputs need; the outputs as expressions."""
        for v in self._live.nodes:
            self._write(v)
        return [self.use(v) for v in self.graph.outputs]

    def use(self, v: Variable) -> Expression:
        """The expression for a variable."""
        found = self.expressions.get(v)
        if found is None:
            assert v.op is CONSTANT, f"{v!r} is not written yet"
            found = self.expressions[v] = self.program.constant(v)
        return found

    def named(self, v: Variable) -> Expression:
        """The expression for a variable, which is a name or a number from here on."""
        found = self.use(v)
        if not found.is_number and not found.is_name:
            self.assign(v, found)
        return self.use(v)

    def _write(self, v: Variable) -> None:
        if v in self.expressions or v.op is CONSTANT:
            return
        if is_scan(v):
            self.program.write_loop(self, v)
        elif is_composite(v):
            self.program.write_composite(self, v)
        elif v.op is ITEM:
            if v.inputs[0] not in self.loops:
                raise self._refused(v.inputs[0])
        elif v.op is SLICE and v.inputs[0].op is ITEM and v.inputs[0].inputs[0] in self.loops:
            self._bind(v, self.loops[v.inputs[0].inputs[0]].read(v))
        else:
            try:
                self._bind(v, self._computed(v))
            except Unwritable as error:
                raise self._refused(v, f" {error}") from None

    def _computed(self, v: Variable) -> Expression:
        known = self._known_size(v)
        if known is not None:
            return known
        idiom = self._live.idioms.get(v)
        name, inputs = (v.op.name, v.inputs) if idiom is None else idiom[:2]
        entry = self.program.target.table.get(name)
        if entry is None or not v.op.is_own:
            raise self._refused(v)
        unread = self._live.unread(v)
        room = min(_LONGEST_INSIDE, self.room - 20)
        while True:
            operands = [_NOTHING if x in unread else self.use(x) for x in inputs]
            if name not in _STATEMENTS:
                made = entry(self, v, *operands).computing(v)
                is_named = self._live.n_uses[v] > 1 or v in self.program.names
                longest = self.room - 14 if is_named or idiom is not None else room
                if len(made.text) <= longest or made.is_name:
                    return made
            elif sum(len(x.text) for x in operands) <= room:
                return entry(self, v, *operands).computing(v)
            longest = self._longest(x for x in inputs if x not in unread)
            if longest is None:
                return entry(self, v, *operands).computing(v)
            self.assign(longest, self.use(longest))

    def _longest(self, variables: Iterable[Variable]) -> Variable | None:
        """The one with the longest text, which may have a name instead."""
        named = [x for x in variables if not self.use(x).is_name]
        longest = max(named, key=lambda x: len(self.use(x).text), default=None)
        is_long = longest is not None and len(self.use(longest).text) > _SHORTEST_NAMED
        return longest if is_long else None

    def _bind(self, v: Variable, made: Expression) -> None:
        wanted = self.program.names.get(v)
        n_uses = self._live.n_uses[v]
        self.expressions[v] = made
        if made.is_name:
            return
        if made.is_number:
            if len(made.text) > 2 * _LONGEST_TWICE and n_uses > 1:
                self.assign(v, made)
        elif (
            wanted is not None
            or len(made.text) > min(_LONGEST_INSIDE, self.room - 20)
            or (n_uses > 1 and not self._is_light(v, made))
        ):
            self.assign(v, made)

    def _is_light(self, v: Variable, made: Expression) -> bool:
        """Whether an expression may stand in several places: a view of what has a name."""
        light = v.op.name == "rearrange" and len(made.text) <= _LONGEST_TWICE
        return light and self.use(v.inputs[0]).is_name

    def _refused(self, v: Variable, how: str = "") -> ExchangeError:
        return ExchangeError(
            explain(
                f"{v.op.name}{how} cannot be written for {self.program.target.title}",
                line=provenance.nearest_line(v),
                remedy="An op of one's own is written by its rule `expand`, in terms of others.",
            )
        )

    # --- sizes ----------------------------------------------------------------------------------

    def size(self, size: Size) -> Expression | None:
        """The expression for a size; None where nothing that has a name tells it."""
        if isinstance(size, int):
            return Expression(str(size), is_number=True)
        if size in self._sizes:
            return self._sizes[size]
        total: Expression | None = None
        for monomial, factor in size.terms:
            if factor < 0 and total is None:
                return None
            term = None if abs(factor) == 1 and monomial else Expression(str(abs(factor)))
            for atom in monomial:
                known = self._sizes.get(atom_size(atom)) if atom[0] in PRIMITIVE else None
                if known is None:
                    return None
                term = known if term is None else binary("*", term, known)
            assert term is not None
            total = term if total is None else binary("+" if factor > 0 else "-", total, term)
        return None if total is None else Expression(total.text, total.level, is_number=True)

    def _known_size(self, v: Variable) -> Expression | None:
        if v.op.name != "size":
            return None
        return self._sizes.get(v.inputs[0].type.shape[v.params[0]])

    def _know_sizes(self, v: Variable, name: Expression) -> None:
        for axis, size in enumerate(getattr(v.type, "shape", ())):
            if isinstance(size, Dim) and size not in self._sizes:
                text = f"{name.text}.shape[{axis}]"
                self._sizes[size] = Expression(text, is_number=True)

    # --- statements -----------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How long a statement may be at the present depth."""
        return self.program.width - INDENT * self.depth

    def say(self, text: str, *computed: Variable) -> None:
        """Add a statement."""
        self.statements.append(Statement(self.depth, text))
        self._written.update(computed)

    def say_value(self, target: str, made: Expression) -> None:
        """Add a statement that hands a value to a target; a long call has lines of its own."""
        if not made.items or len(target) + len(made.text) <= self.room:
            self.say(target + made.text)
            return
        opening = made.text[: len(made.text) - len(", ".join(made.items)) - 1]
        self.statements.append(Statement(self.depth, target + opening, made.items, ")"))

    def assign(self, v: Variable, made: Expression, wanted: str | None = None) -> None:
        """Give the variable a name in a statement."""
        wanted = wanted or self.program.names.get(v) or self.program.param_name(v)
        word = "count" if made.is_number else self._word(v)
        if wanted is None or len(wanted) + len(" = ") + len(made.text) > self.room:
            wanted = word
        name = self.unique(wanted, v, made.nodes)
        group = self.program.group(v)
        if group is None or not self._joined(group, name, made.text):
            self.say_value(f"{name} = ", made)
            self._group = (group, [(name, made.text)], len(self.statements))
        self._written.update(made.nodes, (v,))
        self.expressions[v] = Expression(name, is_number=made.is_number)

    def _joined(self, group: Hashable, name: str, text: str) -> bool:
        """Whether the statement before could be made one that gives this name, too."""
        last, pairs, end = self._group
        if group != last or end != len(self.statements) or self.statements[-1].items is not None:
            return False
        if any(re.search(rf"\b{earlier}\b", text) for earlier, _ in pairs):
            return False
        names, texts = zip(*pairs, (name, text), strict=True)
        joined = Statement(self.depth, f"{', '.join(names)} = {', '.join(texts)}")
        if len(joined.flat) > self.program.width:
            return False
        self.statements[-1] = joined
        pairs.append((name, text))
        return True

    def _word(self, v: Variable) -> str:
        if v.op is SLICE and all(entry in (None, Span(0, None, -1)) for entry in v.params[0]):
            base = self.use(v.inputs[0]).text
            return f"{base}_reversed" if base.isidentifier() else "backwards"
        idiom = self._live.idioms.get(v)
        return word_for(v.op.name if idiom is None else idiom.name)

    def assigned(self, v: Variable, first: Expression, *changes: tuple[Expression, str]) -> Any:
        """A name for a copy of an array of which a part is changed after it is made."""
        (part, sign), (values, _) = changes
        wanted = self.program.names.get(v) or self._word(v)
        name = self.unique(wanted, v, frozenset())
        copied = first if self.is_fresh(first) else self.program.target.copied(first)
        self.say(f"{name} = {copied.text}")
        self.say(f"{part.text.replace('{}', name)} {sign} {values.text}")
        self._written.update(first.nodes, values.nodes, part.nodes, (v,))
        return Expression(name)

    def is_fresh(self, x: Expression) -> bool:
        """Whether an expression makes an array that nothing else has."""
        return x.text.startswith(("np.zeros(", "np.ones(", "np.full(", "torch.zeros("))

    # --- names ----------------------------------------------------------------------------------

    def unique(self, wanted: str, v: Variable | None = None, nodes: Iterable[Variable] = ()) -> str:
        """A name that nothing has which is needed later; for ``v``, or for ever."""
        name = as_identifier(wanted)
        if name in self._holders:
            holder = self._holders[name]
            is_users = v is not None and self.program.names.get(v) == wanted
            if not is_users or holder is None or not self._is_done(holder, set(nodes)):
                name = numbered(name, self._holders)
        self._holders[name] = v
        return name

    def _is_done(self, v: Variable, now: set[Variable]) -> bool:
        """Whether nothing that is still to be written reads the variable."""
        if v in self.graph.outputs or any(
            e.text.startswith(self.expressions[v].text + ".") for e in self._sizes.values()
        ):
            return False
        stack = [*self._live.readers.get(v, ())]
        while stack:
            user = stack.pop()
            if user in now:
                continue
            if self._stands_twice(user):
                if user in self.graph.outputs:
                    return False
                stack += self._live.readers.get(user, ())
            elif user not in self._written:
                return False
        return True

    def _stands_twice(self, v: Variable) -> bool:
        """Whether a variable is written in place wherever it is read."""
        text = self.expressions.get(v, _NOTHING).text
        return self._live.n_uses[v] > 1 and not text.isidentifier()

    # --- what loops ask for ---------------------------------------------------------------------

    @property
    def live_uses(self) -> Mapping[Variable, int]:
        """How often each variable that is written is used."""
        return self._live.n_uses

    def readers(self, v: Variable) -> Sequence[Variable]:
        """What is written of a variable."""
        return self._live.readers.get(v, ())

    def row(self, v: Variable) -> Expression:
        """The expression for a variable that need not be in the graph."""
        known = v in self.expressions or v.op is CONSTANT
        return self.strong(self.use(v) if known else self._computed(v), v.dtype)

    def counted(self, v: Variable) -> Expression:
        """The expression for a number, which is a short one from here on."""
        found = self.use(v)
        if not found.is_number or len(found.text) > 2 * _LONGEST_TWICE:
            self.assign(v, found)
        return self.use(v)

    def plus(self, x: Expression, number: int) -> Expression:
        """``x + number``, of Python ints."""
        if x.text.isdigit():
            return Expression(str(int(x.text) + number), is_number=True)
        return binary("+", x, Expression(str(number), is_number=True))

    def counter(self) -> str:
        """The name of the number of a loop's step; loops of one function may share it."""
        if self._counter is None:
            self._counter = self.unique("t")
        return self._counter

    def finish(self, *variables: Variable) -> None:
        """Let variables be written."""
        self._written.update(variables)

    def bind(self, v: Variable, made: Expression) -> None:
        """Let the expression be the variable's, under a name where it needs one."""
        self._bind(v, made)

    # --- what entries ask for -------------------------------------------------------------------

    def brought(self, name: str) -> str:
        """The name of a function that is copied into the program."""
        return self.program.brought(name)

    def listed(self, parts: Sequence[Expression]) -> Expression:
        """``[a, b]``; the name of that list where it is a long one."""
        made = Expression(f"[{', '.join(part.text for part in parts)}]")
        made = made.computing(*(v for part in parts for v in part.nodes))
        if len(made.text) <= self.room - 30:
            return made
        name = self.unique("parts")
        items = tuple(part.text for part in parts)
        self.statements.append(Statement(self.depth, f"{name} = [", items, "]", is_literal=True))
        self._written.update(made.nodes)
        return Expression(name)

    def strong(self, x: Expression, dtype: np.dtype) -> Expression:
        """The expression as a value of the dtype, where it is a Python number."""
        return self.program.target.strong(x, dtype) if x.is_number else x


_NOTHING = Expression("")
