"""Loops in onnxruntime: all kinds of them, with no step, with one and with many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from onnx_checks import check_model, node_counts

import symgraph as sg

LENGTHS = (0, 1, 2, 6)


rng = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32") * np.float32(0.7)


W, U = sg.shared(values(3, 4), "W"), sg.shared(values(4, 4), "U")
x = sg.tensor("x", ("T", "B", 3))
s = sg.tensor("s", ("T",))
zeros = sg.zeros((x.shape[1], 4))


def rnn(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
    return sg.tanh(x_t @ W + h @ U)


def states(**options: Any) -> sg.Variable:
    return sg.scan(rnn, x, zeros, **options)


def older_states() -> sg.Variable:
    initial = {
        "initial": sg.tile(sg.constant(np.array([[0.1], [0.2], [0.3]], "f")), (1, 4)),
        "taps": [-3, -1],
    }
    return sg.scan(lambda x_t, old, new: sg.tanh(x_t[0] @ W + 0.5 * old - new), x[:, :1], initial)


def around() -> sg.Variable:
    rows = {"input": s, "taps": [-1, 0, 2]}
    return sg.scan(lambda a, b, c, h: 0.5 * h + a - 2 * b * c, rows, np.float32(0.5))


def by_number() -> sg.Variable:
    return sg.scan(lambda h: h * 1.5 + 1, outputs_info=s.sum(), n_steps=s.shape[0] + 1)


def until(**options: Any) -> sg.Variable:
    def step(a: sg.Variable, h: sg.Variable) -> Any:
        h = h + a * a
        return h, sg.until(h > 1.2)

    return sg.scan(step, s, np.float32(0), **options)


def nested() -> sg.Variable:
    def outer(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
        inner = sg.scan(lambda a, g: sg.tanh(a + g * h.sum()), x_t.T, sg.zeros((x_t.shape[0],)))
        return h * 0.5 + sg.expand_dims(inner[-1], 1)

    return sg.scan(outer, x, zeros)


def total(v: sg.Variable) -> sg.Variable:
    return (v * v).sum()


def gradients(v: sg.Variable, wrt: Sequence[sg.Variable] = (W, U, x)) -> list[sg.Variable]:
    return sg.grad(total(v), list(wrt), disconnected="zero")


KINDS: dict[str, Callable[[], Any]] = {
    "map": lambda: sg.map(lambda x_t: sg.tanh(x_t @ W), x),
    "states": states,
    "backwards": lambda: states(go_backwards=True),
    "backwards, in order": lambda: states(go_backwards=True)[::-1],
    "in order and backwards": lambda: [states(), states()[::-1]],
    "older states": older_states,
    "rows around": around,
    "by number": by_number,
    "nested": nested,
    "foldl": lambda: sg.foldl(rnn, x, zeros),
    "foldr": lambda: sg.foldr(rnn, x, zeros),
    "reduce": lambda: sg.reduce(lambda a, h: h * 0.5 + a, s, np.float32(0)),
    "last value": lambda: sg.last_value(states(), zeros),
    "gradient": lambda: gradients(states()),
    "gradient of the last": lambda: gradients(sg.last_value(states(), zeros)),
    "gradient, backwards": lambda: gradients(states(go_backwards=True)),
    "gradient of nested": lambda: gradients(nested(), [x]),
    "until": until,
    "until and states": lambda: [until(), states()],
}
NOT_EMPTY = {"foldl", "foldr", "reduce", "rows around", "gradient of rows around"}


def as_list(outputs: Any) -> list[sg.Variable]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_loops(kind: str) -> None:
    outputs = as_list(KINDS[kind]())
    inputs = [v for v in (x, s) if v in sg.ancestors(outputs)]
    lengths = [n + 3 for n in LENGTHS[1:]] if "around" in kind else LENGTHS
    cases = [[values(n, 2, 3) if v is x else values(n) for v in inputs] for n in lengths]
    model = check_model(inputs, outputs, cases)
    found = node_counts(model)
    assert ("Loop" in found) == ("until" in kind)
    assert "Scan" in found or kind == "until"
