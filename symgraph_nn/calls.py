"""Calls of modules: noted for exports, and, within modules, to find layers that are kept nowhere.

A layer that is made in ``__call__``, or that a function reaches from elsewhere, is in no
``.params`` of the module that calls it: nothing would train or save it, without a word.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import symgraph as sg
from symgraph.errors import SymgraphValueError, describe

from .buffers import is_buffer
from .graphs import shared_variables
from .updates import is_slot
from .walk import params_of, walk

__all__ = ["check_kept", "check_trained", "tracked", "trainable"]

# The modules that are being called, the outermost first.
_active: ContextVar[tuple[Any, ...]] = ContextVar("active", default=())
# For each variable the modules that called the one it belongs to.
_callers: weakref.WeakKeyDictionary[sg.SharedVariable, list[weakref.ref]] = (
    weakref.WeakKeyDictionary()
)
# The modules that were called by themselves, by their identities: equal ones are not the same.
_named: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def tracked(call: Callable[..., Any]) -> Callable[..., Any]:
    """A module's ``__call__`` that notes within which other modules' calls it is."""

    # A class of a script goes to another process by value, and with it what this uses: no context.
    @functools.wraps(call)
    def tracked_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _track(call, self, args, kwargs)

    return tracked_call


def _track(call: Callable[..., Any], module: Any, args: Any, kwargs: Any) -> Any:
    outer = _active.get()
    if outer and outer[-1] is not module:
        _note(module, outer)
    token = _active.set((*outer, module))
    try:
        result = call(module, *args, **kwargs)
    finally:
        _active.reset(token)
    if not outer:
        _name_variables(module)
    sg.note_call(module, _variables_in((args, kwargs)), _variables_in(result))
    return result


def _name_variables(module: Any) -> None:
    """Name a module's variables by their paths, once: exports and messages use the names."""
    if _named.get(id(module)) is not module:
        params_of(module)
        _named[id(module)] = module


def _variables_in(tree: Any) -> list[sg.Variable]:
    """The variables in arguments or results, each once."""
    if isinstance(tree, sg.Variable):
        return [tree]
    if not isinstance(tree, (Mapping, list, tuple)):
        return []
    parts = tree.values() if isinstance(tree, Mapping) else tree
    return list(dict.fromkeys(v for part in parts for v in _variables_in(part)))


def _note(module: Any, outer: Sequence[Any]) -> None:
    for entry in walk(module):
        known = _callers.setdefault(entry.variable, [])
        held = {id(reference()) for reference in known}
        known.extend(weakref.ref(caller) for caller in outer if id(caller) not in held)


def trainable(outputs: Iterable[Any]) -> list[sg.SharedVariable]:
    """What could be trained of what the outputs depend on: float, no buffer, no rule's own."""
    return [
        v
        for v in shared_variables(outputs)
        if v.dtype.kind == "f" and not is_buffer(v) and not is_slot(v)
    ]


def check_trained(owner: str, params: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raise where there is nothing to train; the error says what there could be."""
    if params:
        return
    others = [f"\n    {describe(v)}" for v in trainable(outputs)]
    depends = "; the loss depends on these, which were not given:" if others else ""
    raise SymgraphValueError.here(
        f"{owner}: there is no parameter to train{depends}{''.join(others)}",
        remedy="Give module.params. Layers are found there if the module keeps them in "
        "attributes, made once, and not in its __call__ or a function.",
    )


def check_kept(
    owner: str, outputs: Sequence[Any], trained: Iterable[Any], module: Any = None
) -> None:
    """Raise where a module called a layer that it does not keep, and that nobody trains.

    ``module``: the one that is to be trained; where it is not known, each of which all parameters
    are among the trained. A variable that some caller keeps is kept: to leave it out is a choice.
    """
    moved = set(trained)
    for variable in trainable(outputs):
        if variable in moved:
            continue
        callers = [c for c in (r() for r in _callers.get(variable, ())) if c is not None]
        if any(variable in {entry.variable for entry in walk(c)} for c in callers):
            continue
        for caller in callers:
            if caller is module or (module is None and _is_trained(caller, moved)):
                raise _stray(owner, variable, caller)


def _is_trained(module: Any, moved: set[Any]) -> bool:
    """Whether a module has parameters, and all of them are moved."""
    params = params_of(module)
    return bool(params) and moved.issuperset(params)


def _stray(owner: str, variable: sg.SharedVariable, caller: Any) -> SymgraphValueError:
    return SymgraphValueError.here(
        f"{owner}: {describe(variable)} is in no .params: {caller!r} calls its layer, but does "
        "not keep it",
        remedy="Make layers once and keep them in attributes of the module (lists, tuples and "
        "dicts of them too); to leave one untrained, give the rule the params that it is to "
        "train.",
    )
