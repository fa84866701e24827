"""Weights from files that PyTorch and Keras wrote (by ``foreign/make.py``), with their outputs."""

from __future__ import annotations

import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.foreign_files import torch_weights

FOLDER = Path(__file__).parent / "foreign"
TORCH, KERAS = np.load(FOLDER / "torch.npz"), np.load(FOLDER / "keras.npz")


class Sequences(nn.Module):
    def __init__(self, *, second_bias: bool = True) -> None:
        self.emb = nn.Embedding(5, 3)
        self.rnn = [nn.Bidirectional(nn.LSTM(n, 4), nn.LSTM(n, 4)) for n in (3, 8)]
        self.gru = nn.GRU(8, 5, second_bias=second_bias)
        self.plain = nn.RNN(5, 6)
        self.norm = nn.LayerNorm(6)
        self.attention = nn.MultiHeadAttention(6, 2)
        self.out = nn.Dense(6, 2, bias=None)

    def __call__(self, symbols: np.ndarray) -> sg.Variable:
        x = self.emb(symbols)
        for layer in (*self.rnn, self.gru, self.plain, self.norm, self.attention, self.out):
            x = layer(x)
        return x


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2D(2, 3, (2, 3), stride=2),
        nn.BatchNorm(3),
        nn.ConvTranspose2D(3, 4, 3, stride=2),
        nn.GroupNorm(2, 4),
    )


def keras_net(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Bidirectional(nn.LSTM(3, 4), nn.LSTM(3, 4)),
        nn.GRU(8, 5, **options),
        nn.RNN(5, 6),
        nn.BatchNorm(6, epsilon=1e-3),
        nn.Conv1D(6, 4, 3, padding="causal", time_major=True),
        nn.LayerNorm(4),
        nn.Dense(4, 2),
        nn.Dense(2, 3),
    )


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


# --- PyTorch ------------------------------------------------------------------------------------


def test_a_state_dict_gives_equal_outputs() -> None:
    stored = torch_weights(FOLDER / "sequences.safetensors")
    names = ["emb", "rnn", "gru", "plain", "norm", "attention", "out"]
    # A state dict has the order of attributes; a file that of names.
    ordered = {name: stored[name] for n in names for name in stored if name.startswith(f"{n}.")}
    for source in (FOLDER / "sequences.safetensors", ordered):
        net = Sequences()
        report = nn.load_torch(net, source)
        assert sorted(report.loaded) == sorted(net.state())
        close(net(TORCH["symbols"]).eval(), TORCH["outputs"])


def test_what_torch_saved_is_read_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    net = Sequences()
    nn.load_torch(net, FOLDER / "sequences.pt")
    close(net(TORCH["symbols"]).eval(), TORCH["outputs"])


def test_a_checkpoint_has_the_weights_among_other_things() -> None:
    dense = nn.Dense(2, 3)
    nn.load_torch(dense, FOLDER / "checkpoint.pt")
    np.testing.assert_array_equal(dense.W.get_value(), np.arange(12).reshape(3, 4)[:2, 1:])
    np.testing.assert_array_equal(dense.b.get_value(), [1, 2, -0.5])
    weights = {"weight": np.ones((3, 2), "f"), "bias": np.zeros(3, "f")}
    nn.load_torch(dense, {"model": weights, "epoch": 3})
    with pytest.raises(sg.SymgraphTypeError, match="a dict of 'model', 'average'"):
        nn.load_torch(dense, {"model": weights, "average": weights})


