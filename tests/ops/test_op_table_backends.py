"""The op table on every backend: values, first and second gradients, with sizes known and unknown.

The reference is the graph as it was built, evaluated node by node without rewriting, whose values
and gradients ``test_op_table.py`` holds against NumPy and finite differences. All cases of a row
are compiled into one function: the first few with their sizes known, unknown and named, the others
in one of these ways, by turns; all in each way with `--hypothesis-profile=deep`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from op_row import Row
from op_table import EXEMPT, ROWS

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.variable import Variable, ancestors
from symgraph.rewrite.engine import EVERY, Rule, RuleSet, sweep
from symgraph.testing import evaluate
from symgraph.testing.compare import difference

# How sizes other than 1 are known when the graph is built; equal ones have one name.
SIZES = {
    "known": lambda size: size,
    "unknown": lambda size: None,
    "named": lambda size: f"of_{size}",
}
BACKENDS = ("numpy", "native")
OPS_WITH_ROWS = sorted({row.op for row in ROWS})
N_IN_EACH_WAY = 3
IS_DEEP = settings().max_examples > 1000
Shape = tuple[int, ...]


@dataclass
class Batch:
    """What many cases compute, as one graph; and what each output is."""

    inputs: list[Variable] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    outputs: list[Variable] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def add_case(self, row: Row, case: Sequence[np.ndarray], sizes: str, order: int) -> None:
        """The row's results for the case, and their gradients up to the order."""
        inputs = [self.add_input(array, sizes) for array in case]
        floats = [v for v in inputs if v.dtype.kind == "f"]
        targets, shapes = as_list(row.call(*inputs)), shapes_of(row, case)
        self.add_outputs(targets, f"{row} of {case!r}, sizes {sizes}")
        for level in range(1, order + 1):
            cost = self.add_cost(targets, shapes, sizes)
            if cost is None or not floats:
                return
            targets = sg.grad(cost, floats, disconnected="zero")
            shapes = [array.shape for array in case if array.dtype.kind == "f"]
            self.add_outputs(targets, f"gradient {level} of {row} of {case!r}, sizes {sizes}")

    def add_input(self, array: np.ndarray, sizes: str) -> Variable:
        shape = [1 if size == 1 else SIZES[sizes](size) for size in array.shape]
        self.inputs.append(sg.tensor(None, shape, array.dtype))
        self.arrays.append(array)
        return self.inputs[-1]

    def given(self) -> dict[Variable, np.ndarray]:
        """The values of the inputs that are read."""
        read = set(ancestors(self.outputs))
        pairs = zip(self.inputs, self.arrays, strict=True)
        return {v: array for v, array in pairs if v in read}

    def add_outputs(self, outputs: Sequence[Variable], label: str) -> None:
        self.outputs += outputs
        self.labels += [label] * len(outputs)

    def add_cost(
        self, terms: Sequence[Variable], shapes: Sequence[Shape | None], sizes: str
    ) -> Variable | None:
        """The sum of the float terms, each element with a weight of its own; None without any."""
        parts = []
        for term, shape in zip(terms, shapes, strict=True):
            if term.dtype.kind == "f":
                # A shape that data decide has one weight for all.
                count = int(np.prod(shape or ()))
                weights = np.linspace(0.5, 1.5, count, dtype=term.dtype).reshape(shape or ())
                # A size that is made of named ones is not one of them.
                known = "unknown" if sizes == "named" else sizes
                parts.append(sg.sum(term * self.add_input(weights, known)).astype("float64"))
        return sum(parts[1:], parts[0]) if parts else None


def as_list(made: Any) -> list[Variable]:
    return list(made) if isinstance(made, (list, tuple)) else [made]


def shapes_of(row: Row, case: Sequence[np.ndarray]) -> list[Shape | None]:
    """The shapes of the row's results; None for one that data decide."""
    made = row.call(*(sg.tensor(None, array.shape, array.dtype) for array in case))
    shapes = [v.type.shape for v in as_list(made)]
    return [s if all(isinstance(size, int) for size in s) else None for s in shapes]


def batches(rows: Sequence[Row], order: int) -> Iterator[Batch]:
    """A batch for each row: every case, with its sizes known in the ways that it has.

    Named sizes differ from unknown ones in what is checked, which first gradients show.
    """
    for row in rows:
        batch = Batch()
        for number, case in enumerate(row.cases()):
            for sizes in ways_of(number):
                batch.add_case(row, case, sizes, min(order, 1) if sizes == "named" else order)
        yield batch


def ways_of(number: int) -> Sequence[str]:
    """The ways in which a row's case of that number has its sizes known."""
    every = list(SIZES)
    # Two dtypes and three ways: each sample comes in two of them.
    return every if IS_DEEP or number < N_IN_EACH_WAY else [every[number % len(every)]]


@pytest.mark.parametrize("op", OPS_WITH_ROWS)
def test_values_and_gradients_are_the_same_on_every_backend(op: str) -> None:
    rows = [row for row in ROWS if row.op == op]
    for differentiable in (True, False):
        chosen = [row for row in rows if row.differentiable is differentiable]
        for batch in batches(chosen, order=2 if differentiable else 0):
            given = batch.given()
            with np.errstate(all="ignore"):
                expected = evaluate(batch.outputs, given)
                for backend in BACKENDS:
                    f = sg.compile(list(given), batch.outputs, backend=backend)
                    assert_same(f(*given.values()), expected, batch.labels, backend)


def assert_same(found: Any, expected: Any, labels: Sequence[str], what: str) -> None:
    """All differences, by their labels."""
    wrong = [
        f"{label}: {found_here}"
        for label, ours, theirs in zip(labels, found, expected, strict=True)
        if (found_here := difference(ours, theirs)) is not None
    ]
    assert not wrong, f"{what}: {len(wrong)} of {len(labels)} differ:\n" + "\n".join(wrong[:5])


# --- expansions ---------------------------------------------------------------------------------

EXPANSIONS = {
    op.name: op.expand
    for op in OPS.values()
    if op.is_own and op.expand is not None and op.name not in EXEMPT
}


@pytest.mark.parametrize("op", sorted(EXPANSIONS))
def test_an_expansion_is_what_its_op_evaluates(op: str) -> None:
    rows = [row for row in ROWS if row.op == op]
    assert rows, f"{op} has no row"
    rules = RuleSet(Rule(f"expand {op}", (op,), EVERY, EXPANSIONS[op]))
    for batch in batches(rows, order=0):
        expanded = sweep(Graph(batch.inputs, batch.outputs), rules).outputs
        assert op not in {v.op.name for v in ancestors(expanded)}
        given = batch.given()
        with np.errstate(all="ignore"):
            expected, found = evaluate(batch.outputs, given), evaluate(list(expanded), given)
        assert_same(found, expected, batch.labels, "expanded")
