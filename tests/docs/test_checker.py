"""A type checker finds what users get wrong most often, and nothing where they are right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_START = """
from collections.abc import Sequence

import numpy as np

import symgraph as sg
import symgraph_nn as nn

x, y = sg.matrix("x"), sg.vector("y")
w = sg.shared(np.zeros((3, 2), "float32"), "w")
cost = sg.mean(sg.square(x @ w))


def step(row: sg.Variable, state: sg.Variable) -> sg.Variable:
    return sg.tanh(row @ w + state)


def pair(row: sg.Variable, a: sg.Variable, b: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
    return a + row, b * row

"""
MISTAKES = """
sg.sum(x, axis="rows")
sg.reshape(x)
sg.grad([cost], w)
sg.softmax(x, axes=0)
x(1.0)
sg.ones(("T", "B"))
sg.compile({"x": x}, cost)
sg.grad("cost", w)
sg.scan(step, [x], [y])(x)
x.summ()
nn.sgd(cost, [w], learning_rate="0.1")
"""
RIGHT = """
x.sum(axis=0).max().eval({x: np.ones((2, 3))}).astype("float64")
(np.ones(3) * x + 1 - 2 * y / 3.0) ** 2 @ w
x[:, None, ..., np.array([0, 1])].set(0, 1.0).add_at((0, slice(None)), y)
sg.zeros((x.shape[0], 3)).reshape(x.shape[0], -1).transpose(1, 0)
sg.where(x > 0, x, 0.0).clip(-1, max=y).astype(np.float32)
sg.concatenate([x, x], axis=-1).mean((0, 1), keepdims=True)
sg.stack([x.sum(), sg.constant(1.0)]).shape[0] * 2
sg.arange(x.shape[0]) % 2 == y
sg.grad(cost, w).sum() + sg.grad(cost, [w, x])[0].sum()
sg.grad(None, w, known_grads={cost: 1.0}, disconnected="zero")
sg.jvp(cost, [x], [np.ones((2, 3))]) * sg.vjp(cost, x, 1.0)
sg.hessian(cost, w).ndim + len(sg.jacobian(y, [y]))
sg.scan(step, [x], [y])[-1].sum()
sg.scan(step, {"input": x, "taps": [-1]}, {"initial": y[None], "taps": [-1]}, n_steps=3)[0]
sum(states.sum() for states in sg.scan(pair, [x], [y, y]))
sg.scan(lambda row, state: (row + state, sg.until(state.sum() > 1)), [x], [y])[-1]
sg.map(lambda row: row + y, x, name="rows").sum()
sg.reduce(lambda row, total: total + row, [x], y).mean()
sg.substitute(cost, {w: w + 1}).eval({x: [[1.0, 2.0, 3.0]]})
sg.substitute([cost, y], {x: np.ones((2, 3))})[0]
sg.compile([sg.In(x, value=np.ones((2, 3)))], {"cost": cost}, updates=nn.adam(cost, [w], 0.1))
sg.compile([x], cost, updates={w: w - sg.grad(cost, w)}, name="step")(np.ones((2, 3)))
sg.random.Stream(0).normal(x.shape, dtype="float32") + sg.random.uniform(sg.random.key(1), 3)
nn.LSTM(3, 4, rng=0)(sg.tensor3("sequence")).sum()
sg.tensor("t", ("T", None, 3), np.float64).max(axis=[0, 1]).name
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, list[str]]]:
    """For both files the errors that pyright finds, by their lines after the start."""
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent)) or shutil.which(
        "pyright"
    )
    if pyright is None:
        pytest.skip("pyright is not installed")
    folder = tmp_path_factory.mktemp("user")
    options = {"extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
    options |= {"reportUnusedExpression": False, "reportUnusedCoroutine": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(options))
    for name, lines in (("mistakes.py", MISTAKES), ("right.py", RIGHT)):
        (folder / name).write_text(_START + lines.lstrip())
    command = [pyright, "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    found: dict[str, dict[int, list[str]]] = {"mistakes.py": {}, "right.py": {}}
    for diagnostic in told["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            line = diagnostic["range"]["start"]["line"] - _START.count("\n")
            by_line = found[Path(diagnostic["file"]).name]
            by_line.setdefault(line, []).append(diagnostic["message"])
    assert told["summary"]["filesAnalyzed"] >= 2
    return found


def test_mistakes_are_found(messages: dict[str, dict[int, list[str]]]) -> None:
    lines = MISTAKES.strip().splitlines()
    missed = [line for i, line in enumerate(lines) if i not in messages["mistakes.py"]]
    assert len(lines) == 11
    assert len(missed) <= 1, missed


def test_nothing_is_found_where_all_is_right(messages: dict[str, dict[int, list[str]]]) -> None:
    lines = RIGHT.strip().splitlines()
    assert len(lines) == 25
    assert not messages["right.py"], {lines[i]: m for i, m in messages["right.py"].items()}


def test_what_is_right_runs() -> None:
    space: dict[str, object] = {}
    exec(_START + RIGHT, space)


@pytest.mark.parametrize("line", MISTAKES.strip().splitlines())
def test_what_is_wrong_does_not_run(line: str) -> None:
    space: dict[str, object] = {}
    exec(_START, space)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        exec(line, space)
