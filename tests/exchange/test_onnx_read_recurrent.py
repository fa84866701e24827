"""LSTM, GRU and RNN come in as loops that compute what onnxruntime does, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx.helper as oh
import onnxruntime
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.scan.op import is_scan

_T, _B, _I, _H = 5, 3, 4, 2
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def _arrays(op: str, n_directions: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of a recurrent node: all that it may have."""
    draws, gates = np.random.default_rng(seed), _GATES[op]
    shapes = {
        "X": (_T, _B, _I),
        "W": (n_directions, gates * _H, _I),
        "R": (n_directions, gates * _H, _H),
        "B": (n_directions, 2 * gates * _H),
        "initial_h": (n_directions, _B, _H),
        "initial_c": (n_directions, _B, _H),
        "P": (n_directions, 3 * _H),
    }
    arrays = {key: draws.normal(size=shape).astype("float32") for key, shape in shapes.items()}
    arrays["sequence_lens"] = np.array([2, 5, 1], "int32")
    return arrays


def _model(
    op: str, arrays: dict[str, np.ndarray], *, sizes: Sequence[Any] = (_T, _B), **attributes: Any
) -> Any:
    """A model of one node whose weights are initialisers, and whose other inputs are inputs."""
    places = [name if name in arrays else "" for name in _INPUTS[: 8 if op == "LSTM" else 6]]
    while not places[-1]:
        places.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = oh.make_node(op, places, outputs, "layer", hidden_size=_H, **attributes)
    stored = [name for name in places if name in ("W", "R", "B", "P")]
    given = [name for name in places if name and name not in stored]
    graph = oh.make_graph(
        [node],
        "net",
        [
            oh.make_tensor_value_info(
                name,
                oh.np_dtype_to_tensor_dtype(arrays[name].dtype),
                [*sizes, _I] if name == "X" else arrays[name].shape,
            )
            for name in given
        ],
        [oh.make_empty_tensor_value_info(name) for name in outputs],
        [oh.make_tensor(name, 1, arrays[name].shape, arrays[name].reshape(-1)) for name in stored],
    )
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10)


def _expected(model: Any, arrays: dict[str, np.ndarray]) -> list[Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {i.name: arrays[i.name] for i in session.get_inputs()})


def _computed(model: Any, arrays: dict[str, np.ndarray], backend: str) -> list[np.ndarray]:
    imported = sg.import_onnx(model.SerializeToString())
    f = sg.compile(list(imported.inputs.values()), list(imported.outputs.values()), backend=backend)
    return f(*(arrays[name] for name in imported.inputs))


