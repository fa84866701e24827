"""Functions that stop at the first value that is no finite number, and say which it is."""

from __future__ import annotations

import re

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.core.errors import DebugAssertError, IndexRangeError

BACKENDS = ["native", "numpy"]


def line_of(text: str) -> str:
    """The line of this file that has the text first."""
    with open(__file__, encoding="utf-8") as file:
        number = next(i for i, line in enumerate(file, 1) if text in line)
    return f"{__file__}:{number}"


def caught(f: sg.Function, *arrays) -> sg.FiniteError:
    with pytest.raises(sg.FiniteError) as error:
        f(*arrays)
    return error.value


@pytest.mark.parametrize("backend", BACKENDS)
def test_finite_values_pass(backend: str) -> None:
    x, total = sg.matrix("x"), sg.shared(0.0, "total")
    y = sg.softmax(x).sum()
    f = sg.compile([x], y, updates={total: total + y}, backend=backend, check_finite=True)
    for shape in [(2, 3), (1, 1), (0, 3)]:
        np.testing.assert_allclose(f(np.ones(shape)), shape[0], rtol=1e-6)
    assert total.get_value() == 3.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_that_does_not_come_out(backend: str) -> None:
    x, calls = sg.vector("x"), sg.shared(0, "calls")
    with sg.record_lines():
        y = sg.log(x)  # minus infinity, here
        z = sg.exp(y)
    f = sg.compile(
        [x], z, updates={calls: calls + 1}, backend=backend, check_finite=True, name="net"
    )
    error = caught(f, [1.0, 2.0, 0.0])
    assert (error.op, error.loop, error.step) == ("log", None, None)
    assert error.line == line_of("# minus infinity, here")
    assert error.operands == (sg.errors.OperandRange("'x'", 0.0, 2.0, 0),)
    assert str(error).startswith("net: log gives -inf at [2] of [3]\n  of 'x': 0 to 2\n  at ")
    assert calls.get_value() == 0
    f([1.0, 2.0, 3.0])
    assert calls.get_value() == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_given(backend: str, bad: float) -> None:
    x, w = sg.vector("x"), sg.shared(np.ones(2, "float32"), "w")
    f = sg.compile([x], sg.tanh(x) * w, backend=backend, check_finite=True)
    error = caught(f, [1.0, bad])
    assert error.op == "input"
    assert re.search(rf"'x' .* is {bad} at \[1\] of \[2\]", str(error))
    w.set_value(np.array([bad, 1.0], "float32"))
    assert "'w'" in str(caught(f, [1.0, 2.0]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: sg.tanh(x * 1e38 * 10),
        lambda x: 1 / (x * 1e38 * 10),
        lambda x: sg.where(x > 0, x, sg.sqrt(x)),
        lambda x: sg.maximum(sg.log(x), 0),
        lambda x: sg.concatenate([x, sg.log(x)])[:2],
        lambda x: (sg.log(x) > 0).sum(),
        lambda x: sg.exp(x * 1000).astype("int32"),
        lambda x: sg.dot(x * 1e30, x * 1e30) * 0 > 1,
        lambda x: sg.exp(x * 1000).reshape((1, -1))[:, :0],
        lambda x: sg.clip(sg.gammaln(sg.minimum(x, 0)), 0, 1),
    ],
)
def test_it_is_found_wherever_it_is_lost(backend: str, make) -> None:
    x = sg.vector("x")
    f = sg.compile([x], make(x), backend=backend, check_finite=True)
    assert caught(f, np.array([-5.0, 6.0], "float32")).op is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_infinite_mask_is_the_users_own(backend: str) -> None:
    x, mask = sg.vector("x"), sg.tensor("mask", (None,), "bool")
    masked = sg.where(mask, x, -np.inf)
    f = sg.compile(
        [x, mask], [sg.softmax(masked), masked.max()], backend=backend, check_finite=True
    )
    weights, largest = f([1.0, 2.0], [True, False])
    np.testing.assert_array_equal(weights, [1.0, 0.0])
    assert largest == 1.0
    assert caught(f, [np.inf, 1.0], [True, True]).op == "input"