class _Other:
    """Nothing that a state dict has."""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"weights", "is no zip file"),
        ({"data.pkl": b"junk"}, "is nothing that torch.save wrote"),
        ({"other": b""}, "is nothing that torch.save wrote"),
        ({"a/data.pkl": pickle.dumps(_Other())}, r"holds more than tensors: .*\._Other"),
        ({"a/data.pkl": pickle.dumps(print)}, r"holds more than tensors: builtins\.print"),
        ({"a/data.pkl": pickle.dumps([1])}, "a state dict is expected, not list"),
    ],
)
def test_files_that_torch_did_not_save(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in content.items():
                archive.writestr(name, part)
    else:
        path.write_bytes(content)
    with pytest.raises((sg.SymgraphValueError, sg.SymgraphTypeError), match=told):
        nn.load_torch(nn.Dense(2, 3), path)


def test_images_turn_their_filters() -> None:
    net = images()
    nn.load_torch(net, FOLDER / "images.safetensors")
    close(net(TORCH["images"]).eval(), TORCH["filtered"])


def test_names_say_what_is_whose() -> None:
    stored = torch_weights(FOLDER / "sequences.safetensors")
    one = {f"model.{name}": array for name, array in stored.items() if name.startswith("rnn.")}
    whole = Sequences()
    nn.load_torch(whole, FOLDER / "sequences.safetensors")
    layers = nn.Sequential(*Sequences().rnn)
    nn.load_torch(layers, one, names={"model.rnn": "layers"})
    for ours, theirs in zip(layers.params, [p for r in whole.rnn for p in r.params], strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
    dense, raw = nn.Dense(6, 2), sg.shared(np.zeros((2, 6), "float32"))
    holder = {"dense": dense, "raw": raw}
    weights = {"a.weight": stored["out.weight"], "a.bias": np.ones(2, "float32")}
    nn.load_torch(holder, weights | {"scale": stored["out.weight"] * 2},
                  names={"a.weight": "dense.W", "a.bias": "dense.b", "scale": "raw"})  # fmt: skip
    np.testing.assert_array_equal(dense.W.get_value(), stored["out.weight"].T)
    np.testing.assert_array_equal(dense.b.get_value(), np.ones(2))
    np.testing.assert_array_equal(raw.get_value(), stored["out.weight"] * 2)


def test_a_second_bias_is_added_where_that_is_the_same() -> None:
    rng = np.random.default_rng(0)
    weights = {"weight_ih": (8, 3), "weight_hh": (8, 2), "bias_ih": (8,), "bias_hh": (8,)}
    arrays = {name: rng.normal(size=shape).astype("f") for name, shape in weights.items()}
    cell = nn.LSTMCell(3, 2, peepholes=True)
    cell.p_i.set_value(np.ones(2, "float32"))
    nn.load_torch(cell, arrays)
    np.testing.assert_array_equal(cell.b.get_value(), arrays["bias_ih"] + arrays["bias_hh"])
    np.testing.assert_array_equal(cell.p_i.get_value(), [0, 0])
    gates = {name: array[:6] for name, array in arrays.items()}
    gru = nn.GRUCell(3, 2)
    with pytest.raises(sg.SymgraphValueError, match="second_bias=True"):
        nn.load_torch(gru, gates)
    gates["bias_hh"][4:] = 0
    nn.load_torch(gru, gates)
    np.testing.assert_array_equal(gru.b.get_value(), gates["bias_ih"] + gates["bias_hh"])


def test_biases_and_gains_that_theirs_lack_change_nothing() -> None:
    """As PyTorch's ``bias=False`` and Keras's ``scale=False`` leave them out."""
    rng = np.random.default_rng(0)
    arrays = {"weight_ih": rng.normal(size=(6, 3)), "weight_hh": rng.normal(size=(6, 2))}
    gru = nn.GRUCell(3, 2, second_bias=True, dtype="float64", bias=np.ones(6))
    report = nn.load_torch(gru, arrays)
    assert sorted(report.loaded) == ["U", "W", "b", "c"]
    np.testing.assert_array_equal(gru.W.get_value(), arrays["weight_ih"].T)
    np.testing.assert_array_equal(gru.b.get_value(), np.zeros(6))
    both = nn.Bidirectional(nn.LSTM(3, 2), nn.LSTM(3, 2))
    kernels = {f"{part}/{role}": np.ones((rows, 8), "f") for part in ("forward", "backward")
               for role, rows in (("kernel", 3), ("recurrent_kernel", 2))}  # fmt: skip
    nn.load_keras(both, {f"lstm/{name}": array for name, array in kernels.items()})
    np.testing.assert_array_equal(both.backward.cell.b.get_value(), np.zeros(8))
    norm = nn.BatchNorm(2)
    norm.gain.set_value(np.full(2, 3, "f"))
    nn.load_keras(norm, {f"norm/{role}": np.full(2, 2, "f")
                         for role in ("beta", "moving_mean", "moving_variance")})  # fmt: skip
    np.testing.assert_array_equal(norm.gain.get_value(), [1, 1])


def test_what_does_not_fit_changes_nothing() -> None:
    stored = torch_weights(FOLDER / "sequences.safetensors")
    net = Sequences(second_bias=False)
    before = net.state()
    wide = {name: array.astype("float64") for name, array in stored.items()}
    few = {k: array for k, array in stored.items() if k != "attention.in_proj_bias"}
    more = stored | {"norm.extra": np.ones(1)}
    for weights, names, told in [
        (stored, None, "second_bias=True"),
        (wide, None, "emb.W has dtype float32, emb gives float64"),
        (few | {"gru.bias_hh_l0": np.zeros(15, "f")}, None, "attention.query.b is missing"),
        (more | {"gru.bias_hh_l0": np.zeros(15, "f")}, None, "norm.extra has no place in norm"),
        (stored, {"encoder": "rnn"}, "no 'encoder' among the weights, but 'attention'"),
        (stored, {"rnn": "encoder"}, "'encoder' of the module does not stand for 'rnn'"),
        ({"w": np.ones(3)}, None, "1 layers .* for 8 of ours"),
    ]:
        with pytest.raises(sg.SymgraphValueError, match=f"nothing was changed:(.|\n)*{told}"):
            nn.load_torch(net, dict(sorted(weights.items())), names=names or _as_ours(weights))
        for name, value in net.state().items():
            np.testing.assert_array_equal(value, before[name])
    with pytest.raises(sg.SymgraphTypeError, match="path of a file"):
        nn.load_torch(net, [1])
    with pytest.raises(sg.SymgraphTypeError, match="names is a dict"):
        nn.load_torch(net, stored, names=["rnn"])


def _as_ours(weights: dict[str, np.ndarray]) -> dict[str, str] | None:
    """The layers by their equal names, since these weights do not come in our order."""
    prefixes = {name.split(".")[0] for name in weights if "." in name}
    return {prefix: prefix for prefix in prefixes} or None


def test_layers_that_could_be_either_are_named(tmp_path: Path) -> None:
    first, second = nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1)
    file = tmp_path / "net.safetensors"
    numpy_file = pytest.importorskip("safetensors.numpy")
    arrays = {f"{name}.weight": layer.W.get_value().T.copy() for name, layer in
              (("decoder", second), ("encoder", first))}  # fmt: skip
    arrays |= {f"{name}.bias": np.zeros(2, "f") for name in ("decoder", "encoder")}
    numpy_file.save_file(arrays, file)
    net = [nn.Dense(2, 2), nn.Dense(2, 2)]
    with pytest.raises(sg.SymgraphValueError, match="decoder or encoder: say with names"):
        nn.load_torch(net, file)
    nn.load_torch(net, file, names={"encoder": "0", "decoder": "1"})
    np.testing.assert_array_equal(net[0].W.get_value(), first.W.get_value())
    nn.load_torch({"encoder": net[1], "decoder": net[0]}, file)
    np.testing.assert_array_equal(net[1].W.get_value(), first.W.get_value())


# --- Keras --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["after.keras", "after.weights.h5", "before.keras"])
def test_files_of_keras_give_equal_outputs(name: str) -> None:
    pytest.importorskip("h5py")
    reset = name.split(".")[0]
    net = keras_net(reset=reset, second_bias=reset == "after")
    nn.load_keras(net, FOLDER / name)
    x = KERAS["x"].swapaxes(0, 1)
    close(net(x).eval().swapaxes(0, 1), KERAS[reset])


@pytest.mark.parametrize("ending", ["keras", "weights.h5", "h5"])
def test_wrapped_and_depthwise_layers_of_keras(ending: str) -> None:
    """Within TimeDistributed; an .h5 file is what Keras 2 wrote, and Keras 3 still does."""
    pytest.importorskip("h5py")
    stored = np.load(FOLDER / "wrapped.npz")

    def reader() -> nn.Recurrent[Any]:
        return nn.GRU(4, 3, second_bias=True)

    net = nn.Sequential(
        nn.Conv2D(2, 4, 3, groups=2), lambda x: x.max((2, 3)), nn.Bidirectional(reader(), reader()),
        nn.Dense(6, 2),
    )  # fmt: skip
    nn.load_keras(net, FOLDER / f"wrapped.{ending}")
    close(net(stored["x"].swapaxes(0, 1)).eval(), stored["outputs"].swapaxes(0, 1))


def test_a_recurrent_convolution_of_keras() -> None:
    stored = np.load(FOLDER / "frames.npz")
    layer = nn.Recurrent(nn.ConvLSTMCell(1, 2, (3, 1)))
    nn.load_keras(layer, [stored[name] for name in "WUb"])
    close(layer(stored["x"].swapaxes(0, 1)).eval(), stored["outputs"].swapaxes(0, 1))
    raw = nn.ConvLSTMCell(1, 2, (3, 1))  # which PyTorch has none of: the variables as they are
    names = {name: name for name in "WUb"}
    nn.load_torch(raw, {name: stored[name] for name in "WUb"}, names=names)
    np.testing.assert_array_equal(raw.U.get_value(), stored["U"])


def test_attention_of_keras() -> None:
    pytest.importorskip("h5py")
    layer = nn.MultiHeadAttention(6, 2)
    nn.load_keras(layer, FOLDER / "attention.keras")
    y = KERAS["y"].swapaxes(0, 1)
    close(layer(y).eval().swapaxes(0, 1), KERAS["attention"])


def test_lists_and_dicts_of_keras_weights() -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(FOLDER / "after.weights.h5") as file:
        gru = [np.asarray(file[f"layers/gru/cell/vars/{i}"]) for i in range(3)]
        dense = [np.asarray(file[f"layers/dense/vars/{i}"]) for i in range(2)]
    net = nn.Sequential(nn.GRU(8, 5, second_bias=True), nn.Dense(4, 2))
    nn.load_keras(net, [*gru, *dense])
    other = nn.Sequential(nn.GRU(8, 5, second_bias=True), nn.Dense(4, 2))
    roles = ("kernel", "recurrent_kernel", "bias")
    named = {f"net/reader/gru_cell/{role}": w for role, w in zip(roles, gru, strict=True)}
    named |= {"net/out/kernel": dense[0], "net/out/bias": dense[1]}
    nn.load_keras(other, named, names={"reader": "layers.0"})
    for ours, theirs in zip(net.params, other.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
    update, reset_gate, new = np.split(gru[0], 3, axis=1)
    expected = np.concatenate([reset_gate, update, new], axis=1)
    np.testing.assert_array_equal(net.layers[0].cell.W.get_value(), expected)
    for weights, told in [
        ([*gru, dense[0]], "layers.1.b is missing"),
        ([*gru, *dense, dense[0]], "weight 5 of shape"),
        ([gru[0], gru[1], gru[2][0], *dense], "resets before the product, ours after"),
    ]:
        with pytest.raises(sg.SymgraphValueError, match=told):
            nn.load_keras(net, weights)


def _h5_of_models(path: Path, arrays: dict[str, np.ndarray], names: dict[str, str]) -> None:
    """A file as Keras 3 lays out models within a model."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for place, array in arrays.items():
            file[place] = array
        for place, name in names.items():
            file.require_group(f"{place}/vars").attrs["name"] = name


def test_models_within_a_model_of_keras(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"0": (3, 3), "1": (3,)}
    layers = {"layers/sequential": "proj", "layers/sequential_1": "proj", "layers": "proj"}
    arrays = {
        f"{place}{'/layers' if place != 'layers' else ''}/dense/vars/{i}": rng.normal(size=shape)
        for place in layers
        for i, shape in shapes.items()
    }
    arrays = {place: array.astype("float32") for place, array in arrays.items()}
    names = {"layers/sequential": "encoder", "layers/sequential_1": "decoder"}
    names |= {f"{place}/layers/dense": "proj" for place in names} | {"layers/dense": "proj"}
    _h5_of_models(tmp_path / "net.weights.h5", arrays, names)
    ours = {name: nn.Dense(3, 3) for name in ("decoder", "head", "encoder")}
    pairs = {"encoder": "encoder", "decoder/proj": "decoder", "proj": "head"}
    nn.load_keras(ours, tmp_path / "net.weights.h5", names=pairs)
    places = ("layers/sequential_1/layers", "layers", "layers/sequential/layers")
    for layer, place in zip(ours.values(), places, strict=True):
        np.testing.assert_array_equal(layer.W.get_value(), arrays[f"{place}/dense/vars/0"])
        np.testing.assert_array_equal(layer.b.get_value(), arrays[f"{place}/dense/vars/1"])


class _Weight:
    """What a variable of Keras has of a name and a value."""

    def __init__(self, path: str, value: np.ndarray) -> None:
        self.path, self.value, self.shape = path, value, value.shape

    def numpy(self) -> np.ndarray:
        return self.value


def test_layers_of_one_name_in_two_models_stay_apart() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("f") for shape in ((3, 3), (3,), (3, 3))]
    paths = ("net/encoder/proj/kernel", "net/encoder/proj/bias", "net/decoder/proj/kernel")
    weights = [_Weight(path, array) for path, array in zip(paths, arrays, strict=True)]
    net = [nn.Dense(3, 3), nn.Dense(3, 3, bias=None)]
    nn.load_keras(net, weights)
    for param, array in zip([p for layer in net for p in layer.params], arrays, strict=True):
        np.testing.assert_array_equal(param.get_value(), array)
    with pytest.raises(sg.SymgraphValueError, match="two weights have the name proj/kernel"):
        nn.load_keras(net, [_Weight("proj/kernel", arrays[0]), _Weight("proj/kernel", arrays[2])])
