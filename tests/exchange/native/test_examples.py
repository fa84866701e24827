"""The nets of the demonstrations as object files: a speaker's, the speller's step, the reader."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symgraph as sg

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
Check = Callable[..., Any]
DRAWS = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return DRAWS.normal(size=shape).astype("float32")


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (29, 2), (7, 33)])
def test_the_speaker_of_a_vowel(
    check: Check, monkeypatch: pytest.MonkeyPatch, steps: int, batch: int
) -> None:
    net = example("vowels", monkeypatch).Speaker(12, 64, 9, rng=0)
    x, mask = sg.tensor("x", ("T", "B", 12)), sg.tensor("mask", ("T", "B"))
    f = sg.compile([x, mask], net(x, mask, training=False))
    lengths = DRAWS.integers(1, steps + 1, batch)
    valid = np.arange(steps)[:, None] < lengths
    check(f, [normal(steps, batch, 12), valid], [steps, batch])


def test_the_speller_writes_the_same(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred characters, each drawn from what the step before said, its state in its place."""
    charlm = example("charlm", monkeypatch)
    net, n_units = charlm.Speller(40, rng=0), charlm.N_UNITS
    symbol, state = sg.tensor("symbol", (1,), "int64"), [sg.tensor(k, (1, n_units)) for k in "hc"]
    logits, (h, c) = net.step(symbol, tuple(state))
    f = sg.compile([symbol, *state], [sg.random.Stream(1).categorical(logits), h, c])
    linked = check(f, [[3], normal(1, n_units), normal(1, n_units)], [])
    (counter,) = f.program.updates
    count = counter.get_value()
    values = [np.array([3]), np.zeros((1, n_units), "float32"), np.zeros((1, n_units), "float32")]
    places = [np.array(v) for v in values]
    for _ in range(100):
        values = f(*values)
        assert linked.status([*places, count], [], [*places, count]) == 0
        np.testing.assert_array_equal(places[0], values[0])
    np.testing.assert_array_equal(places[1], values[1])
    assert count == counter.get_value() == 101


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_reader_of_digits(check: Check, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    pytest.importorskip("sklearn")
    net = example("digits", monkeypatch).Reader(8, 128, rng=0)
    x = sg.tensor("x", (8, "B", 8))
    f = sg.compile([x], sg.softmax(net(x, training=False)[-1]))
    check(f, [np.abs(normal(8, batch, 8))], [batch])
