"""Advice of the report: each kind by a program that provokes it, and by one close to it that must
not."""

from __future__ import annotations

import contextlib
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
from symgraph.scan import insertions

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


def test_bodies_within_repeated_ones_count_too() -> None:
    def around(rows, h):
        return sg.tanh(h + sg.scan(lambda x, h: sg.tanh(x @ W + h @ U), rows, ZEROS)[-1])

    cost = sg.square(sg.scan(around, sg.stack([x, x * 2]), ZEROS)[-1]).mean()
    speed = sg.shared(np.zeros((D, D), "float32"), "speed")
    ahead = sg.substitute(cost, {W: W + 0.9 * speed})
    step = 0.9 * speed - 0.1 * sg.grad(ahead, W)
    twice = sg.compile([x], cost, updates={speed: step, W: W + step}).report
    once = sg.compile([x], cost, updates=nn.nesterov(cost, [W], 0.1)).report
    assert only(twice.advice, "repeated bodies").saving == f"{twice.bodies - once.bodies} bodies"


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
        lambda x: x - x.mean(),
        lambda x: sg.sort(x, axis=0),
        lambda x: sg.take_along_axis(x, sg.argsort(x), 1),
        lambda x: sg.argmax(x, axis=1) + sg.argmin(x, axis=1),
        lambda x: sg.any(x > 0, axis=1) | sg.all(x > 1, axis=1),
        lambda x: sg.cumsum(x, axis=1) * sg.prod(x),
        lambda x: x[:, np.array([3, 0])],
        lambda x: sg.pad(x, ((0, 0), (1, 1))),
        lambda x: sg.tril(x @ sg.transpose(x)),
        lambda x: (x * 2).reshape((x.shape[0], 2, 2)),
        lambda x: sg.searchsorted(np.arange(5.0, dtype="float32"), x),
        lambda x: sg.conv1d(sg.transpose(x)[None], np.ones((2, D, 1), "float32")),
        lambda x: x * sg.arange(x.shape[0])[:, None],
    ],
)
def test_a_map_of_plain_operations_is_batchable(step, backend: str) -> None:
    at = line() + 1
    found = only(advice([x], sg.map(step, x), backend), "batchable loop", at)
    assert found.saving == "1 body, run T times"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_that_the_compiler_takes_out_itself(backend: str) -> None:
    assert advice([x], sg.map(lambda x: x @ W, x), backend) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_maps_of_indices(backend: str) -> None:
    indices, row = sg.tensor("i", ("T", "B"), "int64"), sg.vector("row")
    for step in (
        lambda i: sg.one_hot(i, 5),
        lambda i: row[i],
        lambda i: sg.exp(W[i % D]),
    ):
        found = advice([indices, row], sg.map(step, indices), backend, unused="ignore")
        only(found, "batchable loop")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_of_which_the_gradient_alone_is_left(backend: str) -> None:
    costs = sg.map(lambda x: sg.tanh(x * 2).sum(), x, name="costs")
    found = only(advice([x], sg.grad(costs.sum(), x), backend), "batchable loop")
    assert "loop 'costs'" in found.text


def test_a_map_in_each_step_of_a_loop() -> None:
    def step(x, h):
        return sg.tanh(h + sg.map(lambda row: sg.softmax(row) * 2, x))

    found = only(advice([x], sg.scan(step, x, ZEROS)), "batchable loop")
    assert found.saving == "1 body, run B*T times"


def test_maps_that_are_not() -> None:
    row = sg.vector("row")
    inner = sg.map(lambda x: sg.scan(lambda r, h: sg.tanh(r + h), x, x[0])[-1], x)
    assert advice([x], inner) == []  # a loop in each step
    indices = sg.tensor("i", ("T",), "int64")
    read = sg.map(lambda i: row[i : i + 3], indices)
    assert advice([indices, row], read) == []  # each step reads somewhere else
    counted = sg.map(lambda i: sg.arange(i).sum(), indices)
    assert advice([indices], counted) == []  # as many as it says
    found = sg.map(lambda x: sg.flatnonzero(x[0] > 0).sum(), x)
    assert advice([x], found) == []
    placed = sg.map(lambda x: sg.searchsorted(sg.sort(x[0]), x), x)
    assert advice([x], placed) == []  # in a vector of each step's own
    kernels = sg.tensor("kernels", ("T", 2, D, 1))
    own = sg.map(lambda x, k: sg.conv1d(sg.transpose(x)[None], k), [x, kernels])
    assert advice([x, kernels], own) == []
    assert advice([x], sg.map(lambda x: sg.debug_print(x, "x") * 2, x)) == []
    ended = sg.scan(lambda x: (x * 2, sg.until(x.sum() > 3)), x)
    assert advice([x], ended) == []
    large = sg.tensor("large", ("T", 65, 64))
    assert advice([large], sg.map(sg.softmax, large)) == []  # the steps fit caches
    assert advice([x], sg.tanh(x) * 2) == []


