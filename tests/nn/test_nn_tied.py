"""Weights that layers share: trained once, named once, saved once, and loaded from elsewhere."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.errors import DtypeError, ShapeError, SymgraphValueError

BACKENDS = ("native", "numpy")
NAMES = ["layers.0.W", "layers.1.b"]


def net(rng: int = 0) -> nn.Sequential:
    embedding = nn.Embedding(4, 3, rng=rng)
    return nn.Sequential(embedding, nn.Dense(3, 4, weights=embedding.W.T))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tied_matrix_gets_the_gradients_of_both_places(backend: str) -> None:
    tied, symbols, labels = net(), np.array([0, 2, 2]), np.array([1, 2, 3])
    start = tied[0].W.get_value().astype("float64")
    loss = nn.cross_entropy(tied(symbols), labels)
    sg.compile([], None, updates=nn.sgd(loss, tied.params, 1.0), backend=backend)()

    rows = start[symbols]
    scores = rows @ start.T
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    residual = (shares - np.eye(4)[labels]) / 3
    expected = residual.T @ rows
    np.add.at(expected, symbols, residual @ start)
    np.testing.assert_allclose(tied[0].W.get_value(), start - expected, atol=1e-6)
    np.testing.assert_array_equal(tied[1].W.eval(), tied[0].W.get_value().T)


def test_it_is_named_counted_and_saved_once(tmp_path: Path) -> None:
    tied, other = net(), net(rng=1)
    assert [p.name for p in tied.params] == NAMES == list(tied.state())
    assert tied.summary().endswith("16")
    nn.save(tied, tmp_path / "tied.safetensors")
    assert nn.load(other, tmp_path / "tied.safetensors").loaded == NAMES
    np.testing.assert_array_equal(other[1].W.eval(), tied[0].W.get_value().T)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_tied_within_itself(copied: Callable[[Any], Any]) -> None:
    first = net()
    second = copied(first)
    assert [p.name for p in second.params] == NAMES
    second[0].W.set_value(np.ones((4, 3), "float32"))
    assert second[1].W.eval().min() == 1 > first[0].W.get_value().min()


def test_a_layer_keeps_what_it_is_tied_to() -> None:
    table, scale = sg.shared(np.ones((4, 3), "float32")), sg.shared(np.float32(2))
    assert nn.Dense(3, 4, weights=table.T, bias=None).params == [table]
    both = nn.Dense(3, 4, weights=scale * table.T, bias=None)
    assert both.params == [table, scale]
    assert list(both.state()) == ["W.0", "W.1"]
    assert nn.Dense(4, 3, weights=table, bias=None).W is table


def test_expressions_that_are_no_weights_are_nobodys_parameters() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.doubled = 2 * sg.shared(np.ones(3, "float32"))

    assert Net().params == []


LAYERS: dict[str, tuple[tuple[int, ...], Callable[[sg.Variable], Any]]] = {
    "Embedding": ((4, 3), lambda w: nn.Embedding(4, 3, weights=w)),
    "Conv1D": ((5, 2, 3), lambda w: nn.Conv1D(2, 3, 5, weights=w, bias=None)),
    "ConvTranspose1D": ((5, 2, 3), lambda w: nn.ConvTranspose1D(2, 3, 5, weights=w, bias=None)),
    "RNN": ((3, 3), lambda w: nn.RNNCell(2, 3, recurrent_weights=w)),
    "GRU": ((2, 9), lambda w: nn.GRUCell(2, 3, input_weights=w)),
    "LSTM": ((12,), lambda w: nn.LSTMCell(2, 3, bias=w)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_all_layers_tie(name: str) -> None:
    shape, make = LAYERS[name]
    weights = sg.shared(np.ones(shape, "float32"), "weights")
    assert weights in make(weights).params
    assert weights in make(1.0 * weights).params


def test_layers_of_the_same_weights_have_them_once() -> None:
    cell = nn.LSTMCell(2, 3, rng=0)
    twin = nn.LSTMCell(2, 3, input_weights=cell.W, recurrent_weights=cell.U, bias=cell.b)
    both = nn.Bidirectional(cell, twin)
    assert [p.name for p in both.params] == [f"forward.cell.{name}" for name in "WUb"]


def test_padding_stays_zero_where_the_table_is_anothers() -> None:
    table = sg.shared(np.ones((4, 3), "float32"))
    embedding = nn.Embedding(4, 3, padding_index=0, weights=table)
    assert embedding(np.array([0, 1])).eval().sum(axis=1).tolist() == [0, 3]
    assert table.get_value().min() == 1


@pytest.mark.parametrize(
    ("weights", "dtype", "error"),
    [
        (sg.zeros((4, 3)), "float32", ShapeError),
        (sg.zeros((3, 4, 1)), "float32", ShapeError),
        (sg.zeros((3, 4)), "float64", DtypeError),
    ],
)
def test_weights_that_do_not_fit(weights: sg.Variable, dtype: str, error: Any) -> None:
    with pytest.raises(error, match="weights W of "):
        nn.Dense(3, 4, weights=weights, dtype=dtype)


def test_torch_weights_that_are_tied_there() -> None:
    table, bias = np.arange(12, dtype="float32").reshape(4, 3), np.ones(4, "float32")
    weights = {"encoder.weight": table, "decoder.weight": table, "decoder.bias": bias}
    tied = net()
    assert nn.load_torch(tied, weights).loaded == NAMES
    np.testing.assert_array_equal(tied[1].W.eval(), table.T)
    with pytest.raises(SymgraphValueError, match=r"layers\.1\.W is tied .* theirs is not"):
        nn.load_torch(tied, weights | {"decoder.weight": table + 1})
    np.testing.assert_array_equal(tied[1].W.eval(), table.T)


def test_single_weights_that_are_tied_have_names_too() -> None:
    table, bias = np.arange(12, dtype="float32").reshape(4, 3), np.ones(4, "float32")
    weights = {"encoder.weight": table, "decoder.weight": table, "decoder.bias": bias}
    places = ("layers.0.W", "layers.1.W", "layers.1.b")
    names = dict(zip(weights, places, strict=True))
    for some in (names, dict([*names.items()][1:]), dict([*names.items()][2:])):
        tied = net()
        assert sorted(nn.load_torch(tied, weights, names=some).loaded) == NAMES
        np.testing.assert_array_equal(tied[0].W.get_value(), table)
        np.testing.assert_array_equal(tied[1].b.get_value(), bias)
        with pytest.raises(SymgraphValueError, match=r"layers\.1\.W is tied .* theirs is not"):
            nn.load_torch(tied, weights | {"decoder.weight": table + 1}, names=some)
    # The table by the decoder's name, where theirs has it under that one alone.
    tied = net()
    decoder = {name: weights[name] for name in ("decoder.weight", "decoder.bias")}
    nn.load_torch(tied, decoder, names={"decoder.weight": "layers.0.W"})
    np.testing.assert_array_equal(tied[1].W.eval(), table.T)
    with pytest.raises(SymgraphValueError, match=r"layers\.0\.W is given twice, by decoder"):
        nn.load_torch(tied, weights, names=dict.fromkeys(weights, "layers.0.W"))


def test_a_factor_of_tied_weights_is_named() -> None:
    table, bias = np.arange(12, dtype="float32").reshape(4, 3), np.ones(4, "float32")
    embedding, scale = nn.Embedding(4, 3), sg.shared(np.float32(1))
    tied = nn.Sequential(embedding, nn.Dense(3, 4, weights=scale * embedding.W.T))
    weights = {"encoder.weight": table, "decoder.weight": 3 * table, "decoder.bias": bias}
    names = {"scale": "layers.1.W.1"}
    nn.load_torch(tied, weights | {"scale": np.float32(3)}, names=names)
    np.testing.assert_array_equal(tied[1].W.eval(), 3 * table.T)
    with pytest.raises(SymgraphValueError, match=r"layers\.1\.W is tied .* theirs is not"):
        nn.load_torch(tied, weights | {"scale": np.float32(2)}, names=names)


def test_keras_weights_that_are_tied_there() -> None:
    table, bias = np.arange(12, dtype="float32").reshape(4, 3), np.ones(4, "float32")
    named = {"reader/embeddings": table, "out/kernel": table.T, "out/bias": bias}
    once = {name: array for name, array in named.items() if name != "out/kernel"}
    for weights in (named, once, [table, table.T, bias], [table, bias]):
        tied = net()
        assert nn.load_keras(tied, weights).loaded == NAMES
        np.testing.assert_array_equal(tied[0].W.get_value(), table)
        np.testing.assert_array_equal(tied[1].b.get_value(), bias)
    names = {"reader/embeddings": "layers.0.W", "out/kernel": "layers.1.W"}
    tied = net()
    assert nn.load_keras(tied, named, names=names).loaded == NAMES
    for weights in (named | {"out/kernel": table.T + 1}, [table, table.T + 1, bias]):
        with pytest.raises(SymgraphValueError, match=r"layers\.1\.W is tied .* theirs is not"):
            nn.load_keras(tied, weights)
