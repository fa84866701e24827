"""The walk over a module's attributes: its variables, in order, and their names."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError

from .buffers import Buffer

__all__ = ["Found", "Listed", "buffers_of", "params_of", "variables_of", "walk"]


class Listed:
    """An attribute that is computed, unless the object has one of its own under that name."""

    def __init__(self, *, trained: bool) -> None:
        self.trained = trained

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        return params_of(module) if self.trained else buffers_of(module)


def params_of(module: Any) -> list[sg.SharedVariable]:
    """What is trained of a module, or of any object that has ``params``, in order, each once."""
    return [found.variable for found in _named(module) if found.is_trained]


def buffers_of(module: Any) -> list[sg.SharedVariable]:
    """What a module keeps but does not train, in order, each once."""
    return [found.variable for found in _named(module) if not found.is_trained]


def variables_of(module: Any) -> dict[str, sg.SharedVariable]:
    """All shared variables of a module by attribute path, parameters and buffers."""
    if not (_is_container(module) or _has_variables(module)):
        raise SymgraphTypeError.here(f"a module is expected, not {module!r}")
    named: dict[str, sg.SharedVariable] = {}
    for found in _named(module):
        if found.path in named:
            raise SymgraphValueError.here(
                f"two variables of {module!r} have the path {found.path!r}"
            )
        named[found.path] = found.variable
    return named


@dataclasses.dataclass(frozen=True)
class Found:
    """A variable of a module."""

    path: str
    variable: sg.SharedVariable
    is_trained: bool


@dataclasses.dataclass(frozen=True)
class _Place:
    """A place in the walk: its path, what stands there, and what holds around it."""

    path: str
    found: Any
    # The variables that may be trained; None for all.
    allowed: frozenset | None = None
    # The path of a set that it is in.
    unordered: str | None = None

    def member(self, name: str, found: Any, **changes: Any) -> _Place:
        path = f"{self.path}.{name}" if self.path else name
        return dataclasses.replace(self, path=path, found=found, **changes)


def walk(module: Any) -> Iterator[Found]:
    """The variables of the module, in the order of attributes, each once."""
    seen: set[Any] = set()
    stack = [_Place("", module)]
    while stack:
        place = stack.pop()
        found = place.found
        is_buffer = isinstance(found, Buffer)
        if is_buffer:
            found = found.variable
        if isinstance(found, sg.SharedVariable):
            if place.unordered is not None:
                raise _no_order(place.unordered, found)
            if found not in seen:
                seen.add(found)
                is_stated = place.allowed is None or found in place.allowed
                trained = found.dtype.kind == "f" and not is_buffer and is_stated
                yield Found(place.path, found, trained)
            continue
        if isinstance(found, types.MethodType):  # what it is bound to may be a module
            stack.append(dataclasses.replace(place, found=found.__self__))
            continue
        is_container = _is_container(found)
        if not (is_container or _has_variables(found)) or id(found) in seen:
            continue
        seen.add(id(found))
        stack.extend(reversed(_contents(place) if is_container else _attributes(place)))


def _named(module: Any) -> Iterator[Found]:
    """The walk, which names the variables by their paths."""
    for found in walk(module):
        _name(found.variable, found.path)
        yield found


def _is_container(found: Any) -> bool:
    """Whether what an object holds counts as the holder's own."""
    return isinstance(found, (list, tuple, deque, Mapping, Set, functools.partial)) or (
        dataclasses.is_dataclass(found)
        and not isinstance(found, type)
        and not _has_variables(found)
    )


def _contents(place: _Place) -> list[_Place]:
    """The members of a container."""
    found = place.found
    if isinstance(found, Mapping):
        return [place.member(str(key), member) for key, member in found.items()]
    if isinstance(found, Set):
        path = place.path if place.unordered is None else place.unordered
        return [place.member(str(i), m, unordered=path) for i, m in enumerate(found)]
    if isinstance(found, functools.partial):
        given = {"func": found.func, **dict(enumerate(found.args)), **found.keywords}
        return [place.member(str(name), member) for name, member in given.items()]
    if dataclasses.is_dataclass(found):
        names = [field.name for field in dataclasses.fields(found)]
        return [place.member(n, getattr(found, n)) for n in names if hasattr(found, n)]
    return [place.member(str(i), member) for i, member in enumerate(found)]


def _attributes(place: _Place) -> list[_Place]:
    """The members of a module, or of what acts as one."""
    module, allowed = place.found, place.allowed
    stated = _stated_params(module)
    if stated is not None:
        allowed = frozenset(stated) if allowed is None else allowed & frozenset(stated)
    members = [
        place.member(name, member, allowed=allowed)
        for name, member in getattr(module, "__dict__", {}).items()
        if name not in ("params", "buffers")
    ]
    return [*members, place.member("params", stated, allowed=allowed)] if stated else members


def _has_variables(found: Any) -> bool:
    """Whether an object is a module, or acts as one by having ``params``."""
    if isinstance(getattr(type(found), "params", None), Listed):
        return True
    return not isinstance(found, (type, sg.Variable)) and hasattr(found, "params")


def _stated_params(module: Any) -> list[sg.SharedVariable] | None:
    """The parameters that an object lists itself; None for a module that leaves it to the walk."""
    if "params" not in getattr(module, "__dict__", {}) and isinstance(
        getattr(type(module), "params", None), Listed
    ):
        return None
    stated = module.params
    if isinstance(stated, Mapping):
        stated = stated.values()
    listed = list(stated) if isinstance(stated, Iterable) else [stated]
    for param in listed:
        if not isinstance(param, sg.SharedVariable):
            raise SymgraphTypeError.here(
                f"{type(module).__name__}.params lists shared variables; found {param!r}",
                remedy="Make parameters with sg.shared(value).",
            )
    return listed


def _no_order(path: str, variable: sg.SharedVariable) -> SymgraphTypeError:
    return SymgraphTypeError.here(
        f"{path or 'the module'} is a set that holds parameters ({variable!r}), and has no "
        "order to name them by",
        remedy="Keep layers in a list, a tuple or a dict.",
    )


def _name(variable: sg.SharedVariable, path: str) -> None:
    """Name a variable by its path, unless the user gave it a name of another kind."""
    name = variable.name
    if name is None or path.endswith(f".{name}"):
        variable.name = path