# --- associative loops ---------------------------------------------------------------------------

a = sg.tensor("a", ("T", "B", D))
A = sg.tensor("A", ("T", D, D))
# What NumPy does in one operation for all rows; its gradient goes step by step.
EXTREMES = {
    "running maximum": lambda x, a, h: sg.maximum(h, x),
    "a running maximum,": lambda x, a, h: sg.maximum(h, x) * 1,
    "running maximum, whose": lambda x, a, h: sg.maximum(sg.maximum(h, x), sg.maximum(h, a)),
    "running minimum": lambda x, a, h: sg.minimum(sg.exp(x), h),
}
GROUPED = {
    "running logaddexp": lambda x, a, h: sg.logaddexp(x, h),
    "a[t] * h[t-1] + b[t]": lambda x, a, h: a * h + x,
    "a[t] * h[t-1]": lambda x, a, h: h + 0.1 * (x - h),
    "linear recurrence": lambda x, a, h: (
        sg.sigmoid(a @ W) * h + (1 - sg.sigmoid(a @ W)) * sg.tanh(x)
    ),
    "maximum(h[t-1] + a[t], b[t])": lambda x, a, h: sg.maximum(h + a, x),
}


def recurrence(step, backend: str, *, with_gradient: bool) -> list:
    h = sg.scan(step, [x, a], ZEROS)
    outputs = [h, sg.grad(sg.square(h).sum(), x)] if with_gradient else [h]
    return advice([x, a], outputs, backend, unused="ignore")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("words", [*EXTREMES, *GROUPED])
def test_a_recurrence_that_can_be_grouped(words: str, with_gradient: bool, backend: str) -> None:
    step = (EXTREMES | GROUPED)[words]
    found = recurrence(step, backend, with_gradient=with_gradient)
    if backend == "native" or (words in EXTREMES and not with_gradient):
        assert found == []  # one kernel; a ufunc accumulates
        return
    each = only(found, "associative loop")
    assert words in each.text
    assert "sg.associative_scan" in each.text
    assert each.saving.startswith("T steps one after another, for about 2*sqrt(T) where rows have")


@pytest.mark.parametrize("width", [2, 64, None])
def test_grouping_saves_nothing_where_the_loop_is_one_kernel(width: int | None) -> None:
    rows = sg.tensor("rows", ("T", width))
    h = sg.scan(lambda x, h: sg.exp(x) * h + x, rows, sg.zeros(rows.shape[1]))
    outputs = [h, sg.grad(sg.square(h).sum(), rows)]
    assert advice([rows], outputs, "native") == []
    only(advice([rows], outputs, "numpy"), "associative loop")


@pytest.mark.parametrize("backend", BACKENDS)
def test_loops_of_at_most_one_step_are_no_loops_to_change(backend: str) -> None:
    vector = sg.tensor("vector", (None,))
    for v, zero in ((x, ZEROS), (vector, np.float32(0))):
        for part in (v[:1], v[-1:], v[1:2], v[3:4][::-1]):
            found = [sg.map(lambda row: sg.tanh(row) * 2, part)]
            found.append(sg.scan(lambda row, h: 0.9 * h + row, part, zero))
            found.append(sg.scan(lambda row, h: h + row, part, zero))
            assert advice([v], found, backend) == []
    two = sg.map(lambda row: sg.tanh(row) * 2, vector[:2])
    only(advice([vector], two, backend), "batchable loop")


