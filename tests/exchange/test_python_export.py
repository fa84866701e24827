"""Programs go out as Python that NumPy alone runs, with the NumPy backend's bits."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_programs import check, load, same

import symgraph as sg
import symgraph_nn as nn


class NormalisedCell(nn.Module):
    """A cell of a user's own: a gated unit with layer normalisation."""

    def __init__(self, n_in: int, n_units: int) -> None:
        rng = np.random.default_rng(0)
        self.n_units = n_units
        self.W = sg.shared(rng.normal(size=(n_in, n_units)).astype("float32") * 0.3, "W")
        self.U = sg.shared(rng.normal(size=(n_units, n_units)).astype("float32") * 0.3, "U")
        self.gain = sg.shared(np.ones(n_units, "float32"), "gain")
        self.bias = sg.shared(np.zeros(n_units, "float32"), "bias")

    def initial_state(self, batch: Any) -> sg.Variable:
        return sg.zeros((batch, self.n_units))

    def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        z = x_t @ self.W + h @ self.U
        centred = z - z.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        normal = centred / sg.sqrt(variance + 1e-5) * self.gain + self.bias
        keep = sg.sigmoid(normal)
        h = keep * h + (1 - keep) * sg.tanh(normal)
        return h, h


def test_a_cell_of_ones_own_reads_as_it_was_written(tmp_path: Path) -> None:
    x = sg.tensor("x", ("T", "B", 5))
    f = sg.compile([x], nn.Recurrent(NormalisedCell(5, 8))(x), backend="numpy")
    path = sg.export_python(f, tmp_path, name="normalised")
    text = check(path)
    for name in ("z", "centred", "variance", "normal", "keep", "h"):
        assert re.search(rf"^    {name} = ", text, re.MULTILINE), (name, text)
    assert "def normalised_cell" in text
    assert not re.search(r"\bv\d+\b", text)
    g = load(path)
    for T, B in ((7, 3), (1, 1), (0, 4), (3, 0), (30, 16)):
        a = np.random.default_rng(1).normal(size=(T, B, 5)).astype("float32")
        same(g(a), f(a))


@pytest.mark.parametrize("shape", [(5, 2), (1, 1), (0, 3)])
def test_layers_go_out_with_masks_in_both_directions(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    net = nn.Bidirectional(nn.LSTM(3, 4, rng=0), nn.LSTM(3, 4, rng=1))
    f = sg.compile([x, mask], net(x, mask=mask), backend="numpy")
    path = sg.export_python(f, tmp_path, name="net")
    text = check(path)
    assert text.count("def lstm_cell") == 1  # one body, two loops
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(*shape, 3)).astype("float32"), (rng.random(shape) > 0.3) * 1.0
    same(load(path)(*arrays), f(*arrays))


def test_loops_end_early_and_look_further_back(tmp_path: Path) -> None:
    x, n = sg.vector("x"), sg.scalar("n", "int64")

    def step(x_t, x_next, past, older):
        new = past + 0.5 * older + x_t * x_next
        return new, sg.until(new > 10.0)

    rows = {"input": x, "taps": [0, 1]}
    start = {"initial": sg.constant([1.0, 2.0]), "taps": [-1, -2]}
    y = sg.scan(step, [rows], [start])
    count = sg.scan(lambda number: number + 1, [], [sg.constant(0)], n_steps=n)
    f = sg.compile([x, n], {"all": y, "last": y[-1], "count": count[-1]}, backend="numpy")
    g = load(sg.export_python(f, tmp_path))
    check(tmp_path / "model.py")
    for length in (2, 9, 30):
        a = np.linspace(0.1, 2, length, dtype="float32")
        same(g(a, 5), f(a, 5))
    same(g(np.ones(4, "float32"), 1)["count"], f(np.ones(4, "float32"), 1)["count"])


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_the_last_state_alone_is_that_of_all_steps(tmp_path: Path, steps: int) -> None:
    x = sg.tensor("x", ("T", 3))
    f = sg.compile(
        [x], sg.reduce(lambda row, total: 0.5 * total + row, x, sg.zeros(3)), backend="numpy"
    )
    g = load(sg.export_python(f, tmp_path))
    check(tmp_path / "model.py")
    a = np.random.default_rng(0).normal(size=(steps, 3)).astype("float32")
    same(g(a), f(a))


