"""Why a gradient is what it is: the path by which it flows, or the place where it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core import provenance
from ..core.errors import SymgraphTypeError
from ..core.types import TupleType
from ..core.variable import Variable
from .flow import find_path, is_differentiable, maker, step_inputs
from .rows import buffer_of

__all__ = ["Explanation", "explain_grad"]

# Of a path longer than this only the ends are printed.
_SHOWN = 24


class Explanation:
    """What `explain_grad` found; ``str()`` of it is text for a reader."""

    def __init__(
        self,
        sources: Sequence[Variable],
        w: Variable,
        stop: Iterable[Variable] = (),
    ) -> None:
        self._sources = tuple(sources)
        self._w = w
        self._stop = frozenset(stop)
        found = find_path(self._sources, w, self._stop)
        buffer = buffer_of(w, self._stop) if found is None else None
        if buffer is not None:  # by a state that only later steps read
            found = find_path(self._sources, buffer, self._stop)
        cuts = found.cuts if found is not None else ()
        self.path: list[Variable] = list(found.variables) if found is not None else []
        """The shortest path from the cost (first) to the variable; empty where there is none."""
        self.connected: bool = found is not None and not cuts
        """Whether a cotangent of the cost reaches the variable."""
        self.is_zero: bool = found is not None and found.is_zero
        """Whether the gradient is zero because of functions that are piecewise constant."""
        self.cut: Variable | None = cuts[0] if cuts else None
        """The variable that lets no cotangent through."""
        self.line: str | None = provenance.line_of(maker(w if self.cut is None else self.cut))
        """The user's ``file:line`` of the cut or, where there is none, of the variable."""

    def __str__(self) -> str:
        cost, w = _label(self._sources[0]) if self._sources else "the cost", _label(self._w)
        if not self.path:
            return f"{w} is not part of {cost}: nothing in it is computed from {w}" + _at(self.line)
        if self.connected:
            head = f"{cost} depends on {w}; the shortest path, {len(self.path)} variables:"
            return "\n".join([head, *self._steps()])
        return "\n".join([f"{self.reason}{_at(self.line)}", "the path:", *self._steps()])

    def __repr__(self) -> str:
        state = "connected" if self.connected else "zero" if self.is_zero else "not connected"
        return f"<Explanation: {state}, {len(self.path)} variables>"

    @property
    def reason(self) -> str:
        """One sentence on why there is no gradient; empty where there is one."""
        cut = self.cut
        if self.connected or (cut is None and self.path):
            return ""
        if cut is None:
            return f"{_label(self._w)} is not part of the cost"
        if cut in self._stop:
            return f"the gradient is cut at {_label(cut)}, which was given in stop"
        if cut is self._w:
            return f"{_label(cut)} is not a float: there is no derivative by it"
        name = _title(cut)
        if self.path[self.path.index(cut) + 1] in step_inputs(cut):
            where = name if "step" in maker(cut).op.traits else f"what {name} makes of it"
            return f"the gradient is zero: {where} is piecewise constant"
        if not is_differentiable(cut.type):
            return f"the gradient is cut by {name}: its result {cut.type} is not a float"
        if maker(cut).op.vjp is None:
            return f"the gradient is cut by {name}, which lets none through"
        source = self.path[self.path.index(cut) + 1]
        return f"the gradient is cut by {name}, which has none for its input {_label(source)}"

    def _steps(self) -> list[str]:
        rows = [self._step(v) for v in self.path[: _SHOWN // 2]]
        rest = self.path[_SHOWN // 2 :]
        if len(rest) > _SHOWN // 2:
            rows.append(f"    … {len(rest) - _SHOWN // 2} more")
            rest = rest[-(_SHOWN // 2) :]
        return rows + [self._step(v) for v in rest]

    def _step(self, v: Variable) -> str:
        mark = " ✂ " if v is self.cut else "   "
        line = provenance.line_of(maker(v))
        name = f" '{v.name}'" if v.name else ""
        return f"{mark} {_title(v)}{name} {v.type}" + (f"  at {line}" if line else "")


def explain_grad(cost: Variable, w: Variable, *, stop: Iterable[Variable] = ()) -> Explanation:
    """Why the gradient of ``cost`` by ``w`` is what it is; print it.

    Either the shortest path by which it flows, or the operation, and your line, where it is cut:
    a conversion to integers, a comparison, ``argmax``, `stop_gradient`, a variable in ``stop``, a
    step function; or that ``w`` is no part of the cost.

    >>> x = sg.vector("x")
    >>> sg.explain_grad(sg.floor(x).sum(), x).reason
    'the gradient is zero: floor is piecewise constant'
    """
    for role, v in (("cost", cost), ("w", w)):
        if not isinstance(v, Variable) or isinstance(v.type, TupleType):
            raise SymgraphTypeError.here(f"explain_grad: {role} is a variable; found {v!r}")
    return Explanation([cost], w, tuple(stop))


def _label(v: Variable) -> str:
    return f"'{v.name}'" if v.name else f"the {_title(v)} {v.type}"


def _title(v: Variable) -> str:
    """What the op is called that makes the variable."""
    node = maker(v)
    return node.op.title_of(node.params)


def _at(line: str | None) -> str:
    return f"\n  at {line}" if line else ""
