"""LSTM, GRU and RNN of ONNX as loops, with the bodies that `symgraph_nn`'s layers have.

A loop is written out in the steps of `cells`, by which it is told for what it is when it goes out
again. ONNX has rows of weights, gate below gate, for each direction; the cells have columns, in
another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ...core.graph import replace
from ...core.variable import Variable, make_input
from ...ops.activation import elu, leaky_relu
from ...ops.comparison import less
from ...ops.create import zeros
from ...ops.elementwise import add, where
from ...ops.join import concatenate, stack
from ...ops.ranges import arange
from ...ops.shape import expand_dims, swapaxes, transpose
from ...ops.sizes import shape_of
from ...ops.slices import slice_axis
from ...scan.build import last_value, scan
from .cells import ACTIVATIONS, CELLS, Activation, Cell
from .read_node import Node
from .read_registry import reads
from .read_values import Value

_DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_ACTIVATIONS: dict[str, Activation] = {
    (name or "Tanh").lower(): function for name, function in ACTIVATIONS.items()
}
# How many nodes a direction of a layer counts for.
_COST_OF_A_LOOP = 40
# Those with a parameter, alpha, and what it is where none is given.
_WITH_ALPHA = {"elu": (elu, 1.0), "leakyrelu": (leaky_relu, 0.01)}


@reads("LSTM", "GRU", "RNN")
def _recurrent(node: Node) -> tuple[Value, ...]:
    layer = _Layer(node)
    runs = [layer.run(d) for d in range(layer.n_directions)]
    outputs = stack([run[0] for run in runs], axis=1)
    states = [stack(parts, axis=0) for parts in zip(*(run[1:] for run in runs), strict=True)]
    if layer.is_batch_first:  # [batch, time, directions, units], [batch, directions, units]
        return transpose(outputs, (2, 0, 1, 3)), *(swapaxes(state, 0, 1) for state in states)
    return outputs, *states


class _Layer:
    """A recurrent node: what all of its directions share."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.direction = node.attribute("direction", "forward")
        self.is_batch_first = bool(node.attribute("layout", 0))
        self._refuse()
        x = node.variable(0)
        self.x = swapaxes(x, 0, 1) if self.is_batch_first else x
        self.n_directions = 2 if self.direction == "bidirectional" else 1
        self.functions = list(_activations(node, self.n_directions))
        self.n_units = self._units()
        self.mask = self._mask()
        if self.mask is not None:  # 0 times a padding of NaN is NaN in the products of a gradient
            self.x = where(expand_dims(self.mask, 2), self.x, 0)

    def _refuse(self) -> None:
        node = self.node
        if self.direction not in ("forward", "reverse", "bidirectional"):
            raise node.refusal(f"there is no direction {self.direction!r}")
        for name in ("clip", "input_forget"):
            if node.attribute(name, 0.0, kind=None):
                raise node.refusal(f"the attribute {name!r} is not read")

    def _units(self) -> int:
        """How many units there are: a number, with which the weights agree."""
        weights = self.node.variable(2).type.shape
        n_units = self.node.attribute("hidden_size", None, kind=int)
        if n_units is None and weights:
            n_units = weights[-1]
        if not isinstance(n_units, int):
            raise self.node.refusal(
                "the number of units is not known: there is no attribute 'hidden_size'"
            )
        expected = self.n_directions, len(_cell_of(self.node).gates) * n_units, n_units
        if len(weights) != 3 or any(
            isinstance(size, int) and size != e for size, e in zip(weights, expected, strict=True)
        ):
            raise self.node.refusal(
                f"its recurrent weights have sizes {list(weights)}, not {list(expected)}"
            )
        return n_units

    def _mask(self) -> Variable | None:
        """Which steps each row has, bools [time, batch], where rows are of different lengths."""
        if not self.node.has(4):
            return None
        lengths, n_steps = self.node.variable(4), shape_of(self.x)[0]
        known = self.node.known(4)
        if known is not None and isinstance(n_steps, int) and np.all(known >= n_steps):
            return None
        steps = arange(n_steps, dtype=lengths.dtype)
        return less(expand_dims(steps, 1), expand_dims(lengths, 0))

    def run(self, d: int) -> list[Variable]:
        """The outputs [time, batch, units] of a direction, and its last states [batch, units]."""
        self.node.scope.model.budget.read_nodes(_COST_OF_A_LOOP)
        cell = _cell_of(self.node).with_activations(self.functions[d])
        weights = _weights_of(self.node, cell, d, self.n_units)
        # The step sees symbols: what is constant would be a part of the body.
        symbols = {role: make_input(weight.type) for role, weight in weights.items()}
        initial = [self._initial(5 + k, d) for k in range(cell.n_states)]
        is_masked, reverse = self.mask is not None, self.direction == "reverse" or d == 1

        def step(x: Variable, *others: Variable) -> list[Variable]:
            states = others[1:] if is_masked else others
            new = cell.step(x, states, symbols)
            if is_masked:
                new = [
                    where(expand_dims(others[0], 1), n, s) for n, s in zip(new, states, strict=True)
                ]
            return new

        sequences = [self.x] if self.mask is None else [self.x, self.mask]
        name = self.node.name or self.node.op_type  # else what calls the import would name it
        traces = scan(step, sequences, initial, go_backwards=reverse, name=name)
        traces = traces if isinstance(traces, list) else [traces]
        y = traces[0][::-1] if reverse else traces[0]
        if self.mask is not None:
            y = where(expand_dims(self.mask, 2), y, 0)
        last = [last_value(trace, value) for trace, value in zip(traces, initial, strict=True)]
        return replace([y, *last], {symbols[role]: weights[role] for role in weights})

    def _initial(self, i: int, d: int) -> Variable:
        """A state before the first step, [batch, units]: the input, or zeros."""
        if self.node.has(i):
            states = self.node.variable(i)
            return states[:, d] if self.is_batch_first else states[d]
        return zeros((shape_of(self.x)[1], self.n_units), dtype=self.x.dtype)