def test_few_steps_are_not_worth_grouping() -> None:
    vector = sg.tensor("vector", ("T",))
    few, more = (
        sg.scan(lambda v, h: sg.exp(v) * h + v, vector[:n], np.float32(0)) for n in (64, 65)
    )
    assert advice([vector], few) == []
    only(advice([vector], more), "associative loop")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("with_gradient", [False, True])
def test_running_sums_and_products(with_gradient: bool, backend: str) -> None:
    for step, words in (
        (lambda x, a, h: h + x * a, "running sum"),
        (lambda x, a, h: x * h, "running product"),
    ):
        found = recurrence(step, backend, with_gradient=with_gradient)
        if with_gradient and words == "running product" and backend == "native":
            assert found == []  # several operations, where the loop is one kernel
            continue
        each = only(found, "associative loop")
        assert words in each.text
        assert each.saving == "1 body: T steps one after another, for 1 operation"


@pytest.mark.parametrize("backend", BACKENDS)
def test_recurrences_whose_grouping_saves_nothing(backend: str) -> None:
    wide = sg.tensor("wide", ("T", 65))
    smooth = sg.scan(lambda x, h: 0.9 * h + x, wide, sg.zeros(65))
    assert advice([wide], smooth, backend) == []
    few = sg.tensor("few", (50, 4))
    assert advice([few], sg.scan(lambda x, h: 0.9 * h + x, few, sg.zeros(4)), backend) == []
    states = sg.scan(lambda x, h: h @ W - x, x, ZEROS)
    assert advice([x], states, backend) == []  # products of matrices are dearer
    flags = sg.tensor("flags", ("T",), "bool")
    seen = sg.scan(lambda v, h: h | v, flags, np.zeros((), "bool"))
    assert advice([flags], seen, backend) == []
    counts = sg.tensor("counts", ("T",), "int64")
    most = sg.scan(lambda v, h: sg.maximum(h, v), counts, np.int64(0))
    assert advice([counts], most, backend) == []


def test_how_many_steps_there_are_of_single_numbers() -> None:
    v = sg.tensor("v", ("T",))
    h = sg.scan(lambda v, h: sg.exp(v) * h + v, v, np.float32(0))
    assert only(advice([v], h), "associative loop").saving == (
        "T steps one after another, for about T//32 + 32"
    )


def test_recurrences_of_several_states() -> None:
    apart = sg.scan(lambda x, g, h: (g + x, 0.5 * h + x), x, [ZEROS, ZEROS])
    assert "linear recurrence" in only(advice([x], apart, "numpy"), "associative loop").text
    mixed = sg.scan(lambda x, g, h: (g + x, sg.maximum(h, x)), x, [ZEROS, ZEROS])
    assert advice([x], mixed, "numpy") == []  # the one alone would not let the loop go

    def fibonacci(x, first, second):
        return second, first + second + x

    together = sg.scan(fibonacci, x, [ZEROS, ZEROS])
    assert advice([x], together, "numpy") == []
    first = {"initial": sg.zeros((2, x.shape[1], D)), "taps": [-2, -1]}
    assert advice([x], sg.scan(lambda x, g, h: h - 0.5 * g + x, x, first), "numpy") == []


def test_what_is_said_of_a_linear_recurrence_is_right() -> None:
    factors, terms = sg.matrix("factors"), sg.matrix("terms")
    loop = sg.scan(lambda a, b, h: a * h + b, [factors, terms], sg.zeros(3))
    f = sg.compile([factors, terms], loop, backend="numpy")
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
    assert advice([x], sg.scan(step, x, ZEROS), "numpy") == []


def test_a_recurrence_with_another_that_cannot_be_grouped() -> None:
    steps = sg.scan(lambda x, h, i: (sg.tanh(h + x), i + 1), x, [ZEROS, np.int64(0)])
    assert advice([x], steps, "numpy") == []
    counted = sg.scan(lambda x, i: (sg.tanh(x) * i, i + 1), x, [None, np.int64(0)])
    assert advice([x], counted, "numpy") == []