def nested(n_outer: int, *, name: str | None = None):
    """A loop in a loop over `[outer, inner]`, of which the logarithm goes wrong below 0."""
    x = sg.tensor("x", (n_outer, None), "float64")

    def inner(x, h):
        z = x + 0.001 * h
        z.name = "z"
        return sg.tanh(sg.log(z))  # not a number, here

    def outer(row, h):
        return sg.scan(inner, [row], [h], name=name and f"{name} inside")[-1]

    return x, sg.scan(outer, [x], [np.float64(0.5)], name=name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [None, "cell"])
def test_a_value_in_a_loop_in_a_loop(backend: str, name: str | None) -> None:
    x, h = nested(2, name=name)
    f = sg.compile([x], h[-1], backend=backend, check_finite=True)
    array = np.ones((2, 5000))
    array[1, 4321] = -1.0
    error = caught(f, array)
    assert error.op == "log"
    assert error.step == (1, 4321)
    assert error.loop == (("cell", "cell inside") if name else (0, 1))
    assert error.line == line_of("# not a number, here")
    ((label, least, largest, lost),) = error.operands
    assert (label, least, lost) == ("'z'", largest, 0)
    again = sg.replay(f, [array], loop=error.loop, step=error.step)
    assert again.values["z"] == least
    assert np.isnan(again.values["log"])
    assert again.lines["log"] == error.line


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_in_the_gradient_alone(backend: str) -> None:
    x = sg.vector("x", "float64")

    def step(x, h):
        root = sg.sqrt(x)  # its derivative is infinite at 0
        return sg.tanh(h) * 0.5 + root

    loss = sg.scan(step, [x], [np.float64(0)], name="cell").sum()
    f = sg.compile([x], [loss, sg.grad(loss, x)], backend=backend, check_finite=True)
    array = np.ones(5000)
    f(array)
    array[4321] = 0.0
    error = caught(f, array)
    assert error.step in (5000 - 1 - 4321, None)  # where all steps at once are done outside
    assert error.line == line_of("# its derivative is infinite at 0") or error.step is None
    if error.step is not None:
        assert error.loop == "gradient of cell"
        row = [row.name for row in f.report.loop_table].index("gradient of cell")
        for loop in (row, "gradient of cell"):
            values = sg.replay(f, [array], loop=loop, step=error.step).values
            assert any(not np.isfinite(v).all() for v in values.values() if v.dtype.kind == "f")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_nets_that_train(backend: str, cell) -> None:
    x, y = sg.tensor("x", ("T", "B", 3)), sg.tensor("y", ("B",), "int64")
    net = nn.Sequential(nn.Recurrent(cell(3, 4, rng=0)), nn.Dense(4, 2, rng=1))
    loss = nn.cross_entropy(net(x)[-1], y)
    f = sg.compile(
        [x, y], loss, updates=nn.nesterov(loss, net.params, 0.1), backend=backend,
        check_finite=True,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    before = [f(rng.normal(size=(5, 2, 3)), [0, 1]) for _ in range(3)]
    assert np.isfinite(before).all()
    net.params[0].set_value(net.params[0].get_value() * np.float32(np.nan))
    assert caught(f, rng.normal(size=(5, 2, 3)), [0, 1]).op == "shared"


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_other_options(backend: str, capsys) -> None:
    x = sg.vector("x")
    y = sg.log(sg.debug_print(x, "x"))
    f = sg.compile([x], y, backend=backend, check_finite=True, verify=True, profile=True)
    assert f([1.0]).shape == (1,)
    assert capsys.readouterr().out == "x: [1.]\n"
    assert caught(f, [0.0]).op == "log"
    assert capsys.readouterr().out == "x: [0.]\n"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("make", "op"),
    [
        (lambda x: x + sg.log(sg.constant(0.0)), "log"),
        (lambda x: sg.maximum(sg.sqrt(sg.constant(-1.0)) * 2, x), "sqrt"),
        (lambda x: sg.tanh(x + sg.constant(np.inf) - sg.constant(np.inf)), "subtract"),
        (lambda x: x + (sg.constant(np.inf) - sg.constant(np.inf)), "subtract"),
        (lambda x: x * sg.constant(np.nan), "multiply"),
        (lambda x: sg.where(x > 0, x, np.nan).sum(), "sum"),
    ],
)
def test_what_constants_make_is_told_too(backend: str, make, op: str) -> None:
    x = sg.vector("x")
    f = sg.compile([x], make(x), backend=backend, check_finite=True)
    assert caught(f, [1.0, -1.0]).op == op
    nothing = sg.compile([], sg.log(sg.constant(-1.0)), backend=backend, check_finite=True)
    assert caught(nothing).op == "log"


