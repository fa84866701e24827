"""Saving and loading: round trips, refusals, and files that survive a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import symgraph as sg
import symgraph_nn as nn


def make(seed=0, n_units=4, dtype="float32"):
    net = nn.Sequential(
        nn.Bidirectional(
            nn.LSTM(3, n_units, rng=seed, dtype=dtype), nn.GRU(3, n_units, rng=seed, dtype=dtype)
        ),
        nn.BatchNorm(2 * n_units, dtype=dtype),
        nn.Dense(2 * n_units, 2, rng=seed, dtype=dtype),
    )
    x = sg.tensor("x", ("T", "B", 3), dtype)
    loss = sg.mean(sg.square(net(x, training=True) - 1))
    return net, x, loss


def values(net):
    return {path: value.tolist() for path, value in net.state().items()}


DATA = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")


def test_round_trip(tmp_path):
    net, other = make(0)[0], make(1)[0]
    path = tmp_path / "net.safetensors"
    nn.save(net, path)
    assert values(other) != values(net)
    nn.load(other, str(path))
    assert values(other) == values(net)
    assert sorted(load_file(path)) == sorted(net.state())
    assert os.listdir(tmp_path) == ["net.safetensors"]


RULES = {
    "sgd": lambda loss, params: nn.sgd(loss, params, 0.1),
    "nesterov": lambda loss, params: nn.nesterov(loss, params, 0.1, lambda t: 0.9 - 0.4 * 0.9**t),
    "adam": lambda loss, params: nn.adam(loss, params, 0.01),
    "nested": lambda loss, params: nn.apply_momentum(nn.nesterov(loss, params, 0.01), momentum=0.5),
    "plain dict": lambda loss, params: dict(nn.rmsprop(loss, params, 0.01)),
}


@pytest.mark.parametrize("rule", RULES)
def test_training_goes_on_exactly_from_a_file(tmp_path, rule):
    path = tmp_path / "net.safetensors"
    net, x, loss = make()
    updates = RULES[rule](loss, net.params)
    step = sg.compile([x], loss, updates=updates)
    for _ in range(3):
        step(DATA)
    nn.save(net, path, updates=updates)
    expected = [float(step(DATA)) for _ in range(3)]
    net, x, loss = make(seed=5)
    updates = RULES[rule](loss, net.params)
    step = sg.compile([x], loss, updates=updates)
    nn.load(net, path, updates=updates)
    assert [float(step(DATA)) for _ in range(3)] == expected


def test_names_of_the_optimisers_state(tmp_path):
    net = nn.Dense(2, 3, rng=0)
    loss = sg.mean(sg.square(net(np.ones((4, 2), "float32"))))
    nn.save(net, tmp_path / "f", updates=nn.nesterov(loss, net.params, 0.1, lambda t: 0.5))
    assert sorted(load_file(tmp_path / "f")) == [
        "W", "b", "optimiser/momentum", "optimiser/step", "optimiser/velocity/W",
        "optimiser/velocity/b",
    ]  # fmt: skip


def test_weights_alone_can_be_taken_from_a_file_with_an_optimiser(tmp_path):
    net, _, loss = make()
    nn.save(net, tmp_path / "f", updates=nn.adam(loss, net.params))
    other = make(3)[0]
    nn.load(other, tmp_path / "f")
    assert values(other) == values(net)


def test_refusals_list_everything_and_change_nothing(tmp_path):
    net, _, loss = make()
    path = tmp_path / "net.safetensors"
    nn.save(net, path)
    for other, texts in [
        (make(1, n_units=5)[0], ["layers.0.forward.cell.W has shape", "layers.2.W has shape"]),
        (make(1, dtype="float64")[0], ["layers.1.mean has dtype float64", "layers.2.b has dtype"]),
        (nn.Dense(2, 3), ["W is missing", "layers.2.W is not known"]),
    ]:
        before = values(other)
        with pytest.raises(sg.SymgraphValueError, match="nothing was changed") as caught:
            nn.load(other, path)
        assert all(text in str(caught.value) for text in [*texts, str(path)])
        assert values(other) == before
    updates = nn.adam(loss, net.params)
    before = values(net)
    with pytest.raises(sg.SymgraphValueError, match=r"optimiser/mean/layers.2.b is missing"):
        nn.load(net, path, updates=updates)
    arrays = load_file(path)
    arrays["layers.0.forward.cell.W"] += 1
    arrays["layers.2.b"] = np.zeros(7, "float32")
    save_file(arrays, path)
    with pytest.raises(sg.SymgraphValueError):
        nn.load(net, path)
    assert values(net) == before


def test_broken_and_missing_files(tmp_path):
    net = make()[0]
    path = tmp_path / "net.safetensors"
    nn.save(net, path)
    content = path.read_bytes()
    for broken in (b"", content[: len(content) // 2], b"\xff" * 64, content[:4]):
        path.write_bytes(broken)
        with pytest.raises(sg.SymgraphValueError, match="no whole safetensors file"):
            nn.load(net, path)
    with pytest.raises(FileNotFoundError):
        nn.load(net, tmp_path / "nowhere")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    net = make()[0]
    path = tmp_path / "net.safetensors"
    nn.save(net, path)
    content = path.read_bytes()

    def fail(*_args):
        raise OSError("no space left")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no space"):
                nn.save(make(1)[0], path)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["net.safetensors"]


WRITER = """
import sys, itertools
import numpy as np
import symgraph as sg, symgraph_nn as nn

net = nn.Dense(300, 300, bias=None, rng=0)
for i in itertools.count(1):
    net.W.set_value(np.full((300, 300), i, "float32"))
    nn.save(net, sys.argv[1])
    if i == 3:
        print("ready", flush=True)
"""


def test_a_kill_leaves_a_whole_file(tmp_path):
    path = tmp_path / "net.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    net = nn.Dense(300, 300, bias=None)
    nn.load(net, path)
    found = np.unique(net.W.get_value())
    assert len(found) == 1
    assert found[0] >= 3


def test_only_modules_are_saved(tmp_path):
    with pytest.raises(sg.SymgraphTypeError, match="a module is expected, not 3"):
        nn.save(3, tmp_path / "three.safetensors")
    assert not list(tmp_path.iterdir())
