"""Effects in the steps of loops: what a step calls happens in each step, whatever it depends on.

Whether a value belongs to a loop is told by what it is made of. An effect that depends on nothing
of the step is made to depend on the number of the step: then it changes over time, and nothing
that moves work out of loops, or finds that two things are one, has to know of effects.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

from ..core import provenance
from ..core.graph import Graph, has_effect, rebuild, replace
from ..core.op import Op
from ..core.types import TensorType, TupleType
from ..core.variable import ITEM, Variable, item, node
from .close import find_varying
from .op import SCAN
from .step_sizes import atoms_of, is_made_of

__all__ = [
    "IN_STEP",
    "effects_kept_in_step",
    "has_effects_since",
    "kept_effects",
    "values_of_effects",
]

# The first operand, in the step of which the second is the number.
IN_STEP = Op(
    "in_step",
    lambda inputs: inputs[0].type,
    evaluate=lambda arrays: arrays[0],
    vjp=lambda result, cotangent: [cotangent, None],
    formula=lambda maths, x, number: x,
    traits=frozenset({"view"}),
    kind="movement",
)


# What is made of such effects, as long as it lives: equal nodes are one, and the step of a later
# loop may come upon those of an earlier one.
_of_steps: weakref.WeakSet[Variable] = weakref.WeakSet()


def has_effects_since(outputs: Sequence[Variable], since: int) -> bool:
    """Whether a step has effects: whether the outputs are made of any later than ``since``."""
    return any(map(has_effect, _nodes_since(outputs, since)))


def effects_kept_in_step(
    outputs: Sequence[Variable],
    symbols: Sequence[Variable],
    since: int,
    number: Callable[[], Variable],
) -> list[Variable]:
    """The outputs of a step, in which effects later than ``since`` depend on the step's number."""
    varying = find_varying(outputs, symbols)
    fixed: list[Variable] = []
    made_of: set[Variable] = set()
    for v in _nodes_since(outputs, since):
        if any(x in made_of for x in v.inputs):
            made_of.add(v)
        elif v not in varying and has_effect(v) and v.inputs:
            made_of.add(v)
            fixed.append(v)
    if not fixed:
        return list(outputs)
    _of_steps.update(made_of)
    return replace(outputs, {v: _in_step(v, number()) for v in fixed}, keep_lines=True)


def values_of_effects(
    outputs: Sequence[Variable], symbols: Sequence[Variable], since: int
) -> list[Variable]:
    """What effects in a step give, as far as it can be kept over time, for the gradient to read."""
    inside = _nodes_since(outputs, since)
    effects = [v for v in inside if _acts(v)]
    outer = {x for v in inside for x in v.inputs}.difference(inside)
    atoms = atoms_of(x for x in (*symbols, *outer) if isinstance(x.type, TensorType))
    values = (value for v in effects for value in _values(v))
    return [v for v in values if is_made_of(v.type.shape, atoms)]


def kept_effects(outputs: Sequence[Variable]) -> list[Variable]:
    """Which outputs of a body are all that an effect in it gives: none has to happen again."""
    known = set(outputs)
    sources = {v.inputs[0] if v.op is ITEM else v for v in outputs}
    effects = [v for v in sources if _acts(v) and known.issuperset(_values(v))]
    kept = {value for v in effects for value in _values(v)}
    return [v for v in outputs if v in kept]


def _acts(v: Variable) -> bool:
    """Whether the variable has an effect that must not happen again, in a loop's body perhaps:
    looks are left out of what is computed again."""
    if "observer" in v.op.traits:
        return False
    bodies = [part for part in v.params if isinstance(part, Graph)]
    return "effect" in v.op.traits or any(_acts(x) for body in bodies for x in body.nodes)


def _values(v: Variable) -> list[Variable]:
    """A node's value, or each of several."""
    return [item(v, i) for i in range(len(v.type.items))] if isinstance(v.type, TupleType) else [v]


def _nodes_since(outputs: Sequence[Variable], since: int) -> list[Variable]:
    """What the outputs are made of as far as it is younger, or of a step; operands first."""
    seen: set[Variable] = set()
    stack = list(outputs)
    while stack:
        v = stack.pop()
        if v not in seen and (v.serial > since or v in _of_steps):
            seen.add(v)
            stack.extend(v.inputs)
    return sorted(seen, key=lambda v: v.serial)


def _in_step(v: Variable, number: Variable) -> Variable:
    # Not the first operand of a loop, which is its number of steps: types depend on it.
    inputs = list(v.inputs)
    changing = -1 if v.op is SCAN else 0
    inputs[changing] = node(IN_STEP, (inputs[changing], number))
    made = rebuild(v, inputs)
    provenance.hand_on(v, made)
    return made
