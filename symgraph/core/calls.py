"""Calls of modules, noted at what they returned: which one was called on what, for exports."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from .node import Node

__all__ = ["Call", "calls_of", "note_call"]


class Call(NamedTuple):
    """A call of a module on some variables, and what it returned."""

    owner: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


class _Noted:
    """A call as it is kept: it keeps nothing alive, what it returned least of all."""

    def __init__(self, owner: Any, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.owner = weakref.ref(owner)
        self.inputs = [weakref.ref(v) for v in inputs]
        self.outputs = [weakref.ref(v) for v in outputs]

    def call(self) -> Call | None:
        """The call; None where a part of it is gone."""
        owner = self.owner()
        inputs = tuple([reference() for reference in self.inputs])
        outputs = tuple([reference() for reference in self.outputs])
        if owner is None or None in inputs or None in outputs:
            return None
        return Call(owner, inputs, outputs)


# For each variable the calls that returned it, by module and inputs: an expression that is built
# again is the same variable.
_calls: weakref.WeakKeyDictionary[Node, dict[tuple[int, ...], _Noted]] = weakref.WeakKeyDictionary()

# After so many calls that returned one variable those are forgotten of which a part is gone.
_MANY = 8


def note_call(owner: Any, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
    """Note that ``owner``, called on the inputs, returned the outputs.

    `export_onnx` writes such a call as one node where it is asked to. Layers of `symgraph_nn` and
    modules that derive from ``nn.Module`` note theirs themselves; other callables may.

    >>> x = sg.vector("x")
    >>> class Twice:
    ...     def __call__(self, x):
    ...         y = x * 2
    ...         sg.note_call(self, [x], [y])
    ...         return y
    >>> Twice()(x)
    <multiply: float32[?]>
    """
    made = [v for v in outputs if not any(v is x for x in inputs)]
    try:
        noted = _Noted(owner, inputs, made)
    except TypeError:  # an owner that takes no weak references is not noted
        return
    key = (id(owner), *map(id, inputs))
    for v in made:
        known = _calls.setdefault(v, {})
        if len(known) > _MANY:
            for old in [old for old, each in known.items() if each.call() is None]:
                del known[old]
        known[key] = noted


def calls_of(variable: Node) -> list[Call]:
    """The calls that returned the variable, in the order in which they ended."""
    found = (noted.call() for noted in _calls.get(variable, {}).values())
    return [call for call in found if call is not None]
