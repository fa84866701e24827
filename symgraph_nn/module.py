"""Modules: objects whose attributes hold what is trained, and the names that follow from that.

A module is any class that derives from `Module`; no call of ``super().__init__`` is needed. Its
variables are found by walking its attributes: shared variables, `Buffer`, modules, and lists,
tuples, deques, dicts, dataclasses and partial functions of them. A variable is named by the path
to it, such as ``forward.cell.W``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

import symgraph as sg
from symgraph.errors import (
    SymgraphTypeError,
    SymgraphValueError,
    refuse_masked,
)

from .calls import tracked
from .walk import Listed, variables_of

__all__ = ["Module", "checked_values"]


class Module:
    """The base of layers and nets: gives ``params``, ``buffers``, ``state`` and ``load_state``.

    Derive from it, keep shared variables, `Buffer` and modules in attributes (or in lists, tuples,
    dicts, dataclasses of attributes), and build the expression in ``__call__``. There is no
    ``super().__init__()`` to call. A variable is named by the path to it: ``readout.W``.

    params
        The float shared variables, in the order of the attributes, each once even where it stands
        in several places. An object that sets ``params`` itself is taken at its word: its other
        variables are buffers.
    buffers
        Integer variables and those of `Buffer`: kept and saved, but not trained.

    Layers are made once, and kept; one that is made in ``__call__`` is in no ``params``, and the
    update rules raise a `SymgraphValueError` where they meet it. A bare ``sg.shared`` made there is
    in no ``params`` either: to the rules it is a constant, which nothing tells from data.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Dense(3, 4, sg.tanh, rng=0)
    ...         self.scale = sg.shared(1.0)
    ...     def __call__(self, x):
    ...         return self.scale * self.hidden(x)
    >>> net = Net()
    >>> [p.name for p in net.params], net(sg.matrix("x"))
    (['hidden.W', 'hidden.b', 'scale'], <multiply: float32[?, 4]>)
    """

    params: list[sg.SharedVariable] = cast("Any", Listed(trained=True))
    buffers: list[sg.SharedVariable] = cast("Any", Listed(trained=False))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in cls.__dict__:
            type.__setattr__(cls, "__call__", tracked(cls.__dict__["__call__"]))

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every value, parameters and buffers, by attribute path.

        >>> {path: value.shape for path, value in nn.Dense(3, 4).state().items()}
        {'W': (3, 4), 'b': (4,)}
        """
        return {path: v.get_value() for path, v in variables_of(self).items()}

    def load_state(self, values: Mapping[str, Any]) -> None:
        """Set every value by its path, from what `state` gave.

        Names, shapes and dtypes are checked before any is set; a `SymgraphValueError` lists all
        that do not fit.

        >>> trained, fresh = nn.Dense(3, 4, rng=0), nn.Dense(3, 4, rng=1)
        >>> fresh.load_state(trained.state())
        >>> bool((fresh.W.get_value() == trained.W.get_value()).all())
        True
        """
        variables = variables_of(self)
        arrays = checked_values(variables, values, type(self).__name__)
        sg.set_values({v: arrays[path] for path, v in variables.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


# --- values by name -----------------------------------------------------------------------------


def checked_values(
    variables: Mapping[str, sg.SharedVariable], values: Mapping[str, Any], owner: str
) -> dict[str, np.ndarray]:
    """The values as arrays; a `SymgraphValueError` that lists every one that does not fit."""
    if not isinstance(values, Mapping):
        raise SymgraphTypeError.here(f"the state of {owner} is a dict of arrays, not {values!r}")
    arrays = {name: _as_array(value, name) for name, value in values.items()}
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
        raise SymgraphValueError.here(
            f"the state does not fit {owner}; nothing was changed:\n    " + "\n    ".join(faults),
            remedy="Build the module with the sizes, cells and dtype it was saved with.",
        )
    return arrays


def _as_array(value: Any, name: str) -> np.ndarray:
    """The value as an array; of objects, which fit no variable, where it is none."""
    refuse_masked(value, name)
    try:
        return np.asarray(value)
    except ValueError:
        return np.asarray(value, dtype=object)
