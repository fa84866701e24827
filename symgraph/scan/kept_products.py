"""Products of rows of sequences with fixed matrices that stay in loops, and what keeps them there.

The rewrites, or the backend, take ``x_t @ W`` out where ``x_t`` is a row as it is read, is read at
an index, or is computed of such rows. It stays where they are ``joined`` to what the step before
gives, or where such a value is put into an operand (``inserted``) as a factor, a summand or a
choice, though it is one and the same all along the axis that the product adds up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from ..core import provenance
from ..core.dims import Size, product
from ..core.graph import Graph
from ..core.variable import Variable, ancestors
from ..ops.broadcast import REARRANGE, seen_through
from ..ops.gather import GATHER
from ..ops.join import CONCATENATE
from ..ops.linalg import MATMUL
from ..ops.sizes import CHECK_SIZE
from ..ops.slices import SLICE
from .insertions import Insertions
from .late import find_late
from .op import Loop
from .written import loops_written, path_to, steps_in_all

__all__ = ["KeptProduct", "find_kept_products"]

Kind: TypeAlias = Literal["computed", "indexed", "joined", "inserted"]

# Of the work of a step's products so large a part is worth a change: one in so many.
_LEAST_PART = 4


class KeptProduct(NamedTuple):
    """A product in a loop, and what keeps it there."""

    path: tuple[Variable, ...]
    """The loop, after those that it is in."""
    product: Variable
    kind: Kind
    dependencies: tuple[Variable, ...]
    """What keeps it."""
    rows: tuple[Variable, ...] = ()
    """What would leave with it, where it is joined or indexed."""
    roles: tuple[str, ...] = ()
    """What the dependencies are, where they are inserted: factors, summands, conditions."""
    formulas: tuple[str, ...] = ()
    """What to write, for each way in which something is inserted."""
    has_columns: bool = False
    """Whether a column stays to be multiplied in each step."""
    n_rows: Size = 0
    """How many rows a table has that is read at an index."""


def find_kept_products(graph: Graph) -> Iterator[KeptProduct]:
    """The products that users wrote so that they stay in loops."""
    for _, scan in loops_written(graph):
        loop = Loop(scan)
        if loop.states:
            judge = _Judge(loop, path_to(scan, graph))
            for v in loop.body.nodes:
                found = judge.of(v) if v.op is MATMUL and _is_users(v) else None
                if found is not None:
                    yield found


def _is_users(v: Variable) -> bool:
    """Whether the user wrote the operation, and not one of symgraph_nn's layers."""
    lines = provenance.lines_of(v)
    return bool(lines) and provenance.written_at(v)[0] == lines[0]


class _Judge:
    """What is known of one loop's products."""

    def __init__(self, loop: Loop, path: tuple[Variable, ...]) -> None:
        self.loop, self.path = loop, path
        states = [symbol for state in loop.states for symbol in state.taps.values()]
        outputs = loop.body.outputs
        self.changing = frozenset(loop.changing)
        self.varying = find_late(outputs, [*self.changing]) | self.changing
        """What changes from step to step."""
        self.late = find_late(outputs, states).union(states)
        """What depends on the step before."""

    def of(self, v: Variable) -> KeptProduct | None:
        """What keeps a product; None where it has to stay, or its leaving would gain little."""
        left, right = v.inputs
        if left in self.varying and right not in self.varying:
            return self._of_left(v, _seen(left))
        if right in self.late and left not in self.late:
            return self._inserted(v, -2)
        return None

    def _of_left(self, v: Variable, left: Variable) -> KeptProduct | None:
        if left.op in (SLICE, GATHER) and left.inputs[0] not in self.varying:
            return self._indexed(v, left)
        if not left.inputs or "view" in left.op.traits:
            return None  # rows as they are read, or some of many
        if left.op is CONCATENATE:
            return self._joined(v, left)
        if left in self.late:
            return self._inserted(v, -1)
        return self._computed(v, left, left.type.shape[-1])

    def _computed(self, v: Variable, left: Variable, columns: Size) -> KeptProduct | None:
        """A product of single rows; those of several cost in a loop what they do before it."""
        if v.type.shape[-2] != 1 or not self._is_worth_it(v, columns):
            return None
        return KeptProduct(self.path, v, "computed", (left,))

    def _indexed(self, v: Variable, left: Variable) -> KeptProduct | None:
        """Rows at an index that is a row of a sequence, or that states of whole numbers count, of a
        table that may have fewer than are read."""
        read = [x for x in ancestors(left.inputs[1:]) if x in self.changing]
        if not all(x.dtype.kind in "iu" for x in read):
            return None
        table = self.loop.fixed.get(left.inputs[0], left.inputs[0])
        n_rows = product(table.type.shape[:-1])
        more = steps_in_all(self.path) * product(left.type.shape[:-1]) - n_rows
        if not isinstance(n_rows, int) or (isinstance(more, int) and more <= 0):
            return None
        if not self._is_worth_it(v, left.type.shape[-1]):
            return None
        rows = left.inputs[:1]
        return KeptProduct(self.path, v, "indexed", tuple(read), rows, n_rows=n_rows)

    def _joined(self, v: Variable, left: Variable) -> KeptProduct | None:
        if left.params[0] not in (-1, left.ndim - 1):
            return None
        theirs = [x for x in left.inputs if x in self.late]
        ours = [x for x in left.inputs if x in self.varying and x not in self.late]
        columns: Size = 0
        for x in ours:
            columns = columns + x.type.shape[-1]
        if not ours or not self._is_worth_it(v, columns):
            return None
        if not theirs:
            return self._computed(v, left, columns)
        return KeptProduct(self.path, v, "joined", tuple(theirs), tuple(ours))

    def _inserted(self, v: Variable, axis: int) -> KeptProduct | None:
        """What an operand has of the step before, if it could be put into the product instead:
        the left one, of which the last axis is added up, or the right one."""
        operand, other = v.inputs if axis == -1 else reversed(v.inputs)
        has_rows, width = other in self.varying, operand.type.shape[axis]
        put = Insertions(self.late, axis, may_add_columns=has_rows and v.type.shape[-1] != 1)
        if width == 1 or not put.find(operand) or not self._is_worth_it(v, width):
            return None
        if not has_rows and self.varying.isdisjoint(put.early):
            return None
        roles, values = zip(*((role, _seen(x)) for role, x in put.values), strict=True)
        return KeptProduct(
            self.path,
            v,
            "inserted",
            values,
            roles=roles,
            formulas=put.formulas,
            has_columns=put.has_columns,
        )

    def _is_worth_it(self, v: Variable, columns: Size) -> bool:
        """Whether the product of so many columns is a good part of the step's products; taken to
        be so where sizes are not numbers."""
        work, total = columns * v.type.shape[-1], 0
        for other in self.loop.body.nodes:
            if other.op is MATMUL:
                total = total + other.inputs[0].type.shape[-1] * other.type.shape[-1]
        if not isinstance(work, int) or not isinstance(total, int):
            return True
        return _LEAST_PART * work >= total


def _seen(v: Variable) -> Variable:
    """What is moved or checked alone, as it was before."""
    return seen_through(v, REARRANGE, CHECK_SIZE)