def test_what_associative_scan_is_made_of_is_no_loop_to_change() -> None:
    def after(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    short = sg.tensor("short", ("T", 2))
    _, states = sg.associative_scan(after, [short, short])
    wide = sg.associative_scan(sg.maximum, x)
    cost = states.sum() + wide.sum()
    assert advice([short, x], [cost, *sg.grad(cost, [short, x])], "numpy") == []
    within = sg.scan(lambda x, h: sg.tanh(h + sg.associative_scan(sg.logaddexp, x)), x, ZEROS)
    assert advice([x], within) == []


def test_derivatives_by_each_number_are_no_loop_to_change() -> None:
    row = x[0, 0]
    waves = sg.sin(row * row) * sg.cos(W[0])
    assert advice([x], [sg.jacobian(waves, row), sg.hessian(waves.sum(), row)]) == []
    doubled = sg.jacobian(sg.jacobian(waves, row), row)
    assert advice([x], sg.grad(doubled.sum(), row)) == []


def test_what_runs_again_for_checkpoints_is_no_loop_to_change() -> None:
    h = sg.scan(lambda x, h: 0.5 * h + sg.tanh(x), x, ZEROS, checkpoint_every=4)
    assert advice([x], [h[-1], sg.grad(sg.square(h[-1]).sum(), x)], "numpy") == []


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


def gated(x, h):
    gate = sg.sigmoid(h[:, :1])
    return sg.tanh((x * gate) @ W + h @ U)


INSERTED = {
    "the factor scale": lambda x, h: (x * small(x, h)) @ W + h @ U,
    "the factor scale, ": lambda x, h: x @ (W * small(x, h)) + h @ U,
    "the factor gate": gated,
    "-> (x @ W) * s": lambda x, h: (-x / (2 + h[0, 0])) @ W,
    "is (x @ W) * s": lambda x, h: (sg.relu(x) * 2 * h[:, 1:2]) @ W,
    "x @ (W * s) is": lambda x, h: (W @ (x * h[0, 0]).T).T,
    "where(c, x @ W, y @ W)": lambda x, h: sg.where(sg.sum(h) > 0, x, 0) @ W,
    "where(c, x @ V, x @ W)": lambda x, h: x @ sg.where(sg.sum(h) > 0, W, U),
    "x @ W + s * W.sum(0)": lambda x, h: (x - h.mean(axis=1, keepdims=True)) @ W,
    "x.sum(-1, keepdims=True) * s": lambda x, h: x @ (W + h[0]),
    "one column of s": lambda x, h: x @ (W + h[0, :, None]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("words", INSERTED)
def test_what_a_step_puts_into_a_product(words: str, backend: str) -> None:
    h = rnn(lambda x, h: sg.tanh(INSERTED[words](x, h)))
    each = only(advice([x], h[-1], backend), "product in a loop")
    assert words.strip("-> ") in each.text
    expected = "T small products, for a large one"
    if words == "one column of s":
        expected += ", and as many with one column"
    assert each.saving == expected


@pytest.mark.parametrize("way", ["factor", "summand", "column", "choice"])
def test_what_is_said_of_such_products_is_right(way: str) -> None:
    rng = np.random.default_rng(0)
    values = {
        "x": rng.normal(size=(2, D)),
        "W": rng.normal(size=(D, 3)),
        "V": rng.normal(size=(D, 3)),
        "y": rng.normal(size=(2, D)),
        "c": np.array(True),
        "where": np.where,
    }
    shapes = {"left": (2, 1), "right": (D, 1) if way == "column" else (3,)}
    for (side, each), formula in insertions._FORMULAS.items():
        if each == way:
            values["s"] = rng.normal(size=shapes["left" if side == -1 else "right"])
            before, after = formula.split(", for which")[0].split(" is ")
            got = eval(after, values)
            np.testing.assert_allclose(eval(before, values), got)


def test_products_in_loops_in_loops() -> None:
    sequences = sg.tensor("sequences", ("N", "T", "B", D))

    def within(rows):
        zeros = sg.zeros((rows.shape[1], D))
        return sg.scan(lambda x, h: sg.tanh((x * small(x, h)) @ W), rows, zeros)[-1]

    (found,) = advice([sequences], sg.map(within, sequences))
    assert found.saving == "N*T small products, for a large one"


def test_rows_that_are_read_at_an_index() -> None:
    def step(t, h):
        return sg.tanh(x[t] @ W + h @ U)

    def count(h, t):
        return sg.tanh(x[t] @ W + h @ U), t + 1

    n = x.shape[0]
    by_sequence = sg.scan(step, sg.arange(n), ZEROS)[-1]
    by_count = sg.scan(count, outputs_info=[ZEROS, np.int64(0)], n_steps=n)[0][-1]
    assert advice([x], by_sequence) == advice([x], by_count) == []  # as many are multiplied

    indices, table = sg.tensor("indices", ("T", "B"), "int64"), sg.shared(np.eye(9, D, dtype="f"))
    zeros = sg.zeros((indices.shape[1], D))
    embedded = sg.scan(lambda i, h: sg.tanh(table[i] @ W + h @ U), indices, zeros)
    found = only(advice([indices], embedded), "product in a loop")
    assert "at indices[t]; multiply all 9 rows before the loop" in found.text
    assert found.saving == "T small products, for one of 9 rows"
    best = sg.scan(lambda h: sg.tanh(table[sg.argmax(h, 1)] @ W + h), outputs_info=ZEROS, n_steps=3)
    assert advice([x], best) == []  # which rows only the step before tells
    few = sg.tensor("few", (4, 2), "int64")
    embedded = sg.scan(lambda i, h: sg.tanh(table[i] @ W + h @ U), few, sg.zeros((2, D)))
    assert advice([few], embedded) == []  # of 9 rows 8 are read


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: sg.tanh(x @ W + h @ U),
        lambda x, h: sg.tanh(sg.relu(x) @ W + h @ U),
        lambda x, h: sg.tanh((x * h) @ W + h @ U),
        lambda x, h: sg.tanh((x + h) @ W),
        lambda x, h: sg.tanh(x @ (W + h[0] * h[0, :, None])),
        lambda x, h: sg.tanh(x @ (W * h[0, :, None])),
        lambda x, h: sg.tanh((sg.where(h > 0, x, 0)) @ W),
        lambda x, h: sg.tanh((x * h[:, :1] + h) @ W),
        lambda x, h: sg.tanh((W * h[0, 0]) @ U + x),
        lambda x, h: sg.tanh(sg.tanh(x * h[:, :1]) @ W),
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


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("read_by", ["nothing", "a product", "a loop"])
def test_a_chain_claims_no_line_of_something_else(with_gradient: bool, read_by: str) -> None:
    given = sg.matrix("given")
    readers = {
        "nothing": lambda h: h,
        "a product": lambda h: h @ W,
        "a loop": lambda h: sg.scan(lambda x, s: sg.tanh(x @ W + s), h, sg.zeros(D)),
    }
    for is_recorded in (False, True):
        scale = sg.shared(np.ones((1, D), "float32"), "scale")
        once = sg.exp(given * scale)  # has the operand of the steps, too
        with sg.record_lines() if is_recorded else contextlib.nullcontext():
            h, at = given, line() + 2
            for _ in range(25):
                h = sg.tanh(h * scale) + 1
        later = once + given * scale
        cost = readers[read_by](h).sum() + later.sum()
        updates = trained(cost, scale) if with_gradient else {}
        found = advice([given], cost, updates=updates)
        (chain,) = [each for each in found if each.kind == "unrolled chain"]
        assert [each.line for each in chain.lines] == ([at] if is_recorded else [])
        assert ("sg.record_lines()" in chain.text) is not is_recorded
        assert (
            re.search(r"; it is made of .*test_advice.py:\d+( wrote)?$", chain.text) or is_recorded
        )


def test_what_a_chain_is_made_of() -> None:
    given = sg.matrix("given")
    at = line() - 1
    h = given
    for _ in range(25):
        h = sg.tanh(h)
    (chain,) = advice([given], h)
    assert not chain.lines
    assert re.search(rf"; it is made of 'given' at \S*test_advice\.py:{at}$", chain.text)
    h = sg.constant([0.5, 1.0])
    for _ in range(25):
        h = sg.sin(h)
    (chain,) = advice([], h)
    assert chain.text.endswith("; its line is not recorded without sg.record_lines()")


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
        assert "no step of loop 'waves' reads 'h'" in found.text
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
    assert "saves 1 body: T steps one after another" in text
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
