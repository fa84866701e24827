"""Functions that are verified at each call: which faults they tell, and that rounding is none."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from faulty_backends import Faulty, Miscounting, plant

import symgraph as sg
import symgraph_nn as nn
from symgraph.backends.base import Executable
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.compile import locate, pipeline
from symgraph.compile.verify import Verified
from symgraph.core.variable import ITEM
from symgraph.rewrite.engine import RuleSet, rule

BACKENDS = ("native", "numpy")
STEP_LINE = "return sg.tanh(row @ W + h @ U)"


@pytest.fixture(autouse=True)
def disk(tmp_path, monkeypatch):
    """A cache of the test's own: programs here may be wrong."""
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path))


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def build():
    """A recurrent net and its training: inputs, outputs, updates."""
    x = sg.tensor("x", ("T", 2, 3))
    W, U = sg.shared(numbers(3, 4), "W"), sg.shared(numbers(4, 4, seed=1), "U")

    def step(row, h):
        return sg.tanh(row @ W + h @ U)

    h = sg.scan(step, x, sg.zeros((2, 4)), name="rnn")
    loss = sg.square(h).mean()
    return [x], loss, {p: p - 0.1 * g for p, g in zip([W, U], sg.grad(loss, [W, U]), strict=True)}


def larger(v):
    return v * np.float32(1.001)


def fault_of(backend, program=None, arguments=None, **options):
    """The error of the first call of a verified function."""
    inputs, outputs, updates = program or build()
    f = sg.compile(inputs, outputs, updates=updates, backend=backend, verify=True, **options)
    with pytest.raises(sg.VerifyError) as caught:
        f(*(arguments or [numbers(6, 2, 3, seed=2)]))
    return caught.value


def place(error):
    return error.op, error.loop, error.step


# --- what is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_verified_function_computes_the_same(backend):
    losses, values = [], []
    for verify in (False, True):
        inputs, loss, updates = build()
        f = sg.compile(inputs, loss, updates=updates, backend=backend, verify=verify)
        losses.append([f(numbers(6, 2, 3, seed=seed)) for seed in range(3)])
        values.append([v.get_value() for v in updates])
        assert f.report.is_verified == verify
        assert ("compared with the reference" in str(f.report)) == verify
    np.testing.assert_array_equal(*losses)
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


def test_outputs_come_in_the_form_that_was_asked_for():
    x = sg.vector("x")
    f = sg.compile([sg.In(x, value=[1.0])], {"a": x.sum(), "b": x + 1}, verify=True)
    assert f()["a"] == 1.0
    np.testing.assert_array_equal(f(x=[2, 3])["b"], [3, 4])


def test_both_sides_draw_the_same_random_numbers():
    stream = sg.random.Stream(3)
    draws = [stream.normal((5,)), stream.bernoulli((50,), 0.3), stream.categorical(sg.zeros(4))]
    f = sg.compile([], draws, verify=True)
    first, second = f(), f()
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_that_both_raise_are_raised_as_they_are(backend):
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    f = sg.compile([x, i], x[i], backend=backend, verify=True)
    with pytest.raises(sg.IndexRangeError, match="index 5"):
        f(numbers(3), 5)
    f = sg.compile([x], x + x[:2], backend=backend, verify=True)
    with pytest.raises(sg.CallError, match="size 3"):
        f(numbers(3))


# --- which value is the first wrong one ---------------------------------------------------------


@pytest.mark.parametrize("op", ["tanh", "matmul"])
@pytest.mark.parametrize("step", [0, 3, 5])
def test_the_step_of_a_fault(monkeypatch, op, step):
    program = build()
    before = [v.get_value() for v in program[2]]
    error = fault_of(plant(monkeypatch, Miscounting(op, step)), program, name="train")
    # The products with W have become one before the loop: there the first one is wrong too.
    is_ahead = op == "matmul" and step == 0
    assert place(error) == ((op, None, None) if is_ahead else (op, "rnn", step))
    assert error.line.startswith(f"{__file__}:")
    for v, value in zip(program[2], before, strict=True):
        np.testing.assert_array_equal(v.get_value(), value)
    assert str(error).startswith("train: the faulty backend makes")


