"""The weights of a recurrent layer, laid out as ONNX has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ...core.graph import has_effect, replace
from ...core.shared import SharedVariable, make_shared
from ...core.variable import CONSTANT, Variable, ancestors, make_constant, make_input
from ...ops.create import zeros
from ...ops.join import concatenate
from ...ops.shape import expand_dims, transpose
from ...ops.slices import slice_axis
from .layers import Layer

__all__ = ["Fold", "Folding", "FoldingInBody", "KeepAll", "packed"]


class Fold(Protocol):
    """What knows the values of some variables of a graph."""

    more: dict[Variable, Variable]
    """Further inputs of the graph, with what they are outside of it."""

    def __call__(self, v: Variable) -> Variable:
        """A constant, or a further input, in place of a variable whose value is known."""
        ...


def packed(layers: Sequence[Layer], fold: Fold) -> dict[str, Variable]:
    """ONNX's W, R, B and, where the cell has them, P, of these directions together."""
    parts = {"W": _input_weights, "R": _state_weights, "B": _biases}
    if "p_i" in layers[0].cell.roles:
        parts["P"] = _peepholes
    return {
        name: fold(concatenate([expand_dims(make(d), 0) for d in layers]))
        for name, make in parts.items()
    }


def _input_weights(layer: Layer) -> Variable:
    return transpose(_in_order(layer, layer.weights["W"], 1))


def _state_weights(layer: Layer) -> Variable:
    weights = layer.weights
    whole = weights.get("U")
    if whole is None:
        whole = concatenate([weights["U_gates"], weights["U_new"]], axis=1)
    return transpose(_in_order(layer, whole, 1))


def _biases(layer: Layer) -> Variable:
    """Those of the products with the input, then those of the products with the state."""
    b, n = layer.weights["b"], layer.n_units
    second = zeros(b.type.shape[0], dtype="float32")
    if "c" in layer.weights:  # of the last gate alone
        second = concatenate([zeros(2 * n, dtype="float32"), layer.weights["c"]])
    return concatenate([_in_order(layer, b, 0), second])


def _peepholes(layer: Layer) -> Variable:
    return concatenate([layer.weights[role] for role in ("p_i", "p_o", "p_f")])


def _in_order(layer: Layer, weights: Variable, axis: int) -> Variable:
    """The parts of each gate on an axis in ONNX's order."""
    n = layer.n_units
    return concatenate(
        [slice_axis(weights, axis, k * n, (k + 1) * n) for k in layer.cell.gates], axis
    )


class Folding:
    """Values of what does not change between calls."""

    def __init__(self, updated: Collection[Variable] = ()) -> None:
        self._updated = frozenset(updated)
        self.more: dict[Variable, Variable] = {}
        self._values: dict[Variable, Variable] = {}

    def __call__(self, v: Variable) -> Variable:
        """A shared variable of its own in place of one that is made of shared variables which are
        not updated, with their name: where two layers have equal values they stay two. A constant
        in place of what is made of constants; all else as it is."""
        if v not in self._values:
            self._values[v] = self._value_of(v)
        return self._values[v]

    def _value_of(self, v: Variable) -> Variable:
        below = ancestors([v])
        leaves = [x for x in below if "leaf" in x.op.traits and x.op is not CONSTANT]
        for x in leaves:
            if not isinstance(x, SharedVariable) or x in self._updated:
                return v
        if any(map(has_effect, below)):
            return v
        array = v.eval(backend="numpy")
        if not leaves:
            return make_constant(array)
        value = make_shared(array, "_".join(x.name for x in leaves if x.name) or "weights")
        self.more[value] = value
        return value


class KeepAll:
    """Knows no values: in loops, where they may be other ones in each step."""

    def __init__(self) -> None:
        self.more: dict[Variable, Variable] = {}

    def __call__(self, v: Variable) -> Variable:
        """The variable itself."""
        return v


class FoldingInBody:
    """Values of what is made of the inputs of a body, taken out of it."""

    def __init__(self, outer: Fold, given: Mapping[Variable, Variable]) -> None:
        self._outer, self._given = outer, given
        self.more: dict[Variable, Variable] = {}

    def __call__(self, v: Variable) -> Variable:
        """An input of the body for the value, where it is known outside."""
        (outside,) = replace([v], self._given)
        value = self._outer(outside)
        if value is outside:
            return v
        symbol = next((x for x, known in self.more.items() if known is value), None)
        if symbol is None:
            symbol = make_input(value.type)
            self.more[symbol] = value
        return symbol
