"""Products of rows of sequences with fixed matrices that stay in loops, and what keeps them there.

The rewrites, or the backend, take ``x_t @ W`` out where ``x_t`` is a row as it is read. It stays
where its operands are made in the step: of rows alone (``computed``), read at an index
(``indexed``), of rows joined to what the step before gives (``joined``), or where such a value
scales one of them (``scaled``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..core import provenance
from ..core.dims import Size
from ..core.graph import Graph
from ..core.variable import Variable, ancestors
from ..ops.broadcast import BROADCAST_TO, REARRANGE
from ..ops.elementwise import DIVIDE, MULTIPLY, SCALE, UNSCALE
from ..ops.gather import GATHER
from ..ops.join import CONCATENATE
from ..ops.linalg import MATMUL
from ..ops.sizes import CHECK_SIZE
from ..ops.slices import SLICE
from .close import find_varying
from .op import Loop
from .paths import symbol_labels
from .written import loops_written

__all__ = ["KeptProduct", "find_kept_products"]

_SCALING = (MULTIPLY, SCALE, DIVIDE, UNSCALE)
# Of the work of a step's products so large a part is worth a change: one in so many.
_LEAST_PART = 4


class KeptProduct(NamedTuple):
    """A product in a loop, and what keeps it there."""

    scan: Variable
    product: Variable
    kind: str
    """``"computed"``, ``"indexed"``, ``"joined"`` or ``"scaled"``."""
    dependencies: tuple[str, ...]
    """What keeps it, by name."""
    rows: tuple[str, ...]
    """What would leave with it, by name, where it is joined or indexed."""


def find_kept_products(graph: Graph) -> Iterator[KeptProduct]:
    """The products that users wrote so that they stay in loops."""
    for _, scan in loops_written(graph):
        loop = Loop(scan)
        if loop.states:
            judge = _Judge(loop)
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

    def __init__(self, loop: Loop) -> None:
        self.loop, self.labels = loop, symbol_labels(loop)
        states = [symbol for state in loop.states for symbol in state.taps.values()]
        self.varying = find_varying(loop.body.outputs, loop.changing)
        """What changes from step to step."""
        self.changing = frozenset(loop.changing)
        self.late = find_varying(loop.body.outputs, states)
        """What depends on the step before."""

    def of(self, v: Variable) -> KeptProduct | None:
        """What keeps a product; None where it has to stay, or its leaving would gain little."""
        left, right = v.inputs
        if left in self.varying and right not in self.varying:
            return self._of_left(v, _seen(left))
        if left in self.varying and left not in self.late and right in self.late:
            return self._scaled(v, right, contracted=-2)
        return None

    def _of_left(self, v: Variable, left: Variable) -> KeptProduct | None:
        if left.op in (SLICE, GATHER) and left.inputs[0] not in self.varying:
            return self._indexed(v, left)
        if not left.inputs or "view" in left.op.traits:
            return None  # rows as they are read, or some of many
        if left.op is CONCATENATE:
            return self._joined(v, left)
        if left in self.late:
            return self._scaled(v, left, contracted=-1)
        if not self._is_worth_it(v, left.type.shape[-1]):
            return None
        return KeptProduct(self.loop.node, v, "computed", (self._word(left),), ())

    def _indexed(self, v: Variable, left: Variable) -> KeptProduct | None:
        """Rows at an index that is a row of a sequence, or that states of whole numbers count."""
        read = [x for x in ancestors(left.inputs[1:]) if x in self.changing]
        if not all(x.dtype.kind in "iu" for x in read):
            return None
        if not self._is_worth_it(v, left.type.shape[-1]):
            return None
        words = tuple(self.labels[x] for x in read)
        rows = (self.labels.get(left.inputs[0]) or self._word(left.inputs[0]),)
        return KeptProduct(self.loop.node, v, "indexed", words, rows)

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
            return KeptProduct(self.loop.node, v, "computed", (self._word(left),), ())
        words = [tuple(map(self._word, xs)) for xs in (theirs, ours)]
        return KeptProduct(self.loop.node, v, "joined", *words)

    def _scaled(self, v: Variable, operand: Variable, contracted: int) -> KeptProduct | None:
        """Whether all that an operand has of the step before is a factor that does not vary along
        the axis that the product adds up."""
        factor = _seen(operand)
        if factor.op not in _SCALING or operand.type.shape[contracted] == 1:
            return None
        first, second = factor.inputs
        pairs = [(first, second)]
        if factor.op in (MULTIPLY, SCALE):
            pairs.append((second, first))
        for matrix, scale in pairs:
            is_ours = matrix not in self.late and (contracted == -2 or matrix in self.varying)
            if is_ours and scale in self.late and _is_one_along(scale, contracted):
                if not self._is_worth_it(v, operand.type.shape[contracted]):
                    return None
                return KeptProduct(self.loop.node, v, "scaled", (self._word(_seen(scale)),), ())
        return None

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

    def _word(self, x: Variable) -> str:
        label = self.labels.get(x) or provenance.name_of(x)
        if label:
            return label
        read = [self.labels[v] for v in ancestors([x]) if v in self.changing]
        return f"{x.op.title_of(x.params)} of {', '.join(read)}"


def _seen(v: Variable) -> Variable:
    """What is moved or checked alone, as it was before."""
    while v.op in (REARRANGE, CHECK_SIZE):
        v = v.inputs[0]
    return v


def _is_one_along(v: Variable, axis: int) -> bool:
    """Whether all along an axis, counted from the end, there is one value."""
    if v.op is BROADCAST_TO:
        v = v.inputs[0]
    return v.ndim < -axis or v.type.shape[axis] == 1
