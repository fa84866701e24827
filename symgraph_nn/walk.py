"""The walk over a module's attributes: its variables, in order, and their names."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError

from .buffers import Buffer
from .parameters import tied_to

__all__ = [
    "Listed",
    "NamedVariable",
    "buffers_of",
    "params_of",
    "parts_of",
    "variables_of",
    "walk",
]


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
    return [entry.variable for entry in _named(module) if entry.is_trained]


def buffers_of(module: Any) -> list[sg.SharedVariable]:
    """What a module keeps but does not train, in order, each once."""
    return [entry.variable for entry in _named(module) if not entry.is_trained]


def variables_of(module: Any) -> dict[str, sg.SharedVariable]:
    """All shared variables of a module by attribute path, parameters and buffers."""
    if not (_is_container(module) or _has_variables(module)):
        raise SymgraphTypeError.here(f"a module is expected, not {module!r}")
    by_path: dict[str, sg.SharedVariable] = {}
    for entry in _named(module):
        if entry.path in by_path:
            raise SymgraphValueError.here(
                f"two variables of {module!r} have the path {entry.path!r}"
            )
        by_path[entry.path] = entry.variable
    return by_path


class NamedVariable(NamedTuple):
    """A variable of a module."""

    path: str
    variable: sg.SharedVariable
    is_trained: bool


class _Place(NamedTuple):
    """A place in the walk: its path, what stands there, and what holds around it."""

    path: str
    value: Any
    # The variables that may be trained; None for all.
    allowed: frozenset[Any] | None = None
    # The path of a set that it is in.
    unordered: str | None = None

    def members(
        self, values: Iterable[tuple[Any, Any]], allowed: frozenset[Any] | None = None
    ) -> list[_Place]:
        """The places of values by name, but of those that can hold no variable."""
        path = f"{self.path}." if self.path else ""
        allowed = self.allowed if allowed is None else allowed
        return [
            _Place(f"{path}{name}", value, allowed, self.unordered)
            for name, value in values
            if type(value) not in _PLAIN
        ]


# Most attributes are of these, and a walk is made at each call of a layer within another.
_PLAIN = frozenset({int, float, bool, str, bytes, type(None), np.ndarray})


def walk(module: Any) -> Iterator[NamedVariable]:
    """The variables of the module, in the order of attributes, each once."""
    seen: set[Any] = set()
    stack = [_Place("", module)]
    while stack:
        place = stack.pop()
        value = place.value
        is_buffer = isinstance(value, Buffer)
        if is_buffer:
            value = value.variable
        if isinstance(value, sg.SharedVariable):
            if place.unordered is not None:
                raise _no_order(place.unordered, value)
            if value not in seen:
                seen.add(value)
                is_stated = place.allowed is None or value in place.allowed
                is_trained = value.dtype.kind == "f" and not is_buffer and is_stated
                yield NamedVariable(place.path, value, is_trained)
            continue
        tied = tied_to(value)
        if tied:
            alone = [place._replace(value=tied[0])]
            stack.extend(reversed(place.members(enumerate(tied)) if tied[1:] else alone))
            continue
        if isinstance(value, types.MethodType):  # what it is bound to may be a module
            stack.append(place._replace(value=value.__self__))
            continue
        is_container = _is_container(value)
        if not (is_container or _has_variables(value)) or id(value) in seen:
            continue
        seen.add(id(value))
        stack.extend(reversed(_contents(place) if is_container else _attributes(place)))


def parts_of(module: Any, is_part: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """The objects within a module that are parts, with their paths, in order; not those in them."""
    seen: set[int] = set()
    stack = [_Place("", module)]
    while stack:
        place = stack.pop()
        value = place.value
        if isinstance(value, types.MethodType):
            stack.append(place._replace(value=value.__self__))
        elif id(value) not in seen:
            seen.add(id(value))
            if is_part(value):
                yield place.path, value
            elif _is_container(value):
                stack.extend(reversed(_contents(place)))
            elif _has_variables(value):
                stack.extend(reversed(_attributes(place)))


def _named(module: Any) -> Iterator[NamedVariable]:
    """The walk, which names the variables by their paths."""
    for entry in walk(module):
        _name(entry.variable, entry.path)
        yield entry


def _is_container(value: Any) -> bool:
    """Whether what an object holds counts as the holder's own."""
    return isinstance(value, (list, tuple, deque, Mapping, Set, functools.partial)) or (
        dataclasses.is_dataclass(value)
        and not isinstance(value, type)
        and not _has_variables(value)
    )


def _contents(place: _Place) -> list[_Place]:
    """The members of a container."""
    container = place.value
    if isinstance(container, Mapping):
        return place.members(container.items())
    if isinstance(container, Set):
        path = place.path if place.unordered is None else place.unordered
        return place._replace(unordered=path).members(enumerate(container))
    if isinstance(container, functools.partial):
        arguments = {**dict(enumerate(container.args)), **container.keywords}
        return place.members([("func", container.func), *arguments.items()])
    if dataclasses.is_dataclass(container):
        names = [field.name for field in dataclasses.fields(container)]
        return place.members((n, getattr(container, n)) for n in names if hasattr(container, n))
    return place.members(enumerate(container))


def _attributes(place: _Place) -> list[_Place]:
    """The members of a module, or of what acts as one."""
    module, allowed = place.value, place.allowed
    stated = _stated_params(module)
    if stated is not None:
        allowed = frozenset(stated) if allowed is None else allowed & frozenset(stated)
    attributes = getattr(module, "__dict__", {}).items()
    members = place.members(
        (pair for pair in attributes if pair[0] not in ("params", "buffers")), allowed
    )
    return [*members, *place.members([("params", stated)], allowed)] if stated else members


def _has_variables(value: Any) -> bool:
    """Whether an object is a module, or acts as one by having ``params``."""
    if isinstance(getattr(type(value), "params", None), Listed):
        return True
    return not isinstance(value, (type, sg.Variable)) and hasattr(value, "params")


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