_OPTIONS: dict[str, dict[str, Any]] = {
    "LSTM": {},
    "GRU": {},
    "GRU reset after": {"linear_before_reset": 1},
    "RNN": {},
}
_EXTRAS = {
    "bare": (),
    "bias": ("B",),
    "states": ("B", "initial_h", "initial_c"),
    "lengths": ("B", "sequence_lens", "initial_h"),
    "all": ("B", "sequence_lens", "initial_h", "initial_c", "P"),
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("extras", _EXTRAS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("case", _OPTIONS)
def test_layers_compute_what_onnxruntime_does(
    case: str, direction: str, extras: str, backend: str
) -> None:
    op = case.split()[0]
    every = _arrays(op, 2 if direction == "bidirectional" else 1)
    arrays = {name: every[name] for name in ("X", "W", "R", *_EXTRAS[extras])}
    model = _model(op, arrays, direction=direction, **_OPTIONS[case])
    for computed, expected in zip(
        _computed(model, arrays, backend), _expected(model, arrays), strict=True
    ):
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}),
        ("RNN", {"activations": ["Elu"], "activation_alpha": [0.7]}),
        ("RNN", {"activations": ["Softplus"]}),
        ("RNN", {"activations": ["Softsign"]}),
        ("GRU", {"activations": ["Tanh", "Relu"], "linear_before_reset": 1}),
        ("GRU", {"activations": ["Sigmoid", "Sigmoid"]}),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "LeakyRelu"], "activation_alpha": [0.1]}),
    ],
)
def test_other_activations(op: str, attributes: dict[str, Any]) -> None:
    arrays = {name: a for name, a in _arrays(op, 1).items() if name in ("X", "W", "R", "B")}
    model = _model(op, arrays, **attributes)
    for computed, expected in zip(
        _computed(model, arrays, "numpy"), _expected(model, arrays), strict=True
    ):  # as a gate onnxruntime takes an approximation of tanh
        np.testing.assert_allclose(computed, expected, rtol=3e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("LSTM", {"clip": 3.0}, "'clip' is not read"),
        ("LSTM", {"input_forget": 1}, "'input_forget' is not read"),
        ("RNN", {"activations": ["Affine"]}, "activation 'Affine'"),
        ("GRU", {"activations": ["Tanh"]}, "2 activations are expected"),
        ("RNN", {"direction": "sideways"}, "no direction 'sideways'"),
        ("RNN", {"direction": "bidirectional"}, r"sizes \[1, 2, 2\], not \[2, 2, 2\]"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    op: str, attributes: dict[str, Any], reason: str
) -> None:
    arrays = {name: a for name, a in _arrays(op, 1).items() if name in ("X", "W", "R")}
    model = _model(op, arrays, **attributes)
    with pytest.raises(sg.ExchangeError, match=rf"{op} \(layer\).*{reason}"):
        sg.import_onnx(model.SerializeToString())


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_the_batch_may_come_first(op: str) -> None:
    arrays = _arrays(op, 2)
    if op != "LSTM":
        arrays = {name: a for name, a in arrays.items() if name not in ("initial_c", "P")}
    first = dict(arrays, X=arrays["X"].swapaxes(0, 1))
    first |= {k: arrays[k].swapaxes(0, 1) for k in ("initial_h", "initial_c") if k in arrays}
    last = _computed(_model(op, arrays, direction="bidirectional"), arrays, "numpy")
    model = _model(op, first, sizes=(_B, _T), direction="bidirectional", layout=1)
    y, *states = _computed(model, first, "numpy")
    np.testing.assert_array_equal(y, last[0].transpose(2, 0, 1, 3))
    for state, expected in zip(states, last[1:], strict=True):
        np.testing.assert_array_equal(state, expected.swapaxes(0, 1))


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(("n_steps", "batch"), [(0, 3), (1, 1), (7, 0), (11, 2)])
def test_one_model_runs_at_every_size(n_steps: int, batch: int, backend: str) -> None:
    arrays = {k: a for k, a in _arrays("LSTM", 2).items() if k in ("W", "R", "B")}
    arrays["X"] = np.ones((n_steps, batch, _I), "float32")
    model = _model("LSTM", arrays, sizes=("T", "B"), direction="bidirectional")
    y, h, c = _computed(model, arrays, backend)
    assert y.shape == (n_steps, 2, batch, _H)
    assert h.shape == c.shape == (2, batch, _H)
    if n_steps and batch:
        expected = _expected(model, arrays)
        np.testing.assert_allclose(y, expected[0], rtol=1e-5, atol=1e-6)
    else:
        assert not h.any()


def _bodies(outputs: Sequence[sg.Variable]) -> list[Any]:
    return [v.params[0] for v in sg.ancestors(list(outputs)) if is_scan(v)]


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize(
    ("op", "attributes", "extras", "layer"),
    [
        ("LSTM", {}, ("B",), nn.LSTM(_I, _H)),
        ("LSTM", {}, (), nn.LSTM(_I, _H)),
        ("LSTM", {}, ("B", "P"), nn.LSTM(_I, _H, peepholes=True)),
        ("GRU", {"linear_before_reset": 1}, ("B",), nn.GRU(_I, _H, second_bias=True)),
        ("GRU", {"linear_before_reset": 1}, (), nn.GRU(_I, _H)),
        ("GRU", {}, ("B",), nn.GRU(_I, _H, reset="before")),
        ("RNN", {}, ("B",), nn.RNN(_I, _H)),
        ("RNN", {"activations": ["Relu"]}, ("B",), nn.RNN(_I, _H, activation=sg.relu)),
    ],
)
def test_bodies_are_those_of_our_layers(
    op: str, attributes: dict[str, Any], extras: tuple[str, ...], layer: Any, trainable: bool
) -> None:
    every = _arrays(op, 1)
    arrays = {name: every[name] for name in ("X", "W", "R", *extras)}
    for sizes in ((_T, _B), ("T", "B")):
        model = _model(op, arrays, sizes=sizes, **attributes)
        imported = sg.import_onnx(model.SerializeToString(), trainable=trainable)
        (found,) = _bodies(list(imported.outputs.values()))
        x = sg.tensor("X", (*sizes, _I))
        (expected,) = _bodies([layer(x)])
        assert found is expected


def test_a_masked_body_is_that_of_our_layer() -> None:
    arrays = {k: a for k, a in _arrays("LSTM", 1).items() if k in ("X", "W", "R", "sequence_lens")}
    imported = sg.import_onnx(_model("LSTM", arrays).SerializeToString())
    (found,) = _bodies(list(imported.outputs.values()))
    x, mask = sg.tensor("x", (_T, _B, _I)), sg.tensor("mask", (_T, _B), "bool")
    (expected,) = _bodies([nn.LSTM(_I, _H)(x, mask=mask)])
    assert found is expected


def test_lengths_that_are_all_full_need_no_mask() -> None:
    arrays = {k: a for k, a in _arrays("RNN", 1).items() if k in ("X", "W", "R", "sequence_lens")}
    known = {"sequence_lens": np.full(_B, _T, "int32")}
    imported = sg.import_onnx(_model("RNN", arrays).SerializeToString(), known=known)
    (body,) = _bodies(list(imported.outputs.values()))
    (expected,) = _bodies([nn.RNN(_I, _H)(sg.tensor("x", (_T, _B, _I)))])
    assert body is expected


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_weights_train_on(op: str) -> None:
    every = _arrays(op, 2)
    arrays = {name: every[name] for name in ("X", "W", "R", "B")}
    model = _model(op, arrays, sizes=("T", "B"), direction="bidirectional")
    imported = sg.import_onnx(model.SerializeToString())
    assert set(imported.params) == {"W", "R", "B"}
    loss = sg.square(imported.outputs["Y"].mean(axis=(0, 2)) - 0.1).mean()
    params = list(imported.params.values())
    step = sg.compile([imported.inputs["X"]], loss, updates=nn.adam(loss, params, 0.05))
    first = step(arrays["X"])
    for _ in range(60):
        last = step(arrays["X"])
    assert last < first / 100
