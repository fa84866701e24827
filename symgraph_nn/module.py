"""Modules: objects whose attributes hold what is trained, and the names that follow from that.

A module is any class that derives from `Module`; no call of ``super().__init__`` is needed. Its
variables are found by walking its attributes: shared variables, `Buffer`, modules, and lists,
tuples and dicts of them. A variable is named by the path to it, such as ``forward.cell.W``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError, explain, user_line

from .graphs import ancestors

__all__ = [
    "Buffer",
    "Module",
    "buffer_updates",
    "buffers_of",
    "is_buffer",
    "params_of",
    "variables_of",
]


class _Listed:
    """An attribute that is computed, unless the object has one of its own under that name."""

    def __init__(self, *, trained: bool) -> None:
        self.trained = trained

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        return params_of(module) if self.trained else buffers_of(module)


class Module:
    """The base of layers and nets: gives ``params``, ``buffers``, ``state`` and ``load_state``.

    ``params`` lists the float shared variables, in the order of the attributes, each once even
    where it stands in several places. Integer variables and `Buffer` values are ``buffers``. An
    object that sets ``params`` itself is taken at its word: its other variables are buffers.
    """

    params: Any = _Listed(trained=True)
    buffers: Any = _Listed(trained=False)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of every value, parameters and buffers, by attribute path."""
        return {path: v.get_value() for path, v in variables_of(self).items()}

    def load_state(self, values: Mapping[str, Any]) -> None:
        """Set every value by its path. Names, shapes and dtypes are checked before any is set."""
        variables = variables_of(self)
        arrays = checked_values(variables, values, type(self).__name__)
        sg.set_values({v: arrays[path] for path, v in variables.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Buffer:
    """A shared variable that is kept with its module but not trained: a running mean, say.

    ``variable`` stands for the value in expressions. `follow` says where it moves at a training
    step; the update rules find that in the loss they are given.
    """

    variable: sg.SharedVariable

    def __init__(self, value: Any, name: str | None = None) -> None:
        self.__setstate__({"variable": sg.shared(value, name)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _buffers.add(self.variable)

    def follow(self, value: sg.Variable, rate: float) -> None:
        """Let the buffer become ``(1 - rate) * buffer + rate * value`` at each training step.

        A training step is a call of a function whose update rule was given a loss (or gradients)
        that depends on ``value``; `buffer_updates` gives the same updates for other uses.
        """
        followed = _followers.setdefault(value, {})
        followed[self.variable] = float(rate)


# Every living buffer's variable: what no rule moves, wherever it stands.
_buffers: weakref.WeakSet[sg.SharedVariable] = weakref.WeakSet()


def is_buffer(variable: sg.Variable) -> bool:
    """Whether the variable is that of a `Buffer`."""
    return variable in _buffers


# For a value the buffers that follow it. The table does not keep the value alive.
_followers: weakref.WeakKeyDictionary[sg.Variable, dict[sg.SharedVariable, float]] = (
    weakref.WeakKeyDictionary()
)


def buffer_updates(
    expressions: sg.Variable | Sequence[sg.Variable],
) -> dict[sg.SharedVariable, sg.Variable]:
    """The updates of all buffers that follow something the expressions depend on.

    The update rules (`sgd` … `amsgrad`) include them; call this where you write updates yourself.
    """
    outputs = [expressions] if isinstance(expressions, sg.Variable) else list(expressions)
    updates: dict[sg.SharedVariable, sg.Variable] = {}
    for value in ancestors(outputs):
        for buffer, rate in _followers.get(value, {}).items():
            # A layer that is called twice moves twice.
            current = updates.get(buffer, buffer)
            updates[buffer] = current + rate * (value.astype(buffer.dtype) - current)
    return updates


# --- the walk over attributes -------------------------------------------------------------------


def params_of(module: Any) -> list[sg.SharedVariable]:
    """What is trained of a module, or of any object that has ``params``, in order, each once."""
    return [variable for _, variable, trained in _walk(module) if trained]


def buffers_of(module: Any) -> list[sg.SharedVariable]:
    """What a module keeps but does not train, in order, each once."""
    return [variable for _, variable, trained in _walk(module) if not trained]


def variables_of(module: Any) -> dict[str, sg.SharedVariable]:
    """All shared variables of a module by attribute path, parameters and buffers."""
    if not (isinstance(module, (list, tuple, dict)) or _has_variables(module)):
        raise SymgraphTypeError(explain(f"a module is expected, not {module!r}", line=user_line()))
    named: dict[str, sg.SharedVariable] = {}
    for path, variable, _ in _walk(module):
        if path in named:
            raise SymgraphValueError(
                explain(f"two variables of {module!r} have the path {path!r}", line=user_line())
            )
        named[path] = variable
    return named


def _walk(module: Any) -> Iterator[tuple[str, sg.SharedVariable, bool]]:
    """The path, the variable and whether it is trained, for each variable of the module once."""
    seen: set[Any] = set()
    # Each entry: a path, what stands there, and the variables that may be trained (None: all).
    stack: list[tuple[str, Any, frozenset | None]] = [("", module, None)]
    while stack:
        path, found, allowed = stack.pop()
        is_buffer = isinstance(found, Buffer)
        if is_buffer:
            found = found.variable
        if isinstance(found, sg.SharedVariable):
            if found not in seen:
                seen.add(found)
                _name(found, path)
                is_stated = allowed is None or found in allowed
                yield path, found, found.dtype.kind == "f" and not is_buffer and is_stated
            continue
        is_container = isinstance(found, (list, tuple, dict))
        if not (is_container or _has_variables(found)) or id(found) in seen:
            continue
        seen.add(id(found))
        stated = None if is_container else _stated_params(found)
        if stated is not None:
            allowed = frozenset(stated) if allowed is None else allowed & frozenset(stated)
        members = [(f"{path}.{name}" if path else name, m) for name, m in _members(found, stated)]
        stack.extend((name, member, allowed) for name, member in reversed(members))


def _has_variables(found: Any) -> bool:
    """Whether an object is a module, or acts as one by having ``params``."""
    if isinstance(found, Module):
        return True
    return not isinstance(found, (type, sg.Variable)) and hasattr(found, "params")


def _stated_params(module: Any) -> list[sg.SharedVariable] | None:
    """The parameters that an object lists itself; None for a module that leaves it to the walk."""
    if "params" not in getattr(module, "__dict__", {}) and isinstance(
        getattr(type(module), "params", None), _Listed
    ):
        return None
    stated = module.params
    if isinstance(stated, Mapping):
        stated = stated.values()
    listed = list(stated) if isinstance(stated, Iterable) else [stated]
    for param in listed:
        if not isinstance(param, sg.SharedVariable):
            raise SymgraphTypeError(
                explain(
                    f"{type(module).__name__}.params lists shared variables; found {param!r}",
                    line=user_line(),
                    remedy="Make parameters with sg.shared(value).",
                )
            )
    return listed


def _members(found: Any, stated: list | None) -> list[tuple[str, Any]]:
    if isinstance(found, dict):
        return [(str(key), member) for key, member in found.items()]
    if isinstance(found, (list, tuple)):
        return [(str(i), member) for i, member in enumerate(found)]
    attributes = getattr(found, "__dict__", {})
    members = [(k, v) for k, v in attributes.items() if k not in ("params", "buffers")]
    return [*members, ("params", stated)] if stated else members


def _name(variable: sg.SharedVariable, path: str) -> None:
    """Name a variable by its path, unless the user gave it a name of another kind."""
    name = variable.name
    if name is None or path.endswith(f".{name}"):
        variable.name = path


# --- values by name -----------------------------------------------------------------------------


def checked_values(
    variables: Mapping[str, sg.SharedVariable], values: Mapping[str, Any], owner: str
) -> dict[str, np.ndarray]:
    """The values as arrays; a `SymgraphValueError` that lists every one that does not fit."""
    if not isinstance(values, Mapping):
        raise SymgraphTypeError(
            explain(f"the state of {owner} is a dict of arrays, not {values!r}", line=user_line())
        )
    arrays = {name: _as_array(value) for name, value in values.items()}
    faults = [f"{name} is missing" for name in variables if name not in arrays]
    faults += [f"{name} is not known" for name in arrays if name not in variables]
    for name, variable in variables.items():
        if name not in arrays:
            continue
        held, array = variable.get_value(), arrays[name]
        if array.shape != held.shape:
            faults.append(f"{name} has shape {held.shape}, the new value has {array.shape}")
        if array.dtype.newbyteorder("=") != held.dtype:
            faults.append(f"{name} has dtype {held.dtype}, the new value has {array.dtype}")
    if faults:
        raise SymgraphValueError(
            explain(
                f"the state does not fit {owner}; nothing was changed:\n    "
                + "\n    ".join(faults),
                line=user_line(),
                remedy="Build the module with the sizes, cells and dtype it was saved with.",
            )
        )
    return arrays


def _as_array(value: Any) -> np.ndarray:
    """The value as an array; of objects, which fit no variable, where it is none."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.asarray(value, dtype=object)
