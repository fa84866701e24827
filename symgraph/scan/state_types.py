"""States keep their types from one step to the next; where they do not, they are made to.

A wider dtype or a full shape goes into the initial value, and the step is traced again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import provenance
from ..core.dims import Size
from ..core.errors import ScanError
from ..core.size_differences import known_different
from ..core.variable import Variable
from ..ops.broadcast import broadcast_to
from ..ops.sizes import check_size, preferred_size, shape_of
from .arguments import SequenceArgument, StateArgument
from .close import find_outer
from .sizes import of_length, scalar_for
from .step import Step, Traced

__all__ = ["StateTypes"]


@dataclass
class StateTypes:
    """The types of states, and of the new values that one trace of the step gave."""

    step: Step
    sequences: Sequence[SequenceArgument]
    states: Sequence[StateArgument]
    traced: Traced

    def unify(self) -> bool:
        """Make the types of states and new values agree; True where a state changed."""
        changed = [self._unify(i) for i in range(len(self.states))]
        return any(changed)

    def _unify(self, i: int) -> bool:
        state, new = self.states[i], self.traced.outputs[i]
        if state.initial is None:
            return False
        old = state.initial.type.row
        if old is new.type:
            return False
        if old.dtype != new.dtype:
            needed = _dtype_needed(old.dtype, new.dtype) if state.weak is not None else None
            if needed is not None:
                state.initial = state.rows_of(needed)
                return True
            raise self._type_error(
                state,
                new,
                f"Cast the new value with .astype('{old.dtype}'), "
                f"or the initial value with .astype('{new.dtype}').",
            )
        if len(old.shape) != len(new.type.shape):
            remedy = "Give the initial value as many axes as the output has."
            raise self._type_error(state, new, remedy)
        changed = [self._unify_axis(i, axis) for axis in range(len(old.shape))]
        return any(changed)

    def _unify_axis(self, i: int, axis: int) -> bool:
        state, new = self.states[i], self.traced.outputs[i]
        assert state.initial is not None
        ours, theirs = state.initial.type.shape[axis + 1], new.type.shape[axis]
        if ours == theirs:
            return False
        context = f"scan: axis {axis} of {state.label}"
        if theirs == 1:
            shape = list(shape_of(new))
            shape[axis] = self._outer_size(ours, state)
            self.traced.outputs[i] = broadcast_to(new, shape)
            return False
        if ours == 1:
            shape = list(shape_of(state.initial))
            shape[axis + 1] = self._outer_size(theirs, state)
            state.initial = broadcast_to(state.initial, shape)
            return True
        if known_different(ours, theirs):
            raise self._type_error(
                state, new, f"Sizes {ours} and {theirs} of axis {axis} cannot be equal."
            )
        if preferred_size(ours, theirs) == ours:
            past = self.traced.taps[i][state.taps[0]]
            self.traced.outputs[i] = check_size(new, axis, past, axis, context)
            return False
        model = of_length(self._outer_size(theirs, state))
        state.initial = check_size(state.initial, axis + 1, model, 0, context)
        return True

    def _outer_size(self, size: Size, state: StateArgument) -> Any:
        """A size as an expression outside the loop."""
        sources = [s.variable for s in self.sequences]
        sources += [s.initial for s in self.states if s.initial is not None]
        _, outer = find_outer(self.traced.symbols, self.traced.outputs)
        scalar = scalar_for(size, [*sources, *outer])
        if scalar is None:
            raise self.step.error(
                f"the size {size} of {state.label} is known only inside the step",
                "Give the initial value the full shape of the output.",
            )
        return scalar

    def _type_error(self, state: StateArgument, new: Variable, remedy: str) -> ScanError:
        initial = state.initial
        assert initial is not None
        line = provenance.line_of(initial)
        if not line and initial.inputs:
            line = provenance.line_of(initial.inputs[0])
        return self.step.error(
            f"{state.label} changes its type from one step to the next:\n"
            f"    the state is {initial.type.row}"
            + (f" (initial value made at {line})" if line else "")
            + f"\n    the step returns {new.type} ({self.step.line})",
            remedy,
        )


def _dtype_needed(ours: np.dtype, new: np.dtype) -> np.dtype | None:
    """The dtype to try for a Python number whose new value has another one; None for none."""
    if ours.kind == "i" and new == np.float64:
        # int64 and float32 give float64, but a weak number has no part in that.
        return np.dtype("float32")
    fits = np.can_cast(ours, new, "same_kind") or ours.kind + new.kind == "iu"
    return new if fits else None
