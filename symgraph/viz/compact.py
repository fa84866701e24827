"""What a picture leaves out, or draws as a part of something else, so that it stays legible."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.types import TupleType, is_integer
from ..core.variable import ITEM, PARAMETER, Variable, constant_value
from ..ops.promotion import CAST
from ..ops.sizes import SIZE, size_of
from ..scan.op import Loop, is_scan
from .labels import constant_text, is_scalar_constant

__all__ = ["Compact"]

_ROWS = 12  # the most ops that one box holds
_FAN_IN = 6  # as many leaves, used once, by one op are one box


class Compact:
    """How the variables of one graph are drawn together."""

    def __init__(self, order: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        self._outputs = set(outputs)
        self.inline: dict[Variable, str] = self._find_inline(order)
        """Numbers and sizes, which are written into the ops that use them."""
        self.shown = self._find_shown(order)
        """The variables that are drawn, operands first."""
        self._users = self._count_users()
        self.chains: dict[Variable, list[Variable]] = self._find_chains()
        """For each variable that may share a box all those in it, in order."""
        self.bundles: dict[Variable, list[Variable]] = self._find_bundles()
        """For leaves that are drawn as one box, all that are in it."""

    def _find_inline(self, order: Sequence[Variable]) -> dict[Variable, str]:
        inline: dict[Variable, str] = {}
        sizes: set[Variable] = set()
        for v in order:
            is_size = v.op is SIZE or (bool(v.inputs) and sizes.issuperset(v.inputs))
            if is_scalar_constant(v):
                value = constant_value(v)
                assert value is not None
                inline[v] = constant_text(value)
            elif is_size and _is_integer_scalar(v):
                inline[v] = str(size_of(v))
            elif v.op is CAST and v.inputs[0] in sizes:
                inline[v] = inline[v.inputs[0]]
            else:
                continue
            if _is_integer_scalar(v):
                sizes.add(v)
        return {v: text for v, text in inline.items() if v not in self._outputs}

    def _find_shown(self, order: Sequence[Variable]) -> list[Variable]:
        """Without what only inlined variables use."""
        needed = set(self._outputs)
        for v in reversed(order):
            if v in needed and v not in self.inline:
                needed.update(_operands(v))
        named = (v for v in order if v in needed or "leaf" in v.op.traits)
        return [v for v in named if v not in self.inline and v.op is not ITEM]

    def _count_users(self) -> dict[Variable, list[Variable]]:
        users: dict[Variable, list[Variable]] = {v: [] for v in self.shown}
        for v in self.shown:
            for x in v.inputs:
                if x in users:
                    users[x].append(v)
        return users

    def _find_chains(self) -> dict[Variable, list[Variable]]:
        chains: dict[Variable, list[Variable]] = {}
        for v in self.shown:
            if v.op.kind in ("elementwise", "movement"):
                chain = next((chains[x] for x in v.inputs if self._shares_box(chains, x, v)), [])
                chain.append(v)
                chains[v] = chain
        return chains

    def _shares_box(self, chains: dict[Variable, list[Variable]], x: Variable, v: Variable) -> bool:
        """Whether ``v`` is a row below its operand ``x``: one more step of the same kind."""
        if x not in chains or len(self._users[x]) > 1 or x in self._outputs:
            return False
        if len(chains[x]) == _ROWS or x.op.kind != v.op.kind:
            return False
        if v.op.kind == "elementwise":
            return x.type is v.type
        return all(other is x or other in self.inline for other in v.inputs)

    def _find_bundles(self) -> dict[Variable, list[Variable]]:
        bundles: dict[Variable, list[Variable]] = {}
        for v in self.shown:
            if isinstance(v.type, TupleType):
                continue
            leaves = [
                x
                for x in dict.fromkeys(v.inputs)
                if "leaf" in x.op.traits
                and x.op is not PARAMETER
                and x not in self.inline
                and self._users[x] == [v]
                and x not in self._outputs
            ]
            if len(leaves) >= _FAN_IN:
                bundles.update((x, leaves) for x in leaves)
        return bundles


def _is_integer_scalar(v: Variable) -> bool:
    return not isinstance(v.type, TupleType) and v.ndim == 0 and is_integer(v.dtype)


def _operands(v: Variable) -> Sequence[Variable]:
    """What is drawn of a node's inputs: of a loop not the vector as long as checkpoints are apart,
    which has no edge, since the title says how long it is."""
    if not is_scan(v):
        return v.inputs
    loop = Loop(v)
    return [loop.n_steps, *loop.operands]
