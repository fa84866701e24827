"""Recurrent layers as ONNX has them: one node for each, in one or both directions.

Where the sequence may be empty, If stands around the node if its results would not be right, or
onnxruntime ends the process (1.32 does for a GRU of no steps): after no step states are the initial
ones, and not zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.variable import Variable, item
from .fused import Recurrent
from .graph_ends import GraphEnds
from .write_sizes import shape_of
from .writer import Value, Writer, writes

_BOOL, _INT64, _FLOAT = np.dtype("bool"), np.dtype("int64"), np.dtype("float32")


@writes("recurrent")
def _write_recurrent(w: Writer, v: Variable) -> list[Value]:
    layer = _Layer(v, w)
    if not layer.needs_choice:
        return layer.padded(layer.steps(w))
    x = w.value(v.inputs[0])
    for given in v.inputs:
        w.value(given)  # before the branches, so that both see it
    there_are = w.cast(w.emit("Size", x, dtype=_INT64), _BOOL)
    branches = []
    for name, write in (("steps", layer.steps), ("no_step", layer.no_step)):
        inner = w.inner()
        ends = GraphEnds(inner)
        for value, result in zip(write(inner), layer.read, strict=True):
            ends.add(value, result.type)
        branches.append(ends.graph(name, []))
    then, other = branches
    dtypes = [_FLOAT] * len(layer.read)
    return layer.padded(
        w.emit_several("If", [there_are], dtypes, then_branch=then, else_branch=other)
    )


class _Layer:
    """A node of a recurrent layer, and which of its results are read."""

    def __init__(self, v: Variable, w: Writer) -> None:
        self.record: Recurrent = v.params[0]
        self.inputs = v.inputs
        self.results = [item(v, k) for k in range(len(v.type.items))]
        self.read = [result for result in self.results if result in w.program.users]

    @property
    def needs_choice(self) -> bool:
        """Whether the node is not to run for an empty sequence."""
        n_steps, batch, _ = self.inputs[0].type.shape
        has_steps = isinstance(n_steps, int) and n_steps > 0
        if self.record.op == "GRU":
            return not has_steps or not (isinstance(batch, int) and batch > 0)
        return self.record.reads_states and not has_steps

    def padded(self, values: Sequence[Value]) -> list[Value]:
        """The values of the results that are read, with others in the places of those that are
        not."""
        found = iter(values)
        nothing = Value("", _FLOAT)
        return [next(found) if result in self.read else nothing for result in self.results]

    # --- with steps -------------------------------------------------------------------------

    def steps(self, w: Writer) -> list[Value]:
        """The results that are read, from a node of the layer's op."""
        record = self.record
        has_outputs = self.results[0] in self.read
        n = record.n_states
        dtypes: list[np.dtype | None] = [_FLOAT if has_outputs else None]
        dtypes += [_FLOAT if self._is_read(k, range(n)) else None for k in range(n)]
        while dtypes[-1] is None:
            dtypes.pop()
        made = w.emit_several(record.op, self._operands(w), dtypes, **self._attributes())
        values = [self._outputs(w, made[0])] if has_outputs else []
        for direction in range(record.n_directions):
            for k in range(n):
                if self.results[1 + direction * n + k] in self.read:
                    values.append(self._of_direction(w, made[1 + k], direction))
        return values

    def _is_read(self, state: int, states: range) -> bool:
        """Whether a state is read of some direction."""
        places = range(1 + state, len(self.results), len(states))
        return any(self.results[place] in self.read for place in places)

    def _operands(self, w: Writer) -> list[Value | None]:
        record = self.record
        x, weights, recurrent, bias, *rest = w.values(self.inputs)
        peepholes = [rest.pop(0)] if record.has_peepholes else []
        operands: list[Value | None] = [x, weights, recurrent, bias]
        if rest or peepholes:
            operands.append(None)  # the lengths of sequences
            operands += rest or [None] * record.n_states
        return operands + list[Value | None](peepholes)

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

    def _outputs(self, w: Writer, outputs: Value) -> Value:
        """The outputs [T, D, B, n] as [T, B, D · n]."""
        if self.record.n_directions == 1:
            return w.emit("Squeeze", outputs, w.ints(1))
        side_by_side = w.emit("Transpose", outputs, perm=[0, 2, 1, 3])
        return w.emit("Reshape", side_by_side, w.ints(0, 0, 2 * self.record.n_units))

    def _of_direction(self, w: Writer, states: Value, direction: int) -> Value:
        """The states [D, B, n] of one direction."""
        if self.record.n_directions == 1:
            return w.emit("Squeeze", states, w.ints(0))
        return w.emit("Gather", states, w.number(direction, _INT64), axis=0)

    # --- without ----------------------------------------------------------------------------

    def no_step(self, w: Writer) -> list[Value]:
        """The results that are read, where there is no step."""
        record, values = self.record, list[Value]()
        zero, x = w.number(0.0, _FLOAT), w.value(self.inputs[0])
        if self.results[0] in self.read:
            n = record.n_directions * record.n_units
            shape = w.emit("Concat", shape_of(w, x, 0, 2), w.ints(n), axis=0)
            values.append(w.emit("Expand", zero, shape))
        initials = w.values(self.inputs[-record.n_states :]) if record.has_initials else []
        for direction in range(record.n_directions):
            for k in range(record.n_states):
                if self.results[1 + direction * record.n_states + k] not in self.read:
                    continue
                if initials:
                    values.append(self._of_direction(w, initials[k], direction))
                else:
                    shape = w.emit("Concat", shape_of(w, x, 1, 2), w.ints(record.n_units), axis=0)
                    values.append(w.emit("Expand", zero, shape))
        return values