def test_both_values_are_told(monkeypatch):
    error = fault_of(plant(monkeypatch, Miscounting("tanh", 3)))
    *_, updates = build()
    W, U = (v.get_value() for v in updates)
    h = np.zeros((2, 4), "float32")
    for row in numbers(6, 2, 3, seed=2)[:4]:
        h = np.tanh(row @ W + h @ U)
    np.testing.assert_allclose(error.expected, h, rtol=1e-5)
    np.testing.assert_allclose(error.got, h * 1.01, rtol=1e-5)
    loaded = pickle.loads(pickle.dumps(error))
    assert (str(loaded), place(loaded), loaded.line) == (str(error), place(error), error.line)
    np.testing.assert_array_equal(loaded.got, error.got)


def is_slope(v, graph):
    return v.op.name == "square" and any(u.op.name == "subtract" for u, _ in graph.users[v])


@pytest.mark.parametrize("inner", BACKENDS)
@pytest.mark.parametrize(
    ("is_wrong", "expected"),
    [
        pytest.param(lambda v, g: v.op.name == "tanh", ("tanh", "rnn", 0), id="in the loop"),
        pytest.param(is_slope, ("square", "gradient of rnn", 0), id="in the gradient"),
        pytest.param(
            lambda v, g: v.op.name == "tanh" and len(g.outputs) < 4,
            ("tanh", "rnn", 0),
            id="gone where all nodes are outputs",
        ),
        pytest.param(lambda v, g: v.op.name == "sum", ("sum", None, None), id="outside"),
        pytest.param(
            lambda v, g: v.op is ITEM and v.params[0] == 0 and v.type.dtype == "float32",
            ("scan", "rnn", 0),
            id="in what a loop hands on",
        ),
    ],
)
def test_the_operation_of_a_fault(monkeypatch, inner, is_wrong, expected):
    assert place(fault_of(plant(monkeypatch, Faulty(inner, is_wrong, larger)))) == expected


@pytest.mark.parametrize("op", ["tanh", "matmul"])
def test_values_that_take_much_memory_are_looked_at_a_few_at_a_time(monkeypatch, op):
    looked_at = []

    def note(place, nodes, look=locate._try):
        looked_at.append(len(nodes))
        return look(place, nodes)

    monkeypatch.setattr(locate, "_BYTES", 400)
    monkeypatch.setattr(locate, "_try", note)
    assert place(fault_of(plant(monkeypatch, Miscounting(op, 4)))) == (op, "rnn", 4)
    assert len(looked_at) > 5
    assert max(looked_at) < 10 < sum(looked_at)


@pytest.mark.parametrize("inner", BACKENDS)
def test_a_fault_of_some_values_is_told_at_the_first_of_them(monkeypatch, inner):
    *_, updates = build()
    h, x = np.zeros((2, 4), "float32"), numbers(6, 2, 3, seed=2)
    W, U = (v.get_value() for v in updates)
    first = 0
    while not (h > 0.98).any():
        h = np.tanh(x[first] @ W + h @ U)
        first += 1
    faulty = Faulty(
        inner,
        lambda v, g: v.op.name == "tanh",
        lambda v: sg.where(v > np.float32(0.98), larger(v), v),
    )
    assert first > 1
    error = fault_of(plant(monkeypatch, faulty))
    assert place(error) == ("tanh", "rnn", first - 1)
    np.testing.assert_array_equal(abs(error.got - error.expected) > 1e-4, h > 0.98)


@pytest.mark.parametrize("inner", BACKENDS)
@pytest.mark.parametrize(
    ("op", "expected"),
    [("tanh", (("outer", "inner"), (0, 2))), ("sin", ("outer", 2))],
)
def test_a_fault_in_loops_in_loops(monkeypatch, inner, op, expected):
    x, w = sg.tensor("x", ("T", "N", 3)), sg.shared(np.eye(3, dtype="float32") / 2, "w")

    def outer(rows, s):
        h = sg.scan(lambda row, h: sg.tanh(row + h @ w), rows, s, name="inner")
        return sg.sin(h[-1])

    h = sg.scan(outer, x, sg.zeros(3), name="outer")
    faulty = Faulty(
        inner,
        lambda v, g: v.op.name == op,
        lambda v: sg.where(v > np.float32(0.8), larger(v), v),
    )
    program = [x], [h, sg.grad(sg.square(h).sum(), w)], None
    error = fault_of(plant(monkeypatch, faulty), program, (numbers(4, 5, 3),))
    assert (error.op, error.loop, error.step) == (op, *expected)


