"""Recurrent layers as ONNX has them: one node for each, in one or both directions.

The node stands where the layer does, and is right for sequences of no step and batches of none as
far as onnxruntime runs it for these. It ends the process for a GRU (1.32), which is therefore given
one row of zeros where there is none; and after no step it has other states than the initial ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.dims import Size, maximum_zero
from ...core.variable import Variable, item
from .fused import Recurrent
from .write_sizes import shape_of
from .writer import Value, Writer, writes

_BOOL, _INT64, _FLOAT = np.dtype("bool"), np.dtype("int64"), np.dtype("float32")


@writes("recurrent")
def _write_recurrent(w: Writer, v: Variable) -> list[Value]:
    return _Layer(v, w).results()


def _may_be_none(size: Size) -> bool:
    """Whether a size may be 0."""
    less = size - 1
    return less < 0 if isinstance(less, int) else maximum_zero(less) is not less


class _Layer:
    """A node of a recurrent layer, and which of its results are read."""

    def __init__(self, v: Variable, w: Writer) -> None:
        self.w = w
        self.record: Recurrent = v.params[0]
        self.operands = w.values(v.inputs)
        self._items = [item(v, k) for k in range(len(v.type.items))]
        self._read = [result in w.program.users for result in self._items]
        n_steps, batch, _ = v.inputs[0].type.shape
        self._may_have_no_step = self.record.reads_states and _may_be_none(n_steps)
        sizes = (n_steps, batch) if self.record.op == "GRU" else ()
        self._padded = [axis for axis, size in enumerate(sizes) if _may_be_none(size)]
        self._padded_batch = [axis for axis in self._padded if axis == 1]

    def results(self) -> list[Value]:
        """The results, with nothing in the places of those that are not read."""
        n = self.record.n_states
        is_read = [self._read[0], *(any(self._read[1 + k :: n]) for k in range(n))]
        while not is_read[-1]:
            is_read.pop()
        dtypes = [_FLOAT if each else None for each in is_read]
        made = self.w.emit_several(
            self.record.op, self._node_inputs(), dtypes, **self._attributes()
        )
        results = [self._outputs(made[0]) if self._read[0] else Value("", _FLOAT)]
        for place, each in enumerate(self._read[1:]):
            direction, k = divmod(place, n)
            results.append(self._state(made[1 + k], k, direction) if each else Value("", _FLOAT))
        return results

    # --- the node ---------------------------------------------------------------------------

    def _node_inputs(self) -> list[Value | None]:
        x, weights, recurrent, bias, *rest = self.operands
        peepholes = [rest.pop(0)] if self.record.has_peepholes else []
        inputs: list[Value | None] = [self._with_rows(x, self._padded), weights, recurrent, bias]
        if rest or peepholes:
            inputs.append(None)  # the lengths of sequences
            inputs += [self._with_rows(state, self._padded_batch) for state in rest]
            inputs += [] if rest else [None] * self.record.n_states
        return inputs + list[Value | None](peepholes)

    def _attributes(self) -> dict[str, Any]:
        record = self.record
        found: dict[str, Any] = {"hidden_size": record.n_units}
        if record.direction != "forward":
            found["direction"] = record.direction
        if record.activation:
            found["activations"] = [record.activation] * record.n_directions
        if record.linear_before_reset:
            found["linear_before_reset"] = 1
        return found

    # --- its results ------------------------------------------------------------------------

    def _outputs(self, outputs: Value) -> Value:
        """The outputs [T, D, B, n] as [T, B, D · n]."""
        w = self.w
        if self.record.n_directions == 1:
            outputs = w.emit("Squeeze", outputs, w.ints(1))
        else:
            side_by_side = w.emit("Transpose", outputs, perm=[0, 2, 1, 3])
            outputs = w.emit("Reshape", side_by_side, w.ints(0, 0, 2 * self.record.n_units))
        return self._without_rows(outputs, self._padded)

    def _state(self, states: Value, k: int, direction: int) -> Value:
        """A last state of one direction, which is the initial one where there is no step."""
        last = self._of_direction(self._without_rows(states, self._padded_batch), direction)
        if not self._may_have_no_step:
            return last
        w = self.w
        initial = w.number(0.0, _FLOAT)
        if self.record.has_initials:
            initials = self.operands[-self.record.n_states :]
            initial = self._of_direction(initials[k], direction)
        return w.emit("Where", self._there_are_steps(), last, initial, dtype=_FLOAT)

    def _of_direction(self, states: Value, direction: int) -> Value:
        """The states [D, B, n] of one direction."""
        w = self.w
        if self.record.n_directions == 1:
            return w.emit("Squeeze", states, w.ints(0))
        return w.emit("Gather", states, w.number(direction, _INT64), axis=0)

    def _there_are_steps(self) -> Value:
        w, x = self.w, self.operands[0]
        return w.once(("steps", x.name), lambda: w.cast(shape_of(w, x, 0, 1), _BOOL))

    # --- rows where there are none ----------------------------------------------------------

    def _sizes(self, axes: Sequence[int]) -> Value:
        return shape_of(self.w, self.operands[0], axes[0], axes[-1] + 1)

    def _with_rows(self, value: Value, axes: Sequence[int]) -> Value:
        """An array of three axes that has a row of zeros on those of these that have none."""
        if not axes:
            return value
        w, sizes = self.w, self._sizes(axes)
        missing = w.emit("Sub", w.emit("Max", sizes, w.ints(*[1] * len(axes))), sizes)
        before, after = w.ints(*[0] * (3 + axes[0])), [0] * (2 - axes[-1])
        pads = w.emit("Concat", before, missing, w.ints(*after), axis=0)
        return w.emit("Pad", value, pads)

    def _without_rows(self, value: Value, axes: Sequence[int]) -> Value:
        """An array without these rows."""
        if not axes:
            return value
        w = self.w
        return w.emit("Slice", value, w.ints(*[0] * len(axes)), self._sizes(axes), w.ints(*axes))