@pytest.mark.parametrize("backend", BACKENDS)
def test_operands_are_called_what_replay_calls_them(backend: str) -> None:
    x, w = sg.vector("x", "float64"), sg.scalar("w", "float64")

    def step(x, h, c):
        gate = x * w
        c = c + 1 / h
        return sg.sqrt(gate) + 0 * h, c

    ends = [np.float64(1), np.float64(0)]
    h, c = sg.scan(step, [x], ends, name="cell")
    f = sg.compile([x, w], [h[-1], c[-1]], backend=backend, check_finite=True)
    seen = set()
    for values in ([1.0, 1.0, -1.0], [1.0, 0.0, 1.0]):
        error = caught(f, values, 1.0)
        replayed = sg.replay(f, [values, 1.0], loop=error.loop, step=error.step)
        for label, least, largest, _ in error.operands:
            assert f"\n  of {label}: " in str(error)
            seen.add(label)
            if label != "a constant":
                assert least == largest == replayed.values[label]
    assert seen == {"gate", "a constant", "h[t-1]"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_operands_in_a_gradient_are_called_what_replay_calls_them(backend: str) -> None:
    x, w = sg.vector("x", "float64"), sg.scalar("w", "float64")
    states = sg.scan(lambda x, h: sg.sqrt(h * w) * x, [x], [np.float64(1)], name="cell")
    f = sg.compile([x, w], sg.grad(states[-1], w), backend=backend, check_finite=True)
    arguments = [[1.0, 0.0, 1.0], 1.0]
    error = caught(f, *arguments)
    assert error.loop == "gradient of cell"
    row = [row.name for row in f.report.loop_table].index("gradient of cell")
    replayed = sg.replay(f, arguments, loop=row, step=error.step)
    _, operand = error.operands  # the first one is a constant
    assert operand.least == replayed.values[operand.label] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_ends_a_call_that_had_lost_it_already(backend: str) -> None:
    """A NaN that makes an index, or that no condition holds for, is told before these errors."""
    x, table = sg.vector("x"), np.ones((3, 2), "float32")

    def step(x, h):
        root = sg.sqrt(x)
        row = sg.constant(table)[sg.cast(root, "int64")]
        return sg.debug_assert(h + row, root < 1.7, "too large")

    h = sg.scan(step, x, sg.zeros(2), name="cell")
    f = sg.compile([x], h, backend=backend, check_finite=True)
    assert f([1, 0, 1]).shape == (3, 2)
    error = caught(f, [1, 1, -1, 16])
    assert (error.op, error.loop, error.step) == ("sqrt", "cell", 2)
    with pytest.raises(DebugAssertError, match="too large"):
        f([1, 4, -1])
    with pytest.raises(IndexRangeError, match=r"index 4 .*\n.*\n.*\n.*step 1 of loop 'cell'"):
        f([1, 16, -1])