def test_updates_come_back_as_new_values(tmp_path: Path) -> None:
    x = sg.matrix("x")
    w = sg.shared(np.ones(3, "float32"), "weights")
    stream = sg.random.Stream(7)
    loss = ((x @ w + stream.uniform(x.shape[0])) ** 2).mean()
    f = sg.compile([x], loss, updates=nn.sgd(loss, [w], 0.1), backend="numpy")
    g = load(sg.export_python(f, tmp_path))
    check(tmp_path / "model.py")
    a = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    values = None
    for _ in range(3):
        got, updates = g(a) if values is None else g(a, params=values)
        expected = f(a)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        values = updates
    np.testing.assert_allclose(values["weights"], w.get_value(), rtol=1e-6)
    assert values["random_counter"] == stream.counter.get_value()


# --- whole nets ---------------------------------------------------------------------------------

_ALONE = """
import sys
for name in ("symgraph", "symgraph_nn", "scipy", "llvmlite", "torch"):
    sys.modules[name] = None
import numpy as np
from {name} import {name}
with np.load("arguments.npz") as file:
    arguments = [file[key] for key in file]
results = {name}(*arguments)
np.savez("results.npz", *(results if isinstance(results, (list, tuple)) else [results]))
"""


def run_alone(path: Path, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What a program gives in a process of its own in which NumPy is all there is."""
    np.savez(path.parent / "arguments.npz", *arrays)
    script = _ALONE.format(name=path.stem)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=path.parent, capture_output=True,
        text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    with np.load(path.parent / "results.npz") as file:
        return [file[key] for key in file]


def _demo() -> tuple[Any, list[sg.Variable], list[np.ndarray]]:
    """The net of the first demonstration, its inputs, and arguments."""
    file = Path(__file__).parents[2] / "docs" / "examples" / "vowels.py"
    spec = importlib.util.spec_from_file_location("vowels", file)
    assert spec is not None
    assert spec.loader is not None
    vowels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vowels)
    net = vowels.Speaker(12, 64, 9, rng=0)
    rng = np.random.default_rng(0)
    lengths = rng.integers(7, 30, 16)
    arrays = [
        rng.normal(size=(29, 16, 12)).astype("float32"),
        (np.arange(29)[:, None] < lengths).astype("float32"),
    ]
    return net, [sg.tensor("x", ("T", "B", 12)), sg.tensor("mask", ("T", "B"))], arrays


def test_the_net_of_the_demonstration_runs_on_numpy_alone(tmp_path: Path) -> None:
    net, inputs, arrays = _demo()
    assert len(net.params) == 8  # which have the names of their places from here on
    path = sg.export_python(
        lambda *given: net(*given, training=False), tmp_path, inputs=inputs, name="speaker"
    )
    text = check(path)
    assert len(text.splitlines()) <= 50
    assert 'params["layer.forward.cell.W"]' in text
    for line in ("z = projected_t + h @ U + b", "h_2 = sigmoid(o) * np.tanh(c_2)"):
        assert line in text
    f = sg.compile(inputs, net(*inputs, training=False), backend="numpy")
    same(run_alone(path, arrays), [f(*arrays)])


def test_gradients_run_on_numpy_alone(tmp_path: Path) -> None:
    net, inputs, arrays = _demo()
    speaker = sg.tensor("speaker", ("B",), "int64")
    loss = nn.cross_entropy(net(*inputs, training=False), speaker)
    f = sg.compile([*inputs, speaker], [loss, *sg.grad(loss, net.params)], backend="numpy")
    path = sg.export_python(f, tmp_path, name="gradient")
    check(path)
    arrays.append(np.arange(16) % 9)
    got, expected = run_alone(path, arrays), f(*arrays)
    assert len(got) == len(expected) == 1 + len(net.params)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(12, 4), (1, 1), (0, 2)])
def test_a_character_model_that_keeps_its_state(tmp_path: Path, shape: tuple[int, int]) -> None:
    symbols = sg.tensor("symbols", ("T", "B"), "int64")
    h, c = sg.tensor("h", ("B", 8)), sg.tensor("c", ("B", 8))
    embedding, layer = nn.Embedding(27, 6, rng=0), nn.LSTM(6, 8, rng=1)
    readout = nn.Dense(8, 27, rng=2)
    z, state = layer(embedding(symbols), state=(h, c), return_state=True)
    f = sg.compile([symbols, h, c], [readout(z), *state], backend="numpy")
    path = sg.export_python(f, tmp_path, name="characters")
    check(path)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 27, shape), *(rng.normal(size=(2, shape[1], 8)).astype("float32"))]
    same(run_alone(path, arrays), f(*arrays))
    if shape[0]:
        with pytest.raises(IndexError, match="symbol"):
            load(path)(np.full(shape, 27), *arrays[1:])


# --- names, values, results ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lambda", "np"), ("x y", "x_y"), ("1a", ""), ("input", "max"), ("params", "t"),
        ("l", "O"), ("é", "_"), ("sigmoid", "Path"), ("class", "constants"),
    ],
)  # fmt: skip
def test_names_that_python_has_already(tmp_path: Path, first: str, second: str) -> None:
    x, y = sg.tensor(first, ("n", 3)), sg.tensor(second or None, ("n", 3))
    w = sg.shared(np.arange(3, dtype="float32"), first)
    running = sg.scan(lambda row, total: total + sg.sigmoid(row) * w, [x], [sg.zeros(3)])
    f = sg.compile([x, y], {first: running, "other": y * 2}, backend="numpy")
    path = sg.export_python(f, tmp_path)
    check(path)
    arrays = np.ones((4, 3), "float32"), np.full((4, 3), 2, "float32")
    same(load(path)(*arrays), f(*arrays))


@pytest.mark.parametrize(
    "name", ["1a", "lambda", "np", "a b", "sigmoid", "", None, "numpy", "re", "pathlib"]
)
def test_a_function_has_a_name_that_python_takes(tmp_path: Path, name: Any) -> None:
    with pytest.raises(sg.ExchangeError, match="function"):
        sg.export_python(sg.vector("x"), tmp_path, name=name)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(sg.ExchangeError, match="cannot be written"):
        sg.export_python(sg.vector("x"), tmp_path / "file" / "folder")


class Sum:
    def __call__(self, x: sg.Variable, start: sg.Variable) -> sg.Variable:
        return sg.scan(lambda x_t, memory: sg.tanh(x_t + memory), x, start)


def test_steps_that_are_lambdas_name_their_states(tmp_path: Path) -> None:
    x = sg.tensor("x", ("T", 3))
    f = sg.compile([x], Sum()(x, sg.zeros(3)), backend="numpy")
    path = sg.export_python(f, tmp_path)
    text = check(path)
    assert "def sum_(x_t, memory):\n    return np.tanh(x_t + memory)\n" in text
    a = np.ones((4, 3), "float32")
    same(load(path)(a), f(a))


@sg.composite
def gated(x: sg.Variable, y: sg.Variable) -> sg.Variable:
    return sg.tanh(x) * y + sg.exp(y)


def test_calls_of_composites_name_nothing_inside(tmp_path: Path) -> None:
    x = sg.vector("x")
    outside = gated(x, x)
    text = check(sg.export_python(outside, tmp_path))
    assert "def gated(x, y):\n    return np.tanh(x) * y + np.exp(y)\n" in text


def test_imported_layers_are_called_as_their_ops(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    x = sg.tensor("x", ("T", "B", 3))
    model = sg.export_onnx(nn.GRU(3, 4, rng=0), inputs=[x])
    for node in model.graph.node:
        node.name = ""

    def read(data: bytes, key: str) -> sg.Variable:
        return sg.import_onnx(data).outputs[key]

    y = read(model.SerializeToString(), model.graph.output[0].name)
    text = check(sg.export_python(y, tmp_path))
    assert "def gru(projected_t, state, " in text  # not `key`, of the function around the import


def test_constants_small_and_large(tmp_path: Path) -> None:
    x = sg.matrix("x")
    large = np.random.default_rng(0).normal(size=(3, 50)).astype("float32")
    outputs = [
        x @ np.zeros((3, 0), "float32"), x + np.arange(3, dtype="float32"), x @ large,
        x * np.inf, x + np.nan, x - 0.0, x * -0.0, x + np.float32(0.1), x / 3, x + 1e-30,
        sg.constant(np.zeros((0, 2))), sg.constant(True), sg.constant(np.uint64(2**64 - 1)),
        sg.constant(-5), sg.constant(1e300, "float64"), sg.constant([[1.5, -np.inf]]),
    ]  # fmt: skip
    f = sg.compile([x], outputs, backend="numpy")
    path = sg.export_python(f, tmp_path)
    assert len(check(path)) < 2000
    same(load(path)(np.ones((2, 3))), f(np.ones((2, 3))))


def test_inputs_with_default_values(tmp_path: Path) -> None:
    x, n, flag = sg.matrix("x"), sg.scalar("n", "int64"), sg.scalar("flag", "bool")
    table = np.arange(40, dtype="float32").reshape(8, 5)
    inputs = [sg.In(n, value=3), x, sg.In(flag, value=True), sg.In(sg.matrix("table"), value=table)]
    outputs = [sg.where(flag, x * n, x), inputs[3].variable.sum()]
    f = sg.compile(inputs, outputs, backend="numpy", profile=True)
    g = load(sg.export_python(f, tmp_path))
    a = np.ones((2, 2), "float32")
    same(g(x=a), f(x=a))
    same(g(5, a, False, table * 2), f(5, a, False, table * 2))
    with pytest.raises(TypeError, match="x is missing"):
        g()


@pytest.mark.parametrize("outputs", ["none", "one", "list", "tuple", "dict", "twice"])
def test_results_come_as_the_user_has_them(tmp_path: Path, outputs: str) -> None:
    x = sg.matrix("x")
    kinds: dict[str, Any] = {
        "none": None, "one": x, "list": [x * 2], "tuple": (x.T, x), "dict": {"a b": x + 1},
        "twice": [x + 1, x + 1],
    }  # fmt: skip
    f = sg.compile([x], kinds[outputs], backend="numpy", unused="ignore")
    path = sg.export_python(f, tmp_path)
    check(path)
    a = np.ones((2, 3), "float32")
    got = load(path)(a)
    same(got, f(a))
    arrays = [] if got is None else list(got.values()) if isinstance(got, dict) else got
    arrays = [arrays] if isinstance(arrays, np.ndarray) else arrays
    for i, result in enumerate(arrays):  # of which each is its own
        assert not any(np.shares_memory(result, other) for other in [a, *arrays[:i]])


def test_composites_are_functions_by_their_names(tmp_path: Path) -> None:
    @sg.composite
    def swish(x: sg.Variable, *, beta: float = 1.0) -> sg.Variable:
        return x * sg.sigmoid(beta * x)

    @sg.composite
    def normalised(x: sg.Variable, gain: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = sg.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return swish(centred / deviation * gain), deviation

    x, gain = sg.tensor("x", ("T", 4)), sg.shared(np.ones(4, "float32"), "gain")
    y, deviation = normalised(x, gain)
    z = sg.scan(lambda row, h: swish(row + h, beta=2.0), [y], [sg.zeros(4)])
    f = sg.compile([x], [z, deviation, sg.grad(z.sum(), gain)], backend="numpy")
    path = sg.export_python(f, tmp_path)
    text = check(path)
    assert "def normalised(x, gain):\n    centred = x - x.mean(axis=1, keepdims=True)" in text
    assert "return swish(centred / deviation * gain), deviation" in text
    a = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    for got, expected in zip(load(path)(a), f(a), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)


def test_states_that_lie_otherwise_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, w = sg.tensor("x", ("T", 9, 9)), sg.shared(rng.normal(size=(9, 9)).astype("float32"), "w")

    def step(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh((x_t + h @ w + h.sum() * 0.1).T)[:, ::-1]

    f = sg.compile([x], sg.scan(step, [x], [sg.zeros((9, 9))]), backend="numpy")
    a = rng.normal(size=(12, 9, 9)).astype("float32")
    same(load(sg.export_python(f, tmp_path))(a), f(a))


@pytest.mark.parametrize("width", [72, 79, 88, 120])
def test_lines_are_as_wide_as_asked_for(tmp_path: Path, width: int) -> None:
    net, inputs, _ = _demo()
    loss = (net(*inputs, training=False) ** 2).sum()
    gradients = sg.grad(loss, net.params)
    for framework in ("numpy", "torch"):
        path = sg.export_python(
            gradients, tmp_path, inputs=inputs, width=width, framework=framework
        )
        text = check(path, width)
        assert max(map(len, text.splitlines())) <= width


def test_what_cannot_be_written_is_named_with_its_line(tmp_path: Path) -> None:
    x = sg.vector("x")
    op = sg.core.op.Op("mystery", lambda inputs: inputs[0].type, lambda arrays: arrays[0])
    y = sg.core.variable.node(op, (sg.exp(x),))
    with pytest.raises(sg.ExchangeError, match=r"mystery cannot be written for NumPy"):
        sg.export_python(y, tmp_path, inputs=[x])
    with pytest.raises(sg.ExchangeError, match="no framework 'cupy'"):
        sg.export_python(x, tmp_path, inputs=[x], framework="cupy")  # type: ignore[arg-type]
    with pytest.raises(sg.ExchangeError, match="at least 72"):
        sg.export_python(x, tmp_path, inputs=[x], width=20)