def _activations(node: Node, n_directions: int) -> Iterator[list[Activation]]:
    """For each direction its activations."""
    defaults = _DEFAULTS[node.op_type]
    names = node.attribute("activations", list(defaults) * n_directions)
    if len(names) != len(defaults) * n_directions:
        raise node.refusal(f"{len(defaults) * n_directions} activations are expected, not {names}")
    alphas = iter(node.attribute("activation_alpha", []))
    functions: list[Activation] = []
    for name in names:
        word = name.lower()
        if word in _WITH_ALPHA:
            function, default = _WITH_ALPHA[word]
            functions.append(partial(function, alpha=next(alphas, default)))
        elif word in _ACTIVATIONS:
            functions.append(_ACTIVATIONS[word])
        else:
            raise node.refusal(f"the activation {name!r} is not read")
    for d in range(n_directions):
        yield functions[d * len(defaults) : (d + 1) * len(defaults)]


# --- weights ------------------------------------------------------------------------------------


def _cell_of(node: Node) -> Cell:
    """The cell that does what the node does, but for its activations."""
    resets_after = bool(node.attribute("linear_before_reset", 0))
    for cell in CELLS:
        if (
            cell.op == node.op_type
            and ("p_i" in cell.roles) == (cell.op == "LSTM" and node.has(7))
            and cell.linear_before_reset == (cell.op == "GRU" and resets_after)
            and ("c" in cell.roles) == (cell.linear_before_reset and node.has(3))
        ):
            return cell
    raise node.refusal("there is no such cell")


def _weights_of(node: Node, cell: Cell, d: int, n_units: int) -> dict[str, Variable]:
    """The weights of a direction by their roles."""
    in_order = partial(_in_order, cell=cell, n_units=n_units)
    w, u = (transpose(in_order(node.variable(i)[d])) for i in (1, 2))
    n_rows = len(cell.gates) * n_units
    weights = {"W": w, "U": u, "U_gates": u[:, : 2 * n_units], "U_new": u[:, 2 * n_units :]}
    if not node.has(3):
        weights["b"] = zeros(n_rows, dtype=w.dtype)
    else:
        both = node.variable(3)[d]
        of_input, of_state = both[:n_rows], both[n_rows:]
        if "c" in cell.roles:  # that of the last gate stays inside of the product with the reset
            weights["c"] = of_state[2 * n_units :]
            rest = add(of_input[: 2 * n_units], of_state[: 2 * n_units])
            weights["b"] = in_order(concatenate([rest, of_input[2 * n_units :]]))
        else:
            weights["b"] = in_order(add(of_input, of_state))
    if "p_i" in cell.roles:
        for k, role in enumerate(("p_i", "p_o", "p_f")):
            weights[role] = node.variable(7)[d][k * n_units : (k + 1) * n_units]
    return {role: weights[role] for role in cell.roles}


def _in_order(rows: Variable, *, cell: Cell, n_units: int) -> Variable:
    """Rows, gate below gate, in the order of the cell's gates."""
    blocks = sorted(range(len(cell.gates)), key=lambda k: cell.gates[k])
    runs: list[list[int]] = []
    for block in blocks:
        if runs and block == runs[-1][-1] + 1:
            runs[-1].append(block)
        else:
            runs.append([block])
    if len(runs) == 1:
        return rows
    return concatenate(
        [slice_axis(rows, 0, run[0] * n_units, (run[-1] + 1) * n_units) for run in runs]
    )
