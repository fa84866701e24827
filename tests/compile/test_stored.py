"""What loops store over time: as formulas, by value, and as it is measured while functions run."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.backends.numpy_looking import looking
from symgraph.compile.size_names import SizeNames, in_numbers
from symgraph.scan.storage import LAST_ROWS, stored_results

BACKENDS = ["native", "numpy"]


def rnn(units: int = 8, **options):
    """A plain loop with the sum of its last state squared."""
    x = sg.tensor("x", ("T", "B", units))
    w = sg.shared(np.full((units, units), 0.1 / units, "float32"), "w")
    h = sg.scan(
        lambda x, h: sg.tanh(x + h @ w), x, sg.zeros((x.shape[1], units)), name="cell", **options
    )
    return x, w, h


def train(x, w, h, backend="native"):
    loss = sg.square(h[-1]).sum()
    return sg.compile([x], loss, updates={w: w - 0.1 * sg.grad(loss, w)}, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_states_that_are_read(backend: str) -> None:
    x, _, h = rnn()
    (loop,) = sg.compile([x], h, backend=backend).report.stored
    (value,) = loop.values
    assert (loop.loop, loop.depth, loop.lines[0].file) == ("cell", 0, __file__)
    assert str(loop.bytes) == str(value.bytes) == "32*B*T + 32*B"
    assert str(value.rows) == "T + 1"
    assert value.reason == "an output that is read"
    assert value.lines[0].file == __file__


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_row_alone_takes_no_room_that_grows(backend: str) -> None:
    x, _, h = rnn()
    report = sg.compile([x], h[-1], backend=backend).report
    (loop,) = report.stored
    assert str(loop.bytes) == "64*B"
    assert loop.values[0].reason == "the last rows alone"
    assert report.stored_bytes(T=10**6, B=2) == 128


@pytest.mark.parametrize("backend", BACKENDS)
def test_residuals_and_gradients_are_told_apart(backend: str) -> None:
    report = train(*rnn(), backend).report
    forward, backward = report.stored
    assert backward.loop == "gradient of cell"
    assert [value.reason for value in forward.values] == ["a residual of the gradient"]
    assert {value.reason for value in backward.values} == {
        "a gradient of each step",
        "the last rows alone",
    }
    assert report.stored_bytes(T=100, B=3) == 3 * 32 * (101 + 100 + 2)


def test_a_value_has_the_name_of_the_user() -> None:
    def step(x, h):
        new = sg.tanh(x + h)
        new.name = "hidden"
        return new

    x = sg.vector("x")
    h = sg.scan(step, [x], [np.float32(0)])
    (loop,) = sg.compile([x], h).report.stored
    assert loop.values[0].label == "hidden"
    assert loop.loop is None
    assert str(loop.bytes) == "4*x_0 + 4"


def test_an_lstm_stores_its_states_and_gates() -> None:
    x = sg.tensor("x", ("T", "B", 16))
    net = nn.Recurrent(nn.LSTMCell(16, 128, rng=0))
    loss = sg.square(net(x)[-1]).mean()
    report = sg.compile([x], loss, updates=nn.sgd(loss, net.params, 0.1)).report
    forward, backward = report.stored
    row = 128 * 4
    least, most = 2, 7  # from the states alone to states, gates, and tanh of the cell
    told = report.stored_bytes(T=1000, B=16)
    backward_rows = 4  # the gates' gradients
    per_step = told / (1000 * 16 * row)
    assert least + backward_rows <= per_step <= 1.01 * (most + backward_rows)
    places = [*report.stored, *forward.values, *backward.values]
    assert {place.lines[0].file for place in places} == {__file__}


def test_the_number_of_steps_goes_by_its_input() -> None:
    n, first = sg.scalar("n", "int64"), sg.tensor("first", (8,))
    h = sg.scan(lambda h: sg.tanh(h), outputs_info=[first], n_steps=n)
    report = sg.compile([n, first], h).report
    assert str(report.stored[0].bytes) == "32*n + 32"
    assert report.stored_bytes(n=99) == 3200
    twice = sg.scan(lambda h: sg.tanh(h), outputs_info=[first], n_steps=2 * n)
    assert sg.compile([n, first], twice).report.stored_bytes(n=5) == 32 * 11


@pytest.mark.parametrize("n", [0, 1, 4, 9, 12])
def test_bounds_of_slices_are_formulas(n: int) -> None:
    x, stop = sg.tensor("x", ("T", 4)), sg.scalar("n", "int64")
    for rows, steps in ((x[:stop], min(n, 9)), (x[stop:], max(9 - n, 0)), (x[:stop][2:], None)):
        report = sg.compile([x, stop], sg.scan(lambda x, h: x + h, rows, sg.zeros(4))).report
        count = max(min(n, 9) - 2, 0) if steps is None else steps
        assert report.stored_bytes(T=9, n=n) == 16 * (count + 1)


@pytest.mark.parametrize("count", [1, 2, 8, 20])
def test_long_formulas_are_computed_in_parts(count: int) -> None:
    """Each doubles the one before, which would be written twice in it."""
    n, first = sg.scalar("n", "int64"), sg.tensor("first", (8,))
    steps, expected = n, 5
    for k in range(count):
        steps = sg.where(steps < 3 * k, steps + 2, sg.where(steps <= 8, steps - 1, steps // 2))
        expected = (
            expected + 2 if expected < 3 * k else expected - 1 if expected <= 8 else expected // 2
        )
    h = sg.scan(lambda h: sg.tanh(h), outputs_info=[first], n_steps=steps)
    report = sg.compile([n, first], h).report
    assert report.stored_bytes(n=5) == 32 * (expected + 1)
    assert len(str(report.stored[0].bytes)) < 20_000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("every", [2, "auto"])
def test_truncation_with_checkpoints_is_told_by_names_alone(every: Any, backend: str) -> None:
    x = sg.tensor("x", ("T", "B", 3))
    layer = nn.GRU(3, 4, rng=0, truncate_gradient=3, checkpoint_every=every)
    loss = sg.square(layer(x)).mean()
    updates = nn.sgd(loss, layer.params, 0.1)
    f = sg.compile([x], loss, updates=updates, backend=backend)
    assert "size_" not in str([loop.bytes for loop in f.report.stored])
    told = [f.report.stored_bytes(T=steps, B=2) for steps in (0, 1, 7, 100)]
    assert told == sorted(set(told))
    if backend == "native":
        assert f.report.call_bytes(T=100, B=2) > f.report.call_bytes(T=99, B=2)
    f(np.ones((7, 2, 3), "float32"))
    assert "size_" not in str(f.report)


def test_only_data_tell_some() -> None:
    x, lengths = sg.tensor("x", ("T", 4)), sg.vector("lengths", "int64")
    h = sg.scan(lambda x, h: x + h, x[: lengths.max()], sg.zeros(4))
    report = sg.compile([x, lengths], h).report
    with pytest.raises(sg.SymgraphTypeError, match=r"stored_bytes\(T=…, (size_\d)=…\)") as error:
        report.stored_bytes(T=9)
    name = next(word for word in str(error.value).split() if word.startswith("size_"))
    assert report.stored_bytes(T=9, **{name: 5}) == 16 * 6


def test_no_more_is_stored_than_all_steps_until_it_ends() -> None:
    n = sg.scalar("steps", "int64")
    h = sg.scan(
        lambda h: (h + 1, sg.until((h > 5).all())), outputs_info=[np.zeros(4, "float32")], n_steps=n
    )
    report = sg.compile([n], h).report
    assert str(report.stored[0].bytes) == "16*steps + 16"


def test_neither_for_the_gradient_of_such_a_loop() -> None:
    x = sg.tensor("x", ("T", 4))
    h = sg.scan(lambda x, h: (sg.tanh(x + h), sg.until((h > 5).all())), x, sg.zeros(4))
    report = sg.compile([x], sg.grad(sg.square(h).sum(), x)).report
    assert 16 * 2 * 10 <= report.stored_bytes(T=10) <= 16 * (2 * 10 + 4)


@pytest.mark.parametrize("taps", [[-2, -1], [-3]])
def test_initial_rows_count(taps: list[int]) -> None:
    x, depth = sg.tensor("x", ("T", 4)), -min(taps)

    def step(x, *past):
        return sg.tanh(sum(past, x))

    h = sg.scan(step, x, {"initial": np.zeros((depth, 4), "float32"), "taps": taps})
    g = sg.compile([x], sg.grad((h**2).sum(), x))
    assert sg.compile([x], h).report.stored_bytes(T=0) == 0 + depth * 16
    assert g.report.stored_bytes(T=10) >= 16 * (2 * 10 + depth)


def test_a_loop_in_a_loop_stores_for_one_step_of_the_other() -> None:
    x = sg.tensor("x", ("T", "K", 8))
    rows = sg.scan(lambda row: sg.scan(lambda x, h: x + h, row, sg.zeros(8)).sum(0), x)
    report = sg.compile([x], rows).report
    outer, inner = report.stored
    assert (outer.depth, inner.depth) == (0, 1)
    assert (str(outer.bytes), str(inner.bytes)) == ("32*T", "32*K + 32")
    assert report.stored_bytes(T=5, K=7) == 160 + 256


def test_chunks_are_not_counted_where_none_runs() -> None:
    """All steps are in the last chunk, which stands by itself."""
    plain = train(*rnn()).report.stored_bytes(T=200, B=2)
    lean = train(*rnn(checkpoint_every=200)).report
    assert plain <= lean.stored_bytes(T=200, B=2) < 1.1 * plain
    assert lean.stored_bytes(T=201, B=2) > plain > 5 * lean.stored_bytes(T=20, B=2)


def test_checkpoints_are_counted_by_chunks() -> None:
    x, w, h = rnn(checkpoint_every=20)
    report = train(x, w, h).report
    chunks = next(loop for loop in report.stored if loop.loop == "cell")
    state, kept = chunks.values
    assert (str(state.bytes), state.reason) == ("64*B", "the last rows alone")
    assert str(kept.bytes) == "32*((max(T - 1, 0))//20)*B + 32*B"
    assert kept.reason == "checkpoints for the gradient"
    inner = [loop for loop in report.stored if loop.depth == 1]
    assert inner
    assert all("T" not in str(loop.bytes) for loop in inner)


def test_without_loops_nothing_is_stored() -> None:
    x = sg.vector("x")
    report = sg.compile([x], sg.exp(x)).report
    assert report.stored == []
    assert report.stored_bytes() == report.stored_bytes(x_0=3) == 0
    assert "stored over time" not in str(report)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
def test_buffers_of_a_call_share_room(cell: Any) -> None:
    x = sg.tensor("x", ("T", 16, 32))
    layer = nn.Recurrent(cell(32, 32, rng=0))
    loss = sg.square(layer(x)).mean()
    updates = nn.sgd(loss, layer.params, 0.01)
    report = sg.compile([x], loss, updates=updates, threads=1).report
    rows = 4 * 16 * 32 * 1000
    # Eight arrays of all steps: the states, the gates and the loss's gradient.
    assert 8 * rows <= report.call_bytes(T=1000) < 8.8 * rows
    assert report.call_bytes(T=1000) < report.stored_bytes(T=1000)


def test_the_bytes_of_a_call_are_told_where_memory_is_laid_out() -> None:
    x = sg.vector("x")
    f = sg.compile([x], sg.cumsum(sg.exp(x)) + 1)
    assert 2 * 4000 <= f.report.call_bytes(x_0=1000) <= 3 * 4000
    assert sg.compile([x], sg.exp(x) + 1).report.call_bytes(x_0=1000) == 4000
    with pytest.raises(sg.SymgraphTypeError, match=r"call_bytes takes the size x_0"):
        f.report.call_bytes()
    assert sg.compile([x], sg.exp(x), backend="numpy").report.call_bytes(x_0=3) is None
    n = sg.scalar("n", "int64")
    h = sg.scan(lambda h: sg.tanh(h), [], [sg.ones(8)], n_steps=n)
    assert sg.compile([n], h.sum()).report.call_bytes(n=100) >= 32 * 101


def test_sizes_are_asked_for_by_name() -> None:
    x, _, h = rnn()
    report = sg.compile([x], h).report
    with pytest.raises(sg.SymgraphTypeError, match=r"the size B.*\n.*\n.*stored_bytes\(B=…, T=…\)"):
        report.stored_bytes(T=3)
    with pytest.raises(sg.SymgraphTypeError, match=r"'t' is no size(.|\n)*B, T"):
        report.stored_bytes(t=3, B=2)
    with pytest.raises(sg.SymgraphTypeError, match=r"T is a number"):
        report.stored_bytes(T="3", B=2)  # type: ignore[arg-type]
    with pytest.raises(sg.SymgraphValueError, match=r"T is at least 0"):
        report.stored_bytes(T=-3, B=2)


def test_a_recalled_program_tells_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path))
    first, second = train(*rnn()).report, train(*rnn()).report
    assert (first.is_recalled, second.is_recalled) == (False, True)
    texts = [[str(x) for loop in r.stored for x in (loop, *loop.values)] for r in (first, second)]
    assert texts[0] == texts[1]


def test_the_report_has_a_table_and_data() -> None:
    report = train(*rnn()).report
    text = str(report)
    assert "stored over time" in text
    assert "a residual of the gradient" in text
    data = json.loads(json.dumps(report.to_dict()))
    assert [row["loop"] for row in data["stored"]] == ["cell", "gradient of cell"]
    value = data["stored"][0]["values"][0]
    assert value["bytes"] == "32*B*T + 32*B"
    assert value["lines"][0].startswith(__file__)
    assert data["loops"] == 2
    assert data["passes"][0]["name"] in ("simplify", "recall")


def test_loops_that_store_alike_are_one_row() -> None:
    x = sg.tensor("x", ("T", "B", 4))
    layer = nn.Bidirectional(nn.RNNCell(4, 8, rng=0), nn.RNNCell(4, 8, rng=1))
    report = sg.compile([x], layer(x)).report
    assert len(report.stored) == 2
    text = str(report)
    assert "stored over time at " in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("2 × RNN", "total"))]
    assert rows[-2][-3:] == rows[-1][-3:] == ["64*B*T", "+", "64*B"]


# --- compared with the arrays themselves ---------------------------------------------------------


def loops_of_all_kinds(x):
    zeros = sg.zeros((x.shape[1], 3))
    w = sg.shared(np.full((3, 3), 0.3, "float32"), "w")

    def cell(x, h):
        return sg.tanh(x @ w + h)

    def nested(x, h):
        inner = sg.scan(lambda s: sg.tanh(x + s @ w), outputs_info=[h], n_steps=4)
        return inner[-1], inner.sum(0)

    cut = {"checkpoint_every": 3, "truncate_gradient": 2}
    for options in ({}, *({name: cut[name]} for name in cut), cut, {"go_backwards": True}):
        yield [sg.scan(cell, x, zeros, **options)]
    first = {"initial": sg.zeros((3, x.shape[1], 3)), "taps": [-3, -1]}
    yield [sg.scan(lambda x, a, b: sg.tanh(x + a @ w - b), x, first)]
    yield sg.scan(lambda x, h: (cell(x, h), sg.exp(h).sum(1)), x, [zeros, None])
    yield sg.scan(nested, x, [zeros, None])
    yield [nn.Recurrent(nn.LSTMCell(3, 4, rng=0))(x)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (1, 2), (2, 1), (11, 2)])
def test_formulas_are_the_bytes_of_the_results(sizes: tuple[int, int], backend: str) -> None:
    x, told = sg.tensor("x", ("T", "B", 3)), 0
    array = np.ones((*sizes, 3), "float32")
    for results in loops_of_all_kinds(x):
        cost = sum(sg.square(result).sum() for result in results)
        f = sg.compile([x], [*results, sg.grad(cost, x)], backend=backend)
        made: dict[tuple[Any, ...], Any] = {}
        looking(f.graph, lambda v, _, value, place, made=made: made.setdefault((v, *place), value))(
            array, *(v.get_value() for v in f.program.shared)
        )
        names = SizeNames(f.program, f.graph)
        for each in stored_results(f.graph):
            if len(each.path) == 1 and each.reason != LAST_ROWS:
                words, values = (
                    names.in_words(each.bytes),
                    names.numbers({"T": sizes[0], "B": sizes[1]}),
                )
                size = in_numbers(words, values)
                assert size in [result.nbytes for result in made[each.path]], each
                told += 1
    assert told > 15


# --- measured ------------------------------------------------------------------------------------


def peak_on_numpy(f, x: np.ndarray) -> int:
    f(x[:2])
    tracemalloc.start()
    try:
        f(x)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def two_taps():
    x = sg.tensor("x", ("T", "B", 256))
    h = sg.scan(
        lambda x, a, b: sg.tanh(x + a - b),
        x,
        {"initial": sg.zeros((2, x.shape[1], 256)), "taps": [-2, -1]},
    )
    return x, h


def loop_in_loop():
    x = sg.tensor("x", ("T", "B", 256))

    def outer(x, h):
        inner = sg.scan(lambda s: sg.tanh(x + s), outputs_info=[h], n_steps=50)
        return inner[-1], inner.sum(0)

    _, sums = sg.scan(outer, x, [sg.zeros((x.shape[1], 256)), None])
    return x, sums


@pytest.mark.parametrize("build", [lambda: rnn(256)[::2], two_taps, loop_in_loop])
def test_numpy_takes_what_is_told(build) -> None:
    x, h = build()
    f = sg.compile([x], h.sum(), backend="numpy")  # an output would be a copy
    told = f.report.stored_bytes(T=1000, B=8)
    taken = peak_on_numpy(f, np.zeros((1000, 8, 256), "float32"))
    assert 0.98 * told <= taken <= 1.05 * told + 1.5e6  # windows of 64 rows, each


PROGRAM = """
import numpy as np, symgraph as sg

