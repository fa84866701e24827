"""The recurrent ops of ONNX as steps in symgraph's terms, to tell which loops are such an op.

The body of a loop is canonical and interned: a loop that does what one of these cells does, in the
order in which `symgraph_nn`'s cells do it, has the very body that the cell's step gives for its
types. Nothing is matched, and what computes the same in another way stays a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.graph import Graph
from ...core.types import TensorType, tensor_type
from ...core.variable import Variable, make_input
from ...ops.activation import relu, sigmoid, softplus
from ...ops.elementwise import add, divide, multiply, subtract
from ...ops.linalg import matmul
from ...ops.slices import slice_axis
from ...ops.transcendental import tanh
from ...scan.close import close_body

__all__ = ["ACTIVATIONS", "CELLS", "Activation", "Cell", "Weights", "reference_of"]

Weights = Mapping[str, Variable]
"""The weights of a cell by their roles: ``W`` of the input, ``U`` of the state, biases ``b`` and
``c`` (of the product with the state), peepholes ``p_i``, ``p_f`` and ``p_o``."""

Activation = Callable[[Variable], Variable]

Step = Callable[[Variable, Sequence[Variable], Weights], list[Variable]]


@dataclass(frozen=True)
class Cell:
    """A recurrent op of ONNX with certain attributes, and its step."""

    op: str
    """What ONNX calls it."""
    step: Step
    """The new states, from a row of the sequence, the states and the weights."""
    gates: tuple[int, ...]
    """For each gate in ONNX's order which one it is among the columns of the weights."""
    roles: tuple[str, ...]
    """The weights that the step reads."""
    n_states: int = 1
    activation: str | None = None
    """The activation, where it is another than ONNX takes by default."""
    linear_before_reset: bool = False
    """Whether a GRU resets after the product with the state."""

    def with_activations(self, functions: Sequence[Activation]) -> Cell:
        """The cell with other activations, that of its gates first."""
        return replace(self, step=_STEPS[self.op](*functions))

    def shape_of(self, role: str, n_in: int, n_units: int) -> tuple[int, ...]:
        """The shape of a weight, for so many features in and out."""
        columns = len(self.gates) * n_units
        shapes = {
            "W": (n_in, columns),
            "U": (n_units, columns),
            "U_gates": (n_units, 2 * n_units),
            "U_new": (n_units, n_units),
            "b": (columns,),
        }
        return shapes.get(role, (n_units,))


def reference_of(
    cell: Cell, row: TensorType, states: Sequence[TensorType]
) -> tuple[Graph, list[str]]:
    """The body of a loop over rows of this type that does what the cell does; the roles of what is
    fixed in it, in order."""
    n_in, n_units = row.shape[-1], states[0].shape[-1]
    assert isinstance(n_in, int)
    assert isinstance(n_units, int)
    weights = {
        role: make_input(tensor_type(row.dtype, cell.shape_of(role, n_in, n_units)))
        for role in cell.roles
    }
    symbols = [make_input(row), *map(make_input, states)]
    body, outer = close_body(symbols, cell.step(symbols[0], symbols[1:], weights))
    role_of = {weight: role for role, weight in weights.items()}
    return body, [role_of[weight] for weight in outer]


# --- steps --------------------------------------------------------------------------------------


def _gates(z: Variable, number: int) -> Iterator[Variable]:
    """The columns of each gate, side by side in ``z``."""
    n_units = z.type.shape[1] // number
    for k in range(number):
        yield slice_axis(z, 1, k * n_units, (k + 1) * n_units)


def _rnn(f: Activation = tanh) -> Step:
    def step(x: Variable, states: Sequence[Variable], w: Weights) -> list[Variable]:
        return [f(add(add(matmul(x, w["W"]), matmul(states[0], w["U"])), w["b"]))]

    return step


def _lstm(f: Activation = sigmoid, g: Activation = tanh, h: Activation = tanh) -> Step:
    def step(x: Variable, states: Sequence[Variable], w: Weights) -> list[Variable]:
        y, c = states
        z_i, z_f, z_g, z_o = _gates(add(add(matmul(x, w["W"]), matmul(y, w["U"])), w["b"]), 4)
        if "p_i" in w:
            z_i, z_f = add(z_i, multiply(c, w["p_i"])), add(z_f, multiply(c, w["p_f"]))
        c = add(multiply(f(z_f), c), multiply(f(z_i), g(z_g)))
        if "p_o" in w:
            z_o = add(z_o, multiply(c, w["p_o"]))
        return [multiply(f(z_o), h(c)), c]

    return step


def _gru(f: Activation = sigmoid, g: Activation = tanh) -> Step:
    def step(x: Variable, states: Sequence[Variable], w: Weights) -> list[Variable]:
        (h,) = states
        z_r, z_u, z_n = _gates(add(matmul(x, w["W"]), w["b"]), 3)
        if "U" in w:
            y_r, y_u, y_n = _gates(matmul(h, w["U"]), 3)
            r, u = f(add(z_r, y_r)), f(add(z_u, y_u))
            memory = multiply(r, add(y_n, w["c"]) if "c" in w else y_n)
        else:
            y_r, y_u = _gates(matmul(h, w["U_gates"]), 2)
            r, u = f(add(z_r, y_r)), f(add(z_u, y_u))
            memory = matmul(multiply(r, h), w["U_new"])
        return [add(multiply(u, h), multiply(subtract(1, u), g(add(z_n, memory))))]

    return step


_STEPS: dict[str, Callable[..., Step]] = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}


def _softsign(x: Variable) -> Variable:
    return divide(x, add(1, abs(x)))


ACTIVATIONS: dict[str | None, Activation] = {
    None: tanh,
    "Relu": relu,
    "Sigmoid": sigmoid,
    "Softplus": softplus,
    "Softsign": _softsign,
}
"""Those of an RNN by their names in ONNX; None for its own, tanh."""

_PLAIN = ("W", "U", "b")
_PEEPHOLES = (*_PLAIN, "p_i", "p_f", "p_o")
_IN_TWO = ("W", "U_gates", "U_new", "b")
# Ours are i, f, g, o; ONNX has i, o, f, c.
_LSTM_GATES = (0, 3, 1, 2)
# Ours are r, u, n; ONNX has z, r, h.
_GRU_GATES = (1, 0, 2)

CELLS: tuple[Cell, ...] = (
    Cell("LSTM", _lstm(), _LSTM_GATES, _PLAIN, n_states=2),
    Cell("LSTM", _lstm(), _LSTM_GATES, _PEEPHOLES, n_states=2),
    Cell("GRU", _gru(), _GRU_GATES, _PLAIN, linear_before_reset=True),
    Cell("GRU", _gru(), _GRU_GATES, (*_PLAIN, "c"), linear_before_reset=True),
    Cell("GRU", _gru(), _GRU_GATES, _IN_TWO),
    *(Cell("RNN", _rnn(f), (0,), _PLAIN, activation=name) for name, f in ACTIVATIONS.items()),
)
"""The cells, by which loops are recognised."""