@pytest.mark.parametrize("inner", BACKENDS)
@pytest.mark.parametrize(
    ("op", "change", "step"),
    [("multiply", lambda v: v * np.float32(1.05), 0), ("greater", lambda v: v & False, 9)],
)
def test_a_fault_that_changes_the_number_of_steps(monkeypatch, inner, op, change, step):
    x = sg.scalar("x")

    def grow(h):
        h = h * np.float32(1.5)
        return h, sg.until(h > 50)

    h = sg.scan(grow, outputs_info=sg.constant(np.float32(1)), n_steps=30, name="grow")
    faulty = Faulty(inner, lambda v, g: v.op.name == op, change, where="loops")
    error = fault_of(plant(monkeypatch, faulty), ([x], h * x, None), (2.0,))
    assert place(error) == (op, "grow", step)


@pytest.mark.parametrize("inner", BACKENDS)
@pytest.mark.parametrize("op", ["exp", "sum"])
def test_a_fault_in_a_step_whose_sizes_are_its_own(monkeypatch, inner, op):
    x = sg.vector("x")
    totals = sg.scan(lambda k: sg.exp(x[:k]).sum(), sg.arange(x.shape[0]), name="totals")
    faulty = Faulty(inner, lambda v, g: v.op.name == op, larger)
    error = fault_of(plant(monkeypatch, faulty), ([x], totals, None), (numbers(5),))
    assert place(error) == (op, "totals", 1)  # step 0 has nothing to add up


def test_the_line_of_an_operation_where_lines_are_recorded(monkeypatch):
    backend = plant(monkeypatch, Faulty("native", lambda v, g: v.op.name == "square", larger))
    assert "record_lines" in str(fault_of(backend))
    with sg.record_lines():
        recorded = fault_of(backend)
    source = Path(__file__).read_text("utf-8").split("\n")
    file, _, line = recorded.line.rpartition(":")
    assert (file, source[int(line) - 1].strip()) == (__file__, "loss = sg.square(h).mean()")
    assert "record_lines" not in str(recorded)


def test_the_line_of_an_operation_in_a_loop(monkeypatch):
    backend = plant(monkeypatch, Faulty("native", lambda v, g: v.op.name == "tanh", larger))
    found = fault_of(backend)
    source = Path(__file__).read_text("utf-8").split("\n")
    file, _, line = found.line.rpartition(":")
    assert (file, source[int(line) - 1].strip()) == (__file__, STEP_LINE)
    assert "record_lines" not in str(found)


# --- wrong rewrites -----------------------------------------------------------------------------


@rule("tanh", of="f")
def grow_tanh(v):
    """tanh(x) → tanh(1.001 x)"""
    x = v.inputs[0]
    return None if x.op.name == "multiply" else sg.tanh(x * np.float32(1.001))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["simplify", "stabilise", "loops", "specialise"])
def test_a_wrong_rule(monkeypatch, backend, name):
    make = pipeline._apply_in_loops if name == "loops" else pipeline._apply
    passes = [(n, make(RuleSet(grow_tanh)) if n == name else run) for n, run in pipeline.PASSES]
    monkeypatch.setattr(pipeline, "PASSES", tuple(passes))
    if name == "loops":
        error = fault_of(backend)
        assert place(error) == ("tanh", "rnn", 0)
    else:
        x = sg.vector("x")
        error = fault_of(backend, ([x], sg.exp(sg.tanh(x)) + x, None), (numbers(3),))
        assert place(error) == ("tanh", None, None)
        np.testing.assert_allclose(error.expected, np.tanh(numbers(3)), rtol=1e-6)
    assert f"the pass '{name}' ({grow_tanh.name})" in str(error)


# --- other faults -------------------------------------------------------------------------------


