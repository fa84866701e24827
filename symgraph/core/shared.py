"""Shared variables: those with a value that stays between calls."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from . import provenance
from .annotations import ArrayLike
from .copies import copy_deeply, dump, load
from .errors import SymgraphTypeError, UpdateError
from .leaf import Leaf
from .op import Op
from .processes import give_lock
from .types import tensor_type
from .values import array_for, as_array, weak_kind
from .variable import Variable, infer_leaf, insert

__all__ = ["SHARED", "SharedVariable", "make_shared"]

SHARED = Op("shared", infer_leaf, params=("leaf", "type"), traits=frozenset({"leaf", "traced"}))


class SharedVariable(Variable):
    """A variable with a value that stays between calls; the value is never part of the graph.

    >>> w = sg.shared(np.zeros(2), "w")
    >>> f = sg.compile([], None, updates={w: w + 1})
    >>> f(), w.get_value()
    (None, array([1., 1.]))
    """

    __slots__ = ("_lock", "_update", "_value")

    _value: np.ndarray
    _lock: Any
    # What `dump` made of the default update: the expression itself is made of this variable, and
    # the table, whose keys hold the inputs of living nodes, would keep both for ever.
    _update: tuple[Any, ...] | None

    @property
    def default_update(self) -> Variable | None:
        """What a compiled function stores here after each call where the user gives no update.

        How a stream of random numbers advances.
        """
        return None if self._update is None else load(*self._update)[0]

    @default_update.setter
    def default_update(self, update: Variable | None) -> None:
        self._update = None if update is None else dump([update])

    def get_value(self) -> np.ndarray:
        """A copy of the value; an array, of no dimensions for a scalar.

        >>> sg.shared(1.5).get_value()
        array(1.5, dtype=float32)
        """
        with self._lock:
            return self._value.copy()

    def set_value(self, value: ArrayLike) -> None:
        """Replace the value; another shape, or a dtype that does not fit, is an `UpdateError`.

        >>> w = sg.shared(1.5)
        >>> w.set_value(2)
        >>> w.get_value()
        array(2., dtype=float32)
        """
        fresh = self.as_new_value(value)
        with self._lock:
            self._value = fresh

    def as_new_value(self, value: ArrayLike) -> np.ndarray:
        """A copy of a value that can be stored here; an `UpdateError` where it does not fit.

        >>> sg.shared(1.5).as_new_value(2)
        array(2., dtype=float32)
        """
        label = f"shared variable {self.name!r}" if self.name else "the shared variable"
        try:
            if weak_kind(value) is None:
                _refuse_other_dtype(label, as_array(value, what=label).dtype, self.dtype)
            given = array_for(value, self.dtype, label)
        except SymgraphTypeError as error:
            raise UpdateError(str(error)) from None
        if given.shape != self._value.shape:
            raise UpdateError.here(
                f"{label} has shape {self._value.shape}; the new value has {given.shape}",
                remedy="Make a new shared variable for another shape.",
            )
        return np.array(given, order="C")

    def __reduce__(self) -> tuple[Any, ...]:
        # The update comes after the variable, for it is made of it.
        return _load_shared, (self.get_value(), self.name, dict(self.notes)), self._update

    def __setstate__(self, update: tuple[Any, ...]) -> None:
        self._update = update

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedVariable:
        copy = _load_shared(self.get_value(), self.name)
        memo[id(self)] = copy
        provenance.carry_notes(deepcopy(dict(self.notes), memo), copy)
        update = self.default_update
        if update is not None:
            copy.default_update = copy_deeply(update, memo)
        return copy


def _refuse_other_dtype(label: str, found: np.dtype, expected: np.dtype) -> None:
    if found != expected:
        raise UpdateError.here(
            f"{label} holds {expected}; the new value is {found}",
            remedy=f"Convert it with .astype('{expected}').",
        )


def make_shared(value: ArrayLike, name: str | None = None) -> SharedVariable:
    """A new shared variable that holds a copy of the value. A Python float becomes float32."""
    if isinstance(value, Variable):
        raise SymgraphTypeError.here(
            f"a shared variable holds an array; {provenance.describe(value)} is a symbol",
            remedy="Evaluate it first, with variable.eval().",
        )
    return _load_shared(as_array(value, what="a shared variable"), name)


def _load_shared(
    value: np.ndarray, name: str | None, notes: Mapping[Hashable, Any] | None = None
) -> SharedVariable:
    made = insert(
        SharedVariable,
        (SHARED, (), (Leaf(), tensor_type(value.dtype, value.shape))),
        tensor_type(value.dtype, value.shape),
    )
    assert isinstance(made, SharedVariable)
    made._value = np.array(value, order="C")
    give_lock(made)
    made._update = None
    provenance.record(made)
    if name is not None:
        provenance.set_name(made, name)
    provenance.carry_notes(notes or {}, made)
    return made
