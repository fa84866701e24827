"""Advice of the report: each kind by a program that provokes it, and by one close to it that must
not."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.core.provenance import user_lines

BACKENDS = ["native", "numpy"]
KINDS = (
    "repeated bodies",
    "batchable loop",
    "associative loop",
    "product in a loop",
    "trace for its last row",
    "unrolled chain",
    "unread state",
    "forced copy",
)

D = 4
x = sg.tensor("x", ("T", "B", D))
W = sg.shared(np.full((D, D), 0.25, "float32"), "W")
U = sg.shared(np.full((D, D), 0.125, "float32"), "U")
V = sg.shared(np.full((2 * D, D), 0.125, "float32"), "V")
ZEROS = sg.zeros((x.shape[1], D))


def line() -> int:
    """The line of the caller."""
    return user_lines()[1].line


def advice(inputs, outputs, backend="native", **options) -> list:
    return sg.compile(inputs, outputs, backend=backend, **options).report.advice


def only(found: list, kind: str, at: int | None = None):
    """The one piece of advice, which is of this kind and names this line."""
    assert [each.kind for each in found] == [kind], "\n".join(map(str, found))
    (each,) = found
    assert each.kind in KINDS
    assert each.text
    assert each.saving
    assert {place.file for place in each.lines} == {__file__}
    if at is not None:
        assert each.lines[0].line == at
    return each


def rnn(step=lambda x, h: sg.tanh(x @ W + h @ U), **options):
    return sg.scan(step, x, ZEROS, **options)


def trained(cost, *parameters):
    gradients = sg.grad(cost, [*parameters])
    return {p: p - 0.1 * g for p, g in zip(parameters, gradients, strict=True)}


# --- repeated bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_nesterov_by_substitution_repeats_bodies(backend: str) -> None:
    cost = sg.square(rnn()[-1]).mean()
    speed = sg.shared(np.zeros((D, D), "float32"), "speed")
    ahead = sg.substitute(cost, {W: W + 0.9 * speed})
    step = 0.9 * speed - 0.1 * sg.grad(ahead, W)
    found = only(advice([x], cost, backend, updates={speed: step, W: W + step}), "repeated bodies")
    assert "nn.nesterov" in found.text
    assert found.saving == "1 body"
    assert len(found.lines) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_nesterov_of_symgraph_nn_repeats_none(backend: str) -> None:
    cost = sg.square(rnn()[-1]).mean()
    assert advice([x], cost, backend, updates=nn.nesterov(cost, [W, U], 0.1)) == []


# --- batchable loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "step",
    [
        lambda x: sg.tanh(x) * 2,
        lambda x: (x * x).sum(),
        lambda x: sg.softmax(sg.relu(x @ W)),
        lambda x: sg.concatenate([x, sg.exp(x)], axis=1)[:, 1:],
    ],
)
def test_a_map_of_plain_operations_is_batchable(step, backend: str) -> None:
    at = line() + 1
    found = only(advice([x], sg.map(step, x), backend), "batchable loop", at)
    assert found.saving == "1 body, run T times"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_that_the_compiler_takes_out_itself(backend: str) -> None:
    assert advice([x], sg.map(lambda x: x @ W, x), backend) == []


def test_maps_that_are_not() -> None:
    row = sg.vector("row")
    inner = sg.map(lambda x: sg.scan(lambda r, h: sg.tanh(r + h), x, x[0])[-1], x)
    assert advice([x], inner) == []  # a loop in each step
    indices = sg.tensor("i", ("T",), "int64")
    read = sg.map(lambda i: row[i : i + 3], indices)
    assert advice([indices, row], read) == []  # each step reads somewhere else
    assert advice([x], sg.tanh(x) * 2) == []


# --- associative loops ---------------------------------------------------------------------------

a = sg.tensor("a", ("T", "B", D))
A = sg.tensor("A", ("T", D, D))
ASSOCIATIVE = {
    "running sum": (lambda x, a, h: h + x * a, "T steps one after another, for 1 operation"),
    "running product": (lambda x, a, h: x * h, "1 operation"),
    "running maximum": (lambda x, a, h: sg.maximum(h, x), "log2(T) rounds"),
    "a running maximum,": (lambda x, a, h: sg.maximum(h, x) * 1, "log2(T) rounds"),
    "running maximum, whose": (
        lambda x, a, h: sg.maximum(sg.maximum(h, x), sg.maximum(h, a)),
        "log2(T) rounds",
    ),
    "running minimum": (lambda x, a, h: sg.minimum(sg.exp(x), h), "log2(T) rounds"),
    "running logaddexp": (lambda x, a, h: sg.logaddexp(x, h), "log2(T) rounds"),
    "a[t] * h[t-1] + b[t]": (lambda x, a, h: a * h + x, "log2(T) rounds"),
    "a[t] * h[t-1]": (lambda x, a, h: h + 0.1 * (x - h), "log2(T) rounds"),
    "linear recurrence": (
        lambda x, a, h: sg.sigmoid(a @ W) * h + (1 - sg.sigmoid(a @ W)) * sg.tanh(x),
        "log2(T) rounds",
    ),
    "h[t-1] @ A[t] + b[t]": (lambda x, a, h: h @ W - x, "products of matrices"),
    "maximum(h[t-1] + a[t], b[t])": (lambda x, a, h: sg.maximum(h + a, x), "log2(T) rounds"),
}


@pytest.mark.parametrize("words", ASSOCIATIVE)
@pytest.mark.parametrize("with_gradient", [False, True])
def test_a_recurrence_that_can_be_grouped(words: str, with_gradient: bool) -> None:
    step, saving = ASSOCIATIVE[words]
    at = line() + 1
    h = sg.scan(step, [x, a], ZEROS)
    outputs = [h, sg.grad(sg.square(h).sum(), x)] if with_gradient else [h]
    found = only(advice([x, a], outputs, unused="ignore"), "associative loop", at)
    assert words in found.text
    assert "sg.associative_scan" in found.text
    assert saving in found.saving


@pytest.mark.parametrize(("dtype", "words"), [("bool", "logical or"), ("int64", "bitwise or")])
def test_which_or_is_meant(dtype: str, words: str) -> None:
    v = sg.tensor("v", ("T",), dtype)
    h = sg.scan(lambda v, h: h | v, v, np.zeros((), dtype))
    assert f"computes a running {words}, whose" in only(advice([v], h), "associative loop").text


def test_how_many_steps_there_are_of_single_numbers() -> None:
    v = sg.tensor("v", ("T",))
    h = sg.scan(lambda v, h: sg.exp(v) * h + v, v, np.float32(0))
    assert only(advice([v], h), "associative loop").saving == (
        "T steps one after another, for about T//32 + 32"
    )


def test_recurrences_of_several_states_and_steps() -> None:
    def fibonacci(x, first, second):
        return second, first + second + x

    both = sg.scan(fibonacci, x, [ZEROS, ZEROS])
    only(advice([x], both), "associative loop")
    apart = sg.scan(lambda x, g, h: (g + x, sg.maximum(h, x)), x, [ZEROS, ZEROS])
    only(advice([x], apart), "associative loop")
    first = {"initial": sg.zeros((2, x.shape[1], D)), "taps": [-2, -1]}
    only(advice([x], sg.scan(lambda x, g, h: h - 0.5 * g + x, x, first)), "associative loop")
    matrices = sg.scan(lambda A, h: A @ h, A, sg.zeros(D))
    only(advice([A], matrices), "associative loop")


def test_what_is_said_of_a_linear_recurrence_is_right() -> None:
    factors, terms = sg.matrix("factors"), sg.matrix("terms")
    loop = sg.scan(lambda a, b, h: a * h + b, [factors, terms], sg.zeros(3))
    f = sg.compile([factors, terms], loop)
    (found,) = f.report.advice
    function = found.text[found.text.index("lambda") : found.text.index(" on the pairs")]
    _, running = sg.associative_scan(eval(function), [factors, terms])
    one, other = np.random.default_rng(0).normal(size=(2, 70, 3)).astype("float32")
    expected = sg.compile([factors, terms], running)(one, other)
    np.testing.assert_allclose(f(one, other), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: sg.tanh(h @ U + x),
        lambda x, h: h * sg.sigmoid(h) + x,
        lambda x, h: h * h + x,
        lambda x, h: sg.relu(h + x),
        lambda x, h: x / (h + 2),
        lambda x, h: sg.where(h > 0, h, x),
        lambda x, h: sg.maximum(-h, x),
        lambda x, h: (h + x, sg.until((h > 9).any())),
    ],
)
def test_recurrences_that_cannot_be_grouped(step) -> None:
    assert advice([x], sg.scan(step, x, ZEROS)) == []


def test_a_recurrence_with_another_that_cannot_be_grouped() -> None:
    steps = sg.scan(lambda x, h, i: (sg.tanh(h + x), i + 1), x, [ZEROS, np.int64(0)])
    assert advice([x], steps) == []
    counted = sg.scan(lambda x, i: (sg.tanh(x) * i, i + 1), x, [None, np.int64(0)])
    assert advice([x], counted) == []


def test_what_associative_scan_is_made_of_is_no_loop_to_change() -> None:
    def after(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    short = sg.tensor("short", ("T", 2))
    _, states = sg.associative_scan(after, [short, short])
    wide = sg.associative_scan(sg.maximum, x)
    cost = states.sum() + wide.sum()
    assert advice([short, x], [cost, *sg.grad(cost, [short, x])]) == []
    within = sg.scan(lambda x, h: sg.tanh(h + sg.associative_scan(sg.logaddexp, x)), x, ZEROS)
    assert advice([x], within) == []


def test_what_runs_again_for_checkpoints_is_no_loop_to_change() -> None:
    h = sg.scan(lambda x, h: 0.5 * h + sg.tanh(x), x, ZEROS, checkpoint_every=4)
    assert advice([x], [h[-1], sg.grad(sg.square(h[-1]).sum(), x)]) == []


def test_the_gradient_of_a_sum_is_no_loop_to_change() -> None:
    h = sg.scan(lambda x, h: sg.tanh(x) + h, x, ZEROS, name="total")
    gradient = sg.grad(sg.square(h).sum(), x)
    only(advice([x], gradient), "associative loop")
    only(advice([x], gradient, givens={x: x * 2}), "associative loop")


# --- products in loops ---------------------------------------------------------------------------


def small(x, h):
    scale = h.mean()
    scale.name = "scale"
    return scale


def joined(x, h):
    return sg.tanh(sg.concatenate([x, h], 1) @ V)


def computed(x, h):
    return sg.tanh(sg.relu(x) @ W + h @ U)


@pytest.mark.parametrize(
    ("step", "backend"), [(joined, "native"), (joined, "numpy"), (computed, "numpy")]
)
def test_a_product_that_leaves_the_loop_by_itself(step, backend: str) -> None:
    assert "product in a loop" not in [a.kind for a in advice([x], rnn(step)[-1], backend)]


@pytest.mark.parametrize(
    ("step", "words", "backend"),
    [
        *(
            row
            for backend in BACKENDS
            for row in [
                (lambda x, h: sg.tanh((x * small(x, h)) @ W + h @ U), ["factor"], backend),
                (lambda x, h: sg.tanh(x @ (W * small(x, h)) + h @ U), ["factor"], backend),
            ]
        ),
        (
            lambda x, h: sg.tanh(sg.relu(x) @ W + h @ U),
            ["relu", "rows of sequences alone"],
            "native",
        ),
    ],
)
def test_a_product_that_could_leave_the_loop(step, words: list[str], backend: str) -> None:
    found = only(advice([x], rnn(step)[-1], backend), "product in a loop")
    assert all(word in found.text for word in words)
    assert found.saving == "T small products, for a large one"
    assert found.lines[0].function == "<lambda>"


def test_rows_that_are_read_at_an_index() -> None:
    def step(t, h):
        return sg.tanh(x[t] @ W + h @ U)

    def count(h, t):
        return sg.tanh(x[t] @ W + h @ U), t + 1

    n = x.shape[0]
    by_sequence = sg.scan(step, sg.arange(n), ZEROS)[-1]
    by_count = sg.scan(count, outputs_info=[ZEROS, np.int64(0)], n_steps=n)[0][-1]
    indices, table = sg.tensor("indices", ("T", "B"), "int64"), sg.shared(np.eye(9, D, dtype="f"))
    zeros = sg.zeros((indices.shape[1], D))
    embedded = sg.scan(lambda i, h: sg.tanh(table[i] @ W + h @ U), indices, zeros)
    assert "x at" in only(advice([x], by_sequence), "product in a loop").text
    assert "x at state 1[t-1]" in only(advice([x], by_count), "product in a loop").text
    assert "indices[t]" in only(advice([indices], embedded), "product in a loop").text
    best = sg.scan(lambda h: sg.tanh(table[sg.argmax(h, 1)] @ W + h), outputs_info=ZEROS, n_steps=3)
    assert advice([x], best) == []  # which rows only the step before tells


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: sg.tanh(x @ W + h @ U),
        lambda x, h: sg.tanh((x * h) @ W + h @ U),
        lambda x, h: sg.tanh(sg.tanh(h) @ W + x),
        lambda x, h: sg.tanh(x + sg.concatenate([h, h * 2], 1) @ V),
    ],
)
def test_products_that_leave_by_themselves_or_cannot(step, backend: str) -> None:
    assert advice([x], rnn(step)[-1], backend) == []


# --- traces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trace_of_which_the_last_row_is_read(backend: str) -> None:
    at = line() + 1
    _, outputs = sg.scan(lambda x, h: (sg.tanh(x + h), sg.exp(h)), x, [ZEROS, None])
    found = only(advice([x], outputs[-1], backend), "trace for its last row", at)
    assert found.saving == "16*B*T - 16*B bytes"


@pytest.mark.parametrize("backend", BACKENDS)
def test_traces_that_are_needed(backend: str) -> None:
    states, outputs = sg.scan(lambda x, h: (sg.tanh(x + h), sg.exp(h)), x, [ZEROS, None])
    assert advice([x], outputs, backend) == []
    assert advice([x], [outputs[-1], outputs.sum()], backend) == []
    assert advice([x], states[-1], backend) == []  # a few rows are kept


# --- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_gradient", [False, True])
def test_a_loop_of_pythons(with_gradient: bool) -> None:
    h = ZEROS
    at = line() + 2
    for t in range(25):
        h = sg.tanh(x[t] @ W + h @ U)
    cost = sg.square(h).sum()
    updates = trained(cost, W, U) if with_gradient else {}
    found = only(advice([x], cost, updates=updates), "unrolled chain", at)
    assert "25 equal steps" in found.text
    assert "sg.scan" in found.text
    assert found.saving == "120 variables to compile"


def test_a_chain_of_two_states_is_one() -> None:
    h = c = ZEROS
    for t in range(20):
        keep, add = sg.sigmoid(x[t] @ W + h @ U), sg.sigmoid(x[t] @ U + h @ W)
        c = keep * c + add * sg.tanh(x[t] @ sg.transpose(W) + h)
        h = add * sg.tanh(c)
    cost = sg.square(h).sum()
    assert "20 equal steps" in only(advice([x], cost), "unrolled chain").text
    found = advice([x], cost, updates=nn.nesterov(cost, [W, U], 0.1))
    assert "20 equal steps" in only(found, "unrolled chain").text


def test_chains_that_are_none() -> None:
    h = x[0, 0]
    for power in range(10):
        h = h * x[1, 0] + power
    assert advice([x], h) == []  # one kernel does it
    h = x[0]
    for _ in range(20):
        h = sg.tanh(h @ sg.shared(np.eye(D, dtype="float32")))
    assert advice([x], h) == []  # layers with parameters of their own
    h = x[0]
    for t in range(4):
        h = sg.tanh(x[t] @ W + h @ U)
    assert advice([x], h) == []  # a few steps
    terms = [sg.tanh(x[t] @ W) for t in range(30)]
    assert advice([x], sg.stack(terms)) == []  # no step needs another


# --- states that no step reads -------------------------------------------------------------------


def test_a_state_that_no_step_reads() -> None:
    at = line() + 1
    h = sg.scan(lambda x, h: sg.sin(x), x, ZEROS, name="waves")
    for outputs in ([h, sg.grad(h.sum(), x)], [sg.grad(h[-1].sum(), x)], [h]):
        found = only(
            [each for each in advice([x], outputs) if each.kind != "batchable loop"],
            "unread state",
            at,
        )
        assert "'waves'" in found.text
        assert "None" in found.text


def test_states_that_are_read_or_keep_the_last_row() -> None:
    h = rnn()
    assert advice([x], [h, sg.grad(h.sum(), x)]) == []
    last = sg.scan(lambda x, g, h: (sg.tanh(x + g), x * 2), x, [ZEROS, ZEROS])[1][-1]
    assert advice([x], last) == []  # of a plain output all rows would be kept


# --- copies --------------------------------------------------------------------------------------

by_batch = sg.tensor("by_batch", ("B", "T", D))


@pytest.mark.parametrize("with_gradient", [False, True])
def test_a_sequence_that_does_not_lie_by_time(with_gradient: bool) -> None:
    zeros = sg.zeros((by_batch.shape[0], D))
    rows = by_batch.swapaxes(0, 1)
    h = sg.scan(lambda x, h: sg.tanh(x @ W + h @ U), rows, zeros)
    cost = sg.square(h[-1]).sum()
    updates = trained(cost, W, U) if with_gradient else {}
    found = only(advice([by_batch], cost, updates=updates), "forced copy")
    assert "'by_batch' [B, T, 4] is read as [T, B, 4]" in found.text
    copied = int(found.saving.split("*")[0])
    assert copied in ((16, 32, 48) if with_gradient else (16,))


def test_other_copies() -> None:
    rows = by_batch.swapaxes(0, 1).reshape((-1, D))
    found = advice([by_batch], sg.scan(lambda x, h: sg.tanh(x + h), rows @ W, sg.zeros(D)))
    assert "as [T, B, 4]" in only(found, "forced copy").text
    indices = sg.tensor("indices", ("n",), "int64")
    table = only(advice([indices], sg.tanh(V.T[indices])), "forced copy")
    assert "'V' [8, 4] is read as [4, 8]" in table.text
    assert table.saving == "128 bytes copied in each call"
    zeros = sg.zeros((x.shape[1] - 1, D))
    part = sg.scan(lambda x, h: sg.tanh(x @ W + h @ U), x[:, 1:], zeros)
    assert "a part of 'x' [T, B, 4]" in only(advice([x], part), "forced copy").text


def test_loops_of_one_step_are_none() -> None:
    one = sg.tensor("one", (1, "B", D))
    zeros = sg.zeros((one.shape[1], D))
    assert advice([one], sg.map(sg.tanh, one)) == []
    assert advice([one], sg.scan(lambda x, h: x + h, one, zeros)) == []
    outputs = sg.scan(lambda x, h: (sg.tanh(x + h), sg.exp(h)), one, [zeros, None])[1]
    assert advice([one], outputs[-1]) == []


def test_arrays_that_are_read_as_they_lie() -> None:
    indices = sg.tensor("indices", ("n",), "int64")
    assert advice([indices], V[indices] @ W.T) == []
    assert advice([x], sg.tanh(x[1:].reshape((-1, D)) @ W)) == []
    assert advice([by_batch], sg.tanh(by_batch.reshape((-1, D)) @ W)) == []
    assert advice([by_batch], sg.softmax(by_batch @ by_batch.swapaxes(1, 2))) == []
    heads = sg.tanh(by_batch).reshape((by_batch.shape[0], -1, 2, 2)).transpose((0, 2, 1, 3))
    joined = (heads * 2).transpose((0, 2, 1, 3)).reshape((by_batch.shape[0], -1, D))
    assert advice([by_batch], joined) == []  # what is computed may have to be
    assert advice([by_batch], sg.tanh(by_batch.swapaxes(0, 1).reshape((-1, D)) @ W)) == []


# --- clean programs ------------------------------------------------------------------------------


def sequence_net(cell):
    return nn.Sequential(
        nn.Bidirectional(cell(D, 5, rng=0), cell(D, 5, rng=1)),
        nn.Dropout(0.2),
        nn.Recurrent(cell(10, 6, rng=2)),
        nn.Dense(6, 3, rng=3),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("rule", ["sgd", "nesterov", "adam"])
def test_no_advice_on_nets(cell, rule: str, backend: str) -> None:
    y = sg.tensor("y", ("T", "B"), "int64")
    net = sequence_net(cell)
    cost = nn.cross_entropy(net(x, training=True), y)
    updates = getattr(nn, rule)(cost, net.params, 0.01)
    assert advice([x, y], cost, backend, updates=updates) == []
    assert advice([x], net(x, training=False)[-1], backend) == []


# --- the report ----------------------------------------------------------------------------------


def test_a_clean_report_has_no_section() -> None:
    f = sg.compile([x], rnn()[-1])
    assert f.report.advice == []
    assert "\nadvice\n" not in str(f.report)
    assert f.report.to_dict()["advice"] == []


def test_the_report_prints_advice_and_gives_it_as_data() -> None:
    report = sg.compile([x], sg.scan(lambda x, h: h + x, x, ZEROS, name="total")).report
    text = str(report)
    assert "\nadvice\n" in text
    assert re.search(r"associative loop at [^/]*.*test_advice\.py:\d+\n", text)
    assert "saves T steps one after another" in text
    (data,) = json.loads(json.dumps(report.to_dict()))["advice"]
    assert data["kind"] == "associative loop"
    assert data["lines"][0].startswith(__file__)
    assert max(map(len, text[text.index("\nadvice\n") :].splitlines()[3:])) <= 100


def test_a_recalled_program_gives_the_same_advice(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path))

    def build():
        _, outputs = sg.scan(lambda x, h: (sg.tanh(x + h), sg.exp(h)), x, [ZEROS, None])
        return sg.compile([x], outputs[-1]).report

    first, second = build(), build()
    assert (first.is_recalled, second.is_recalled) == (False, True)
    assert first.advice == second.advice != []


def test_advice_is_looked_for_when_it_is_asked_for(monkeypatch) -> None:
    def refuse(*_):
        raise AssertionError("nobody has asked")

    report = sys.modules["symgraph.compile.report"]
    monkeypatch.setattr(report, "advice_on", refuse)
    f = sg.compile([x], rnn()[-1])
    f(np.zeros((3, 2, D), "float32"))
    with pytest.raises(AssertionError, match="nobody"):
        _ = f.report.advice