class Wrapped(Faulty):
    """The reference with something done to each call: to its arguments and results."""

    def __init__(self, call):
        super().__init__("numpy", lambda v, g: False, larger)
        self.call = call

    def prepare(self, graph, **options):
        made = super().prepare(graph, **options)
        return type("Run", (Executable,), {"__call__": lambda s, *a: self.call(made, *a)})()


def _clear_argument(run, x):
    result = run(x)
    x[...] = 0
    return result


def _fail(run, x):
    raise sg.CallError("no memory of it")


@pytest.mark.parametrize(
    ("call", "op", "message"),
    [
        (_clear_argument, "input", "changed its argument 'x'"),
        (_fail, None, "the faulty backend raised an error, the reference did not:\n  no memory"),
        (lambda run, x: [a.astype("float64") for a in run(x)], "add", r"it is float64\[3\]"),
        (lambda run, x: [a[:2] for a in run(x)], "add", r"it is float32\[2\], float32\[3\]"),
        (lambda run, x: [a + np.float32("nan") for a in run(x)], "add", "is nan, "),
    ],
)
def test_arguments_errors_shapes_and_dtypes(monkeypatch, call, op, message):
    x, value = sg.vector("x"), numbers(3)
    error = fault_of(plant(monkeypatch, Wrapped(call)), ([x], x + 1, None), (value,))
    assert error.op == op
    with pytest.raises(sg.VerifyError, match=message):
        raise error
    np.testing.assert_array_equal(value, numbers(3))


def test_an_error_that_only_the_reference_raises(monkeypatch):
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    wrapped = Wrapped(lambda run, x, i: run(x, np.minimum(i, 2)))
    error = fault_of(plant(monkeypatch, wrapped), ([x, i], x[i], None), (numbers(3), 5))
    assert isinstance(error.expected, sg.IndexRangeError)
    assert isinstance(error.__cause__, sg.IndexRangeError)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_and_bools_are_exact(monkeypatch, dtype):
    x = sg.tensor("x", (2,), dtype)
    wrapped = Wrapped(lambda run, x: [a ^ np.array([0, 1], a.dtype) for a in run(x)])
    value = np.array([2**60, 2**60]).astype(dtype)
    error = fault_of(plant(monkeypatch, wrapped), ([x], x[::-1], None), (value,))
    assert list(error.got != error.expected) == [False, True]


def test_a_fault_that_comes_and_goes_is_told_at_the_output(monkeypatch):
    calls = iter(range(100))
    wrapped = Wrapped(lambda run, x: [a + np.float32(next(calls) == 0) for a in run(x)])
    x = sg.vector("x")
    error = fault_of(plant(monkeypatch, wrapped), ([x], sg.exp(x) + 1, None), (numbers(3),))
    assert error.op == "add"
    assert "comes and goes" in str(error)


# --- rounding is no fault -----------------------------------------------------------------------


def results_of(inputs, outputs, arguments):
    """The results on both backends, verified."""
    return [
        sg.compile(inputs, outputs, backend=backend, verify=True)(*arguments)
        for backend in BACKENDS
    ]


def test_a_sum_that_cancels():
    x = sg.vector("x")
    values = numbers(40_000) * np.float32(1e6)
    values[1::2] = -values[::2]
    rng, differences = np.random.default_rng(0), []
    for _ in range(5):  # how much is left depends on the order, and on NumPy's and LLVM's sums
        rng.shuffle(values)
        native, reference = results_of([x], (x * np.float32(0.1)).sum(), [values])
        differences.append(abs(native - reference) > 1e-4 * abs(reference))
    assert any(differences)


def test_a_difference_that_was_rounding_is_not_examined_again(monkeypatch):
    examined, factor = [], [1 + 100 * np.finfo("float32").eps]

    def note(verified, *arguments, examine=Verified._examine):
        examined.append(verified)
        examine(verified, *arguments)

    monkeypatch.setattr(Verified, "_examine", note)
    wrapped = Wrapped(lambda run, x: [a * np.float32(factor[0]) for a in run(x)])
    x = sg.vector("x")
    f = sg.compile([x], x.sum(), backend=plant(monkeypatch, wrapped), verify=True)
    for seed in range(3):
        f(abs(numbers(20_000, seed=seed)))
    assert len(examined) == 1
    factor[0] = 1.001
    with pytest.raises(sg.VerifyError, match="makes sum wrong"):
        f(abs(numbers(20_000)))


