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


def several() -> Any:
    def step(x_t: sg.Variable, h: sg.Variable, c: sg.Variable) -> Any:
        c = 0.5 * c + x_t @ W
        return sg.tanh(c) * h + 1, c, (h * c).sum(axis=-1), x_t.max(axis=-1)

    return sg.scan(step, x, [zeros, zeros, None, None])


def nested() -> sg.Variable:
    def outer(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
        inner = sg.scan(lambda a, g: sg.tanh(a + g * h.sum()), x_t.T, sg.zeros((x_t.shape[0],)))
        return h * 0.5 + sg.expand_dims(inner[-1], 1)

    return sg.scan(outer, x, zeros)


def total(v: sg.Variable) -> sg.Variable:
    return (v * v).sum()


def gradients(v: sg.Variable, wrt: Sequence[sg.Variable] = (W, U, x)) -> list[sg.Variable]:
    return sg.grad(total(v), list(wrt), disconnected="zero")


def second_order() -> list[sg.Variable]:
    (g,) = gradients(states(), [U])
    return [sg.grad(total(g), W)]


KINDS: dict[str, Callable[[], Any]] = {
    "map": lambda: sg.map(lambda x_t: sg.tanh(x_t @ W), x),
    "states": states,
    "backwards": lambda: states(go_backwards=True),
    "backwards, in order": lambda: states(go_backwards=True)[::-1],
    "in order and backwards": lambda: [states(), states()[::-1]],
    "older states": older_states,
    "rows around": around,
    "by number": by_number,
    "several": several,
    "nested": nested,
    "foldl": lambda: sg.foldl(rnn, x, zeros),
    "foldr": lambda: sg.foldr(rnn, x, zeros),
    "reduce": lambda: sg.reduce(lambda a, h: h * 0.5 + a, s, np.float32(0)),
    "last value": lambda: sg.last_value(states(), zeros),
    "gradient": lambda: gradients(states()),
    "gradient of the last": lambda: gradients(sg.last_value(states(), zeros)),
    "gradient, backwards": lambda: gradients(states(go_backwards=True)),
    "truncated gradient": lambda: gradients(states(truncate_gradient=3)),
    "checkpointed gradient": lambda: gradients(states(checkpoint_every=2)),
    "gradient within memory": lambda: gradients(states(memory=200)),
    "gradient of older states": lambda: gradients(older_states(), [W, x]),
    "gradient of rows around": lambda: gradients(around(), [s]),
    "gradient of several": lambda: gradients(several()[0]),
    "gradient of nested": lambda: gradients(nested(), [x]),
    "second order": second_order,
    "until": until,
    "gradient of until": lambda: gradients(until(), [s]),
    "until and states": lambda: [until(), states()],
}


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


@pytest.mark.parametrize("turned", [False, True])
def test_a_result_that_is_read_backwards_by_a_loop_and_by_others(turned: bool) -> None:
    def step(x_t: sg.Variable, h: sg.Variable) -> Any:
        h = sg.tanh(x_t @ W + h)
        return h, h * 2

    h, doubled = sg.scan(step, x, [zeros, None])
    rows = doubled[::-1] if turned else doubled
    again = sg.scan(lambda a, g: g * 0.5 + a, h[::-1], zeros)
    more = sg.scan(lambda a, g: g * 0.3 - a, doubled[::-1], zeros)
    cases = [[values(n, 2, 3)] for n in LENGTHS]
    check_model([x], [again, more, rows * 3, h[::-1] if turned else h[:1]], cases[1:])
    check_model([x], [more, doubled[::-1] + 1], cases)


def test_sizes_that_only_the_sequence_tells() -> None:
    rows, others = sg.tensor("rows", (None, None)), sg.tensor("others", (None, None))
    h = sg.scan(lambda a, b, h: h + (a * b).sum(), [rows, others], np.float32(0))
    outer = sg.map(lambda a, b: sg.concatenate([a, b]), [rows, others])
    cases = [[values(n, 2), values(m, 2)] for n, m in ((3, 5), (5, 3), (0, 2), (1, 1))]
    check_model([rows, others], [h, outer], cases)


@pytest.mark.parametrize(
    "step",
    [
        lambda row: sg.concatenate([row, sg.zeros(1)]),
        lambda row: row[::2],
        lambda row: row[1:-1].reshape((-1, 1)),
        lambda row: sg.outer(row, row[:2]),
    ],
)
def test_sizes_that_follow_from_a_sum_that_the_sequence_tells(step: Any) -> None:
    a = sg.tensor("a", ("T", "L"))
    rows = sg.concatenate([a, a, sg.zeros((a.shape[0], 1))], axis=1)
    model = check_model([a], [sg.scan(step, rows)], [[values(n, 4)] for n in LENGTHS])
    again = sg.import_onnx(model.SerializeToString())
    (found,) = again.outputs.values()
    assert found.type.shape[0] == a.type.shape[0]


def test_fixed_numbers_of_steps() -> None:
    known = sg.tensor("known", (3, 2, 3))
    h = sg.scan(rnn, known, sg.zeros((2, 4)))
    model = check_model([known], [h, h[-1]], [[values(3, 2, 3)]])
    assert "If" not in node_counts(model)
    none = sg.tensor("none", (0, 2, 3))
    h = sg.scan(rnn, none, sg.zeros((2, 4)))
    model = check_model([none], [h, sg.last_value(h, sg.zeros((2, 4)))], [[values(0, 2, 3)]])
    assert "Scan" not in node_counts(model)


def test_loops_of_integers_and_bools() -> None:
    numbers = sg.tensor("numbers", ("T",), dtype="int64")
    count = sg.scan(lambda a, n, odd: (n + a, ~odd), numbers, [np.int64(3), np.array(False)])
    check_model([numbers], as_list(count), [[np.arange(n)] for n in LENGTHS])
