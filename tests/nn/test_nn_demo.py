"""What the demonstrations share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.demo import Demo, cpu_times, draw_confusion


def test_showing_a_training_writes_all_and_trains_nothing(tmp_path: Path) -> None:
    demo = Demo("vowels", tmp_path)
    x = sg.tensor("x", ("B", 3))
    net = nn.Dense(3, 2, rng=0)
    loss = sg.mean(net(x) ** 2)
    updates = nn.adam(loss, net.params, 0.1)
    data = [np.ones((8, 3), "float32")]
    history = nn.fit(net, [x], loss, updates, data, epochs=2, progress=False)
    before = net.state()
    demo.show(net, history, [x], loss, updates, data)
    for name, value in net.state().items():
        np.testing.assert_array_equal(value, before[name])
    written = {path.name for path in tmp_path.iterdir()}
    assert {"graph.dot", "trace.json", "checkpoint.safetensors"} <= written
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event["name"] == "call train" for event in events)


def _fold(demo: Demo, factor: str, part: int) -> list[float]:
    return [float(factor) * part, demo.seed]


def test_folds_are_told_and_averaged(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("joblib")
    demo = Demo("motions", seed=3)
    means = demo.cross_validate(_fold, [["1"], ["2"]], [1, 2, 6], ["product", "seed"])
    np.testing.assert_array_equal(means, [[3, 3], [6, 3]])
    assert "product 2.00 4.00 12.00, mean 6.000; seed 3.00" in capsys.readouterr().out


def test_cpu_times_are_those_of_each_step() -> None:
    times = cpu_times([lambda n: None, lambda n: sum(range(n))], [100_000], 3)
    assert times.shape == (2,)
    assert times[0] < times[1]


def test_a_confusion_has_its_counts_and_names() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    axes: Any = figures.Figure().subplots()
    draw_confusion(axes, np.array([[5, 0], [2, 3]]), ["a", "b"])
    assert [text.get_text() for text in axes.texts] == ["5", "2", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