def chaotic():
    """A loop that multiplies a rounding error by two or so in each step."""
    x, W = sg.tensor("x", ("B", 30)), sg.shared(numbers(30, 30), "W")
    h = sg.scan(lambda h, W: sg.sin(h @ W), [], x, W, n_steps=60, name="chaotic")
    return [x], h, None


def test_a_loop_in_which_errors_grow():
    native, reference = results_of(*chaotic()[:2], [numbers(2, 30)])
    assert abs(native[:5] - reference[:5]).max() < 1e-3
    assert abs(native - reference).max() > 0.1


@pytest.mark.parametrize("op", ["sin", "matmul"])
def test_a_fault_in_a_loop_in_which_errors_grow(monkeypatch, op):
    backend = plant(monkeypatch, Faulty("native", lambda v, g: v.op.name == op, larger))
    error = fault_of(backend, chaotic(), (numbers(2, 30),))
    assert place(error) == (op, "chaotic", 0)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (lambda x: sg.log(sg.exp(x)), [-200, 0, 200]),
        (lambda x: sg.log(sg.exp(x).sum()), [1000, 1, 2]),
        (lambda x: sg.log(sg.softmax(x)), [0, 500, -500]),
        (lambda x: sg.log(1 - sg.sigmoid(x)), [-200, 200, 1]),
        (lambda x: sg.log(1 + sg.exp(x))[0], [-20, 0, 0]),
        (lambda x: sg.grad(sg.log(1 + sg.exp(x)).sum(), x), [-200, 200, 1]),
    ],
)
def test_a_rewrite_that_keeps_a_value_from_running_out_of_range(function, values):
    x = sg.tensor("x", (3,))
    for result in results_of([x], function(x), [np.array(values, "float32")]):
        assert np.isfinite(result).all()


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@pytest.mark.parametrize("cell", CELLS)
def test_nets_raise_no_alarm(cell):
    x, y = sg.tensor("x", ("T", "B", 3)), sg.tensor("y", ("T", "B", 2))
    mask = sg.tensor("mask", ("T", "B"), "bool")
    layer = nn.Bidirectional(CELLS[cell](3, 5, rng=0), CELLS[cell](3, 5, rng=1))
    head = nn.Dense(10, 2, rng=2)
    loss = nn.squared_error(head(layer(x, mask=mask)), y, mask=mask)
    params = [*layer.params, *head.params]
    train = sg.compile([x, y, mask], loss, updates=nn.nesterov(loss, params, 0.1, 0.9), verify=True)
    lengths = np.array([12, 7, 9, 1])
    data = numbers(12, 4, 3), numbers(12, 4, 2, seed=1), np.arange(12)[:, None] < lengths
    losses = [train(*data) for _ in range(8)]
    assert losses[-1] < losses[0]


# --- functions as others ------------------------------------------------------------------------


def test_copies_and_pickles_are_verified(monkeypatch):
    x, W = sg.vector("x"), sg.shared(numbers(3), "W")
    faulty = Faulty("native", lambda v, g: v.op.name == "tanh", larger)
    f = sg.compile([x], sg.tanh(x * W), backend=plant(monkeypatch, faulty), verify=True)
    copies = [
        f.copy(), f.copy(swap={W: sg.shared(numbers(3, seed=1))}), copy.deepcopy(f),
        pickle.loads(pickle.dumps(f)),
    ]  # fmt: skip
    for each in copies:
        assert each.report.is_verified
        with pytest.raises(sg.VerifyError):
            each(numbers(3))


def test_threads_do_not_disturb_one_another():
    x, total = sg.vector("x"), sg.shared(np.zeros(3, "float32"), "total")
    f = sg.compile([x], sg.tanh(x).sum(), updates={total: total + x}, verify=True)
    errors = []

    def call_often():
        try:
            for _ in range(20):
                f(np.ones(3, "float32"))
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=call_often) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    np.testing.assert_array_equal(total.get_value(), np.full(3, 80))
