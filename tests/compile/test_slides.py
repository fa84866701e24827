"""Reports and replayed steps in 80 columns, with names that say what values are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ("native", "numpy")


def train(net: Any, cost: Callable[[sg.Variable], sg.Variable], backend: str) -> sg.Function:
    x = sg.tensor("x", ("T", "B", 6))
    loss = cost(net(x))
    updates = nn.sgd(loss, net.params, 0.1)
    return sg.compile([x], loss, updates=updates, name="train", backend=backend)


def last(y: sg.Variable) -> sg.Variable:
    return sg.square(y[-1]).mean()


def whole(y: sg.Variable) -> sg.Variable:
    return sg.square(y).mean()


class Liquid(nn.Module):
    """A cell of a user's, whose step has names."""

    def __init__(self) -> None:
        self.W, self.U = nn.Dense(6, 32, rng=0), nn.Dense(32, 32, bias=None, rng=1)
        self.rate = sg.shared(np.zeros(32, "float32"), "rate")

    def initial_state(self, batch: Any) -> sg.Variable:
        return sg.zeros((batch, 32))

    def step(self, x_t: sg.Variable, r: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        target = sg.tanh(self.W(x_t) + self.U(r))
        r = r + sg.sigmoid(self.rate) * (target - r)
        return r, r


def speaker(backend: str) -> sg.Function:
    """The net of the default demonstration."""
    layer = nn.Bidirectional(nn.LSTM(12, 64, rng=0), nn.LSTM(12, 64, rng=1))
    x, mask = sg.tensor("x", ("T", "B", 12)), sg.tensor("mask", ("T", "B"))
    loss = whole(layer(x, mask=mask))
    updates = nn.nesterov(loss, layer.params, 0.1)
    return sg.compile([x, mask], loss, updates=updates, name="train", backend=backend)


def nested(backend: str) -> sg.Function:
    x, W = sg.tensor("x", ("T", "B", 6)), sg.shared(np.eye(6, dtype="float32"), "W")

    def sentence(rows: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.scan(lambda x, h: sg.tanh(x @ W + h), [rows], [h], name="words")[-1]

    loss = whole(sg.scan(sentence, [x], [sg.zeros(6)], name="sentences"))
    updates = nn.sgd(loss, [W], 0.1)
    return sg.compile([x], loss, updates=updates, name="train", backend=backend)


PROGRAMS = {
    "demonstration": speaker,
    "LSTM": lambda backend: train(nn.LSTM(6, 32, rng=0), last, backend),
    "GRU": lambda backend: train(nn.GRU(6, 32, rng=0), whole, backend),
    "own cell": lambda backend: train(nn.Recurrent(Liquid()), last, backend),
    "checkpoints": lambda backend: train(
        nn.LSTM(6, 32, rng=0, checkpoint_every="auto"), last, backend
    ),
    "nested": nested,
}


def texts(f: sg.Function) -> list[str]:
    """What is printed of a function: its report before and after a call, and steps of its loops."""
    draws, before = np.random.default_rng(0), str(f.report)
    shapes = [(9, 4, 6)] if len(f.program.inputs) == 1 else [(9, 4, 12), (9, 4)]
    args = [draws.normal(size=shape) for shape in shapes]
    f(*args)
    found = [before, str(f.report)]
    for row, loop in enumerate(f.report.loop_table):
        if not loop.depth and "from a checkpoint" not in (loop.name or ""):
            found.append(str(sg.replay(f, args, loop=row, step=1)))
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_all_that_is_printed_has_80_columns(
    program: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = PROGRAMS[program](backend)
    for folder in (Path(__file__).parent, Path("/")):
        monkeypatch.chdir(folder)
        printed = texts(f)
        assert len(printed) > 2
        for text in printed:
            assert not [line for line in text.splitlines() if len(line) > 80]
            assert str(Path(__file__).parent.parent) not in text or folder == Path("/")


def test_advice_has_80_columns_too() -> None:
    x, W = sg.tensor("x", ("T", "B", 3)), sg.shared(np.eye(3, dtype="float32"), "W")

    def rnn(p: sg.Variable) -> sg.Variable:
        step = lambda x_t, h: sg.tanh(x_t @ p + h @ p)  # noqa: E731
        return sg.scan(step, x, sg.zeros((x.shape[1], 3)), name="rnn")

    total = sg.scan(lambda x_t, h: x_t * h + 1, x[:, 0, 0], sg.zeros(()))
    chain = x
    for _ in range(12):
        chain = sg.tanh(chain @ W + 1)
    costs = [rnn(W)[-1].sum() + rnn(W * 0.5).sum(), total, chain.sum()]
    text = str(sg.compile([x], costs).report)
    assert text.count("\n  saves ") == 3
    assert "1 loop body is computed twice, at other values" in text
    assert "1 body too many" in text
    assert not [line for line in text.splitlines() if len(line) > 80]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_line_that_all_rows_share_is_said_once(backend: str) -> None:
    f = PROGRAMS["LSTM"](backend)
    places = [line for line in str(f.report).splitlines() if "test_slides.py:" in line]
    assert len(places) == 2  # the headings of the loops, and of what they store
    assert all(line.startswith(("loops at ", "stored over time at ")) for line in places)
    many = str(PROGRAMS["nested"](backend).report)
    assert "loops in " in many
    assert "  words, line " in many


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_end_in_one_column(backend: str) -> None:
    text = str(PROGRAMS["checkpoints"](backend).report)
    table = text[text.index("\nloops at ") + 1 :].split("\n\n")[0].splitlines()
    ends = [len(line) for line in table if line[-1].isdigit()]
    assert len(ends) == len(PROGRAMS["checkpoints"](backend).report.loop_table)
    assert set(ends) == {len(table[0])}


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_of_layers_have_the_names_of_their_step(backend: str) -> None:
    layer = nn.LSTM(6, 32, rng=0)
    f = train(layer, whole, backend)
    x = np.random.default_rng(0).normal(size=(9, 4, 6)).astype("float32")
    values = sg.replay(f, [x], loop="LSTMCell(6, 32)", step=3).values
    assert {"h[t-1]", "c[t-1]", "z", "i", "f", "g", "o", "c", "h", "sigmoid(f)"} <= set(values)
    W, U, b = (p.get_value() for p in layer.params)
    z = x[3] @ W + values["h[t-1]"] @ U + b
    i, f_, g, o = np.split(z, 4, axis=1)
    c = values["c[t-1]"] / (1 + np.exp(-f_)) + np.tanh(g) / (1 + np.exp(-i))
    for name, what in (("sigmoid(f)", "sigmoid"), ("c", "add 3"), ("c[t-1]", "state 1[t-1]")):
        assert values[what] is values[name]
    with pytest.raises(KeyError, match="sigmoid 9"):
        values["sigmoid 9"]
    expected = {"z": z, "f": f_, "c": c, "h": np.tanh(c) / (1 + np.exp(-o)), "tanh(g)": np.tanh(g)}
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_masked", [False, True])
def test_values_of_a_gradient_are_of_what_they_are_called(backend: str, is_masked: bool) -> None:
    """Held against finite differences of the loss by the states, and the loop itself."""
    x, at = sg.tensor("x", ("T", "B", 6), "float64"), sg.tensor("at", ("T", "B", 5), "float64")
    cell = nn.LSTMCell(6, 5, rng=0, dtype="float64")
    layer = nn.Recurrent(cell)
    rows, T = np.random.default_rng(0).normal(size=(7, 3, 6)), 7
    mask = np.ones((T, 3)) if is_masked else None
    y = layer(x, mask=mask)
    loss = (y * at).sum()
    f = sg.compile([x, at], [loss, sg.grad(loss, cell.b)], backend=backend)
    weights = np.random.default_rng(1).normal(size=(T, 3, 5))
    step = 2
    t = T - 1 - step
    names = [row.name for row in f.report.loop_table]
    backward = names.index("gradient of LSTMCell(6, 5)")
    values = sg.replay(f, [rows, weights], loop=backward, step=step).values
    forward = sg.replay(f, [rows, weights], loop="LSTMCell(6, 5)", step=t).values
    np.testing.assert_allclose(values["c[t-1]"], forward["c[t-1]"])
    np.testing.assert_allclose(values["tanh(g)[t]"], forward["tanh(g)"])
    state = [forward["h[t-1]"], forward["c[t-1]"]]
    ends = sg.tensor("h", ("B", 5), "float64"), sg.tensor("c", ("B", 5), "float64")
    rest = sg.compile([x, at, *ends], (layer(x, state=ends) * at).sum(), backend="numpy")
    for k, name in enumerate(("gradient of h[t-1]", "gradient of c[t-1]")):
        numeric = np.zeros((3, 5))
        for place in np.ndindex(3, 5):
            for sign in (1, -1):
                moved = [part.copy() for part in state]
                moved[k][place] += sign * 1e-6
                numeric[place] += sign * float(rest(rows[t:], weights[t:], *moved)) / 2e-6
        np.testing.assert_allclose(values[name], numeric, rtol=1e-5, atol=1e-7)
    whole = sg.replay(f, [rows, weights], loop=backward, step=T - 1).values
    if "gradient of b" in whole:  # else it is added up after the loop
        np.testing.assert_allclose(whole["gradient of b"], f(rows, weights)[1], rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_what_is_fixed_go_to_what_they_are_of(backend: str) -> None:
    """Three of one shape; two loops of one line, each with its own."""
    x = sg.tensor("x", ("T", "B", 4))

    class Cell(nn.Module):
        def __init__(self) -> None:
            draws = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
            self.a, self.b, self.c = map(sg.shared, draws)

        def initial_state(self, batch: Any) -> sg.Variable:
            return sg.zeros((batch, 4))

        def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
            y = sg.tanh(x_t + h * self.a)
            h = y * self.b + sg.square(y) * self.c
            return h, h

    layer = nn.Bidirectional(nn.Recurrent(Cell()), nn.Recurrent(Cell()))
    f = sg.compile([x], sg.grad(whole(layer(x) * x[:, :, :1]), layer.params), backend=backend)
    rows = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    expected = dict(zip([p.name for p in layer.params], f(rows), strict=True))
    for row, loop in enumerate(f.report.loop_table):
        if loop.name == "gradient of Cell()":
            values = sg.replay(f, [rows], loop=row, step=4).values
            side = next(name for name in values if name.endswith(".cell.a")).partition(".")[0]
            sums = [name for name in "abc" if f"gradient of {name}" in values]
            assert len(sums) == (3 if backend == "native" else 0)  # else added up after the loop
            for name in sums:
                found = values[f"gradient of {name}"]
                np.testing.assert_allclose(found, expected[f"{side}.cell.{name}"], rtol=1e-4)


def test_places_are_told_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    f = PROGRAMS["LSTM"]("numpy")
    monkeypatch.chdir(Path(__file__).parent)
    assert "\nloops at test_slides.py:" in str(f.report)
    monkeypatch.chdir(Path(__file__).parents[1])
    assert "\nloops at compile/test_slides.py:" in str(f.report)
    monkeypatch.chdir(tmp_path)
    assert "\nloops at compile/test_slides.py:" in str(f.report)
    monkeypatch.chdir(Path(__file__).parents[1] / "core")
    assert "\nloops at compile/test_slides.py:" in str(f.report)