def peak():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return [1024 * int(lines[name].split()[0]) for name in ("VmHWM", "VmRSS")]

x = sg.tensor("x", ("T", "B", 64))
w = sg.shared(np.full((64, 64), 0.001, "float32"), "w")
def cell(x, h):
    return sg.tanh(x + h @ w)
def nested(x, h):
    return sg.scan(lambda s: sg.tanh(x + s @ w), outputs_info=[h], n_steps=20)[-1]
def two(x, a, b):
    return sg.tanh(x + a - b)
zeros = sg.zeros((x.shape[1], 64))
h = sg.scan({step}, x, {initial})
f = sg.compile([x], {output}, threads=1)
few, many = np.zeros((3, 16, 64), "float32"), np.full((10_000, 16, 64), 0.01, "float32")
f(few)
f(few)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = peak()[1]
f(many)
taken, sizes = peak()[0] - before, dict(T=10_000, B=16)
print(taken, f.report.stored_bytes(**sizes), f.report.call_bytes(**sizes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
@pytest.mark.parametrize(
    ("step", "initial", "output"),
    [
        ("cell", "zeros", "h.sum()"),
        ("cell", "zeros", "h[-1]"),
        ("nested", "zeros", "sg.grad(sg.square(h[-1]).sum(), w)"),
        ("two", "{'initial': sg.zeros((2, x.shape[1], 64)), 'taps': [-2, -1]}",
         "sg.grad(sg.square(h[-1]).sum(), x)"),
    ],
)  # fmt: skip
def test_native_takes_what_is_told(step: str, initial: str, output: str) -> None:
    program = PROGRAM.format(step=step, initial=initial, output=output)
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    taken, told, in_call = map(int, ran.stdout.split())
    assert 0.95 * in_call - 3e6 <= taken <= 1.05 * in_call + 3e6
    # What is computed of the results after the loops is not counted, such as what goes out.
    assert 0.95 * told - 2e6 <= taken <= 1.05 * told + 4e6 + (42e6 if "x)" in output else 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_slices_of_slices_are_told_by_their_bounds(backend: str) -> None:
    """Each length has the one before twice; what is written of it is no book."""
    x, ends = sg.vector("x"), [sg.scalar(f"n{k}", "int64") for k in range(25)]
    first = x
    for n in ends:
        first = first[:n]
    h = sg.scan(lambda row, h: sg.tanh(h * row), [x], [first])
    report = sg.compile([x, *ends], h, backend=backend).report
    sizes = {f"n{k}": 40 - k for k in range(25)}
    assert report.stored_bytes(x_0=30, **sizes) == 4 * 16 * 31
    assert report.stored_bytes(x_0=7, **sizes) == 4 * 7 * 8
    assert len(str(report)) < 20_000
