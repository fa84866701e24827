"""Types for the signatures of functions that take what layers, losses, rules and `fit` take.

`Cell` is what `Recurrent` runs, `Rate` what a learning rate may be, `ModuleLike` what can be saved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

import numpy as np

from symgraph import SharedVariable, Variable
from symgraph.typing import ArrayLike, SizeLike

__all__ = [
    "Activation",
    "BatchAxis",
    "Cell",
    "Data",
    "Decay",
    "Initial",
    "Initialiser",
    "LossOrGrads",
    "ModuleLike",
    "Padding",
    "Params",
    "Path",
    "Rate",
    "Rng",
    "Schedule",
    "State",
    "StateLike",
    "StateMap",
    "UpdatesLike",
]

# --- layers ---------------------------------------------------------------------------------------

Activation: TypeAlias = Callable[[Variable], Variable]
"""A function of a variable, of the same shape: ``sg.tanh``."""

Rng: TypeAlias = int | np.integer[Any] | np.random.Generator | None
"""A seed of at least 0, a NumPy Generator, or None for another one each time."""

Initialiser: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], Any], np.ndarray]
"""Draws initial values: a function of a Generator, a shape and a dtype."""

Initial: TypeAlias = (
    Initialiser | np.ndarray[Any, Any] | Sequence[float] | Sequence[Sequence[float]] | Variable
)
"""How a parameter begins: an initialiser, or the values; or a variable that is taken as it is."""

Padding: TypeAlias = Literal["valid", "same", "causal"] | int | Sequence[int]
"""None, so that sizes stay, so that no output sees the future; or zeros on either side."""

# --- recurrence -----------------------------------------------------------------------------------

State: TypeAlias = Variable | Sequence[Variable]
"""What a cell carries from step to step: a variable, or several."""

StateLike: TypeAlias = ArrayLike | Sequence[ArrayLike]
"""What stands for a state: variables or arrays, as many as the cell's state has."""

StateT = TypeVar("StateT")


class Cell(Protocol[StateT]):
    """One step of a recurrent net, that `Recurrent` runs over a sequence."""

    @property
    def params(self) -> Any:
        """The shared variables that are trained."""
        ...

    def initial_state(self, batch: SizeLike, /) -> StateT:
        """The state before the first step, a variable or a tuple, for a batch of this size."""
        ...

    def step(self, x_t: Variable, state: StateT, /) -> tuple[Variable, StateT]:
        """The output of one step on ``x_t`` [batch, features], and the new state."""
        ...


# --- modules --------------------------------------------------------------------------------------


class _HasParams(Protocol):
    @property
    def params(self) -> Any: ...


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


ModuleLike: TypeAlias = _HasParams | _Dataclass | list[Any] | tuple[Any, ...] | dict[str, Any]
"""A module, another object with ``params``, or a list, tuple, dict or dataclass of these."""

Path: TypeAlias = str | os.PathLike[str]
"""The path of a file."""

# --- training -------------------------------------------------------------------------------------

Params: TypeAlias = SharedVariable | Sequence[SharedVariable]
"""What is trained: ``module.params``, or some of them."""

LossOrGrads: TypeAlias = Variable | Sequence[Variable]
"""A scalar to be minimised, or its gradients in the order of the parameters."""

Schedule: TypeAlias = Callable[[Any], Any]
"""A function of the step number, which starts at 0: of a number, an array or a symbol."""

Rate: TypeAlias = float | np.number[Any] | np.ndarray[Any, Any] | Variable | Schedule
"""A learning rate or a momentum: a number, a scalar variable (shared, say) or a schedule."""

Decay: TypeAlias = float | Mapping[str, float]
"""How fast weights decay: a number, or numbers by patterns that the names of parameters fit."""

UpdatesLike: TypeAlias = Mapping[SharedVariable, Variable]
"""New values of shared variables: what the rules return and ``sg.compile(updates=…)`` takes."""

Data: TypeAlias = Sequence[Any] | Mapping[str, Any] | Iterable[Any] | Callable[..., Iterable[Any]]
"""An array for each input, in their order or by their names; or an iterable of such batches, or a
function that gives one for each epoch."""

StateMap: TypeAlias = Mapping[Any, Any]
"""For each symbol, or tuple of symbols, what the next batch gets for it."""

BatchAxis: TypeAlias = int | str
"""The axis that holds the rows: its number, or the name of its size."""
